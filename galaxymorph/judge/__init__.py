"""Judging: metrics with intervals, galleries and reproduction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": [
            "Calibration",
            "calibrate_run",
            "calibration_part",
            "load_calibrators",
            "require_classes",
            "sets_of",
        ],
        "calibrators": ["METHODS", "Calibrator", "calibrated_mean"],
        "conformal": ["SCORES", "coverage_band", "coverage_law"],
        "doubt": ["Doubt", "doubt_of", "worth_asking"],
        "galleries": ["confident_mistakes", "confusion_cells", "galleries_of", "top_losses"],
        "metrics": ["classification_metrics", "judge_run", "true_and_predicted"],
        "questions": ["Questions", "questions_of"],
        "resampling": ["bootstrap"],
        "selective": ["aurc", "kept_at", "risk_coverage"],
        "vote_metrics": [
            "distribution_metrics",
            "entropy",
            "kl_divergence",
            "tree_metrics",
            "question_divergence",
            "question_entropy",
        ],
        "reproduction": ["Reproduction", "reproduce_run"],
    },
)
