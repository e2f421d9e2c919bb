"""What `explain` found of each galaxy, kept small enough to stand in a page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import reading, replacing

# Cells on a side: at least those of any trunk's last feature maps at 448 pixels.
GRID = 14
MAPS, NEIGHBOURS = "gradcam.npz", "neighbours.parquet"
SHOWN = 6


def as_grids(maps: np.ndarray) -> np.ndarray:
    """Return maps of evidence as grids of bytes, each galaxy's largest cell 255.

    Args:
        maps: at least 0, shape (n, side, side).

    Returns:
        uint8, shape (n, GRID, GRID).
    """
    small = [
        np.asarray(Image.fromarray(each.astype(np.float32)).resize((GRID, GRID), Image.BOX))
        for each in maps
    ]
    cells = np.stack(small)
    most = cells.max(axis=(1, 2), keepdims=True)
    return np.round(255 * cells / np.maximum(most, np.finfo(np.float32).tiny)).astype(np.uint8)


def write_grids(folder: Path, galaxies: Sequence[str], maps: np.ndarray) -> Path:
    """Write `gradcam.npz`: names of galaxies, and their maps as `as_grids` makes them."""
    path = folder / MAPS
    with replacing(path) as temporary:
        np.savez_compressed(temporary, galaxy=np.array(galaxies, str), maps=as_grids(maps))
    return path


def read_grids(folder: Path) -> dict[str, np.ndarray]:
    """Return the grid of each galaxy, none where `explain` has written none."""
    path = folder / MAPS
    if not path.exists():
        return {}
    with reading(path, "explain again"), np.load(path) as stored:
        return dict(zip(stored["galaxy"].tolist(), stored["maps"], strict=True))


def neighbour_table(galaxies: Sequence[str], embedding: np.ndarray) -> pd.DataFrame:
    """Return each galaxy's `SHOWN` nearest: `galaxy`, `neighbour`, `distance`, the nearest first.

    Args:
        galaxies: names, n of them.
        embedding: see `whitened`, shape (n, components).
    """
    from sklearn.neighbors import NearestNeighbors

    names = np.array(galaxies, dtype=object)
    most = min(SHOWN, len(names) - 1)
    away, near = NearestNeighbors(n_neighbors=most).fit(embedding).kneighbors()
    return pd.DataFrame(
        {
            "galaxy": names.repeat(most),
            "neighbour": names[near.ravel()],
            "distance": away.ravel(),
        }
    )


def read_neighbours(folder: Path) -> dict[str, list[str]]:
    """Return each galaxy's nearest, the nearest first, none where `explain` has written none."""
    path = folder / NEIGHBOURS
    if not path.exists():
        return {}
    with reading(path, "explain again"):
        table = pd.read_parquet(path)
        return table.groupby("galaxy", sort=False)["neighbour"].agg(list).to_dict()
