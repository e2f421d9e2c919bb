"""The table of a network's predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.targets.columns import deviation_columns, predicted_columns, target_of
from galaxymorph.zoo import deviations


def mean_table(
    tables: Sequence[pd.DataFrame], recipe: Recipe, classes: Sequence[str]
) -> pd.DataFrame:
    """Return the predictions of an ensemble: the mean of its models'.

    Args:
        tables: the galaxies' columns and `prediction_table`, one for each model.
        recipe: of the models.
        classes: in order.
    """
    means, spreads = predicted_columns(recipe, classes), deviation_columns(recipe, classes)

    def moments(table: pd.DataFrame) -> np.ndarray:
        mean = table[means].to_numpy(float)
        # The mean square of a mixture of distributions.
        return np.hstack([mean, mean**2 + table[spreads] ** 2]) if spreads else mean

    mean = np.mean([moments(table) for table in tables], axis=0)
    table = prediction_table(mean, recipe, classes)
    return pd.concat([tables[0].drop(columns=table.columns), table], axis=1)


def prediction_table(
    predictions: np.ndarray, recipe: Recipe, classes: Sequence[str]
) -> pd.DataFrame:
    """Return predictions with a column for each output: `p_<class>`, or the answer's name.

    If the outputs are shares of classes, the `predicted` class and its `confidence` come first; if
    they are distributions, their standard deviations `sd_<answer>` come last.

    Args:
        predictions: shape (n, outputs), or moments, see `Link`, of shape (n, 2 outputs).
        recipe: of the network.
        classes: in order.
    """
    columns = predicted_columns(recipe, classes)
    mean, square = np.split(predictions, [len(columns)], axis=1)
    table = pd.DataFrame(mean, columns=columns)
    if target_of(recipe).chooses:
        best = mean.argmax(axis=1)
        table.insert(0, "predicted", np.array(classes, dtype=object)[best])
        table.insert(1, "confidence", mean[np.arange(len(best)), best])
    if square.size:
        spread = pd.DataFrame(
            deviations(mean, square), columns=deviation_columns(recipe, classes), index=table.index
        )
        table = table.join(spread)
    return table
