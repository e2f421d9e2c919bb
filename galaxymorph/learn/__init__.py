"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "backbones": ["build_model", "pixel_stats"],
        "data": ["image_loader"],
        "fit": [
            "gather_galaxies",
            "make_learner",
            "require_same_galaxies",
            "start_run",
            "train_run",
        ],
        "inference": ["infer", "prediction_table"],
        "recipes": ["PRESETS", "Recipe", "make_recipe"],
        "runs": ["Run", "environment", "free_name", "write_table"],
    },
)
