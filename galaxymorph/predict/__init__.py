"""Predictors: a run's networks applied to images."""

import sys

import lazy_loader

from galaxymorph.base.function_package import FunctionPackage

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# `galaxymorph.predict(…)` is the function of this name.
sys.modules[__name__].__class__ = FunctionPackage
