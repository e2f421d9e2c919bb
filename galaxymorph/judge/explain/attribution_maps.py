"""Attribution maps and neighbours of each galaxy, small enough for a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import Damaged, read_arrays, read_parquet, reading, replacing
from galaxymorph.judge.explain.neighbours import SIMILAR_WITHIN, nearest, typical_distance

# Cells on a side: at least those of any trunk's last feature maps at 448 pixels.
GRID = 14
MAPS, NEIGHBOURS = "maps.npz", "neighbours.parquet"
SHOWN = 6


def as_grids(maps: np.ndarray) -> np.ndarray:
    """Return attribution maps as grids of bytes, each galaxy's largest cell 255.

    Args:
        maps: at least 0, shape (n, side, side).

    Returns:
        uint8, shape (n, GRID, GRID).
    """
    side = (GRID, GRID)
    images = [Image.fromarray(image.astype(np.float32)) for image in maps]
    small = [np.asarray(image.resize(side, Image.Resampling.BOX)) for image in images]
    cells = np.stack(small)
    most = cells.max(axis=(1, 2), keepdims=True)
    return np.round(255 * cells / np.maximum(most, np.finfo(np.float32).tiny)).astype(np.uint8)


def write_grids(folder: Path, by_method: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> Path:
    """Write `maps.npz`: of each method the galaxies' names and their maps, see `as_grids`."""
    path = folder / MAPS
    arrays = {
        f"{content} {method}": values
        for method, (galaxies, maps) in by_method.items()
        for content, values in (("galaxy", np.array(galaxies, str)), ("maps", as_grids(maps)))
    }
    with replacing(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
    return path


def read_grids(folder: Path) -> dict[str, dict[str, np.ndarray]]:
    """Return the grid of each method by galaxy; none before `explain`."""
    path = folder / MAPS
    grids: dict[str, dict[str, np.ndarray]] = {}
    if not path.exists():
        return {}
    stored = read_arrays(path, remedy="explain again")
    for name in (key for key in stored if key.startswith("galaxy ")):
        method = name.removeprefix("galaxy ")
        galaxies, maps = stored[name].tolist(), stored.get(f"maps {method}", ())
        with reading(path, "explain again"):
            if len(galaxies) != len(maps):
                raise Damaged(f"{len(maps)} maps of {method} for {len(galaxies)} galaxies")
        for galaxy, grid in zip(galaxies, maps, strict=True):
            grids.setdefault(galaxy, {})[method] = grid
    return grids


def neighbour_table(
    galaxies: Sequence[str], embedding: np.ndarray, pictures: Sequence[object]
) -> pd.DataFrame:
    """Return each galaxy's `SHOWN` nearest: `galaxy`, `neighbour`, `distance`, the nearest first.

    `alike` is whether the distance is below `SIMILAR_WITHIN` times that of two random galaxies.

    Args:
        galaxies: names, n of them.
        embedding: see `whitened`, shape (n, components).
        pictures: a digest of each, see `nearest`.
    """
    rows = []
    limit = SIMILAR_WITHIN * typical_distance(embedding)
    for row, galaxy in enumerate(galaxies):
        near, away = nearest(embedding, pictures, row, SHOWN)
        rows += [
            (galaxy, galaxies[at], distance, distance < limit)
            for at, distance in zip(near, away, strict=True)
        ]
    return pd.DataFrame(rows, columns=["galaxy", "neighbour", "distance", "alike"])


def read_neighbours(folder: Path) -> dict[str, list[list]]:
    """Return each galaxy's nearest neighbours, the nearest first; none before `explain`.

    Each is its name, its distance, and whether it is alike.
    """
    path = folder / NEIGHBOURS
    if not path.exists():
        return {}
    columns = ["galaxy", "neighbour", "distance", "alike"]
    table = read_parquet(path, columns[:-1], "explain again")
    if "alike" not in table:
        # Tables of an earlier version lack it.
        table["alike"] = True
    neighbours: dict[str, list[list]] = {}
    for galaxy, *row in table[columns].itertuples(index=False, name=None):
        neighbours.setdefault(galaxy, []).append(row)
    return neighbours
