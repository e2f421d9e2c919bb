"""Whether a network looks at the galaxy: true masks, and images without what it shouldn't need."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch

from galaxymorph.base import Progress, Registry
from galaxymorph.judge.explain.explained_model import ExplainedModel, framed_masks, probabilities_of
from galaxymorph.judge.metrics.bootstrap import Interval, mean_interval, proportion, ratio_interval

# A feature that covers less of the frame than this can't be looked at.
LEAST_AREA = 0.002
# Galaxies of an answer, below which no share is worth its interval.
LEAST_GALAXIES = 5
MASKS = "masks"


def mask_folder(subject: ExplainedModel) -> Path | None:
    """Return the folder of a simulated catalogue's true masks, if it has one."""
    folder = subject.data / MASKS
    return folder if folder.is_dir() else None


def true_masks(subject: ExplainedModel, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the true masks by feature: boolean, shape (n, size, size).

    Raises:
        BadInput: a galaxy has no mask.
    """
    from galaxymorph.survey import MASK_BITS, read_masks

    recipe, folder = subject.run.recipe, subject.data / MASKS
    found: dict[str, list[np.ndarray]] = {name: [] for name in MASK_BITS}
    with Progress("reading masks", len(rows), "galaxies") as progress:
        for galaxy in subject.table["galaxy"].iloc[rows]:
            masks = read_masks(folder / f"{galaxy}.png")
            names = list(found)
            for group in (names[:3], names[3:]):
                framed = framed_masks(
                    np.stack([masks[name] for name in group], axis=2), recipe.crop, recipe.size
                )
                for at, name in enumerate(group):
                    found[name].append(framed[..., at])
            progress.advance()
    return {name: np.stack(each) for name, each in found.items()}


def evidence_on_features(
    subject: ExplainedModel, rows: np.ndarray, maps: np.ndarray, masks: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Return, by answer and feature, the share of the evidence on the feature over its area.

    `times chance` is the mean share over the mean area: 1 is what a map that knows nothing gets.
    `light` is the same of a map that is the galaxy's brightness over the sky: what a network
    would get that looks where the light is.

    Args:
        subject: whose galaxies.
        rows: which of them have maps.
        maps: shape (n, size, size).
        masks: by feature, of the same galaxies.
    """
    light = (subject.pixels(rows) - subject.sky[rows][:, :, None, None]).mean(dim=1)
    brightness = light.relu().numpy()
    answers = subject.table["answer"].iloc[rows].to_numpy()
    table = []
    for answer in subject.answers:
        for feature, mask in masks.items():
            area = mask.mean(axis=(1, 2))
            of = (answers == answer) & (area >= LEAST_AREA) & (maps.sum(axis=(1, 2)) > 0)
            if of.sum() < LEAST_GALAXIES:
                continue
            share, lit = (_share_on(each[of], mask[of]) for each in (maps, brightness))
            table.append(
                {
                    "answer": answer,
                    "feature": feature,
                    "galaxies": int(of.sum()),
                    "share": mean_interval(share, subject.seed),
                    "area": float(area[of].mean()),
                    "times chance": ratio_interval(share, area[of], subject.seed),
                    "light": ratio_interval(lit, area[of], subject.seed),
                }
            )
    return table


def _share_on(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return (maps * masks).sum(axis=(1, 2)) / np.maximum(maps.sum(axis=(1, 2)), 1e-12)


@dataclass(frozen=True)
class Change:
    """An entry of `CHANGES`.

    Args:
        label: in words.
        apply: from a subject and some of its rows to changed pixels, shape (n, 3, size, size).
        affects: from a subject to which galaxies have what is changed, boolean, shape (n,).
    """

    label: str
    apply: Callable[[ExplainedModel, np.ndarray], torch.Tensor]
    affects: Callable[[ExplainedModel], np.ndarray]


def _with_sky(subject: ExplainedModel, rows: np.ndarray, where: np.ndarray) -> torch.Tensor:
    """Return pixels with the image's sky colour in some places."""
    mask = torch.from_numpy(where)[:, None]
    return torch.where(mask, subject.sky[rows][:, :, None, None], subject.pixels(rows))


def _flat_background(subject: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    return _with_sky(subject, rows, ~subject.own[rows])


def _other_background(subject: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    """Return galaxies on the background of others, whose own place shows those others' sky."""
    rng = np.random.default_rng([subject.seed, int(rows[0])])
    candidates = np.flatnonzero(_found(subject))
    donors = rng.choice(candidates, len(rows))
    background = _with_sky(subject, donors, subject.own[donors])
    return torch.where(
        torch.from_numpy(subject.own[rows])[:, None], subject.pixels(rows), background
    )


def _without_others(subject: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    return _with_sky(subject, rows, subject.others[rows])


def _without_galaxy(subject: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    return _with_sky(subject, rows, subject.own[rows])


def _grey(subject: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    pixels = subject.pixels(rows)
    return pixels.mean(dim=1, keepdim=True).expand_as(pixels)


def _found(subject: ExplainedModel) -> np.ndarray:
    return np.asarray(subject.own.any(axis=(1, 2)) & ~subject.own.all(axis=(1, 2)))


def _accompanied(subject: ExplainedModel) -> np.ndarray:
    return _found(subject) & (subject.others.mean(axis=(1, 2)) >= LEAST_AREA)


def _all(subject: ExplainedModel) -> np.ndarray:
    return np.ones(len(subject.table), bool)


CHANGES: Registry[Change] = Registry("change of images")
for name, change in {
    "flat background": Change("background replaced by flat sky", _flat_background, _found),
    "other background": Change("background of another galaxy", _other_background, _found),
    "no others": Change("other sources masked", _without_others, _accompanied),
    "no colour": Change("colour turned off", _grey, _all),
    "no galaxy": Change("the galaxy itself masked", _without_galaxy, _found),
}.items():
    CHANGES.register(name, change)


def shortcut_table(subject: ExplainedModel, rows: np.ndarray) -> list[dict[str, object]]:
    """Return how often the answer changes when the image loses what shouldn't matter.

    The last row is the other way round: where the galaxy itself is gone, an answer that stays is
    one that the background gives. See `effect`. With true masks a row for companions is added.

    Args:
        subject: whose answers.
        rows: which galaxies are tried, where they have what is changed.
    """
    changes = dict(CHANGES)
    if mask_folder(subject):
        changes = {"no companion": _companion_change(subject, rows)} | changes
    with Progress("shortcuts", len(rows) * (len(changes) + 1), "images") as progress:
        before = probabilities_of(subject, rows, subject.pixels, progress.advance)
        table = []
        for change in changes.values():
            affected = change.affects(subject)[rows]
            some = rows[affected]
            after = probabilities_of(
                subject, some, partial(change.apply, subject), progress.advance
            )
            progress.advance(len(rows) - len(some))
            if len(some):
                change_effect = effect(before[affected], after, subject.seed)
                table.append({"change": change.label, **change_effect})
    return table


def _companion_change(subject: ExplainedModel, rows: np.ndarray) -> Change:
    masks = np.zeros_like(subject.others)
    masks[rows] = true_masks(subject, rows)["companion"]
    return Change(
        "true companion masked",
        lambda subject, at: _with_sky(subject, at, masks[at]),
        lambda subject: masks.mean(axis=(1, 2)) >= LEAST_AREA,
    )


class Effect(TypedDict):
    """What a change of images does to answers, see `effect`."""

    galaxies: int
    changed: Interval
    distance: Interval


def effect(before: np.ndarray, after: np.ndarray, seed: int) -> Effect:
    """Return what a change of images does to answers.

    `changed` is the share of galaxies with another largest answer, `distance` the mean total
    variation (half the sum of absolute differences: 0 the same, 1 disjoint), with intervals: of
    the share exact (Clopper & Pearson 1934), of the mean by percentile bootstrap.

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
