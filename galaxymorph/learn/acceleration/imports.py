"""Imports of fastai, torchvision and timm without the modules that this package seldom uses.

PyTorch, fastai and torchvision take 2.3 rather than 3.8 s of processor time, timm then 0.6 rather
than 2.8 s, and an optimizer of PyTorch nothing rather than 1.2 s.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial, wraps
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
# Modules that fastai, torchvision and timm import when they are imported, and the function that
# they take from each by name. PyTorch's compiler, for one kind of torchvision's layers and of
# timm's, takes 1.2 s; scikit-learn, for a random split and metrics, 0.45 s with scipy.stats; timm
# 0.2 s; wandb, for a table of timm's own training, 0.7 s.
DEFERRED = {
    COMPILER: "",
    f"{COMPILER}.utils": "is_compile_supported",
    "wandb": "",
    "sklearn": "",
    "sklearn.metrics": "",
    "sklearn.model_selection": "train_test_split",
    "scipy.stats": "",
    "timm": "",
}


def _disable(function: Any = None, recursive: bool = True, **options: Any) -> Any:
    """Return a function that PyTorch's compiler leaves out, as `torch.compiler.disable` does.

    It is excluded when it is called and the compiler is imported: before, nothing is compiled.
    """
    if function is None:
        return partial(_disable, recursive=recursive, **options)
    if isinstance(function, type):
        return _excluded(function, recursive, **options)

    @wraps(function)
    def called(*arguments: Any, **keywords: Any) -> Any:
        if isinstance(sys.modules.get(COMPILER), _StandIn | None):
            return function(*arguments, **keywords)
        return _excluded(function, recursive, **options)(*arguments, **keywords)

    return called


def _excluded(function: Any, recursive: bool, **options: Any) -> Any:
    import torch._dynamo

    return torch._dynamo.disable(function, recursive, **options)


def _graph_break() -> None:
    """Do nothing, as the compiler's function does where nothing is compiled."""


class _StandIn(ModuleType):
    """A module that imports the real one when anything but its deferred functions is used."""

    def __init__(self, name: str, function: str):
        super().__init__(name)
        self.__path__ = _Path(self._real)  # type: ignore[assignment]
        if "." not in name:
            # By it, libraries find out what is installed.
            self.__spec__ = importlib.util.find_spec(name)
        if name == COMPILER:
            # What timm's layers, and each step of an optimizer, take from it.
            vars(self).update(disable=_disable, graph_break=_graph_break)
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
        with deferring(each for each in DEFERRED if _library(each) != _library(name)):
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


def lean_imports() -> AbstractContextManager[None]:
    """Defer the imports of `DEFERRED` by other modules within a block."""
    return deferring(DEFERRED)


def without_compiler() -> AbstractContextManager[None]:
    """Let optimizers of PyTorch do without its compiler within a block."""
    return deferring([COMPILER])


@contextmanager
def deferring(names: Iterable[str]) -> Iterator[None]:
    """Defer the imports of some of the modules in `DEFERRED` within the block.

    Modules that are imported already stay as they are.
    """
    stand_ins = {
        name: _StandIn(name, DEFERRED[name])
        for name in names
        if name not in sys.modules and importlib.util.find_spec(_library(name))
    }
    sys.modules.update(stand_ins)
    try:
        yield
    finally:
        for name, stand_in in stand_ins.items():
            if sys.modules.get(name) is stand_in:
                del sys.modules[name]


def _library(name: str) -> str:
    return name.partition(".")[0]
