"""Files of weights: safetensors, and pickles of PyTorch and Lightning; no code in them is run."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from galaxymorph.base import BadInput, setting

# What a pickle of tensors calls; PyTorch makes storages and their types itself.
CALLABLES = {
    ("collections", "OrderedDict"),
    ("torch._utils", "_rebuild_tensor_v2"),
    ("torch._utils", "_rebuild_parameter"),
}


class _Inert:
    """A stand-in for an object of a pickle that holds no weights, such as a hyperparameter."""

    def __init__(self, *arguments: Any, **settings: Any):
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        pass

    def append(self, value: Any) -> None:
        """Take an item, as a list does."""

    def extend(self, values: Any) -> None:
        """Take items, as a list does."""


class _TensorUnpickler(pickle.Unpickler):
    """An unpickler of tensors and plain values, in which every other class is inert."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in CALLABLES:
            return super().find_class(module, name)
        return _Inert


# With the functions that `torch.load` uses of a module.
_TENSOR_PICKLE = SimpleNamespace(
    __name__="tensor_pickle",
    Unpickler=_TensorUnpickler,
    load=lambda file, **settings: _TensorUnpickler(file, **settings).load(),
)


def read_state(path: Path) -> dict[str, torch.Tensor]:
    """Return the tensors in a file of weights by their names.

    Raises:
        BadInput: it can't be read, or holds none.
    """
    return read_checkpoint(path)[0]


def read_checkpoint(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return the tensors in a file of weights, and all that the file holds besides.

    No code of a file is run. Of a Lightning checkpoint, objects among the hyperparameters are
    left out; strings, numbers and dictionaries stay.

    Args:
        path: safetensors, or a file of `torch.save`: `.pt`, `.pth`, `.bin`, `.ckpt`.

    Raises:
        BadInput: it can't be read, or holds no tensors.
    """
    try:
        if path.suffix == ".safetensors":
            from safetensors import safe_open
            from safetensors.torch import load_file

            with safe_open(path, "pt") as file:
                return load_file(path), file.metadata() or {}
        loaded = _load(path)
    except Exception as error:
        # PyTorch and safetensors raise errors of many types for a file that isn't one.
        words = (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
        raise _unreadable(path, words) from None
    parts = [part for part in (loaded, *loaded.values()) if isinstance(part, Mapping)]
    state = max(map(_tensors, parts), key=len)
    if not state:
        raise _unreadable(path, "it has no tensors")
    return state, {name: value for name, value in loaded.items() if name not in state}


def _load(path: Path) -> Mapping[str, Any]:
    try:
        loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError:
        loaded = torch.load(
            path, map_location="cpu", weights_only=False, pickle_module=_TENSOR_PICKLE
        )
    return loaded if isinstance(loaded, Mapping) else {}


def _tensors(part: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    return {str(name): value for name, value in part.items() if isinstance(value, torch.Tensor)}


def _unreadable(path: Path, words: str) -> BadInput:
    return BadInput(
        f"{setting('weights', path)}: not a readable state dict ({words})",
        "save it with torch.save(model.state_dict(), …) or as safetensors",
    )
