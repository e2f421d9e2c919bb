"""Runs side by side on every score that their files hold."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.judge.metrics import class_scorer
from galaxymorph.judge.resampling import bootstrap
from galaxymorph.learn import Run, target_of

# Words in a score's name of which less is better; of the others more is.
LESS_IS_BETTER = {
    "ace", "brier", "ce", "drop", "ece", "error", "kl", "mce", "mse", "nll", "relative_ce", "rmse",
    "set_size", "size", "spread", "mean_ce", "mean_drop", "mean_relative_ce", "mean_size",
}  # fmt: skip
# What isn't a score: how it was measured, and counts.
SETTINGS = {
    "adapted", "agreed", "confusion", "galaxies", "interval", "seed", "severities", "strength",
    "support", "views",
}  # fmt: skip


def compare_runs(runs: Sequence[Run]) -> pd.DataFrame:
    """Return every score of every run that at least one has.

    The scores come from all JSON files at the top of the runs' folders that hold any: what `fit`,
    `robustness` and later commands write.

    Returns:
        The columns `file`, `score`, `run`, `value`, `low`, `high` (NaN where there is no interval)
        and `less_is_better`, by file and score in the order of the first run.

    Raises:
        BadInput: a run isn't finished.
    """
    rows = []
    for run in runs:
        run.require_trained()
        for path in _score_files(run):
            for name, (value, low, high) in scores_in(json.loads(path.read_text("utf-8"))):
                rows.append((path.stem, name, str(run.path), value, low, high))
    table = pd.DataFrame(rows, columns=["file", "score", "run", "value", "low", "high"])
    last = table["score"].str.split(".").str[-1]
    return table.assign(less_is_better=last.isin(LESS_IS_BETTER))


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
    return sorted(
        path
        for path in run.path.glob("*.json")
        if path.stem not in {"recipe", "environment", "model"}
    )


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)
