"""A simulated sky: galaxies, surveys that observe them, volunteers who vote."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "galaxies": ["KINDS", "Galaxy", "draw_galaxy"],
        "light": ["Light", "render"],
        "masks": ["MASK_BITS", "read_masks"],
        "observing": ["Observation", "at_redshift", "observe"],
        "sheet": ["contact_sheet"],
        "simulation": ["Simulation", "simulate", "simulate_galaxy"],
        "skies": ["EMBEDDED", "PRETRAINING", "embedded_sky"],
        "surveys": ["SURVEYS", "Survey", "get_survey"],
        "volunteers": ["Ballot", "vote"],
    },
)
