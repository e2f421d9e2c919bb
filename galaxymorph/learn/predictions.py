"""The table of predictions: what a network says of each galaxy."""

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
    """Return the predictions of an ensemble: the mean of its models', of the same galaxies.

    Args:
        tables: what is known of each galaxy, and `prediction_table`, one a model.
        recipe: of the models.
        classes: in order.
    """
    means, spreads = predicted_columns(recipe, classes), deviation_columns(recipe, classes)

    def moments(table: pd.DataFrame) -> np.ndarray:
        mean = table[means].to_numpy(float)
        # The mean of a mixture's squares, where there are distributions.
        return np.hstack([mean, mean**2 + table[spreads] ** 2]) if spreads else mean

    said = prediction_table(np.mean([moments(table) for table in tables], axis=0), recipe, classes)
    known = tables[0].drop(columns=said.columns)
    return pd.concat([known, said], axis=1)


def prediction_table(found: np.ndarray, recipe: Recipe, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a galaxy: a column an output, `p_<class>` or an answer's own name.

    Where the largest says which class a galaxy has, `predicted` and its `confidence` come first.
    Where the network gives distributions, `sd_<answer>`, their standard deviations, come last.

    Args:
        found: predictions, shape (n, outputs), or moments, see `Link`, of shape (n, 2 outputs).
        recipe: of the network.
        classes: in order.
    """
    columns = predicted_columns(recipe, classes)
    mean, square = found[:, : len(columns)], found[:, len(columns) :]
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
