"""Judging: metrics with intervals, galleries and reproduction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "comparison": ["compare_runs", "paired_differences", "require_distinct"],
        "drift": ["Drift", "drift_between", "energy", "neighbour_distance"],
        "galleries": ["confident_mistakes", "confusion_cells", "galleries_of", "top_losses"],
        "metrics": ["class_scorer", "classification_metrics", "judge_run", "true_and_predicted"],
        "questions": ["Questions", "questions_of"],
        "robustness": [
            "Condition",
            "SUITES",
            "corruption_error",
            "read_robustness",
            "require_alike",
            "robustness_settings",
            "robustness_of",
            "seen_under",
            "write_robustness",
        ],
        "resampling": ["bootstrap"],
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
