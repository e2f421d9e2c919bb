"""The table of predictions: what a network's probabilities say of each galaxy."""

from __future__ import annotations

import numpy as np
import pandas as pd


def prediction_table(probabilities: np.ndarray, classes: list[str]) -> pd.DataFrame:
    """Return `predicted`, `confidence` (its probability) and `p_<class>`, a row a galaxy."""
    best = probabilities.argmax(axis=1)
    table = pd.DataFrame(
        {
            "predicted": np.array(classes, dtype=object)[best],
            "confidence": probabilities[np.arange(len(best)), best],
        }
    )
    for position, name in enumerate(classes):
        table[f"p_{name}"] = probabilities[:, position]
    return table
