"""Loading a model as a predictor, from a run or from any file that a run was exported to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput
from galaxymorph.judge import load_calibrators
from galaxymorph.learn import Run, say_fit_warnings

if TYPE_CHECKING:
    from galaxymorph.predict.predictors.learner_predictor import LearnerPredictor
    from galaxymorph.predict.predictors.onnx_predictor import OnnxPredictor
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

SAFE = "model.safetensors"


def load_predictor(
    path: str | Path,
    precision: str | None = None,
    adapt_to: Sequence[str] | None = None,
    trust_pickle: bool = False,
    raw: bool = False,
    stretch: str | None = None,
    bands: str | None = None,
) -> TorchPredictor | OnnxPredictor | LearnerPredictor:
    """Load a model's predictor, from files that, unlike a pickle, can't run code.

    Once the run is calibrated, its probabilities are.

    Args:
        path: a run's folder; its `model.safetensors` or `model.json`, or a folder that holds
            both; a `.safetensors` or `.onnx` file that `export` made; or, with `trust_pickle`,
            a run's `model.pkl`.
        precision: auto, fp32, bf16, fp16 or, of a run, int8; by itself the recipe's own. In int8,
            as with an `.onnx` file, neither PyTorch nor fastai is imported.
        adapt_to: of a run: images of which BatchNorm takes the statistics.
        trust_pickle: unpickle a `.pkl`, which runs whatever code is in it.
        raw: leave the models' probabilities as they are.
        stretch: of FITS images, in place of the one that the model is trained on.
        bands: of FITS images, the red first, likewise.

    Raises:
        BadInput: nothing of these, an unknown stretch, a precision that the file or the device
            hasn't, no int8 file, a format that this version doesn't read, images that can't be
            adapted to, or a pickle that isn't trusted.
    """
    path = Path(path)
    if not is_run(path):
        if adapt_to is not None:
            raise BadInput(f"--adapt: {path} is an exported file", "give the run")
        predictor = _load_file(path, precision, trust_pickle)
        rendering = predictor.recipe.rendering.changed(stretch, bands)
        recipe = replace(predictor.recipe, stretch=rendering.stretch, bands=rendering.bands)
        predictor = replace(predictor, recipe=recipe)
        return _bare(predictor, raw)
    run = Run(path).rendered(stretch, bands)
    run.require_trained()
    say_fit_warnings(run)
    predictor = _load(run, precision, adapt_to)
    return predictor if raw else replace(predictor, calibrators=load_calibrators(run))


def _load_file(
    path: Path, precision: str | None, trust_pickle: bool
) -> TorchPredictor | OnnxPredictor | LearnerPredictor:
    if path.suffix == ".pkl":
        return _pickled(path, precision, trust_pickle)
    if path.suffix == ".onnx":
        from galaxymorph.predict.predictors.onnx_predictor import load_onnx_file

        _require_file(path)
        _refuse_precision(path, precision)
        return load_onnx_file(path)
    weights = _portable(path)
    if precision == "int8":
        raise BadInput(f"--precision int8: {path} holds float32", "export RUN --format onnx --int8")
    _require_file(weights)
    from galaxymorph.predict.predictors.safetensors_predictor import load_portable

    return load_portable(weights, precision)


def _load(
    run: Run, precision: str | None, adapt_to: Sequence[str] | None
) -> TorchPredictor | OnnxPredictor:
    if precision == "int8":
        if adapt_to is not None:
            raise BadInput("--adapt: int8 has its statistics built in", "leave out one of the two")
        from galaxymorph.predict.predictors.onnx_predictor import load_onnx_predictor

        return load_onnx_predictor(run)
    from galaxymorph.predict.predictors.torch_predictor import load_torch_predictor

    return load_torch_predictor(run, precision, adapt_to)


def is_run(path: str | Path) -> bool:
    """Tell whether a path is meant as a run rather than as a file of its own."""
    path = Path(path)
    return path.suffix not in (".onnx", ".pkl") and _portable(path) is None


def model_id(path: str | Path) -> str:
    """Return what tells a model from others: the start of its weights' SHA-256, 16 digits.

    It is that of a run's `model.safetensors` (of a cross-validated run's, one after the other), or
    of the file itself.

    Raises:
        BadInput: not a finished run, nor a file.
    """
    path = Path(path)
    if path.suffix in (".onnx", ".pkl"):
        files = [path]
    elif (weights := _portable(path)) is not None:
        files = [weights]
    else:
        run = Run(path)
        run.require_trained()
        files = [member.path / SAFE for member in run.members]
    found = hashlib.sha256()
    for file in files:
        _require_file(file)
        found.update(file.read_bytes())
    return found.hexdigest()[:16]


def _bare(
    predictor: TorchPredictor | OnnxPredictor | LearnerPredictor, raw: bool
) -> TorchPredictor | OnnxPredictor | LearnerPredictor:
    has_any = getattr(predictor, "calibrators", None) is not None
    return replace(predictor, calibrators=None) if raw and has_any else predictor


def _pickled(path: Path, precision: str | None, trust: bool) -> LearnerPredictor:
    if not trust:
        raise BadInput(
            f"{path}: a pickle runs whatever code is in it when it is loaded",
            f"load the run's {SAFE} instead, or say trust_pickle=True if you made the file",
        )
    _refuse_precision(path, precision)
    from galaxymorph.predict.predictors.learner_predictor import load_pickled

    return load_pickled(path)


def _portable(path: Path) -> Path | None:
    """Return the weights that a path means on their own, or None if it is a run's."""
    if path.suffix == ".safetensors":
        return path
    if path.name == "model.json":
        return path.with_name(SAFE)
    if (path / SAFE).exists() and not (path / "recipe.json").exists():
        return path / SAFE
    return None


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: no such file", "check the path")


def _refuse_precision(path: Path, precision: str | None) -> None:
    if precision not in (None, "auto"):
        raise BadInput(f"--precision {precision}: {path} has its own number format", "leave it out")
