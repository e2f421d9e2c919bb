"""True parameters, expected vote fractions and class probabilities of simulated galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import read_parquet
from galaxymorph.learn import Run, target_of
from galaxymorph.zoo import (
    EXPECTED,
    GALAXY_ZOO_CHALLENGE,
    SCHEMES,
    Tree,
    assign_labels,
    draw_votes,
    prefixed,
)

TRUTH = "truth.parquet"
# How many volunteers each galaxy had.
VOLUNTEERS = "shown"
# Ballots a galaxy: a chance of a half is known to 0.025 (1 sigma).
BALLOTS = 400


def read_truth(folder: Path) -> pd.DataFrame | None:
    """Return a catalogue's true parameters, a row a galaxy by its id, or None if there are none."""
    path = folder / TRUTH
    if not path.is_file():
        return None
    truth = read_parquet(path, ["GalaxyID"], "simulate the catalogue again")
    return truth.set_index(truth["GalaxyID"].astype(str))


def expected_fractions(folder: Path, galaxies: Sequence[str], tree: Tree) -> np.ndarray | None:
    """Return the fractions that votes were drawn from, shape (n, answers), or None.

    None where the catalogue isn't simulated, or lacks a galaxy or an answer.
    """
    truth = read_truth(folder)
    columns = prefixed(EXPECTED, tree.columns)
    if truth is None or not set(columns) <= set(truth) or not set(galaxies) <= set(truth.index):
        return None
    return truth.loc[list(galaxies), columns].to_numpy(float)


def class_chances(run: Run, galaxies: Sequence[str], seed: int) -> np.ndarray | None:
    """Return the chance of each class for simulated galaxies, shape (n, classes), or None.

    Of `BALLOTS` draws of the votes of as many volunteers, these are the fractions to which the
    run's scheme assigns each class, among those to which it assigns any. None where the catalogue
    isn't simulated, or the run's classes aren't of a scheme.

    Args:
        run: of classes.
        galaxies: of its catalogue.
        seed: of the draws.
    """
    tree, recipe = GALAXY_ZOO_CHALLENGE, run.recipe
    if recipe.labels_column or target_of(recipe).soft:
        return None
    folder = Path(run.data["path"])
    expected = expected_fractions(folder, galaxies, tree)
    truth = read_truth(folder)
    if expected is None or truth is None or VOLUNTEERS not in truth:
        return None
    volunteers = truth.loc[list(galaxies), VOLUNTEERS].to_numpy(int)
    rng = np.random.default_rng(seed)
    counts = draw_votes(tree, expected, np.tile(volunteers, (BALLOTS, 1)), rng)
    fractions = (counts / volunteers[:, None]).reshape(-1, len(tree.columns))
    labels = assign_labels(SCHEMES[recipe.scheme], pd.DataFrame(fractions, columns=tree.columns))
    label = labels["label"].to_numpy().reshape(BALLOTS, -1)
    kept = labels["kept"].to_numpy().reshape(BALLOTS, -1)
    chances = np.stack([((label == name) & kept).sum(axis=0) for name in run.classes], axis=1)
    # NaN for a galaxy that no ballot keeps.
    total = chances.sum(axis=1, keepdims=True)
    return np.divide(chances, total, out=np.full(chances.shape, np.nan), where=total > 0)
