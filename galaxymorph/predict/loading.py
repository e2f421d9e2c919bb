"""Loading a run's predictor, of the kind that a precision asks for."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.learn import Recipe, Run

if TYPE_CHECKING:
    from galaxymorph.predict.onnx import OnnxPredictor
    from galaxymorph.predict.predictor import Predictor


def load_predictor(path: str | Path, precision: str | None = None) -> Predictor | OnnxPredictor:
    """Load a run's predictor, from files that, unlike a pickle, can't run code.

    Args:
        path: the run's folder.
        precision: auto, fp32, bf16, fp16 or int8; by itself the recipe's own. In int8 neither
            PyTorch nor fastai is imported.

    Raises:
        BadInput: not a finished run, a precision that the device hasn't, or no int8 file.
    """
    run = Run(Path(path))
    run.require_trained()
    if precision == "int8":
        from galaxymorph.predict.onnx import load_onnx_predictor

        return load_onnx_predictor(run)
    from galaxymorph.predict.predictor import load_torch_predictor

    return load_torch_predictor(run, precision)


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
