"""Loading a run's predictor, of the kind that a precision asks for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.judge import load_calibrators
from galaxymorph.learn import Run

if TYPE_CHECKING:
    from galaxymorph.predict.onnx import OnnxPredictor
    from galaxymorph.predict.predictor import Predictor


def load_predictor(
    path: str | Path, precision: str | None = None, raw: bool = False
) -> Predictor | OnnxPredictor:
    """Load a run's predictor, from files that, unlike a pickle, can't run code.

    Once the run is calibrated, its probabilities are.

    Args:
        path: the run's folder.
        precision: auto, fp32, bf16, fp16 or int8; by itself the recipe's own. In int8 neither
            PyTorch nor fastai is imported.
        raw: leave the models' probabilities as they are.

    Raises:
        BadInput: not a finished run, a precision that the device hasn't, or no int8 file.
    """
    run = Run(Path(path))
    run.require_trained()
    predictor = _load(run, precision)
    return predictor if raw else replace(predictor, calibrators=load_calibrators(run))


def _load(run: Run, precision: str | None) -> Predictor | OnnxPredictor:
    if precision == "int8":
        from galaxymorph.predict.onnx import load_onnx_predictor

        return load_onnx_predictor(run)
    from galaxymorph.predict.predictor import load_torch_predictor

    return load_torch_predictor(run, precision)
