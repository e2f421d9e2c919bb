"""Comparison of runs: common scores, differences and settings, for the terminal and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd

from galaxymorph.base import read_json, setting
from galaxymorph.judge import (
    Difference,
    best_rows,
    compare_runs,
    paired_differences,
    require_distinct,
    unranked_runs,
)
from galaxymorph.learn import Run, run_files, shown_setting, target_of, without_effect
from galaxymorph.report.metric_tables import print_confusion, score_name
from galaxymorph.report.notebook import html_table
from galaxymorph.report.tables import console, interval_words, make_table, print_table
from galaxymorph.zoo import Tree

# Scores in a comparison of all only: parts of others, or not of test galaxies.
DETAILS = (
    "valid.",
    "before.",
    ".severities.",
    "per_answer.",
    "per_question.",
    "per_corruption.",
    ".study.",
    ".band.",
    ".coverage_",
    "held_out_",
)


# Settings of a judged table: of its labels. Those of a fit are unknown.
OF_LABELS = ("scheme", "target", "schema", "labels_column", "fractions", "seed")
# Before the names of scores after calibration.
AFTER = "after."
# Letters of an interval drawn in the terminal.
DRAWN = 41


@dataclass(frozen=True)
class Cell:
    """A run's score in a comparison: its value, its interval if it has one, whether it is best."""

    value: float
    low: float | None
    high: float | None
    best: bool

    def __str__(self) -> str:
        words = f"{self.value:.3f}" if self.low is None else interval_words(vars(self))
        return f"{words} {'*' if self.best else ' '}"


@dataclass(frozen=True)
class Row:
    """A score of several runs.

    Args:
        file: of the runs that holds it, without its ending.
        score: its dotted path in that file.
        better: greater, less or nominal; empty where neither is better.
        nominal: the value that it is to have, None without one.
        cells: a run each, None for one that lacks it.
        uncalibrated: names of the runs whose calibration left their probabilities unchanged, of a
            score after calibration.
    """

    file: str
    score: str
    better: str
    nominal: float | None
    cells: list[Cell | None]
    uncalibrated: list[str]

    @property
    def is_detail(self) -> bool:
        """Whether it is a part of another score, or of a single run."""
        alone = self.cells.count(None) > len(self.cells) - 2
        return alone or any(part in self.score for part in DETAILS)

    def words(self, tree: Tree | None) -> str:
        """Return the score in words, behind its file unless that is the fit's."""
        words = self.name(tree)
        return words if self.file == "metrics" else f"{self.file}: {words}"

    def name(self, tree: Tree | None) -> str:
        """Return the score in words without its file."""
        if not self.uncalibrated:
            return score_name(self.score, tree)
        words = score_name(self.score.removeprefix(AFTER), tree)
        if len(self.uncalibrated) == len(self.cells) - self.cells.count(None):
            return f"{words} (uncalibrated)"
        return f"{words} (after calibration; {', '.join(self.uncalibrated)}: uncalibrated)"


@dataclass(frozen=True)
class Comparison:
    """Trained runs, each once, and a row a score and run, see `judge.compare_runs`."""

    runs: list[Run]
    scores: pd.DataFrame

    @cached_property
    def names(self) -> list[str]:
        """The runs' folders' names, or their paths where names are the same."""
        names = [run.path.resolve().name for run in self.runs]
        return names if len(set(names)) == len(names) else [str(run.path) for run in self.runs]

    @cached_property
    def _name_of(self) -> dict[str, str]:
        return dict(zip([str(run.path) for run in self.runs], self.names, strict=True))

    @cached_property
    def unranked(self) -> list[str]:
        """A line for each run whose scores can't be compared with those of the first."""
        return [
            f"{self._name_of[path]}: its scores can't be compared with those of {self.names[0]}, "
            f"since {reason}; the best isn't marked"
            for path, reason in self._unranked.items()
        ]

    @cached_property
    def _unranked(self) -> dict[str, str]:
        return unranked_runs(self.runs)

    @cached_property
    def rows(self) -> list[Row]:
        """The scores, file by file."""
        tree = self.scores.groupby(["file", "score"], sort=False)
        return [self._row(str(file), str(score), rows) for (file, score), rows in tree]

    def _row(self, file: str, score: str, rows: pd.DataFrame) -> Row:
        best = best_rows(rows, self._unranked)
        ends = rows[["value", "low", "high"]].to_numpy(float)
        cells = {
            str(run): Cell(
                value,
                None if np.isnan(low) else low,
                None if np.isnan(high) else high,
                bool(is_best),
            )
            for run, (value, low, high), is_best in zip(
                rows["run"], ends.tolist(), best, strict=True
            )
        }
        nominal = rows["nominal"].dropna().unique()
        unchanged = self._unchanged if score.startswith(AFTER) else set()
        return Row(
            file,
            score,
            str(rows["better"].iloc[0]),
            float(nominal[0]) if len(nominal) == 1 else None,
            [cells.get(str(run.path)) for run in self.runs],
            [name for path, name in self._name_of.items() if path in cells and path in unchanged],
        )

    @cached_property
    def _unchanged(self) -> set[str]:
        """The paths of the runs whose calibration left their probabilities unchanged."""
        paths = {str(run.path): run.path / run_files.CALIBRATION for run in self.runs}
        return {
            name
            for name, path in paths.items()
            if path.exists() and read_json(path).get("method") == "none"
        }

    @cached_property
    def differences(self) -> list[Difference]:
        """The paired differences from the first run, of runs that predict classes."""
        return [
            replace(difference, run=self._name_of[difference.run])
            for difference in paired_differences(self.runs)
        ]

    def _repr_html_(self) -> str:
        """Return differences and shared scores for a notebook's cell, the best marked with *."""
        differences = [
            (difference.run, str(difference), difference.verdict, f"{difference.galaxies:,}")
            for difference in self.differences
        ]
        heading = ("run", f"macro-F1 minus that of {self.names[0]}", "verdict", "galaxies")
        tree = target_of(self.runs[0].recipe).tree
        rows = [
            (row.words(tree), *map(_cell_words, row.cells))
            for row in self.rows
            if not row.is_detail
        ]
        tables = [html_table(heading, differences)] if differences else []
        return "".join([*tables, html_table(("score", *self.names), rows)])

    @property
    def largest_end(self) -> float:
        """The largest absolute end of the differences' intervals, 1 without any."""
        ends = [abs(end) for pair in self.differences for end in (pair.low, pair.high)]
        return max(ends, default=0.0) or 1.0

    def settings_that_differ(self) -> Iterator[tuple[str, list[str]]]:
        """Yield the settings that differ between the runs, and their values."""
        for declared in fields(self.runs[0].recipe):
            values = [
                "–"
                if declared.name in without_effect(run.recipe)
                or (run.judged is not None and declared.name not in OF_LABELS)
                else str(shown_setting(run.recipe, declared.name))
                for run in self.runs
            ]
            if len(set(values)) > 1:
                yield declared.name, values
        for name, key in (("data", "path"), ("catalogue's fingerprint", "fingerprint")):
            values = [run.data[key] for run in self.runs]
            if len(set(values)) > 1:
                yield name, values


def compare(runs: Sequence[Run]) -> Comparison:
    """Return runs compared on every score that they have.

    Raises:
        BadInput: fewer than two runs, one given twice, or one whose fit isn't finished.
    """
    require_distinct(runs)
    return Comparison(list(runs), compare_runs(runs))


def print_comparison(comparison: Comparison, everything: bool = False) -> None:
    """Print how runs differ, the paired difference first, then the scores that they share.

    Args:
        comparison: of trained runs.
        everything: include details, and scores of a single run.
    """
    runs, names = comparison.runs, comparison.names
    for line in comparison.unranked:
        console().print(line, soft_wrap=True)
    _print_differences(comparison)
    table = make_table("", ["score", *names])
    tree = target_of(runs[0].recipe).tree
    rows = [row for row in comparison.rows if everything or not row.is_detail]
    for before, row in zip([None, *rows], rows, strict=False):
        if before is None or row.file != before.file:
            table.add_section()
        table.add_row(row.words(tree), *map(_cell_words, row.cells))
    print_table(table)
    for name, run in zip(names, runs, strict=True):
        path = run.path / run_files.METRICS
        metrics = read_json(path) if path.exists() else {"test": {}}
        if "confusion" in metrics["test"]:
            print_confusion(metrics["classes"], metrics["test"]["confusion"], run.recipe, name)
    if left_out := len(comparison.rows) - len(rows):
        console().print(
            f"{left_out:,} more metrics (details, and those of a single run): {setting('all')}"
        )


def _cell_words(cell: Cell | None) -> str:
    return "–" if cell is None else str(cell)


def _print_differences(comparison: Comparison) -> None:
    """Print each paired difference as a line with its interval, on a common scale."""
    if not comparison.differences:
        return
    most = comparison.largest_end
    scale = f"{-most:+.3f}{'0'.center(DRAWN - 12)}{most:+.3f}"
    table = make_table(
        f"Test macro-F1 minus that of {comparison.names[0]}, 95 % interval",
        ["run", "difference", scale, "verdict", "galaxies in common"],
        left={scale, "verdict"},
    )
    for difference in comparison.differences:
        low, at, high = (
            round((end / most + 1) / 2 * (DRAWN - 1))
            for end in (difference.low, difference.value, difference.high)
        )
        line = [" "] * DRAWN
        line[low : high + 1] = "─" * (high + 1 - low)
        line[DRAWN // 2] = "│"
        line[at] = "●"
        table.add_row(
            difference.run,
            str(difference),
            "".join(line),
            difference.verdict,
            f"{difference.galaxies:,}",
        )
    print_table(table)
