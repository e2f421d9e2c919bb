"""The table of predictions: what a network says of each galaxy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galaxymorph.learn.outputs import predicted_columns, target_of
from galaxymorph.learn.recipes import Recipe


def prediction_table(found: np.ndarray, recipe: Recipe, classes: Sequence[str]) -> pd.DataFrame:
    """Return a row a galaxy: a column an output, `p_<class>` or an answer's own name.

    Where the largest says which class a galaxy has, `predicted` and its `confidence` come first.

    Args:
        found: predictions, shape (n, outputs).
        recipe: of the network.
        classes: in order.
    """
    table = pd.DataFrame(found, columns=predicted_columns(recipe, classes))
    if target_of(recipe).chooses:
        best = found.argmax(axis=1)
        table.insert(0, "predicted", np.array(classes, dtype=object)[best])
        table.insert(1, "confidence", found[np.arange(len(best)), best])
    return table
