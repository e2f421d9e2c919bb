"""Shortcuts: predictions that depend on the background or other sources, by masks and changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from galaxymorph.base import Progress, Registry
from galaxymorph.judge.explain.changes import Change, effects_of
from galaxymorph.judge.explain.explained_model import ExplainedModel, framed_masks
from galaxymorph.judge.metrics.bootstrap import mean_interval, ratio_interval

# Least fraction of the frame that a tested feature covers.
LEAST_AREA = 0.002
# Least galaxies of an answer for which a fraction is estimated.
LEAST_GALAXIES = 5
MASKS = "masks"


def mask_folder(model: ExplainedModel) -> Path | None:
    """Return the folder of a simulated catalogue's true masks, if it has one."""
    folder = model.data / MASKS
    return folder if folder.is_dir() else None


def true_masks(model: ExplainedModel, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return the true masks by feature: boolean, shape (n, size, size).

    Raises:
        BadInput: a galaxy has no mask.
    """
    from galaxymorph.survey import MASK_BITS, read_masks

    recipe, folder, names = model.run.recipe, model.data / MASKS, list(MASK_BITS)
    masks: dict[str, list[np.ndarray]] = {name: [] for name in names}
    with Progress("reading masks", len(rows), "galaxies") as progress:
        for galaxy in model.table["galaxy"].iloc[rows]:
            whole = read_masks(folder / f"{galaxy}.png")
            # An image has three channels.
            for group in (names[:3], names[3:]):
                stacked = np.stack([whole[name] for name in group], axis=2)
                framed = framed_masks(stacked, recipe.crop, recipe.size)
                for at, name in enumerate(group):
                    masks[name].append(framed[..., at])
            progress.advance()
    return {name: np.stack(framed) for name, framed in masks.items()}


def attribution_on_features(
    model: ExplainedModel, rows: np.ndarray, maps: np.ndarray, masks: dict[str, np.ndarray]
) -> list[dict[str, object]]:
    """Return, by answer and feature, the share of the attribution on the feature over its area.

    `times chance` is the mean share over the mean area: 1 for a map without information. `light` is
    the same ratio of the galaxy's brightness above the background in place of a map.

    Args:
        model: whose galaxies.
        rows: of the galaxies that have maps.
        maps: shape (n, size, size).
        masks: by feature, of the same galaxies.
    """
    light = (model.pixels(rows) - model.sky[rows][:, :, None, None]).mean(dim=1)
    brightness = light.relu().numpy()
    answers = model.table["answer"].iloc[rows].to_numpy()
    table = []
    for answer in model.answers:
        for feature, mask in masks.items():
            area = mask.mean(axis=(1, 2))
            chosen = (answers == answer) & (area >= LEAST_AREA) & (maps.sum(axis=(1, 2)) > 0)
            if chosen.sum() < LEAST_GALAXIES:
                continue
            share, of_light = (
                _share_on(images[chosen], mask[chosen]) for images in (maps, brightness)
            )
            table.append(
                {
                    "answer": answer,
                    "feature": feature,
                    "galaxies": int(chosen.sum()),
                    "share": mean_interval(share, model.seed),
                    "area": float(area[chosen].mean()),
                    "times chance": ratio_interval(share, area[chosen], model.seed),
                    "light": ratio_interval(of_light, area[chosen], model.seed),
                }
            )
    return table


def _share_on(maps: np.ndarray, masks: np.ndarray) -> np.ndarray:
    return (maps * masks).sum(axis=(1, 2)) / np.maximum(maps.sum(axis=(1, 2)), 1e-12)


def _with_sky(model: ExplainedModel, rows: np.ndarray, masks: np.ndarray) -> torch.Tensor:
    """Return pixels, those in masks at the image's background level."""
    sky = model.sky[rows][:, :, None, None]
    return torch.where(torch.from_numpy(masks)[:, None], sky, model.pixels(rows))


def _other_background(model: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    """Return galaxies on the background of others, whose galaxies are replaced by their sky."""
    rng = np.random.default_rng([model.seed, int(rows[0])])
    donors = rng.choice(np.flatnonzero(_segmented(model)), len(rows))
    background = _with_sky(model, donors, model.galaxy_masks[donors])
    masks = torch.from_numpy(model.galaxy_masks[rows])[:, None]
    return torch.where(masks, model.pixels(rows), background)


def _grey(model: ExplainedModel, rows: np.ndarray) -> torch.Tensor:
    pixels = model.pixels(rows)
    return pixels.mean(dim=1, keepdim=True).expand_as(pixels)


def _segmented(model: ExplainedModel) -> np.ndarray:
    """Return whether a galaxy is detected and doesn't fill the frame, boolean, shape (n,)."""
    masks = model.galaxy_masks
    return np.asarray(masks.any(axis=(1, 2)) & ~masks.all(axis=(1, 2)))


def _accompanied(model: ExplainedModel) -> np.ndarray:
    return _segmented(model) & (model.other_masks.mean(axis=(1, 2)) >= LEAST_AREA)


CHANGES: Registry[Change] = Registry("change of images")
for name, change in {
    "background replaced by flat sky": Change(
        lambda model, rows: _with_sky(model, rows, ~model.galaxy_masks[rows]), _segmented
    ),
    "background of another galaxy": Change(_other_background, _segmented),
    "other sources masked": Change(
        lambda model, rows: _with_sky(model, rows, model.other_masks[rows]), _accompanied
    ),
    "colour removed": Change(_grey),
    "the galaxy itself masked": Change(
        lambda model, rows: _with_sky(model, rows, model.galaxy_masks[rows]), _segmented
    ),
}.items():
    CHANGES.register(name, change)


def shortcut_table(model: ExplainedModel, rows: np.ndarray) -> list[dict[str, object]]:
    """Return the `Effect` of each of `CHANGES`, and with true masks of masking companions.

    The last is the opposite of the others: if the galaxy is masked, an unchanged answer depends on
    the background.

    Args:
        model: whose answers.
        rows: of the galaxies.
    """
    changes = dict(CHANGES)
    if mask_folder(model):
        changes = {"true companion masked": _companion_change(model, rows)} | changes
    effects = effects_of(changes, model, rows, "shortcuts")
    return [{"change": name, **effect} for name, effect in effects.items()]


def _companion_change(model: ExplainedModel, rows: np.ndarray) -> Change:
    masks = np.zeros_like(model.other_masks)
    masks[rows] = true_masks(model, rows)["companion"]
    return Change(
        lambda model, some: _with_sky(model, some, masks[some]),
        lambda model: masks.mean(axis=(1, 2)) >= LEAST_AREA,
    )
