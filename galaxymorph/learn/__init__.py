"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import gc
import warnings

import lazy_loader

from galaxymorph.learn.acceleration.imports import lean_imports

# What libraries warn of when they are imported, and there is nothing a user could do: decorators of
# timm's and fastai's, and a notebook's widgets, which only bars of other libraries need.
for message in (".*torch.jit.script.*", "IProgress not found"):
    warnings.filterwarnings("ignore", message=message)
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    # PyTorch and fastai make a million lasting objects when they are imported; collecting garbage
    # meanwhile takes 0.1 s.
    enabled = gc.isenabled()
    gc.disable()
    try:
        with lean_imports():
            return _import(name)
    finally:
        if enabled:
            gc.enable()
