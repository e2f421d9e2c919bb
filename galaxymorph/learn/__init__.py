"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import gc

import lazy_loader

_import, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backbones": ["build_model", "pixel_stats", "require_network"],
        "data": ["image_loader"],
        "callbacks": ["ShowProgress"],
        "fit": ["make_learner", "restart_run", "start_run", "train_run"],
        "galaxies": ["gather_galaxies", "require_same_galaxies", "with_images"],
        "inference": ["infer", "infer_each"],
        "objectives": ["make_link"],
        "loss_registry": ["CONCENTRATIONS", "LOSSES"],
        "losses": ["fraction_intervals", "make_loss"],
        "hardware": ["keep_freed_memory", "use_device"],
        "recipes": ["PRESETS", "Recipe", "item_frame", "make_recipe"],
        "predictions": ["prediction_table"],
        "models": ["load_network"],
        "serving": ["fold_batchnorm", "serving_network"],
        "runs": ["Run", "environment", "free_name", "locked", "write_table"],
        "targets": ["TARGETS"],
        "views": ["dihedral"],
        "outputs": [
            "loss_entry",
            "output_names",
            "predicted_columns",
            "target_of",
            "true_columns",
        ],
        "tree_head": ["TreeHead", "concentrations"],
    },
)


def __getattr__(name: str):
    # PyTorch and fastai make a million objects at their start, all to stay: to look for cycles
    # among them every few hundred takes a fifth of it.
    collects = gc.isenabled()
    gc.disable()
    try:
        return _import(name)
    finally:
        if collects:
            gc.enable()
