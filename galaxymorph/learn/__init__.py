"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import gc

import lazy_loader

from galaxymorph.learn.imports import lean_imports

_import, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adaptation": ["ADAPTING_IMAGES", "adapt_batchnorm"],
        "backbones": ["build_model", "pixel_stats", "require_network"],
        "callbacks": ["ShowProgress"],
        "data": ["image_loader"],
        "description": ["described_recipe"],
        "distributed": ["together"],
        "domain": ["target_images"],
        "embeddings": ["Embeddings", "embed", "last_layer", "read_embeddings"],
        "fit": ["help_training", "make_learner", "restart_run", "start_run", "train_run"],
        "galaxies": [
            "decode_galaxies",
            "gather_galaxies",
            "read_labels",
            "split_faults",
            "require_same_galaxies",
            "with_images",
        ],
        "hardware": ["keep_freed_memory", "resolve_precision", "side_by_side", "use_device"],
        "inference": ["infer", "infer_each"],
        "loss_registry": ["CONCENTRATIONS", "LOSSES"],
        "losses": ["make_loss"],
        "models": ["load_network", "write_backbone", "describe"],
        "objectives": ["make_link"],
        "outputs": [
            "deviation_columns",
            "loss_columns",
            "loss_entry",
            "label_words",
            "loss_name",
            "loss_words",
            "output_names",
            "predicted_columns",
            "target_of",
            "true_columns",
        ],
        "predictions": ["prediction_table"],
        "recipe_choice": ["default_recipe"],
        "recipes": [
            "PRESETS",
            "Recipe",
            "item_frame",
            "make_recipe",
            "require_views",
            "without_effect",
        ],
        "runs": [
            "Run",
            "environment",
            "fit_warnings",
            "free_name",
            "held",
            "locked",
            "say_fit_warnings",
            "write_table",
        ],
        "serving": ["ServingNetwork", "fold_batchnorm", "serving_network"],
        "targets": ["TARGETS"],
        "tree_head": ["TreeHead", "concentrations"],
        "views": ["dihedral"],
    },
)


def __getattr__(name: str):
    # PyTorch and fastai make a million objects at their start, all to stay: to look for cycles
    # among them every few hundred takes a fifth of it.
    collects = gc.isenabled()
    gc.disable()
    try:
        with lean_imports():
            return _import(name)
    finally:
        if collects:
            gc.enable()
