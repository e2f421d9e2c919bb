"""GalaxyMorph: Galaxy Zoo images and volunteer votes into morphology models."""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submod_attrs={"predict": ["load_predictor"]}
)
