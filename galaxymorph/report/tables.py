"""Tables for the terminal."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from rich import box
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from galaxymorph.base import read_json
from galaxymorph.judge import METRICS, OVER_FOLDS, metrics_of
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
    """Print the metrics of a run's validation and test parts, each by its entry in `METRICS`."""
    for part, words in PARTS.items():
        scores = metrics[part]
        _print_part(f"{words.capitalize()} part, {scores['galaxies']:,} galaxies", scores, recipe)
        if "confusion" in scores:
            _print_confusion(list(scores["per_class"]), scores["confusion"], recipe)


def _print_part(title: str, scores: dict, recipe: Recipe) -> None:
    """Print a row a class or question, then a row a metric of the whole part."""
    target = target_of(recipe)
    metrics = metrics_of(target.metrics)
    table = Table(box=box.SIMPLE_HEAD, title=title)
    if target.tree:
        group, count, item = "per_question", "agreed", "question"
        words = {question.name: question.text for question in target.tree.questions}
        further = {"RMSE of its answers": partial(_question_rmse, scores, target.tree)}
    else:
        group, count, item = "per_class", "support", "class"
        words, further = {}, {}
    columns = {
        name.removeprefix(f"{group}."): metric
        for name, metric in metrics.items()
        if name.startswith(f"{group}.")
    }
    table.add_column(item)
    for metric in columns.values():
        table.add_column(metric.heading, justify="right")
    for heading in (COUNTS[count], *further):
        table.add_column(heading, justify="right")
    for name, each in scores.get(group, {}).items():
        table.add_row(
            words.get(name, name),
            *(interval_words(each[key], metric.digits) for key, metric in columns.items()),
            f"{each[count]:,}",
            *(value(name) for value in further.values()),
        )
    table.add_section()
    for name, metric in metrics.items():
        if name in scores:
            table.add_row(metric.label, interval_words(scores[name], metric.digits))
    for name, value in scores.get("intervals", {}).items():
        if name in METRICS:
            table.add_row(METRICS[name].label, interval_words(value))
    print_table(table)
    for name, each in scores.get("per_class", {}).items():
        if each["precision"]["value"] is None:
            console().print(f"nothing was predicted to be {name}, so its precision is unknown (–)")


# Headings of counts beside the metrics of a class or question.
COUNTS = {"support": "galaxies", "agreed": "agreed"}


def _question_rmse(scores: dict, tree: Tree, name: str) -> str:
    """Return the RMSE over a question's answers, a dash if no galaxy was asked it."""
    question = next(each for each in tree.questions if each.name == name)
    values = [scores["per_answer"][answer.column]["rmse"]["value"] for answer in question.answers]
    return "–" if None in values else f"{np.sqrt(np.mean(np.square(values))):.3f}"


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


# Metrics of a condition that are printed beside the headline: of classes, and of a calibrated run.
OPTIONAL = ("ece", "set_coverage", "set_size")


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
    optional = [name for name in OPTIONAL if name in clean]
    headings = [METRICS[name].heading for name in optional]
    for heading in (METRICS[headline].heading, "lost", *headings):
        table.add_column(heading, justify="right")
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


# Keys above a metric in a run's JSON files, in words; those without any are left out of its name.
KEYS = {
    "test": "",
    "scores": "",
    "sources": "",
    "per_class": "",
    "per_answer": "",
    "per_question": "",
    "corruptions": "",
    "selective": "",
    "study": "",
    "methods": "",
    "severities": "severity",
    "valid": "validation part",
    "before": "before calibration",
    "after": "after calibration",
    "sets": "prediction sets",
    "kept": "share kept",
}


def score_name(score: str, tree: Tree | None = None) -> str:
    """Return a score's dotted name in words: the metric, and in brackets what it is of.

    Args:
        score: see `judge.scores_in`.
        tree: whose questions and answers are called by their words.
    """
    answers = {}
    for question in tree.questions if tree else ():
        answers[question.name] = question.text
        answers |= {answer.column: f"{question.text} {answer.text}" for answer in question.answers}
    # A point between digits is a decimal one (kept_at_accuracy.0.99), one in Class1.2 the column's.
    parts = re.split(r"(?<!\d)\.|\.(?!\d)", score)
    words = [answers.get(part) or _key_words(parts[: at + 1]) for at, part in enumerate(parts)]
    metric, *rest = reversed(words)
    rest = [word for word in reversed(rest) if word]
    return f"{metric or parts[-1]} ({', '.join(rest)})" if rest else metric or parts[-1]


def _key_words(parts: list[str]) -> str:
    """Return the last key of a score's name in words."""
    part = parts[-1].removesuffix(OVER_FOLDS)
    group = next((each for each in reversed(parts[:-1]) if each.startswith("per_")), "")
    metric = METRICS.get(f"{group}.{part}") or METRICS.get(part)
    if metric is None:
        return KEYS.get(parts[-1], parts[-1].replace("_", " "))
    return metric.label + " over folds" * (part != parts[-1])


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
