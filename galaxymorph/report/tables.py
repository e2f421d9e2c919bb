"""Tables for the terminal."""

from __future__ import annotations

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from galaxymorph.zoo import Catalogue

# The words for a run's parts.
PARTS = {"valid": "validation", "test": "test"}


def print_metrics(metrics: dict) -> None:
    """Print the scores and the confusion matrix of a run's validation and test parts."""
    for part, words in PARTS.items():
        title = f"{words.capitalize()} part, {metrics[part]['galaxies']:,} galaxies"
        _print_scores(title, metrics[part])
        _print_confusion(metrics["classes"], metrics[part]["confusion"])


def _print_scores(title: str, scores_of: dict) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("class")
    for name in ("precision", "recall", "F1", "galaxies"):
        table.add_column(name, justify="right")
    for name, scores in scores_of["per_class"].items():
        table.add_row(
            name,
            *(_interval(scores[score]) for score in ("precision", "recall", "f1")),
            f"{scores['support']:,}",
        )
    table.add_section()
    for words, key in (("macro-F1", "macro_f1"), ("accuracy", "accuracy")):
        table.add_row(words, "", "", _interval(scores_of[key]), "")
    _console().print(table)


def _print_confusion(classes: list[str], counts: list[list[int]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("volunteers ↓  model →")
    for name in classes:
        table.add_column(name, justify="right")
    for name, row in zip(classes, counts, strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    _console().print(table)


def print_predictions(table: pd.DataFrame) -> None:
    """Print a row an image: predicted class and every probability."""
    shown = Table(box=box.SIMPLE_HEAD)
    for name in table.columns.drop("galaxy"):
        shown.add_column(name.removeprefix("p_"), justify="left" if name == "image" else "right")
    for row in table.drop(columns="galaxy").itertuples(index=False):
        shown.add_row(
            *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        )
    _console().print(shown)


def print_check(catalogue: Catalogue, counts: dict[str, dict[str, int]], decoded: bool) -> None:
    """Print a catalogue's state, then how many galaxies every scheme keeps, by class."""
    sums = "obey the tree" if catalogue.tree else "none: plain labels"
    if catalogue.tree and any("reached it" in problem.what for problem in catalogue.problems):
        sums = "break the tree in some rows"
    rejected = {problem.galaxy for problem in catalogue.problems if problem.galaxy}
    absent = sum(problem.what.startswith("no image") for problem in catalogue.problems)
    state = Table(box=None, show_header=False)
    for name, value in (
        ("table", catalogue.source),
        ("rows", f"{catalogue.rows:,}"),
        ("galaxies", f"{len(catalogue.table):,} sound, {len(rejected):,} with a problem"),
        ("images", f"{absent:,} missing, {catalogue.unused_images:,} without a row"
                   + ("" if decoded else "; not decoded")),
        ("votes", sums),
    ):  # fmt: skip
        state.add_row(name, value)
    _console().print(state)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("scheme", "kept", "classes"):
        table.add_column(name, justify="right" if name == "kept" else "left")
    for scheme, classes in counts.items():
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        table.add_row(scheme, f"{sum(classes.values()):,}", listed)
    _console().print(table)


def _interval(score: dict[str, float]) -> str:
    return f"{score['value']:.3f} ({score['low']:.3f}–{score['high']:.3f})"


def _console() -> Console:
    # A pipe has no width of its own, and a table that wraps at 80 can't be read or searched.
    # What users named is text, not markup.
    plain = {"highlight": False, "markup": False, "emoji": False}
    console = Console(**plain)
    return console if console.is_terminal else Console(**plain, width=140)
