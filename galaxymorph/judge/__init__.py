"""Judging: metrics with intervals, galleries and reproduction."""

import sys

import lazy_loader

from galaxymorph.base.function_package import FunctionPackage

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# `galaxymorph.judge(…)` is the function of this name.
sys.modules[__name__].__class__ = FunctionPackage
