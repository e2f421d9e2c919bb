"""What must not change a galaxy's morphology: the sky's symmetries, and how it was observed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F  # noqa: N812

from galaxymorph.base import Progress
from galaxymorph.judge.explain.explained_model import ExplainedModel, probabilities_of
from galaxymorph.judge.explain.shortcuts import effect
from galaxymorph.judge.metrics.bootstrap import Interval

# A check passes if at most this share of the answers changes, with 97.5 % confidence.
MOST_CHANGED = 0.05


@dataclass(frozen=True)
class Move:
    """How a galaxy's frame is laid over its image: turned (degrees), mirrored, shifted, enlarged.

    Args:
        turn: counter-clockwise.
        mirror: left and right exchanged.
        shift: of the frame's side, to the right and down by as much.
        enlarge: factor.
    """

    turn: float = 0.0
    mirror: bool = False
    shift: float = 0.0
    enlarge: float = 1.0


def moved(subject: ExplainedModel, rows: np.ndarray, move: Move) -> torch.Tensor:
    """Return galaxies as a moved frame sees them, shape (n, 3, size, size).

    Where the recipe leaves sky around the frame, that sky comes in; otherwise mirrored sky does.
    """
    frames = subject.frames[torch.as_tensor(rows)].float() / 255
    scale = subject.size / frames.shape[-1] / move.enlarge
    angle, sign = math.radians(move.turn), -1.0 if move.mirror else 1.0
    # The grid's range is -1 to 1, twice the frame's side.
    offset = -2 * move.shift * subject.size / frames.shape[-1]
    matrix = torch.tensor(
        [
            [scale * math.cos(angle) * sign, -scale * math.sin(angle), offset],
            [scale * math.sin(angle) * sign, scale * math.cos(angle), offset],
        ]
    )
    shape = [len(frames), 3, subject.size, subject.size]
    grid = F.affine_grid(matrix.expand(len(frames), 2, 3), shape, align_corners=False)
    return F.grid_sample(
        frames, grid, mode="bicubic", padding_mode="reflection", align_corners=False
    ).clamp(0, 1)


def dimmed(subject: ExplainedModel, rows: np.ndarray, factor: float) -> torch.Tensor:
    """Return galaxies with their light over the sky scaled; the sky stays as bright as it is."""
    sky = subject.sky[rows][:, :, None, None]
    return (sky + (subject.pixels(rows) - sky) * factor).clamp(0, 1)


def _move(**how: Any) -> Callable[[ExplainedModel, np.ndarray], torch.Tensor]:
    return lambda subject, rows: moved(subject, rows, Move(**how))


CHECKS: dict[str, Callable[[ExplainedModel, np.ndarray], torch.Tensor]] = {
    "turned by 90 degrees": _move(turn=90),
    "turned by 180 degrees": _move(turn=180),
    "turned by 45 degrees": _move(turn=45),
    "mirrored": _move(mirror=True),
    "dimmed to 0.7": lambda subject, rows: dimmed(subject, rows, 0.7),
    "dimmed to 0.5": lambda subject, rows: dimmed(subject, rows, 0.5),
    "shifted by 5 % of the frame": _move(shift=0.05),
    "enlarged by 1.1": _move(enlarge=1.1),
    "enlarged by 1.25": _move(enlarge=1.25),
}


def physics_checks(subject: ExplainedModel, rows: np.ndarray) -> list[dict[str, object]]:
    """Return a row a check: its effect, see `shortcuts.effect`, and its `verdict`.

    Args:
        subject: whose answers.
        rows: which galaxies.
    """
    checks, table = dict(CHECKS), []
    if not subject.run.recipe.flips:
        # Its classes may differ in handedness, which a mirror changes.
        del checks["mirrored"]
    with Progress("physics checks", len(rows) * (len(checks) + 1), "images") as progress:
        before = probabilities_of(subject, rows, subject.pixels, progress.advance)
        for name, change in checks.items():
            after = probabilities_of(subject, rows, partial(change, subject), progress.advance)
            found = effect(before, after, subject.seed)
            table.append({"check": name, **found, "verdict": verdict(found["changed"])})
    return table


def verdict(changed: Interval) -> str:
    """Return `pass`, `fail` or `undecided` of the share of answers that changes.

    By its exact 95 % interval (Clopper & Pearson 1934): `pass` where all of it is up to
    `MOST_CHANGED`, `fail` where all is above, so that a share on the other side has either verdict
    in 2.5 % of cases at most, whatever the number of galaxies. 72 without a change pass.
    """
    low, high = changed["low"], changed["high"]
    if high is not None and high <= MOST_CHANGED:
        return "pass"
    return "fail" if low is not None and low > MOST_CHANGED else "undecided"
