"""Packages that share their name with a public function of `galaxymorph`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from types import ModuleType
from typing import Any


class FunctionPackage(ModuleType):
    """A package such as `galaxymorph.predict` that is called like the function `predict`.

    Python binds a package to its name in the one above it, whenever it is first imported, so the
    name can't be the function's alone.
    """

    @property
    def __wrapped__(self) -> Callable[..., Any]:
        """The function, whose signature and help this has."""
        return getattr(importlib.import_module("galaxymorph.api"), self.__name__.split(".")[-1])

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return self.__wrapped__(*arguments, **keywords)
