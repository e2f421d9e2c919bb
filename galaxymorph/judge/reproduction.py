"""Train a run again from its own files and say whether the result is the same."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from safetensors.numpy import load_file

from galaxymorph.judge.metrics import judge_run
from galaxymorph.learn import (
    Run,
    environment,
    gather_galaxies,
    require_same_galaxies,
    start_run,
    train_run,
)


@dataclass(frozen=True)
class Reproduction:
    """Whether weights and metrics agree, the largest difference of a weight, and what changed."""

    weights: bool
    metrics: bool
    largest_difference: float
    environment_changes: list[str]


def reproduce_run(run: Run, data: Path | None = None) -> Reproduction:
    """Train a run again, in a temporary folder that is removed, and compare.

    Args:
        run: trained and judged.
        data: where its catalogue is now, if it has moved.

    Raises:
        BadInput: the run isn't finished, or the catalogue isn't the one it was split on.
    """
    run.require_trained()
    galaxies = gather_galaxies(data or run.data["path"], run.recipe, skip_bad=True)
    require_same_galaxies(run, galaxies)
    with tempfile.TemporaryDirectory(prefix=".reproduce-", dir=run.path.parent) as folder:
        again = start_run(
            Path(folder) / "run", run.recipe, replace(galaxies, rejected=galaxies.rejected[:0])
        )
        train_run(again, galaxies)
        metrics = judge_run(again)
        difference = max(
            _difference(old.path, new.path)
            for old, new in zip(run.members, again.members, strict=True)
        )
    same = metrics == json.loads((run.path / "metrics.json").read_text(encoding="utf-8"))
    return Reproduction(difference == 0.0, same, difference, _environment_changes(run))


def _difference(old: Path, new: Path) -> float:
    mine, theirs = (load_file(folder / "model.safetensors") for folder in (old, new))
    return max(float(abs(mine[name].astype(float) - theirs[name]).max()) for name in mine)


def _environment_changes(run: Run) -> list[str]:
    before = json.loads((run.path / "environment.json").read_text(encoding="utf-8"))
    now = environment()
    flat_before, flat_now = ({**e, **e["packages"]} for e in (before, now))
    return [
        f"{name}: {flat_before.get(name)} then, {flat_now[name]} now"
        for name in flat_now
        if name != "packages" and flat_before.get(name) != flat_now[name]
    ]
