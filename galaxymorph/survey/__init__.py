"""A simulated sky: galaxies, surveys that observe them, volunteers who vote."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "galaxies": ["KINDS", "Galaxy", "draw_galaxy"],
        "light": ["Light", "render"],
        "masks": ["MASK_BITS", "read_masks"],
        "observe": ["Observation", "at_redshift", "observe"],
        "sheet": ["contact_sheet"],
        "simple": ["simple_galaxies"],
        "simulate": ["Simulation", "simulate", "simulate_galaxy"],
        "surveys": ["SURVEYS", "Survey", "get_survey"],
        "volunteers": ["Ballot", "vote"],
    },
)
