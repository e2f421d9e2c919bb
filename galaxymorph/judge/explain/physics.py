"""Changes after which a galaxy's morphology is the same: symmetries of the sky, and observation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from galaxymorph.base import Registry
from galaxymorph.judge.explain.changes import Change, effects_of
from galaxymorph.judge.explain.explained_model import ExplainedModel
from galaxymorph.judge.metrics.bootstrap import Interval
from galaxymorph.learn import light_of, light_of_values, network_values

# A check passes if at most this share of the answers changes, with 97.5 % confidence.
MOST_CHANGED = 0.05


@dataclass(frozen=True)
class Transform:
    """How a galaxy's frame is laid over its image.

    Args:
        rotation: in degrees, counter-clockwise.
        mirror: whether left and right are exchanged.
        shift: of the frame's side, to the right and down by as much.
        scale: factor of enlargement.
    """

    rotation: float = 0.0
    mirror: bool = False
    shift: float = 0.0
    scale: float = 1.0


def transformed(model: ExplainedModel, rows: np.ndarray, transform: Transform) -> torch.Tensor:
    """Return galaxies in a transformed frame, shape (n, channels, size, size).

    Where the recipe leaves sky around the frame, that sky comes in; otherwise mirrored sky does.
    """
    recipe = model.run.recipe
    frames = light_of(model.frames[torch.as_tensor(rows)], recipe)
    scale = model.size / frames.shape[-1] / transform.scale
    angle, sign = math.radians(transform.rotation), -1.0 if transform.mirror else 1.0
    # The grid's range is -1 to 1, twice the frame's side.
    offset = -2 * transform.shift * model.size / frames.shape[-1]
    matrix = torch.tensor(
        [
            [scale * math.cos(angle) * sign, -scale * math.sin(angle), offset],
            [scale * math.sin(angle) * sign, scale * math.cos(angle), offset],
        ]
    )
    shape = [*frames.shape[:2], model.size, model.size]
    grid = F.affine_grid(matrix.expand(len(frames), 2, 3), shape, align_corners=False)
    light = F.grid_sample(
        frames, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    )
    return network_values(light, recipe)


def dimmed(model: ExplainedModel, rows: np.ndarray, factor: float) -> torch.Tensor:
    """Return galaxies with their light above the background level scaled."""
    recipe = model.run.recipe
    values = (model.sky[rows][:, :, None, None], model.pixels(rows))
    sky, light = (light_of_values(each, recipe) for each in values)
    return network_values(sky + (light - sky) * factor, recipe)


def _keeps_handedness(model: ExplainedModel) -> np.ndarray:
    """Return whether a mirrored galaxy is of the same class, which `--no-flips` denies."""
    return np.full(len(model.table), model.run.recipe.flips)


PHYSICS_CHECKS: Registry[Change] = Registry("physics check")
for name, check in {
    "rotated by 90 degrees": Change(partial(transformed, transform=Transform(rotation=90))),
    "rotated by 180 degrees": Change(partial(transformed, transform=Transform(rotation=180))),
    "rotated by 45 degrees": Change(partial(transformed, transform=Transform(rotation=45))),
    "mirrored": Change(partial(transformed, transform=Transform(mirror=True)), _keeps_handedness),
    "dimmed to 0.7": Change(partial(dimmed, factor=0.7)),
    "dimmed to 0.5": Change(partial(dimmed, factor=0.5)),
    "shifted by 5 % of the frame": Change(partial(transformed, transform=Transform(shift=0.05))),
    "enlarged by 1.1": Change(partial(transformed, transform=Transform(scale=1.1))),
    "enlarged by 1.25": Change(partial(transformed, transform=Transform(scale=1.25))),
}.items():
    PHYSICS_CHECKS.register(name, check)


def physics_checks(model: ExplainedModel, rows: np.ndarray) -> list[dict[str, object]]:
    """Return a row for each of `PHYSICS_CHECKS`: its `Effect` and its `verdict`.

    Args:
        model: whose answers.
        rows: of the galaxies.
    """
    effects = effects_of(PHYSICS_CHECKS, model, rows, "physics checks")
    return [
        {"check": name, **effect, "verdict": verdict(effect["changed"])}
        for name, effect in effects.items()
    ]


def verdict(changed: Interval) -> str:
    """Return `pass`, `fail` or `undecided` of the fraction of predictions that changes.

    By its exact 95 % interval (Clopper & Pearson 1934): `pass` where all of it is up to
    `MOST_CHANGED`, `fail` where all is above, so that a share on the other side has either verdict
    in 2.5 % of cases at most, whatever the number of galaxies. 72 without a change pass.
    """
    low, high = changed["low"], changed["high"]
    if high is not None and high <= MOST_CHANGED:
        return "pass"
    return "fail" if low is not None and low > MOST_CHANGED else "undecided"
