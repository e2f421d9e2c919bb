"""What a measurement of robustness writes into a run, and its readers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import pandas as pd
from typing_extensions import NotRequired, TypedDict

from galaxymorph.base import BadInput, read_json, setting, write_json
from galaxymorph.judge.metrics.bootstrap import Interval
from galaxymorph.learn import Run, run_files, write_table

# Metrics by name.
ConditionScores = dict[str, Interval]


class Settings(TypedDict):
    """The settings that two measurements must share to be compared."""

    suite: str
    severities: list[int]
    views: int


class CorruptionRecord(TypedDict):
    """The scores under a corruption.

    Of each severity, by its number in digits, the metrics, `drop`, by how much the headline metric
    is worse than of clean images, and the `strength` in `unit`; and their means over severities.
    """

    unit: str
    severities: dict[str, dict[str, Any]]
    mean: dict[str, float | None]


class CorruptionErrors(TypedDict):
    """Corruption errors against a reference, see `corruption_error`."""

    run: str
    mean_ce: Interval
    mean_relative_ce: Interval
    counted: dict[str, int]
    corruptions: int
    per_corruption: dict[str, dict[str, float | None]]


class RobustnessRecord(Settings):
    """The content of `robustness.json`, see docs/robustness.md."""

    galaxies: int
    adapted: bool
    probabilities: str
    interval: str
    nominal: NotRequired[float]
    headline: str
    clean: ConditionScores
    corruptions: dict[str, CorruptionRecord]
    mean_drop: float | None
    consistency: dict[str, ConditionScores]
    reference: NotRequired[CorruptionErrors]


def write_robustness(run: Run, record: RobustnessRecord, table: pd.DataFrame) -> None:
    """Write `robustness.json` and `robustness.parquet` into a run's folder."""
    write_table(run.path / run_files.ROBUSTNESS_TABLE, table)
    write_json(run.path / run_files.ROBUSTNESS, record)


def read_robustness(run: Run) -> RobustnessRecord:
    """Return a run's `robustness.json`.

    Raises:
        BadInput: its robustness hasn't been measured, or the file is damaged.
    """
    path = run.path / run_files.ROBUSTNESS
    if not path.exists():
        raise BadInput(
            f"{run.path}: its robustness has not been measured",
            f"run `python cli.py robustness {run.path}` first",
        )
    return cast(RobustnessRecord, read_json(path))


def require_alike(
    settings: Mapping[str, object], reference: Mapping[str, object], name: str
) -> None:
    """Raise BadInput unless a reference was measured with the same `Settings`."""
    for key in Settings.__annotations__:
        if settings[key] != reference[key]:
            raise BadInput(
                f"{setting('reference', name)}: measured with {key} {reference[key]}, this run "
                f"with {settings[key]}",
                "measure both runs with the same options",
            )
