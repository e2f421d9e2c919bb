"""The table of a prediction: whatever predictor was asked, the same columns."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, as_utf8
from galaxymorph.images import NO_CONTENT, Fault, Source
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import Recipe, deviation_columns, predicted_columns, prediction_table
from galaxymorph.predict.images import Images, as_sources
from galaxymorph.zoo import fraction_intervals
from galaxymorph.zoo.image_files import galaxy_name

# From each bare model's probabilities, shape (models, n, classes), to prediction sets in words.
Sets = Callable[[np.ndarray], Sequence[str]]


class Asked(Protocol):
    """What every predictor has: `outputs` of images, shape (n, outputs), and what they are of."""

    recipe: Recipe
    classes: Sequence[str]

    def outputs(
        self,
        sources: Sequence[Source],
        seen: Callable[[int], object] | None,
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return the predictions of images by path or pixels, calling `seen` with their number."""


class AskedEach(Asked, Protocol):
    """A predictor that also gives each of its models' outputs, shape (models, n, outputs)."""

    calibrators: Sequence[Calibrator]

    def outputs_of_each(
        self,
        sources: Sequence[Source],
        seen: Callable[[int], object] | None,
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return each model's bare predictions."""


def has_intervals(recipe: Recipe) -> bool:
    """Tell whether a recipe's predictions are distributions of vote fractions."""
    return bool(deviation_columns(recipe, ()))


def add_intervals(table: pd.DataFrame, recipe: Recipe, level: float) -> pd.DataFrame:
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
    """Return `galaxy`, `image` and the columns of `prediction_table`, a row an image.

    Pixels have no name: their galaxy is their place, from 0. Where an image has no galaxy in its
    frame there are `status` and `error` too, see `mask_failed`.

    Args:
        predictor: asked.
        images: see `as_sources`.
        sets: from each bare model's probabilities to the column `set`; for a predictor that gives
            them.

    Raises:
        BadInput: an image can't be used.
    """
    sources, faults = as_sources(images), Empty()
    with Progress("predicting", len(sources), "images") as progress:
        if sets is None:
            found = predictor.outputs(sources, progress.advance, faults)
        else:
            each = predictor.outputs_of_each(sources, progress.advance, faults)
            found = calibrated_mean(each, predictor.calibrators)
    table = prediction_table(found, predictor.recipe, predictor.classes)
    if sets is not None:
        table["set"] = sets(each)
    if faults:
        table = mask_failed(table, faults)
    named = [as_utf8(image) if isinstance(image, str) else "" for image in sources]
    table.insert(0, "galaxy", [galaxy_name(name) or str(at) for at, name in enumerate(named)])
    table.insert(1, "image", named)
    return table


class Empty(dict[int, Fault]):
    """The images without a galaxy by their places, with why; any other fault is raised."""

    def __setitem__(self, at: int, fault: Fault) -> None:
        if fault.status not in NO_CONTENT:
            raise fault.error
        super().__setitem__(at, fault)


def mask_failed(table: pd.DataFrame, faults: Mapping[int, Fault]) -> pd.DataFrame:
    """Return a table of predictions with `status` and `error`, and without what failed.

    Args:
        table: a row an image.
        faults: by the place in the table, why an image can't be used: nothing is predicted there.
    """
    failed = np.isin(np.arange(len(table)), list(faults))
    predicted = {name: column.mask(failed) for name, column in table.items()}
    return table.assign(
        **predicted,
        status=[faults[at].status if at in faults else "ok" for at in range(len(table))],
        error=[str(faults[at]) if at in faults else None for at in range(len(table))],
    )
