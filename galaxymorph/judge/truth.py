"""What only a simulation knows of its galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.zoo import Tree

TRUTH = "truth.parquet"
# Before an answer's column: the fraction that its votes are drawn from.
EXPECTED = "expected_"


def read_truth(folder: Path) -> pd.DataFrame | None:
    """Return a catalogue's true parameters, a row a galaxy by its id, or None if there are none."""
    path = folder / TRUTH
    if not path.is_file():
        return None
    truth = pd.read_parquet(path)
    return truth.set_index(truth["GalaxyID"].astype(str))


def expected_fractions(folder: Path, galaxies: Sequence[str], tree: Tree) -> np.ndarray | None:
    """Return the fractions that votes were drawn from, shape (n, answers), or None.

    None where the catalogue isn't simulated, or lacks a galaxy or an answer.
    """
    truth = read_truth(folder)
    columns = [EXPECTED + name for name in tree.columns]
    if truth is None or not set(columns) <= set(truth) or not set(galaxies) <= set(truth.index):
        return None
    return truth.loc[list(galaxies), columns].to_numpy(float)
