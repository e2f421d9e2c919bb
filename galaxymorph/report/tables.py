"""Tables for the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from galaxymorph.predict.tables import HIGH, LOW, SCORES
from galaxymorph.zoo import PROBABILITY, SCHEMAS, SCHEMES, Tree, likeliest_walk, to_conditional

# Columns of a pipe: wide enough for the path of an image in one line.
PIPE = 400
CLASS_NOTE = (
    "In parentheses: the prediction set where it isn't the class alone. In layer1, spiral means an "
    "edge-on disk, and irregular includes many face-on spirals (docs/labels.md)."
)
# The words for a run's parts.
PARTS = {"valid": "validation", "test": "test"}


def print_predictions(table: pd.DataFrame) -> None:
    """Print a row an image: class and probabilities, or the likeliest walk down the tree.

    Args:
        table: see `predict_files`.
    """
    schema = table.attrs.get("schema")
    table = table.assign(image=_below_common_folder(list(table["image"])))
    if schema:
        _print_walks(table, SCHEMAS[schema].tree)
        return
    shown = Table(box=box.SIMPLE_HEAD)
    table = table.drop(columns="error", errors="ignore")
    if "part" in table and table["part"].isna().all():
        # New images, as nearly always.
        table = table.drop(columns="part")
    for name in table.columns.drop("galaxy"):
        shown.add_column(
            name.removeprefix(PROBABILITY), justify="left" if name == "image" else "right"
        )
    for row in table.drop(columns="galaxy").itertuples(index=False):
        shown.add_row(*map(_predicted_cell, row))
    print_table(shown)


def _below_common_folder(images: Sequence[str]) -> list[str]:
    """Return the images' paths without the folders that all of them share."""
    folder = os.path.commonprefix([name.rpartition("/")[0] + "/" for name in images])
    shared = folder.rfind("/") + 1
    return [name[shared:] if name.startswith("/") else name for name in images]


def _predicted_cell(value: str | float | None) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _print_walks(table: pd.DataFrame, tree: Tree) -> None:
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("image", "question", "likeliest answer"):
        shown.add_column(name)
    has_intervals = f"{LOW}{tree.columns[0]}" in table
    for name in ("of those asked", "of all", *(["interval of all"] if has_intervals else [])):
        shown.add_column(name, justify="right")
    fractions = table[tree.columns].to_numpy(float)
    conditional = to_conditional(tree, fractions)
    statuses = table["status"] if "status" in table else ["ok"] * len(table)
    rows = zip(table["image"], statuses, fractions, conditional, strict=True)
    for place, (image, status, of_all, of_asked) in enumerate(rows):
        if status != "ok":
            shown.add_row(image, status, "–", "–", "–")
            continue
        for at in likeliest_walk(tree, of_all):
            question, answer = tree.answers[at]
            cells = [f"{of_asked[at]:.3f}", f"{of_all[at]:.3f}"]
            if has_intervals:
                ends = (table[f"{prefix}{answer.column}"].iloc[place] for prefix in (LOW, HIGH))
                cells.append("–".join(f"{end:.3f}" for end in ends))
            shown.add_row(image, question.text, answer.text, *cells)
            image = ""
        shown.add_section()
    print_table(shown)
    _print_classes(table)
    _print_scores(table)


def _print_scores(table: pd.DataFrame) -> None:
    """Print the out-of-distribution scores, if there are some."""
    names = [name for name in SCORES if name in table]
    if not names:
        return
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("image", *names):
        shown.add_column(name, justify="left" if name == "image" else "right")
    for row in table[["image", *names]].itertuples(index=False):
        shown.add_row(*map(_predicted_cell, row))
    print_table(shown)


def _print_classes(table: pd.DataFrame) -> None:
    """Print the classes that fractions give, with the set where it isn't the class alone."""
    schemes = [name for name in SCHEMES if f"{name}_confidence" in table]
    if not schemes:
        return
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("image", *schemes):
        shown.add_column(name)
    for _, row in table.iterrows():
        shown.add_row(row["image"], *(_class_cell(row, name) for name in schemes))
    print_table(shown)
    console().print(CLASS_NOTE, soft_wrap=True)


def _class_cell(row: pd.Series, scheme: str) -> str:
    predicted, classes = row[scheme], row[f"{scheme}_set"]
    if pd.isna(predicted):
        return "–"
    others = "" if classes == predicted else f" ({classes})"
    return f"{predicted} {row[f'{scheme}_confidence']:.2f}{others}"


def make_table(title: str, columns: Sequence[str], left: Collection[str] = ()) -> Table:
    """Return an empty table; columns but the first are of numbers, and on the right.

    Args:
        title: above it, empty for none.
        columns: their headings.
        left: further columns of words.
    """
    table = Table(box=box.SIMPLE_HEAD, title=title or None)
    for at, name in enumerate(columns):
        table.add_column(name, justify="left" if not at or name in left else "right")
    return table


# Columns of `print_rows` of tests that pass or fail.
VERDICTS = {"passes"}


def print_rows(title: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Print rows of one kind: words, counts, numbers, and scores with their intervals."""
    table = Table(box=box.SIMPLE_HEAD, title=title)
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(cell_words(value, name in VERDICTS) for name, value in row.items()))
    print_table(table)


def cell_words(
    value: object,
    is_verdict: bool = False,
    score_words: Callable[[Mapping[str, Any]], str] | None = None,
) -> str:
    """Return a cell of a table; scores by `score_words`, by default `interval_words`."""
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        yes, no = ("pass", "FAIL") if is_verdict else ("yes", "no")
        return yes if value else no
    if isinstance(value, dict):
        return (score_words or interval_words)(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def interval_words(score: Mapping[str, Any], digits: int = 3) -> str:
    """Return a score and its interval, a dash where there is none."""
    if score["value"] is None:
        return "–"
    value, low, high = (
        "–" if score[name] is None else f"{score[name]:.{digits}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} ({low}–{high})"


def print_table(table: Table) -> None:
    """Print a table, or, on a terminal that is too narrow for it, a line for each cell."""
    where = console()
    needed = Measurement.get(where, where.options.update(max_width=PIPE), table).maximum
    if needed <= where.width:
        where.print(table)
        return
    columns = [(str(column.header), list(column.cells)) for column in table.columns]
    if table.title:
        where.print(table.title)
    for row in range(table.row_count):
        for name, cells in columns:
            where.print(f"{name}: {cells[row]}" if name else str(cells[row]), soft_wrap=True)
        where.print()


def console() -> Console:
    """Return the terminal, or one wide enough for a pipe."""
    # A pipe has no width, and a wrapped table is hard to search. Names by users aren't markup.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE
    return console
