"""Loading a run's predictor, of the kind that a precision asks for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput
from galaxymorph.learn import Recipe, Run

if TYPE_CHECKING:
    from galaxymorph.predict.onnx import OnnxPredictor
    from galaxymorph.predict.predictor import Predictor


def load_predictor(
    path: str | Path, precision: str | None = None, adapt_to: Sequence[str] | None = None
) -> Predictor | OnnxPredictor:
    """Load a run's predictor, from files that, unlike a pickle, can't run code.

    Args:
        path: the run's folder.
        precision: auto, fp32, bf16, fp16 or int8; by itself the recipe's own. In int8 neither
            PyTorch nor fastai is imported.
        adapt_to: images of which BatchNorm takes the statistics.

    Raises:
        BadInput: not a finished run, a precision that the device hasn't, no int8 file, or images
            that can't be adapted to.
    """
    run = Run(Path(path))
    run.require_trained()
    if precision == "int8":
        if adapt_to is not None:
            raise BadInput("--adapt: int8 has its statistics built in", "leave out one of the two")
        from galaxymorph.predict.onnx import load_onnx_predictor

        return load_onnx_predictor(run)
    from galaxymorph.predict.predictor import load_torch_predictor

    return load_torch_predictor(run, precision, adapt_to)


def model_id(path: str | Path) -> str:
    """Return what tells a run's weights from others: the start of their SHA-256, 16 digits.

    Raises:
        BadInput: not a finished run.
    """
    run = Run(Path(path))
    run.require_trained()
    found = hashlib.sha256()
    for member in run.members:
        found.update((member.path / "model.safetensors").read_bytes())
    return found.hexdigest()[:16]


def read_recipe(path: str | Path) -> Recipe:
    """Return a model's recipe, without loading its networks."""
    return Run(Path(path)).recipe
