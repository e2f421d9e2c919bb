"""Which images a prediction is asked for, and its table."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, Progress
from galaxymorph.images import decode
from galaxymorph.judge import calibrated_mean
from galaxymorph.learn import Recipe, deviation_columns, predicted_columns, prediction_table
from galaxymorph.zoo import fraction_intervals, image_name, image_references

if TYPE_CHECKING:
    from galaxymorph.predict.averaging import MeanPredictor
    from galaxymorph.predict.onnx import OnnxPredictor
    from galaxymorph.predict.pickled import LearnerPredictor
    from galaxymorph.predict.predictor import Predictor

    AnyPredictor = Predictor | OnnxPredictor | MeanPredictor | LearnerPredictor

# From bare probabilities, shape (n, classes), to prediction sets in words.
Sets = Callable[[np.ndarray], Sequence[str]]


def expand_images(paths: Sequence[str]) -> list[str]:
    """Return references of the images that the paths name: files, folders, zips, members of zips.

    Raises:
        BadInput: a path isn't there, or a folder or zip holds no image.
    """
    references: list[str] = []
    for path in paths:
        if REFERENCE_SEPARATOR in path or (Path(path).is_file() and not path.endswith(".zip")):
            references.append(path)
            continue
        found = image_references(path)
        if not found:
            raise BadInput(f"{path}: no images there", "give JPEG, PNG or FITS files")
        references += found
    return references


Images = str | Path | np.ndarray | Sequence[str | Path | np.ndarray]


def as_sources(images: Images) -> list[str | np.ndarray]:
    """Return references or pixels, one an image.

    Args:
        images: a path, the pixels of an image (uint8 of shape (height, width, 3)), those of a batch
            (n, height, width, 3), or a sequence of paths and pixels.
    """
    if isinstance(images, str | Path):
        return [str(images)]
    if isinstance(images, np.ndarray) and images.ndim == 3:
        return [images]
    return [image if isinstance(image, np.ndarray) else str(image) for image in images]


def usable_images(references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the references that decode, and a line for each of the others."""
    good, faults = [], []
    for reference in references:
        try:
            decode(reference)
            good.append(reference)
        except BadInput as error:
            faults.append(str(error))
    return good, faults


def has_intervals(recipe: Recipe) -> bool:
    """Tell whether a recipe's predictions are distributions of vote fractions."""
    return bool(deviation_columns(recipe, ()))


def with_intervals(table: pd.DataFrame, recipe: Recipe, level: float) -> pd.DataFrame:
    """Return a table of predictions with `low_<answer>` and `high_<answer>` added.

    Args:
        table: with each answer's mean and `sd_<answer>`.
        recipe: whose predictions are distributions.
        level: the probability that a fraction is inside, see `zoo.fraction_intervals`.
    """
    means, spreads = predicted_columns(recipe, ()), deviation_columns(recipe, ())
    ends = fraction_intervals(table[means].to_numpy(), table[spreads].to_numpy(), level)
    added = [
        pd.DataFrame(values, columns=[end + name for name in means], index=table.index)
        for end, values in zip(("low_", "high_"), ends, strict=True)
    ]
    return pd.concat([table, *added], axis=1)


def predicted_table(
    predictor: AnyPredictor, images: Images, sets: Sets | None = None
) -> pd.DataFrame:
    """Return `galaxy`, `image`, and what `prediction_table` says of it, a row an image.

    Pixels have no name: their galaxy is their place, from 0.

    Args:
        predictor: asked.
        images: see `as_sources`.
        sets: from the bare models' mean probabilities to the column `set`; for a predictor that
            gives each model's.

    Raises:
        BadInput: an image can't be used.
    """
    sources = as_sources(images)
    with Progress("predicting", len(sources), "images") as progress:
        if sets is None:
            found = predictor.outputs(sources, progress.advance)
        else:
            each = predictor.each_output(sources, progress.advance)
            found = calibrated_mean(each, predictor.calibrators)
    table = prediction_table(found, predictor.recipe, predictor.classes)
    named = [image if isinstance(image, str) else "" for image in sources]
    table.insert(0, "galaxy", [galaxy_name(name) or str(at) for at, name in enumerate(named)])
    table.insert(1, "image", named)
    return table if sets is None else table.assign(set=sets(each.mean(axis=0)))


def galaxy_name(image: str) -> str:
    """Return the galaxy of an image: the file's name without its ending."""
    return image_name(image.split(REFERENCE_SEPARATOR)[-1])
