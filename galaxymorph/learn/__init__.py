"""Learning: recipes, data blocks, networks, the two-stage fit and its run folder."""

import gc
import warnings

import lazy_loader

from galaxymorph.learn.acceleration.imports import lean_imports

# timm and fastai still decorate with it, and there is nothing a user could do.
warnings.filterwarnings("ignore", message=".*torch.jit.script.*")
_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str):
    # PyTorch and fastai make a million objects at their start, all to stay: to look for cycles
    # among them every few hundred takes a fifth of it.
    collects = gc.isenabled()
    gc.disable()
    try:
        with lean_imports():
            return _import(name)
    finally:
        if collects:
            gc.enable()
