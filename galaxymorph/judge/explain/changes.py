"""Changes of images and their effect on predictions, for shortcuts and physics checks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

import numpy as np
import torch

from galaxymorph.base import Progress
from galaxymorph.judge.explain.explained_model import ExplainedModel, probabilities_of
from galaxymorph.judge.metrics.bootstrap import Interval, mean_interval, proportion


def _all_galaxies(model: ExplainedModel) -> np.ndarray:
    return np.ones(len(model.table), bool)


@dataclass(frozen=True)
class Change:
    """An entry of `CHANGES` or `PHYSICS_CHECKS`, by its name in words.

    Args:
        apply: from a model and some of its rows to changed pixels, shape (n, 3, size, size).
        affects: from a model to the galaxies that it changes, boolean, shape (n,).
    """

    apply: Callable[[ExplainedModel, np.ndarray], torch.Tensor]
    affects: Callable[[ExplainedModel], np.ndarray] = _all_galaxies


class Effect(TypedDict):
    """The effect of a change of images on answers.

    Args:
        galaxies: their number.
        changed: the share of galaxies with another most probable answer, with its exact interval
            (Clopper & Pearson 1934).
        distance: the mean total variation distance, half the sum of absolute differences (0 the
            same, 1 disjoint), with its percentile bootstrap interval.
    """

    galaxies: int
    changed: Interval
    distance: Interval


def effects_of(
    changes: Mapping[str, Change], model: ExplainedModel, rows: np.ndarray, title: str
) -> dict[str, Effect]:
    """Return the effect of each change on the answers to the galaxies that it affects, if any.

    Args:
        changes: by name.
        model: whose answers.
        rows: of the galaxies.
        title: of the progress.
    """
    effects = {}
    with Progress(title, len(rows) * (len(changes) + 1), "images") as progress:
        before = probabilities_of(model, rows, model.pixels, progress.advance)
        for name, change in changes.items():
            affected = change.affects(model)[rows]
            changed = partial(change.apply, model)
            after = probabilities_of(model, rows[affected], changed, progress.advance)
            progress.advance(int((~affected).sum()))
            if affected.any():
                effects[name] = effect(before[affected], after, model.seed)
    return effects


def effect(before: np.ndarray, after: np.ndarray, seed: int) -> Effect:
    """Return the effect of a change of images on answers.

    Args:
        before: probabilities, shape (n, answers).
        after: likewise.
        seed: of the resampling.
    """
    changed = before.argmax(axis=1) != after.argmax(axis=1)
    return {
        "galaxies": len(before),
        "changed": proportion(int(changed.sum()), len(changed), "exact"),
        "distance": mean_interval(np.abs(before - after).sum(axis=1) / 2, seed),
    }
