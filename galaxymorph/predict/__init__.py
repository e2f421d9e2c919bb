"""Predictors: a run's networks applied to images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "doubt": ["SOURCES", "sample_predictions"],
        "images": ["expand_images", "usable_images"],
        "kaggle": ["require_submittable", "write_submission"],
        "loading": ["load_predictor"],
        "triage": ["choose_galaxies"],
        "quantization": ["Quantization", "quantize_run"],
    },
)
