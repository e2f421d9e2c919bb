"""Judging: metrics with intervals, galleries and reproduction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "attribution": [
            "METHODS",
            "attribute",
            "chosen_rows",
            "require_captum",
            "require_feature_maps",
        ],
        "comparison": ["compare_runs", "paired_differences", "require_distinct", "scores_in"],
        "concepts": ["embeddings", "probe_table", "true_concepts", "truth_of"],
        "drift": ["Drift", "drift_between", "energy", "neighbour_distance"],
        "faithfulness": ["Curves", "UNLIKE", "areas", "curves", "randomisation", "CONTROLS"],
        "galleries": ["confident_mistakes", "confusion_cells", "galleries_of", "top_losses"],
        "metrics": ["class_scorer", "classification_metrics", "judge_run", "true_and_predicted"],
        "morphometry": [
            "MEASURES",
            "SUSPECT",
            "can_measure",
            "lotz_early_line",
            "lotz_merger_line",
            "measure_all",
        ],
        "neighbours": ["anomaly", "nearest", "plane", "whitened"],
        "physics": ["MOST_CHANGED", "physics_checks"],
        "questions": ["Questions", "questions_of"],
        "reproduction": ["Reproduction", "reproduce_run"],
        "resampling": ["bootstrap", "mean_interval", "ratio_interval"],
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
        "shortcuts": ["looked_at", "mask_folder", "shortcut_table", "true_masks"],
        "subjects": ["Subject", "subject_of"],
        "vote_metrics": [
            "distribution_metrics",
            "entropy",
            "kl_divergence",
            "tree_metrics",
            "question_divergence",
            "question_entropy",
        ],
    },
)
