"""Comparison of runs by every score in their files."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, read_json
from galaxymorph.judge.metrics.metric import METRICS, Predictions, metric_of
from galaxymorph.judge.uncertainty.agreement import read_uncertainty
from galaxymorph.learn import Run, predicted_columns, run_files, target_of

# Keys of settings and counts, which are no scores.
SETTINGS = {
    "adapted",
    "agreed",
    "band",
    "calibrating",
    "confusion",
    "counted",
    "format",
    "galaxies",
    "if_calibrated",
    "interval",
    "least",
    "limit",
    "nominal",
    "passes",
    "score",
    "seed",
    "severities",
    "splits",
    "strength",
    "support",
    "tested",
    "threshold",
    "views",
}
# JSON files of a run without scores.
NOT_SCORES = {run_files.RECIPE, run_files.ENVIRONMENT, run_files.DESCRIPTION}
# Settings that are dictionaries.
WHOLE = {"band", "counted", "if_calibrated"}


def compare_runs(runs: Sequence[Run]) -> pd.DataFrame:
    """Return every score of every run that at least one has.

    Scores are read from all JSON files in the runs' folders, which `fit`, `robustness` and further
    commands write.

    Returns:
        The columns `file`, `score`, `run`, `value`, `low`, `high` (NaN where there is no interval),
        `better` (see `Metric`, empty where neither is) and `nominal`, the value that the score is
        to have (NaN without one), by file and score in the order of the first run; those of the fit
        come first.

    Raises:
        BadInput: a run isn't finished.
    """
    rows = []
    for run in runs:
        run.require_trained()
        for file, record in _score_records(run).items():
            nominal = nominals_in(record)
            for name, ends in scores_in(record):
                rows.append((file, name, str(run.path), *ends, _nominal_of(name, nominal)))
    names = ["file", "score", "run", "value", "low", "high", "nominal"]
    table = pd.DataFrame(rows, columns=names)
    better = table["score"].map(_better)
    unknown = (better == "nominal") & table["nominal"].isna()
    table["nominal"] = table["nominal"].where(better == "nominal")
    return table.assign(better=better.mask(unknown, ""))


def _better(score: str) -> str:
    metric = metric_of(score)
    return (metric.better or "") if metric else ""


def best_rows(scores: pd.DataFrame, unranked: Collection[str] = ()) -> np.ndarray:
    """Return which rows of a score are best; none where neither is better, or one is alone.

    Args:
        scores: the rows of one score, see `compare_runs`.
        unranked: runs that are best in nothing, see `unranked_runs`.
    """
    ranked = ~scores["run"].isin(unranked).to_numpy(bool)
    value = scores["value"].to_numpy(float)
    loss = {
        "less": value,
        "greater": -value,
        "nominal": np.abs(value - scores["nominal"].to_numpy(float)),
    }.get(scores["better"].iloc[0])
    if loss is None or ranked.sum() < 2:
        return np.zeros(len(value), bool)
    return ranked & (loss <= loss[ranked].min() + 1e-12)


def nominals_in(values: dict, prefix: str = "") -> dict[str, float]:
    """Return the nominal values in nested dictionaries, by the dotted prefix of their scores.

    Their key is `nominal`, or `coverage` beside the thresholds of prediction sets.
    """
    nominals = {}
    nominal = values.get("coverage") if "thresholds" in values else values.get("nominal")
    if isinstance(nominal, int | float):
        nominals[prefix] = float(nominal)
    for key, value in values.items():
        if isinstance(value, dict):
            nominals |= nominals_in(value, f"{prefix}{key}.")
    return nominals


def _nominal_of(score: str, nominals: dict[str, float]) -> float:
    prefixes = [prefix for prefix in nominals if score.startswith(prefix)]
    return nominals[max(prefixes, key=len)] if prefixes else np.nan


def scores_in(values: dict, prefix: str = "") -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield the scores in nested dictionaries: dotted names, and value, low and high.

    A score is a dictionary with `value`, `low` and `high`, or a bare number that isn't a setting.
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key in SETTINGS and (key in WHOLE or not isinstance(value, dict)):
            continue
        if key == "coverage" and "thresholds" in values:
            continue
        if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
            if value["value"] is not None:
                yield name, (_number(value["value"]), _number(value["low"]), _number(value["high"]))
        elif isinstance(value, dict):
            yield from scores_in(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, (float(value), np.nan, np.nan)


@dataclass(frozen=True)
class Difference:
    """A later run's test macro-F1 minus the first's, on the galaxies that both tested.

    Args:
        run: the later run's path, or a name for it.
        value: of the difference.
        low: of its interval.
        high: of its interval.
        galaxies: their number.
        same: whether all predictions are the same to the last digit.
    """

    run: str
    value: float
    low: float
    high: float
    galaxies: int
    same: bool

    def __str__(self) -> str:
        return f"{self.value:+.3f} ({self.low:+.3f} to {self.high:+.3f})"

    @property
    def verdict(self) -> str:
        """The result in words."""
        if self.same:
            return "the same predictions"
        if self.low > 0:
            return "better"
        return "worse" if self.high < 0 else "no difference shown"


def paired_differences(runs: Sequence[Run]) -> list[Difference]:
    """Return the difference of each later run from the first, on the galaxies that both tested.

    Intervals are of the difference, galaxies resampled with both predictions, so they are narrower
    than those of the two scores suggest. Runs of vote fractions, with other classes, or with fewer
    than two galaxies in common with the first have none.
    """
    first, *others = runs
    if not all(target_of(run.recipe).chooses for run in runs):
        return []
    differences = []
    tested, columns = _tested(first), predicted_columns(first.recipe, first.classes)
    for other in others:
        other_tested = _tested(other)
        common = tested.index.intersection(other_tested.index)
        if len(common) < 2 or first.outputs != other.outputs:
            continue
        before, after = (table.loc[common] for table in (tested, other_tested))
        # Those of a judged table may be of another precision.
        same = np.array_equal(before[columns].to_numpy(float), after[columns].to_numpy(float))
        after = before if same else after.assign(label=before["label"])
        gain = METRICS["macro_f1"].gain(Predictions.of(first, before), Predictions.of(first, after))
        # Of the same predictions there is nothing to estimate.
        value, low, high = (
            0.0 if same else _number(end) for end in (gain["value"], gain["low"], gain["high"])
        )
        differences.append(Difference(str(other.path), value, low, high, len(common), same))
    return differences


def unranked_runs(runs: Sequence[Run]) -> dict[str, str]:
    """Return why the scores of later runs can't be compared with the first's, by their paths.

    They are of other test galaxies, or of other classes or answers.
    """
    first, *others = runs
    tested = set(_tested(first).index)
    reasons = {}
    for other in others:
        others_tested = set(_tested(other).index)
        if first.outputs != other.outputs:
            reasons[str(other.path)] = "it predicts something else"
        elif tested != others_tested:
            reasons[str(other.path)] = (
                f"it tested {len(others_tested):,} galaxies, of which "
                f"{len(tested & others_tested):,} are among the {len(tested):,}"
            )
    return reasons


def _tested(run: Run) -> pd.DataFrame:
    return run.predictions("test").drop_duplicates("galaxy").set_index("galaxy")


def require_distinct(runs: Sequence[Run]) -> None:
    """Raise BadInput unless there are two runs or more, each once."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise BadInput("compare: two different runs or more are needed", "give their folders")


def _score_records(run: Run) -> dict[str, Any]:
    """Return the JSON files that may hold scores, by name without ending, those of the fit first.

    A file under its former name counts as that of its present name.
    """
    paths = {
        run_files.FORMER_FILES.get(path.name, path.name): path for path in run.path.glob("*.json")
    }
    names = sorted(paths.keys() - NOT_SCORES, key=lambda name: (name != run_files.METRICS, name))
    return {
        Path(name).stem: (read_uncertainty if name == run_files.UNCERTAINTY else read_json)(
            paths[name]
        )
        for name in names
    }


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
