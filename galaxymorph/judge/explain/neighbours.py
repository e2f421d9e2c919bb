"""Galaxies in the space of the network's embedding: a map, nearest neighbours, outliers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

import numpy as np

# Distances are taken along at most this many principal components, each scaled to unit variance,
# so that no one direction of the embedding decides; and along one for so many galaxies, since in
# as many dimensions as there are galaxies all are equally far from each other.
COMPONENTS, A_COMPONENT = 32, 8
NEAREST = 5
# A neighbour is alike where it is nearer than this share of the median distance of any two.
SIMILAR_WITHIN = 0.8
# Pairs that the median is taken of.
PAIRS = 20_000


def whitened(embedding: np.ndarray) -> np.ndarray:
    """Return the first principal components, each of unit variance, shape (n, at most 32)."""
    from sklearn.decomposition import PCA

    most = min(COMPONENTS, len(embedding) - 1, embedding.shape[1])
    components = min(most, max(2, len(embedding) // A_COMPONENT))
    return PCA(components, whiten=True, svd_solver="full").fit_transform(embedding)


def plane(embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components, shape (n, 2), and their shares of variance."""
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    return pca.fit_transform(embedding), pca.explained_variance_ratio_


def typical_distance(embedding: np.ndarray) -> float:
    """Return the median distance of two rows, of `PAIRS` random pairs; NaN of fewer than two."""
    n = len(embedding)
    if n < 2:
        return float("nan")
    one, step = np.random.default_rng(0).integers((0, 1), n, (PAIRS, 2)).T
    return float(np.median(np.linalg.norm(embedding[one] - embedding[(one + step) % n], axis=1)))


def nearest(
    embedding: np.ndarray, pictures: Sequence[object], row: int, most: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows nearest to one and their distances, both rising.

    Args:
        embedding: see `whitened`, shape (n, components).
        pictures: a digest of each row's picture: rows with the same one are left out.
        row: whose neighbours.
        most: number of rows returned.
    """
    away = np.linalg.norm(embedding - embedding[row], axis=1)
    same = np.array([picture == pictures[row] for picture in pictures])
    order = np.argsort(np.where(same, np.inf, away), kind="stable")[: min(most, (~same).sum())]
    return order, away[order]


def digests(frames: Iterable[np.ndarray]) -> list[bytes]:
    """Return a digest of each picture's pixels, of shape (n, …)."""
    return [sha256(np.ascontiguousarray(frame).tobytes()).digest() for frame in frames]


def anomaly(embedding: np.ndarray) -> np.ndarray:
    """Return each galaxy's mean distance to its `NEAREST` nearest, shape (n,).

    The distance to neighbours as a score of outliers: Angiulli & Pizzuti 2002 (PKDD).
    """
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(NEAREST, len(embedding) - 1)).fit(embedding)
    return near.kneighbors()[0].mean(axis=1)
