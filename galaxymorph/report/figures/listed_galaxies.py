"""Contact sheets of galaxies that a search or a ranking lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galaxymorph.base import BadInput, say
from galaxymorph.images import Rendering, decode
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    label_lines,
    title_sheet,
)
from galaxymorph.report.figures.panels import in_words
from galaxymorph.report.figures.style import GREY, styled, write_figure
from galaxymorph.survey.sheet import top_answers
from galaxymorph.zoo import SCHEMAS, Tree

# Galaxies in a row, lines below each, and galaxies on a sheet at most.
COLUMNS, LINES, MOST = 6, 4, 120


@styled
def draw_listed(
    path: Path,
    table: pd.DataFrame,
    references: Sequence[str],
    notes: Sequence[str],
    title: str,
    rendering: Rendering,
) -> Path:
    """Draw galaxies with their ids, a note and their predictions; return the file.

    An image that isn't there leaves its place empty, with a note printed on the number of them.

    Args:
        path: of the picture.
        table: `galaxy` and predictions, a row each, of which `MOST` are drawn.
        references: of the images.
        notes: a line each.
        title: above.
        rendering: of FITS.
    """
    table = table.head(MOST)
    figure, places = contact_sheet(len(table), COLUMNS, LINES)
    missing, tree = [], _tree_of(table)
    rows = zip(places, table.iterrows(), references, notes, strict=False)
    for axes, (_, row), reference, note in rows:
        try:
            axes.imshow(decode(reference, rendering))
        except BadInput as error:
            missing.append(str(error))
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.text(0.5, 0.5, "no image", ha="center", color=GREY)
        lines = label_lines(row["galaxy"], [note, *_prediction(row, tree)], COLUMNS)
        label_image(axes, lines[:LINES])
    title_sheet(figure, title)
    if missing:
        say(f"{len(missing):,} of {len(table):,} images can't be drawn, the first: {missing[0]}")
    return write_figure(path, figure, f"{title}.")


def _tree_of(table: pd.DataFrame) -> Tree | None:
    """Return the decision tree whose answers are columns of a table, None without."""
    if "predicted" in table:
        return None
    trees = (schema.tree for schema in SCHEMAS.values())
    return next((tree for tree in trees if set(tree.columns) <= set(table)), None)


def _prediction(row: pd.Series, tree: Tree | None) -> list[str]:
    if tree is not None:
        return [] if pd.isna(row[tree.columns[0]]) else ["; ".join(top_answers(row, tree))]
    if pd.isna(row.get("predicted")):
        return []
    return [f"{in_words(row['predicted'])} {row['confidence']:.0%}"]
