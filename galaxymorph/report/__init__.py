"""Reports: figures and tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "figures": ["draw_gallery", "draw_run"],
        "votes": ["draw_votes", "draw_walk"],
        "robustness": ["draw_robustness"],
        "tables": [
            "print_check",
            "print_comparison",
            "print_metrics",
            "print_predictions",
            "print_robustness",
        ],
    },
)
