"""Runs side by side on every score that their files hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, read_json
from galaxymorph.judge.metrics import class_scorer
from galaxymorph.judge.resampling import bootstrap
from galaxymorph.learn import Run, target_of

# Words of a score's dotted name: where one of the first is the last part's, neither is better;
# else, where one of the second stands anywhere, less is; of all others more is.
NEITHER = {
    "asked", "band", "coverage", "empty", "expected", "full", "high", "low", "uncertainty",
    "within",
}  # fmt: skip
LESS = {
    "ace", "aurc", "brier", "ce", "drop", "ece", "error", "kl", "mce", "mse", "nll", "reliability",
    "risk", "rmse", "seconds", "size", "spread", "width",
}  # fmt: skip
# What isn't a score: how it was measured, and counts.
SETTINGS = {
    "adapted", "agreed", "calibrating", "confusion", "format", "galaxies", "interval", "passes",
    "seed", "severities", "splits", "strength", "support", "tested", "views",
}  # fmt: skip


def better_is(score: str) -> str:
    """Return whether `less` or `more` of a score is better, or nothing where neither is."""
    parts = [set(part.split("_")) for part in score.split(".")]
    if parts[-1] & NEITHER:
        return ""
    return "less" if set().union(*parts) & LESS else "more"


def compare_runs(runs: Sequence[Run]) -> pd.DataFrame:
    """Return every score of every run that at least one has.

    The scores come from all JSON files at the top of the runs' folders that hold any: what `fit`,
    `robustness` and later commands write.

    Returns:
        The columns `file`, `score`, `run`, `value`, `low`, `high` (NaN where there is no interval)
        and `better` (see `better_is`), by file and score in the order of the first run; those of
        the fit come first.

    Raises:
        BadInput: a run isn't finished.
    """
    rows = []
    for run in runs:
        run.require_trained()
        for path in _score_files(run):
            for name, (value, low, high) in scores_in(read_json(path)):
                rows.append((path.stem, name, str(run.path), value, low, high))
    table = pd.DataFrame(rows, columns=["file", "score", "run", "value", "low", "high"])
    return table.assign(better=table["score"].map(better_is))


def scores_in(values: dict, prefix: str = "") -> Iterator[tuple[str, tuple[float, float, float]]]:
    """Yield the scores in nested dictionaries: dotted names, and value, low and high.

    A score is a dictionary with `value`, `low` and `high`, or a bare number that isn't a setting.
    """
    for key, value in values.items():
        name = f"{prefix}{key}"
        if key in SETTINGS and not isinstance(value, dict):
            continue
        if isinstance(value, dict) and {"value", "low", "high"} <= value.keys():
            if value["value"] is not None:
                yield name, tuple(_number(value[each]) for each in ("value", "low", "high"))
        elif isinstance(value, dict):
            yield from scores_in(value, f"{name}.")
        elif isinstance(value, int | float) and not isinstance(value, bool):
            yield name, (float(value), np.nan, np.nan)


def paired_differences(runs: Sequence[Run]) -> dict[str, dict]:
    """Return each later run's test macro-F1 minus the first's, on the galaxies that both tested.

    Intervals are of the difference, galaxies resampled in pairs, so they are narrower than those of
    the two scores suggest. Runs of vote fractions alone have none.

    Returns:
        By the run's path: `value`, `low`, `high` and `galaxies`, the number in common; None for
        fewer than two in common, or other classes.
    """
    first, *others = runs
    if not all(target_of(run.recipe).chooses for run in runs):
        return {}
    found = {}
    for other in others:
        mine, theirs = (
            run.predictions("test").drop_duplicates("galaxy").set_index("galaxy")
            for run in (first, other)
        )
        common = mine.index.intersection(theirs.index)
        if len(common) < 2 or first.classes != other.classes:
            found[str(other.path)] = None
            continue
        before, after = (
            class_scorer(table.loc[common].reset_index(), first.classes) for table in (mine, theirs)
        )
        difference = bootstrap(
            lambda rows, before=before, after=after: {
                "macro_f1": after(rows)["macro_f1"] - before(rows)["macro_f1"]
            },
            len(common),
            first.recipe.seed,
        )
        found[str(other.path)] = {**difference["macro_f1"], "galaxies": len(common)}
    return found


def require_distinct(runs: Sequence[Run]) -> None:
    """Raise BadInput unless there are two runs or more, each once."""
    paths = [run.path.resolve() for run in runs]
    if len(set(paths)) < max(2, len(paths)):
        raise BadInput("compare: needs two runs or more, each once", "give their folders")


def _score_files(run: Run):
    found = (
        path
        for path in run.path.glob("*.json")
        if path.stem not in {"recipe", "environment", "model"}
    )
    return sorted(found, key=lambda path: (path.stem != "metrics", path.stem))


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
