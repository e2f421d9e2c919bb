"""Tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from galaxymorph.base import read_json
from galaxymorph.learn import Recipe, target_of
from galaxymorph.zoo import PROBABILITY, Tree, likeliest_walk, to_conditional

if TYPE_CHECKING:
    # They stand on PyTorch, and predicting from an ONNX file prints tables without it.
    from galaxymorph.report.side_by_side import Cell, Comparison, Difference

# Columns of a pipe: wide enough for the path of an image, which would be broken in two.
PIPE = 400
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
    _print_confusion(list(scores["per_class"]), scores["confusion"], recipe)


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
    print_table(table)


def _root_mean(errors: list[dict]) -> str:
    """Return the RMSE over a question's answers, a dash if no galaxy was asked it."""
    values = [error["value"] for error in errors]
    return "–" if None in values else f"{np.sqrt(np.mean(np.square(values))):.3f}"


def _print_tree(title: str, scores: dict, recipe: Recipe) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column("question")
    for name in ("accuracy where agreed", "agreed", "divergence", "RMSE of its answers"):
        table.add_column(name, justify="right")
    for question in target_of(recipe).tree.questions:
        of_question = scores["per_question"][question.name]
        errors = [scores["per_answer"][answer.column]["rmse"] for answer in question.answers]
        table.add_row(
            question.text,
            interval_words(of_question["accuracy"]),
            f"{of_question['agreed']:,}",
            interval_words(of_question["kl"]),
            _root_mean(errors),
        )
    table.add_section()
    table.add_row(
        f"RMSE over {len(scores['per_answer'])} answers",
        "",
        "",
        "",
        interval_words(scores["rmse"], 4),
    )
    if "rmse_expected" in scores:
        found = interval_words(scores["rmse_expected"], 4)
        table.add_row("RMSE from the fractions that votes were drawn from", "", "", "", found)
    held = scores.get("intervals", {})
    for name in filter(held.__contains__, INTERVALS):
        words = f"{held['nominal']:.0%} {INTERVALS[name]}"
        table.add_row(words, "", "", "", interval_words(held[name]))
    print_table(table)


# What the intervals of a Dirichlet-multinomial hold, see `judge.interval_metrics`, in words.
INTERVALS = {
    "votes": "intervals that hold volunteers' votes",
    "truth": "intervals that hold the fractions that votes were drawn from",
    "width": "intervals' width",
}


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
    print_table(table)
    for name, scores in scores_of["per_class"].items():
        if scores["precision"]["value"] is None:
            console().print(f"nothing was predicted to be {name}, so its precision is unknown (–)")


def _print_confusion(
    classes: list[str], counts: list[list[int]], recipe: Recipe, title: str | None = None
) -> None:
    table = Table(box=box.SIMPLE_HEAD, title=title)
    table.add_column(f"{recipe.truth} ↓  model →")
    for name in classes:
        table.add_column(name, justify="right")
    for name, row in zip(classes, counts, strict=True):
        table.add_row(name, *(f"{count:,}" for count in row))
    print_table(table)


def print_predictions(table: pd.DataFrame, recipe: Recipe) -> None:
    """Print a row an image: class and probabilities, or the likeliest walk down the tree."""
    tree = target_of(recipe).tree
    if tree is not None:
        _print_walks(table, tree)
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


def _predicted_cell(value: str | float | None) -> str:
    if pd.isna(value):
        return "–"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


def _print_walks(table: pd.DataFrame, tree: Tree) -> None:
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("image", "question", "likeliest answer"):
        shown.add_column(name)
    for name in ("of those asked", "of all"):
        shown.add_column(name, justify="right")
    pairs = [(question, answer) for question in tree.questions for answer in question.answers]
    fractions = table[tree.columns].to_numpy(float)
    conditional = to_conditional(tree, fractions)
    statuses = table["status"] if "status" in table else ["ok"] * len(table)
    rows = zip(table["image"], statuses, fractions, conditional, strict=True)
    for image, status, of_all, of_asked in rows:
        if status != "ok":
            shown.add_row(image, status, "–", "–", "–")
            continue
        for at in likeliest_walk(tree, of_all):
            question, answer = pairs[at]
            shown.add_row(
                image, question.text, answer.text, f"{of_asked[at]:.3f}", f"{of_all[at]:.3f}"
            )
            image = ""
        shown.add_section()
    print_table(shown)


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


# Columns of `print_rows` that tell whether a test is passed.
VERDICTS = {"passes"}


def print_rows(title: str, rows: list[dict[str, object]]) -> None:
    """Print rows of one kind: words, counts, numbers, and scores with their intervals."""
    table = Table(box=box.SIMPLE_HEAD, title=title)
    for name, value in rows[0].items():
        table.add_column(name, justify="left" if isinstance(value, str) else "right")
    for row in rows:
        table.add_row(*(_cell(value, name in VERDICTS) for name, value in row.items()))
    print_table(table)


def _cell(value: object, is_verdict: bool) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool | np.bool_):
        yes, no = ("pass", "FAIL") if is_verdict else ("yes", "no")
        return yes if value else no
    if isinstance(value, dict):
        return interval_words(value)
    if isinstance(value, float):
        return f"{value:.3f}"
    return str(value)


def interval_words(score: dict[str, float | None], digits: int = 3) -> str:
    """Return a score and its interval, a dash where there is none."""
    if score["value"] is None:
        return "–"
    value, low, high = (
        "–" if score[name] is None else f"{score[name]:.{digits}f}"
        for name in ("value", "low", "high")
    )
    return f"{value} ({low}–{high})"


def print_table(table: Table) -> None:
    """Print a table, or on a terminal that is too narrow for it each cell in a line of its own."""
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
    # A pipe has no width of its own, and a table that wraps can't be read or searched.
    # What users named is text, not markup.
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal:
        console.width = PIPE
    return console


# A score that a run is judged by first, in words.
HEADLINE_WORDS = {"macro_f1": "macro-F1", "kl": "divergence", "rmse": "RMSE"}
# What there is beside it: of classes, and of a calibrated run.
OPTIONAL = {"ece": "ECE", "set_coverage": "sets that hold it", "set_size": "set size"}


def print_robustness(scores: dict) -> None:
    """Print the score, its loss and the calibration error of every corruption and severity."""
    # It stands on PyTorch, and predicting from an ONNX file prints tables without it.
    from galaxymorph.images import CORRUPTIONS

    headline = scores["headline"]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Robustness, {scores['galaxies']:,} test galaxies"
        + ", BatchNorm adapted to each" * scores["adapted"]
        + f"; ECE of {scores['probabilities']}" * ("ece" in scores["clean"]),
    )
    table.add_column("corruption")
    table.add_column("strength")
    clean = scores["clean"]
    optional = {key: words for key, words in OPTIONAL.items() if key in clean}
    for name in (HEADLINE_WORDS[headline], "lost", *optional.values()):
        table.add_column(name, justify="right")
    others = [interval_words(clean[key]) for key in optional]
    table.add_row("none", "", interval_words(clean[headline]), "", *others)
    for name, found in scores["corruptions"].items():
        table.add_section()
        for severity, each in found["severities"].items():
            table.add_row(
                f"{CORRUPTIONS[name].label}, severity {severity}",
                f"{each['strength']:g} ({found['unit']})",
                interval_words(each[headline]),
                interval_words(each["drop"]),
                *(interval_words(each[key]) for key in optional),
            )
    print_table(table)
    for name, found in scores["consistency"].items():
        if "agree" in found:
            console().print(
                f"same class after {name}: {interval_words(found['agree'])} of galaxies"
            )
        console().print(f"spread of predictions over {name}: {interval_words(found['spread'], 4)}")
    if "reference" in scores:
        against = scores["reference"]
        console().print(
            f"mean corruption error against {against['run']}: {interval_words(against['mean_ce'])} "
            f"of {against['counted']['ce']} corruptions; relative "
            f"{interval_words(against['mean_relative_ce'])} of "
            f"{against['counted']['relative_ce']} (the others of {against['corruptions']} cost it "
            "no more than noise; under 1 is better than it)"
        )


# Parts of a score's name, see `judge.scores_in`, in words; those without any say nothing.
NAMES = {
    "test": "", "scores": "", "sources": "", "per_class": "", "per_answer": "", "per_question": "",
    "corruptions": "", "selective": "", "study": "", "methods": "", "severities": "severity",
    "macro_f1": "macro-F1", "f1": "F1", "valid": "validation part", "kl": "divergence",
    "mse": "mean squared error", "rmse": "RMSE", "r2": "R²", "nll": "negative log-likelihood",
    "brier": "Brier score", "ece": "calibration error",
    "ece_equal_mass": "calibration error, bins of equal mass",
    "ece_equal_width": "calibration error, bins of equal width",
    "ece_classwise": "calibration error by class",
    "ece_truth": "calibration error against the true chances",
    "aurc": "area under risk and coverage", "aurc_total": "AURC by total uncertainty",
    "aurc_epistemic": "AURC by epistemic uncertainty", "before": "before calibration",
    "after": "after calibration", "sets": "prediction sets", "drop": "loss of score",
    "people": "rank correlation with volunteers' entropy", "ce": "corruption error",
    "kept_at_accuracy": "at accuracy", "kept": "share kept", "seconds": "seconds for 1,000 images",
    "entropy_spearman": "rank correlation of entropies", "held_out_nll":
    "negative log-likelihood in cross-validation", "mean_ce": "mean corruption error",
    "set_size": "size of prediction sets", "set_coverage": "coverage of prediction sets",
}  # fmt: skip


def score_name(score: str, tree: Tree | None = None) -> str:
    """Return a score's dotted name in words: the metric, and in brackets what it is of.

    Args:
        score: see `judge.scores_in`.
        tree: whose questions and answers are called by their words.
    """
    said = {}
    for question in tree.questions if tree else ():
        said[question.name] = question.text
        said |= {answer.column: f"{question.text} {answer.text}" for answer in question.answers}
    # A point between digits is a decimal one (kept_at_accuracy.0.99), one in Class1.2 the column's.
    parts = re.split(r"(?<!\d)\.|\.(?!\d)", score)
    words = []
    for part in parts:
        words.append(said.get(part) or NAMES.get(part, part.replace("_", " ")))
    metric, *rest = reversed(words)
    rest = [word for word in reversed(rest) if word]
    return f"{metric or parts[-1]} ({', '.join(rest)})" if rest else metric or parts[-1]


def print_comparison(comparison: Comparison, everything: bool = False) -> None:
    """Print how runs differ, the paired difference first, then the scores that they share.

    Args:
        comparison: of trained runs.
        everything: details and scores that one run alone has, too.
    """
    runs, names = comparison.runs, comparison.names
    for name in comparison.unranked:
        console().print(f"{name}: no galaxies and classes in common with {names[0]}, so no best")
    _print_differences(comparison.differences, names[0])
    table = make_table("", ["score", *names])
    tree = target_of(runs[0].recipe).tree
    rows = [row for row in comparison.rows if everything or not row.is_detail]
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or row.file != before.file:
            table.add_section()
        words = score_name(row.score, tree)
        words = words if row.file == "metrics" else f"{row.file}: {words}"
        table.add_row(words, *map(_compared, row.cells))
    print_table(table)
    for name, run in zip(names, runs, strict=True):
        path = run.path / "metrics.json"
        metrics = read_json(path) if path.exists() else {"test": {}}
        if "confusion" in metrics["test"]:
            _print_confusion(metrics["classes"], metrics["test"]["confusion"], run.recipe, name)
    if left_out := len(comparison.rows) - len(rows):
        console().print(f"{left_out:,} more scores, details and of one run alone: --all")


def _compared(cell: Cell | None) -> str:
    if cell is None:
        return "–"
    words = f"{cell.value:.3f}"
    if cell.low is not None:
        words += f" ({cell.low:.3f}–{cell.high:.3f})"
    return f"{words} {'*' if cell.best else ' '}"


# Letters of an interval drawn in the terminal.
DRAWN = 41


def _print_differences(differences: Sequence[Difference], first: str) -> None:
    """Print each paired difference as a line with its interval, on one scale about 0."""
    if not differences:
        return
    most = max(abs(end) for each in differences for end in (each.low, each.high)) or 1.0
    scale = f"{-most:+.3f}{'0'.center(DRAWN - 12)}{most:+.3f}"
    table = make_table(
        f"Test macro-F1 minus that of {first}, 95 % interval",
        ["run", "difference", scale, "verdict", "galaxies in common"],
        left={scale, "verdict"},
    )
    for each in differences:
        low, at, high = (
            round((end / most + 1) / 2 * (DRAWN - 1)) for end in (each.low, each.value, each.high)
        )
        line = [" "] * DRAWN
        line[low : high + 1] = "─" * (high + 1 - low)
        line[DRAWN // 2] = "│"
        line[at] = "●"
        table.add_row(
            each.run,
            f"{each.value:+.3f} ({each.low:+.3f} to {each.high:+.3f})",
            "".join(line),
            each.verdict,
            f"{each.galaxies:,}",
        )
    print_table(table)
