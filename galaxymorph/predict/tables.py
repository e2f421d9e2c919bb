"""The table of a prediction: whatever predictor was asked, the same columns."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from galaxymorph.base import Progress
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import Recipe, deviation_columns, predicted_columns, prediction_table
from galaxymorph.predict.images import Images, as_sources, galaxy_name
from galaxymorph.zoo import fraction_intervals

# From bare probabilities, shape (n, classes), to prediction sets in words.
Sets = Callable[[np.ndarray], Sequence[str]]


class Asked(Protocol):
    """What every predictor has: `outputs` of images, shape (n, outputs), and what they are of."""

    recipe: Recipe
    classes: Sequence[str]

    def outputs(
        self, sources: Sequence[str | np.ndarray], seen: Callable[[int], object] | None
    ) -> np.ndarray:
        """Return the predictions of images by path or pixels, calling `seen` with their number."""


class AskedEach(Asked, Protocol):
    """A predictor that also gives each of its models' outputs, shape (models, n, outputs)."""

    calibrators: Sequence[Calibrator]

    def each_output(
        self, sources: Sequence[str | np.ndarray], seen: Callable[[int], object] | None
    ) -> np.ndarray:
        """Return each model's bare predictions."""


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
    predictor: Asked | AskedEach, images: Images, sets: Sets | None = None
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
