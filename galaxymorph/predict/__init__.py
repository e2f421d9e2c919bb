"""Predictors: a run's networks applied to images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "quantization": ["Quantization", "quantize_run"],
        "predictor": ["Predictor", "expand_images", "load_predictor", "usable_images"],
    },
)
