"""Imports of fastai and torchvision without the modules that this package seldom uses.

PyTorch, fastai and torchvision take 2.3 rather than 3.8 s of processor time.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# Modules that fastai and torchvision import when they are imported, and the function that they take
# from each by name. PyTorch's compiler, for one kind of torchvision's layers, takes 0.7 s;
# scikit-learn, for a random split and metrics, 0.45 s with scipy.stats; timm 0.2 s.
DEFERRED = {
    "torch._dynamo.utils": "is_compile_supported",
    "sklearn": "",
    "sklearn.metrics": "",
    "sklearn.model_selection": "train_test_split",
    "scipy.stats": "",
    "timm": "",
}


class _StandIn(ModuleType):
    """A module that imports the real one when anything but its deferred function is used."""

    def __init__(self, name: str, function: str):
        super().__init__(name)
        self.__path__ = _Path(self._real)  # type: ignore[assignment]
        if function:
            setattr(self, function, self._deferred(function))

    def _deferred(self, function: str) -> Callable:
        def deferred(*arguments: Any, **options: Any) -> Any:
            return getattr(self._real(), function)(*arguments, **options)

        return deferred

    def _real(self) -> ModuleType:
        name = self.__name__
        if sys.modules.get(name) is self:
            del sys.modules[name]
        return importlib.import_module(name)

    def __getattr__(self, name: str) -> object:
        # Looked up by code that inspects all modules.
        if name.startswith("__"):
            raise AttributeError(name)
        # `import sklearn.metrics as …` reads sklearn's attribute of that name.
        inner = sys.modules.get(f"{self.__name__}.{name}")
        return inner if isinstance(inner, _StandIn) else getattr(self._real(), name)


class _Path:
    """The path of a module's submodules, looked up when one of them is imported."""

    def __init__(self, real: Callable[[], ModuleType]):
        self._real = real

    def __iter__(self) -> Iterator[str]:
        return iter(self._real().__path__)


@contextmanager
def lean_imports() -> Iterator[None]:
    """Defer the imports of `DEFERRED` by other modules within the block.

    Modules that are imported already stay as they are.
    """
    stand_ins = {
        name: _StandIn(name, function)
        for name, function in DEFERRED.items()
        if name not in sys.modules
    }
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]
