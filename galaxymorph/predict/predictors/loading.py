"""Loading a model as a predictor, from a run or from any file that a run was exported to."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput, setting
from galaxymorph.judge import UNCALIBRATED, load_calibration
from galaxymorph.learn import PACKAGE_MODEL, Run, run_files, say_fit_warnings
from galaxymorph.predict.exporters import exporter_of
from galaxymorph.predict.predictors.base import changeable, with_votes

if TYPE_CHECKING:
    from galaxymorph.learn import Recipe
    from galaxymorph.predict.predictors.base import Predictor


def load_predictor(
    path: str | os.PathLike[str] | None = None,
    precision: str | None = None,
    adapt_to: Sequence[str] | None = None,
    trust_pickle: bool = False,
    raw: bool = False,
    stretch: str | None = None,
    bands: str | None = None,
    images: int | None = None,
    votes: str | None = None,
) -> Predictor:
    """Load a model's predictor, from files that, unlike a pickle, can't run code.

    Once the run is calibrated, its probabilities are.

    Args:
        path: a run's folder; its `model.safetensors` or `model.json`, or a folder that holds
            both; a file that `export` made; or, with `trust_pickle`, a run's `model.pkl`. Default:
            the model that comes with the package, see docs/model.md.
        precision: auto, fp32, bf16, fp16 or, of a run, int8; the default is the recipe's own. In
            int8, as with an `.onnx` file, neither PyTorch nor fastai is imported.
        adapt_to: of a run: images of which BatchNorm takes the statistics.
        trust_pickle: unpickle a `.pkl`, which runs whatever code is in it.
        raw: leave the models' probabilities uncalibrated.
        stretch: of FITS images, in place of the one that the model is trained on.
        bands: of FITS images, the red first, likewise.
        images: how many will be predicted, if that is known. A few are predicted in NumPy, since
            PyTorch's import takes longer, by a resnet18 or resnet34 whose number format is float32
            here, and by the package's model unless `precision` names another.
        votes: of a decision tree: the catalogue whose votes fractions are given as, of those that
            the model is calibrated for; by default the first, its own.

    Raises:
        BadInput: nothing of these, an unknown stretch, votes for which the model isn't calibrated,
            a precision that the file or the device hasn't, no int8 file, a format that this version
            doesn't read, images that can't be adapted to, or a pickle that isn't trusted.

    Example:
        >>> import galaxymorph as gm
        >>> predictor = gm.load_predictor("exports/first")
        >>> table = predictor.predict("sky/images_training_rev1/100001.jpg")
        >>> table["predicted"].iloc[0] in predictor.classes
        True
    """
    path = Path(PACKAGE_MODEL if path is None else path)
    if raw and votes is not None:
        raise BadInput(f"{setting('votes', votes)}: not with {setting('raw')}", "leave out one")
    file = _exported_file(path)
    if file is None:
        run = Run(path).rendered(stretch, bands)
        run.require_model()
        predictor = with_votes(_load_run(run, precision, adapt_to, raw, images), votes, path)
        # After what may be refused, whose error is one line.
        say_fit_warnings(run)
        return predictor
    if adapt_to is not None:
        raise BadInput(f"{setting('adapt')}: {path} is an exported file", "give the run")
    predictor = with_votes(_load_file(file, precision, trust_pickle, images), votes, path)
    if path == PACKAGE_MODEL:
        predictor = replace(changeable(predictor, f"{path}: its predictor"), on_outliers="refuse")
    if stretch or bands:
        predictor = changeable(predictor, f"{path}: its predictor")
        rendering = predictor.recipe.rendering.changed(stretch, bands)
        if rendering.flux is None:
            predictor = predictor.changed(stretch=rendering.stretch, bands=rendering.bands)
    if raw:
        predictor = changeable(predictor, f"{path}: its predictor")
        predictor = replace(predictor, **UNCALIBRATED)
    return predictor


def read_recipe(path: str | Path) -> Recipe:
    """Return a model's recipe, where that is possible without loading its network.

    Args:
        path: of a run's folder or an exported file.

    Raises:
        BadInput: nothing of these, or the file is damaged.
    """
    file = _exported_file(Path(path))
    if file is None:
        return Run(Path(path)).recipe
    exporter = exporter_of(file)
    if exporter is None or exporter.read_recipe is None:
        return load_predictor(path).recipe
    _require_file(file)
    return exporter.read_recipe(file)


def is_model(name: str | Path) -> bool:
    """Return whether a name means a model rather than images: an exported file, or a run."""
    path = Path(name)
    if not is_run(path):
        return True
    files = (run_files.RECIPE, run_files.SPLIT, run_files.DESCRIPTION, run_files.ENVIRONMENT)
    return any((path / name).exists() for name in files)


def is_run(path: str | Path) -> bool:
    """Return whether a path means a run rather than an exported file."""
    return _exported_file(Path(path)) is None


def needs_pytorch(path: str | Path, precision: str | None = None) -> bool:
    """Tell whether predicting many images with a model imports PyTorch."""
    exporter = exporter_of(Path(path))
    return precision != "int8" if exporter is None else exporter.needs_pytorch


def model_id(path: str | Path) -> str:
    """Return a model's id: the start of its weights' SHA-256, 16 hexadecimal digits.

    It is that of a run's `model.safetensors` (of a cross-validated run's, one after the other), or
    of the file itself.

    Raises:
        BadInput: not a finished run, nor a file.
    """
    file = _exported_file(Path(path))
    if file is not None:
        files = [file]
    else:
        run = Run(Path(path))
        run.require_model()
        files = [member.path / run_files.WEIGHTS for member in run.members]
    digest = hashlib.sha256()
    for file in files:
        _require_file(file)
        digest.update(file.read_bytes())
    return digest.hexdigest()[:16]


def _exported_file(path: Path) -> Path | None:
    """Return the exported file that a path means, None if it means a run."""
    if path.suffix == Path(run_files.EXPORT).suffix or exporter_of(path):
        return path
    if path.name == run_files.DESCRIPTION:
        return path.with_name(run_files.WEIGHTS)
    if (path / run_files.WEIGHTS).exists() and not (path / run_files.RECIPE).exists():
        return path / run_files.WEIGHTS
    return None


def _load_run(
    run: Run, precision: str | None, adapt_to: Sequence[str] | None, raw: bool, images: int | None
) -> Predictor:
    calibration = UNCALIBRATED if raw else load_calibration(run)
    if adapt_to is None and images:
        from galaxymorph.predict.predictors.numpy_predictor import load_run_in_numpy

        predictor = load_run_in_numpy(run, precision, images)
        if predictor is not None:
            return replace(predictor, **calibration)
    if precision != "int8":
        from galaxymorph.predict.predictors.torch_predictor import load_run

        return replace(load_run(run, precision, adapt_to), **calibration)
    if adapt_to is not None:
        raise BadInput(
            f"{setting('adapt')}: the statistics of int8 are fixed", "leave out one of the two"
        )
    from galaxymorph.predict.predictors.onnx_predictor import load_quantized

    return replace(load_quantized(run), **calibration)


def _load_file(
    path: Path, precision: str | None, trust_pickle: bool, images: int | None
) -> Predictor:
    exporter = exporter_of(path)
    if exporter is None and not trust_pickle:
        raise BadInput(
            f"{path}: a pickle can run any code when it is loaded",
            f"give the run's folder instead, of which {run_files.WEIGHTS} is loaded; in Python, "
            "load_predictor(…, trust_pickle=True) loads a file that you made yourself",
        )
    _require_file(path)
    if precision not in (None, "auto", *(exporter.precisions if exporter else ())):
        raise BadInput(
            f"{setting('precision', precision)}: {path} has a fixed number format", "leave it out"
        )
    if exporter is not None and exporter.load_for_few and images:
        few = "fp32" if path == PACKAGE_MODEL and precision in (None, "auto") else precision
        predictor = exporter.load_for_few(path, few, images)
        if predictor is not None:
            return predictor
    if exporter is not None:
        return exporter.load(path, precision)
    from galaxymorph.predict.predictors.learner_predictor import load_pickled

    return load_pickled(path)


def _require_file(path: Path) -> None:
    if not path.is_file():
        raise BadInput(f"{path}: no such file", "check the path")
