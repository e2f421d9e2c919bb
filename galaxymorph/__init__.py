"""GalaxyMorph: Galaxy Zoo images and volunteer votes into morphology models."""

import lazy_loader

from galaxymorph.base.former_names import find_former_names
from galaxymorph.base.plugins import load_named_plugins

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

find_former_names()
# Processes that another one starts know its plugins.
load_named_plugins()
