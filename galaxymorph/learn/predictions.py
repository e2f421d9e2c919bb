"""The table of predictions: what a network says of each galaxy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galaxymorph.learn.outputs import deviation_columns, predicted_columns, target_of
from galaxymorph.learn.recipes import Recipe
from galaxymorph.zoo import deviations


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
