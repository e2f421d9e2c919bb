"""Reports: figures and tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "answers": ["load_model"],
        "calibration": ["draw_calibration", "print_calibration"],
        "uncertainty": ["draw_uncertainty", "print_uncertainty"],
        "explanation": ["draw_similar", "explain_run"],
        "figures": ["draw_gallery", "draw_run", "redraw"],
        "fraction_calibration": ["draw_fraction_calibration", "print_fraction_calibration"],
        "page": ["refresh_report", "write_comparison", "write_report"],
        "robustness": ["draw_robustness"],
        "server": ["ModelServer"],
        "tables": [
            "print_check",
            "print_comparison",
            "print_metrics",
            "print_predictions",
            "print_robustness",
            "print_rows",
        ],
        "votes": ["draw_votes", "draw_walk"],
    },
)
