"""Predictions of listed galaxies in a few words, for tables, contact sheets and the server."""

from __future__ import annotations

import pandas as pd

from galaxymorph.survey.sheet import top_answers
from galaxymorph.zoo import SCHEMAS, Tree


def predicted_words(table: pd.DataFrame) -> list[list[str]]:
    """Return the prediction of each galaxy of a table, none of one without a prediction.

    It is the class with its probability, or the most probable answers down the decision tree, each
    with the fraction of all volunteers, the first question's first.

    Args:
        table: of predictions, a row a galaxy; `attrs` may name their `schema`.
    """
    if "predicted" in table:
        pairs = zip(table["predicted"], table["confidence"], strict=True)
        return [[] if pd.isna(name) else [f"{_spaced(name)} {value:.2f}"] for name, value in pairs]
    tree = _tree_of(table)
    if tree is None:
        return [[] for _ in range(len(table))]
    return [
        [] if pd.isna(row[tree.columns[0]]) else top_answers(row, tree)
        for _, row in table.iterrows()
    ]


def _tree_of(table: pd.DataFrame) -> Tree | None:
    """Return the decision tree whose answers are columns of a table, None without."""
    schema = table.attrs.get("schema")
    schemas = [SCHEMAS.find(schema)] if schema else SCHEMAS.values()
    return next((each.tree for each in schemas if set(each.tree.columns) <= set(table)), None)


def _spaced(name: object) -> str:
    return str(name).replace("_", " ")
