"""Reproduction: train a run again from its files and compare the result."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from safetensors.numpy import load_file

from galaxymorph.base import read_json
from galaxymorph.judge.metrics.run_metrics import run_metrics
from galaxymorph.learn import (
    Run,
    environment,
    gather_galaxies,
    locked,
    require_same_galaxies,
    restart_run,
    run_files,
    train_run,
)


@dataclass(frozen=True)
class Reproduction:
    """Whether weights and metrics agree, and the largest difference of a weight."""

    weights: bool
    metrics: bool
    largest_difference: float
    environment_changes: list[str]


def reproduce_run(run: Run, data: Path | None = None) -> Reproduction:
    """Train a run again on its split, in a temporary folder inside it, and compare.

    Args:
        run: trained; a fold is one too.
        data: where its catalogue is now, if it has moved.

    Raises:
        BadInput: the run isn't finished, or the catalogue isn't the one it was split on.
    """
    run.require_model()
    galaxies = gather_galaxies(data or run.data["path"], run.recipe, skip_bad=True)
    require_same_galaxies(run, galaxies)
    path = run.path / run_files.METRICS
    known = read_json(path) if path.exists() else run_metrics(run)
    with locked(run), _emptied(run.path / ".reproduce") as folder:
        again = restart_run(folder / "run", run)
        train_run(again, galaxies)
        metrics = run_metrics(again)
        difference = max(
            _difference(old.path, new.path)
            for old, new in zip(run.members, again.members, strict=True)
        )
    same = metrics == known
    return Reproduction(difference == 0.0, same, difference, _environment_changes(run))


@contextmanager
def _emptied(folder: Path) -> Iterator[Path]:
    # A fixed name, so that the next call removes the files of a killed process.
    shutil.rmtree(folder, ignore_errors=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _difference(old: Path, new: Path) -> float:
    before, after = (load_file(folder / run_files.WEIGHTS) for folder in (old, new))
    return max(float(abs(before[name].astype(float) - after[name]).max()) for name in before)


def _environment_changes(run: Run) -> list[str]:
    before = read_json(run.path / run_files.ENVIRONMENT)
    now: dict = environment()
    flat_before, flat_now = ({**each, **dict(each["packages"])} for each in (before, now))
    return [
        f"{name}: {flat_before.get(name)} before, {flat_now[name]} now"
        for name in flat_now
        if name != "packages" and flat_before.get(name) != flat_now[name]
    ]
