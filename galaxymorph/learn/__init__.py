"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backbones": ["build_model", "pixel_stats", "require_network"],
        "data": ["image_loader"],
        "callbacks": ["ShowProgress"],
        "fit": ["make_learner", "restart_run", "start_run", "train_run"],
        "galaxies": ["gather_galaxies", "require_same_galaxies", "with_images"],
        "inference": ["infer", "prediction_table"],
        "loss_registry": ["LOSSES"],
        "losses": ["fraction_intervals", "make_loss"],
        "hardware": ["keep_freed_memory", "use_device"],
        "recipes": ["PRESETS", "Recipe", "make_recipe"],
        "models": ["load_network"],
        "serving": ["fold_batchnorm", "in_chunks", "serving_network"],
        "runs": ["Run", "environment", "free_name", "locked", "write_table"],
        "tree_head": ["TreeHead", "concentrations"],
    },
)
