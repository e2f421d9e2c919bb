"""The layout of safetensors files: networks, their description and what comes with them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from safetensors import SafetensorError, safe_open

from galaxymorph.base import BadInput, Damaged, parse_json, read_json, reading
from galaxymorph.judge import OutlierReference, described_calibration
from galaxymorph.learn import Recipe, run_files, target_of
from galaxymorph.predict.exporters import METADATA

Tensor = TypeVar("Tensor")

# In a file of several networks, each one's tensors are called by its number and this.
NETWORK = "network{}."
# Embeddings of training galaxies, and distances of validation galaxies from them.
KNOWN, USUAL = "reference.embeddings", "reference.distances"


def read_file(path: Path, framework: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the description and the tensors of a file.

    Args:
        path: of an exported file, or of a run's `model.safetensors` with `model.json` beside it.
        framework: whose tensors they are, numpy or pt.

    Raises:
        BadInput: the file or its description is missing or damaged.
    """
    try:
        with safe_open(path, framework) as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    return read_description(path), state


def read_description(path: Path) -> dict[str, Any]:
    """Return the description of a file's model, see `learn.describe`.

    Raises:
        BadInput: it or the file is missing or damaged.
    """
    try:
        with safe_open(path, "numpy") as file:
            metadata = (file.metadata() or {}).get(METADATA)
    except (SafetensorError, OSError) as error:
        raise _unreadable(path, error) from error
    if metadata is not None:
        with reading(path, "copy it again"):
            return parse_json(metadata)
    beside = path.with_name(run_files.DESCRIPTION)
    if not beside.exists():
        raise BadInput(
            f"{path}: no {run_files.DESCRIPTION} beside it",
            f"copy the run's {run_files.DESCRIPTION} too",
        )
    return read_json(beside, "copy it again")


def _unreadable(path: Path, error: Exception) -> BadInput:
    return BadInput(f"{path}: not readable as safetensors ({error})", "copy it again")


def states_of(
    state: Mapping[str, Tensor], description: Mapping[str, Any]
) -> list[dict[str, Tensor]]:
    """Return the tensors of each network of a file by their names in the network."""
    number = description.get("networks")
    if number is None:
        # A run's file has nothing else.
        return [dict(state)]
    return [_with_prefix(state, NETWORK.format(index)) for index in range(number)]


def _with_prefix(state: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def described_settings(
    description: Mapping[str, Any], recipe: Recipe, path: Path
) -> dict[str, Any]:
    """Return the arguments of `BasePredictor` in a file.

    Raises:
        BadInput: the description or the reference is damaged.
    """
    return {
        "recipe": recipe,
        "classes": list(description["classes"]),
        "reference": _reference(path),
        **described_calibration(description, target_of(recipe).tree, str(path)),
    }


def _reference(path: Path) -> OutlierReference | None:
    with safe_open(path, "numpy") as file:
        names = set(file.keys())
        if KNOWN not in names:
            return None
        known = file.get_tensor(KNOWN)
        usual = file.get_tensor(USUAL) if USUAL in names else np.empty((0, 0))
    with reading(path, "export it again"):
        if known.ndim != 2 or usual.ndim != 1:
            raise Damaged("its embeddings have another shape")
    return OutlierReference(known.astype(np.float32), usual)
