"""A run's metrics as Python takes them: values with intervals, and tables."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from galaxymorph.judge import METRICS
from galaxymorph.report.tables import interval_words

# Keys of a part in `metrics.json` whose values are tables.
TABLES = ("per_class", "per_question", "per_answer")


@dataclass(frozen=True)
class Score:
    """A metric's value with the ends of its 95 % interval; None where they are unknown.

    Args:
        label: of the metric.
        value: on the galaxies.
        low: the interval's lower end.
        high: its upper end.
        better: greater, less or nominal; None where neither is better.
        digits: that are shown after the decimal point.
    """

    label: str
    value: float | None
    low: float | None
    high: float | None
    better: str | None = None
    digits: int = 3

    def __str__(self) -> str:
        return interval_words(vars(self), self.digits)

    def __float__(self) -> float:
        return float("nan") if self.value is None else self.value


@dataclass(frozen=True)
class Metrics(Mapping[str, Score]):
    """The metrics of a part of a run: `metrics["macro_f1"].value`.

    Args:
        part: test or valid.
        galaxies: how many it has.
        scores: by name, as in `metrics.json`.
        tables: of each class, question or answer, by that name: a row each.
        confusion: galaxies by true class, a row, and predicted class; None of vote fractions.
        interval: how intervals are made.
    """

    part: str
    galaxies: int
    scores: Mapping[str, Score]
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    confusion: pd.DataFrame | None = None
    interval: str = ""

    def __getitem__(self, name: str) -> Score:
        return self.scores[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.scores)

    def __len__(self) -> int:
        return len(self.scores)

    @property
    def table(self) -> pd.DataFrame:
        """A row a metric: its label, value, interval, and which values are better."""
        rows = [vars(score) for score in self.scores.values()]
        table = pd.DataFrame(rows, index=pd.Index(self.scores, name="metric"))
        return table.drop(columns="digits")

    def __repr__(self) -> str:
        lines = [f"{score.label}: {score}" for score in self.scores.values()]
        return "\n".join([f"{self.part} part, {self.galaxies:,} galaxies", *lines])


def read_metrics(record: Mapping[str, Any], part: str) -> Metrics:
    """Return the metrics of a part from the content of `metrics.json`."""
    scores = record[part]
    known = {
        name: Score(
            METRICS[name].label, **value, better=METRICS[name].better, digits=METRICS[name].digits
        )
        for name, value in scores.items()
        if name in METRICS and isinstance(value, Mapping)
    }
    tables = {name: _table(scores[name]) for name in TABLES if name in scores}
    confusion = None
    if "confusion" in scores:
        classes = list(scores["per_class"])
        confusion = pd.DataFrame(
            scores["confusion"], pd.Index(classes, name="true"), pd.Index(classes, name="predicted")
        )
    return Metrics(part, scores["galaxies"], known, tables, confusion, record.get("interval", ""))


def _table(items: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return a row an item, with the columns `recall`, `recall_low`, `recall_high` of a score."""
    rows = {}
    for item, scores in items.items():
        row: dict[str, Any] = {}
        for name, value in scores.items():
            if isinstance(value, Mapping):
                row |= {name: value["value"], f"{name}_low": value["low"]}
                row[f"{name}_high"] = value["high"]
            else:
                row[name] = value
        rows[item] = row
    return pd.DataFrame.from_dict(rows, orient="index")
