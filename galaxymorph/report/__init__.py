"""Reports: figures and tables."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "calibration": ["draw_calibration", "print_calibration"],
        "figures": ["draw_gallery", "draw_run"],
        "votes": ["draw_votes", "draw_walk"],
        "tables": ["print_check", "print_metrics", "print_predictions"],
    },
)
