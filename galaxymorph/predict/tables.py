"""The table of a prediction: the same columns from every predictor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, as_utf8
from galaxymorph.images import NO_CONTENT, Fault
from galaxymorph.judge import calibrated_mean
from galaxymorph.learn import Recipe, deviation_columns, predicted_columns, prediction_table
from galaxymorph.predict.images import Images, as_sources
from galaxymorph.zoo import fraction_intervals
from galaxymorph.zoo.columns import prefixed
from galaxymorph.zoo.image_files import galaxy_name

if TYPE_CHECKING:
    from galaxymorph.predict.predictors.base import PredictionSets, Predictor

# Before the name of an answer, the ends of its vote fraction's interval.
LOW, HIGH = "low_", "high_"


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
    means, deviations = predicted_columns(recipe, ()), deviation_columns(recipe, ())
    ends = fraction_intervals(table[means].to_numpy(), table[deviations].to_numpy(), level)
    added = [
        pd.DataFrame(values, columns=prefixed(prefix, means), index=table.index)
        for prefix, values in zip((LOW, HIGH), ends, strict=True)
    ]
    return pd.concat([table, *added], axis=1)


def predicted_table(
    predictor: Predictor, images: Images, sets: PredictionSets | None = None
) -> pd.DataFrame:
    """Return `galaxy`, `image` and the columns of `prediction_table`, a row an image.

    Pixels have no name: their galaxy is their place, from 0. Where an image has no galaxy in its
    frame there are `status` and `error` too, see `mask_failed`.

    Args:
        predictor: of the package, or an object with the same members.
        images: see `as_sources`.
        sets: from each model's uncalibrated probabilities to the column `set`.

    Raises:
        BadInput: an image can't be used.
    """
    sources, faults = as_sources(images), EmptyFrames()
    with Progress("predicting", len(sources), "images") as progress:
        by_model = predictor.outputs_of_each(sources, progress.advance, faults)
    outputs = calibrated_mean(by_model, predictor.calibrators)
    table = prediction_table(outputs, predictor.recipe, predictor.classes)
    if sets is not None:
        table["set"] = sets(by_model)
    if faults:
        table = mask_failed(table, faults)
    names = [as_utf8(image) if isinstance(image, str) else "" for image in sources]
    table.insert(0, "galaxy", [galaxy_name(name) or str(at) for at, name in enumerate(names)])
    table.insert(1, "image", names)
    return table


class EmptyFrames(dict[int, Fault]):
    """The faults of images without a galaxy, by their places; any other fault is raised."""

    def __setitem__(self, at: int, fault: Fault) -> None:
        if fault.status not in NO_CONTENT:
            raise fault.error
        super().__setitem__(at, fault)


def mask_failed(table: pd.DataFrame, faults: Mapping[int, Fault]) -> pd.DataFrame:
    """Return a table of predictions with `status` and `error`, and missing values where faults are.

    Args:
        table: a row an image.
        faults: why an image can't be used, by its row.
    """
    failed, rows = np.isin(np.arange(len(table)), list(faults)), range(len(table))
    table = pd.DataFrame({name: column.mask(failed) for name, column in table.items()})
    table["status"] = [faults[at].status if at in faults else "ok" for at in rows]
    table["error"] = pd.Series(
        [str(faults[at]) if at in faults else None for at in rows], table.index, dtype=object
    )
    return table
