"""Simple galaxies, made in no time: enough to see every step work, and no likeness of the sky.

Smooth ellipses, thin edge-on disks and clumpy pairs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import replace_folder
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, to_cumulative

SIDE = 424
KINDS = ("elliptical", "spiral", "irregular")
COLOURS = {
    "elliptical": (1.0, 0.82, 0.62),
    "spiral": (0.95, 0.85, 0.8),
    "irregular": (0.75, 0.85, 1.0),
}
# The answer that most volunteers give on the way down the tree.
ANSWERS = {
    "elliptical": ("Class1.1", "Class6.2", "Class7.2"),
    "spiral": ("Class1.2", "Class2.1", "Class6.2", "Class9.1"),
    "irregular": (
        *("Class1.2", "Class2.2", "Class3.2", "Class4.2", "Class5.2"),
        *("Class6.1", "Class8.4"),
    ),
}
FIRST = 100001
ROWS, COLUMNS = np.mgrid[:SIDE, :SIDE] - SIDE / 2


def simple_galaxies(folder: Path, seed: int, number: int) -> Path:
    """Make galaxies in the Kaggle layout; return the folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with replace_folder(folder) as temporary:
        images = temporary / "images_training_rev1"
        images.mkdir()
        votes = []
        for at in range(number):
            rng = np.random.default_rng([seed, at])
            # One in six is of each rarer kind, as in the sky ellipticals prevail.
            kind = KINDS[(0, 0, 1, 0, 0, 2)[at % 6]]
            Image.fromarray(render(kind, rng)).save(images / f"{FIRST + at}.jpg", quality=92)
            votes.append(_votes(kind, rng))
        table = pd.DataFrame(np.concatenate(votes).round(6), columns=GALAXY_ZOO_CHALLENGE.columns)
        table.insert(0, "GalaxyID", range(FIRST, FIRST + number))
        table.to_csv(temporary / "training_solutions_rev1.csv", index=False)
    return folder


def render(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return one galaxy with field stars and noise: uint8, shape (424, 424, 3)."""
    light = np.zeros((SIDE, SIDE))
    angle = rng.uniform(0, np.pi)
    if kind == "elliptical":
        light += _blob(0, 0, rng.uniform(18, 40), rng.uniform(0.5, 1.0), angle, 0.35)
    elif kind == "spiral":
        size = rng.uniform(45, 75)
        light += _blob(0, 0, size, rng.uniform(0.1, 0.2), angle, 1.0)
        light += 0.8 * _blob(0, 0, size / 5, 0.8, angle, 0.6)
    else:
        light += 0.5 * _blob(0, 0, rng.uniform(30, 50), rng.uniform(0.5, 0.8), angle, 1.0)
        for _ in range(rng.integers(4, 9)):
            x, y = rng.normal(0, 32, 2)
            light += rng.uniform(0.3, 0.9) * _blob(
                x, y, rng.uniform(5, 14), rng.uniform(0.5, 1), rng.uniform(0, np.pi), 0.8
            )
    colour = np.array(COLOURS[kind]) * rng.uniform(0.9, 1.1, 3)
    picture = rng.uniform(150, 230) * light[..., None] * colour
    for _ in range(rng.integers(0, 5)):
        x, y = rng.uniform(-SIDE / 2, SIDE / 2, 2)
        picture += rng.uniform(50, 250) * _blob(x, y, rng.uniform(2, 4), 1, 0, 1)[..., None]
    picture += rng.normal(9, 5, picture.shape)
    return picture.clip(0, 255).astype(np.uint8)


def _blob(x: float, y: float, size: float, ratio: float, angle: float, index: float) -> np.ndarray:
    """Return exp(-r^(2 index)) on an ellipse of half-length `size` and axis ratio `ratio`."""
    dx, dy = COLUMNS - x, ROWS - y
    along = dx * np.cos(angle) + dy * np.sin(angle)
    across = (dy * np.cos(angle) - dx * np.sin(angle)) / ratio
    return np.exp(-(((along**2 + across**2) / size**2) ** index))


def _votes(kind: str, rng: np.random.Generator) -> np.ndarray:
    """Return cumulative vote fractions, shape (1, 37), most of them for the kind's answers."""
    tree = GALAXY_ZOO_CHALLENGE
    conditional = np.zeros(len(tree.columns))
    for members in tree.membership.astype(bool):
        favoured = [tree.columns[at] in ANSWERS[kind] for at in np.flatnonzero(members)]
        conditional[members] = rng.dirichlet(np.where(favoured, 60.0, 1.0))
    return to_cumulative(tree, conditional[None])
