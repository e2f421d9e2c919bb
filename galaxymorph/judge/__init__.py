"""Judging: metrics with intervals, galleries and reproduction."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "galleries": ["confident_mistakes", "confusion_cells", "top_losses"],
        "metrics": ["bootstrap", "classification_metrics", "judge_run"],
        "vote_metrics": ["distribution_metrics", "entropy", "kl_divergence", "tree_metrics"],
        "reproduction": ["Reproduction", "reproduce_run"],
    },
)
