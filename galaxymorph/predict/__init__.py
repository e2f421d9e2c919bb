"""Predictors: a run's networks applied to images."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "averaging": ["averaged"],
        "catalogue": ["predict_catalogue"],
        "uncertainty_sources": ["SOURCES", "open_source"],
        "uncertainty_study": ["UncertaintyStudy", "study_uncertainty"],
        "evidence": ["Like", "Look", "Looker", "load_looker"],
        "export": ["Export", "export_run"],
        "failures": ["kind_of"],
        "images": [
            "expand_catalogues",
            "expand_images",
            "say_empty",
            "submission_images",
            "usable_images",
            "with_galaxies",
        ],
        "kaggle": ["require_submittable", "write_submission"],
        "loading": ["is_run", "load_predictor", "model_id"],
        "outliers": ["drift_of", "outlier_columns"],
        "overlap": ["with_parts"],
        "quantization": ["Quantization", "quantize_run"],
        "tables": ["has_intervals", "with_intervals"],
        "triage": ["choose_galaxies"],
    },
)
