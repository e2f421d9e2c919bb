"""Tables for the terminal."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table

from galaxymorph.learn import Recipe, target_of
from galaxymorph.zoo import Catalogue, Tree, likeliest_walk, to_conditional

# The words for a run's parts.
PARTS = {"valid": "validation", "test": "test"}


def print_metrics(metrics: dict, recipe: Recipe) -> None:
    """Print the scores of a run's validation and test parts, as its target wants them."""
    for part, words in PARTS.items():
        title = f"{words.capitalize()} part, {metrics[part]['galaxies']:,} galaxies"
        for family in target_of(recipe).metrics:
            FAMILIES[family](title, metrics[part], recipe)


def _print_classification(title: str, scores: dict, recipe: Recipe) -> None:
    _print_scores(title, scores)
    _print_confusion(list(scores["per_class"]), scores["confusion"])


def _print_distribution(title: str, scores: dict, recipe: Recipe) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("predicted and volunteers' shares")
    table.add_column("score", justify="right")
    for words, name in (
        ("Kullback-Leibler divergence", "kl"),
        ("mean squared error", "mse"),
        ("rank correlation of entropies", "entropy_spearman"),
    ):
        table.add_row(words, interval_words(scores[name], 4))
    console().print(table)


def _print_tree(title: str, scores: dict, recipe: Recipe) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("question")
    for name in ("accuracy where agreed", "agreed", "divergence", "RMSE of its answers"):
        table.add_column(name, justify="right")
    for question in target_of(recipe).tree.questions:
        of_question = scores["per_question"][question.name]
        errors = [scores["per_answer"][answer.column]["rmse"] for answer in question.answers]
        table.add_row(
            f"{question.name} {question.asks}",
            interval_words(of_question["accuracy"]),
            f"{of_question['agreed']:,}",
            interval_words(of_question["kl"]),
            f"{np.sqrt(np.mean([error['value'] ** 2 for error in errors])):.3f}",
        )
    table.add_section()
    table.add_row(
        f"RMSE over {len(scores['per_answer'])} answers",
        "",
        "",
        "",
        interval_words(scores["rmse"], 4),
    )
    console().print(table)


# A family of scores, see `judge.metrics`, and how it is printed.
FAMILIES: dict[str, Callable[[str, dict, Recipe], None]] = {
    "classification": _print_classification,
    "distribution": _print_distribution,
    "tree": _print_tree,
}


def _print_scores(title: str, scores_of: dict) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("class")
    for name in ("precision", "recall", "F1", "galaxies"):
        table.add_column(name, justify="right")
    for name, scores in scores_of["per_class"].items():
        table.add_row(
            name,
            *(interval_words(scores[score]) for score in ("precision", "recall", "f1")),
            f"{scores['support']:,}",
        )
    table.add_section()
    for words, key in (("macro-F1", "macro_f1"), ("accuracy", "accuracy")):
        table.add_row(words, "", "", interval_words(scores_of[key]), "")
    console().print(table)


def _print_confusion(classes: list[str], counts: list[list[int]]) -> None:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("volunteers ↓  model →")
    for name in classes:
        table.add_column(name, justify="right")
    for name, row in zip(classes, counts, strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    console().print(table)


def print_predictions(table: pd.DataFrame, recipe: Recipe) -> None:
    """Print a row an image: class and probabilities, or the likeliest walk down the tree."""
    tree = target_of(recipe).tree
    if tree is not None:
        _print_walks(table, tree)
        return
    shown = Table(box=box.SIMPLE_HEAD)
    for name in table.columns.drop("galaxy"):
        shown.add_column(name.removeprefix("p_"), justify="left" if name == "image" else "right")
    for row in table.drop(columns="galaxy").itertuples(index=False):
        shown.add_row(
            *(f"{value:.3f}" if isinstance(value, float) else str(value) for value in row)
        )
    console().print(shown)


def _print_walks(table: pd.DataFrame, tree: Tree) -> None:
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("image", "question", "likeliest answer"):
        shown.add_column(name)
    for name in ("of those asked", "of all"):
        shown.add_column(name, justify="right")
    pairs = [(question, answer) for question in tree.questions for answer in question.answers]
    fractions = table[tree.columns].to_numpy(float)
    conditional = to_conditional(tree, fractions)
    for image, of_all, of_asked in zip(table["image"], fractions, conditional, strict=True):
        for at in likeliest_walk(tree, of_all):
            question, answer = pairs[at]
            shown.add_row(
                image, question.asks, answer.says, f"{of_asked[at]:.3f}", f"{of_all[at]:.3f}"
            )
            image = ""
        shown.add_section()
    console().print(shown)


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
    console().print(state)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("scheme", "kept", "classes"):
        table.add_column(name, justify="right" if name == "kept" else "left")
    for scheme, classes in counts.items():
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        table.add_row(scheme, f"{sum(classes.values()):,}", listed)
    console().print(table)


def interval_words(score: dict[str, float | None], digits: int = 3) -> str:
    """Return a score and its interval, a dash where there is none."""
    if score["value"] is None:
        return "–"
    value, low, high = (
        "–" if score[name] is None else f"{score[name]:.{digits}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} ({low}–{high})"


def console() -> Console:
    """Return the terminal, or one wide enough for a pipe."""
    # A pipe has no width of its own, and a table that wraps at 80 can't be read or searched.
    # What users named is text, not markup.
    plain = {"highlight": False, "markup": False, "emoji": False}
    console = Console(**plain)
    return console if console.is_terminal else Console(**plain, width=140)
