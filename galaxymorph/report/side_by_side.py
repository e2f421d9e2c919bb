"""Comparison of runs: common scores, differences and settings, for the terminal and a page."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property

import numpy as np
import pandas as pd

from galaxymorph.judge import (
    Difference,
    best_rows,
    compare_runs,
    paired_differences,
    require_distinct,
    unranked_runs,
)
from galaxymorph.learn import Run, without_effect
from galaxymorph.report.notebook import html_table

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


@dataclass(frozen=True)
class Cell:
    """A run's score in a comparison: its value, its interval if it has one, whether it is best."""

    value: float
    low: float | None
    high: float | None
    best: bool

    def __str__(self) -> str:
        words = f"{self.value:.3f}"
        if self.low is not None:
            words += f" ({self.low:.3f}–{self.high:.3f})"
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
    """

    file: str
    score: str
    better: str
    nominal: float | None
    cells: list[Cell | None]

    @property
    def is_detail(self) -> bool:
        """Whether it is a part of another score, or of a single run."""
        alone = self.cells.count(None) > len(self.cells) - 2
        return alone or any(part in self.score for part in DETAILS)


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
        """The names of runs that have no galaxies and classes in common with the first."""
        return [self._name_of[path] for path in self._unranked]

    @cached_property
    def _unranked(self) -> list[str]:
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
        return Row(
            file,
            score,
            str(rows["better"].iloc[0]),
            float(nominal[0]) if len(nominal) == 1 else None,
            [cells.get(str(run.path)) for run in self.runs],
        )

    @cached_property
    def differences(self) -> list[Difference]:
        """The paired differences from the first run, of runs that predict classes."""
        return [
            replace(difference, run=self._name_of[difference.run])
            for difference in paired_differences(self.runs)
        ]

    def _repr_html_(self) -> str:
        """Return differences and shared scores for a notebook's cell, the best marked with *."""
        # It says in words what this module holds.
        from galaxymorph.report.metric_tables import score_name

        differences = [
            (
                difference.run,
                f"{difference.value:+.3f} ({difference.low:+.3f} to {difference.high:+.3f})",
                difference.verdict,
                f"{difference.galaxies:,}",
            )
            for difference in self.differences
        ]
        heading = ("run", f"macro-F1 minus that of {self.names[0]}", "verdict", "galaxies")
        rows = [
            (
                score_name(row.score) if row.file == "metrics" else f"{row.file}: {row.score}",
                *(f"{cell}" if cell else "–" for cell in row.cells),
            )
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
        for setting in fields(self.runs[0].recipe):
            values = [
                "–"
                if setting.name in without_effect(run.recipe)
                else str(getattr(run.recipe, setting.name))
                for run in self.runs
            ]
            if len(set(values)) > 1:
                yield setting.name, values
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
