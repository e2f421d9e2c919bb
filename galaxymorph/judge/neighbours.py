"""Galaxies by what the network makes of them: a map, who is near whom, who is near nobody."""

from __future__ import annotations

import numpy as np

# Distances are taken along this many principal components, each scaled to unit variance, so
# that no one direction of the embedding decides.
COMPONENTS = 32
NEAREST = 5


def whitened(embedding: np.ndarray) -> np.ndarray:
    """Return the first principal components, each of unit variance, shape (n, at most 32)."""
    from sklearn.decomposition import PCA

    components = min(COMPONENTS, len(embedding) - 1, embedding.shape[1])
    return PCA(components, whiten=True, svd_solver="full").fit_transform(embedding)


def plane(embedding: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the first two principal components, shape (n, 2), and their shares of variance."""
    from sklearn.decomposition import PCA

    pca = PCA(2, svd_solver="full")
    return pca.fit_transform(embedding), pca.explained_variance_ratio_


def nearest(embedding: np.ndarray, row: int, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the rows nearest to one, itself left out, and their distances, both rising."""
    away = np.linalg.norm(embedding - embedding[row], axis=1)
    away[row] = np.inf
    order = np.argsort(away, kind="stable")[: min(most, len(away) - 1)]
    return order, away[order]


def anomaly(embedding: np.ndarray) -> np.ndarray:
    """Return each galaxy's mean distance to its `NEAREST` nearest, shape (n,).

    The distance to neighbours as a score of outliers: Angiulli & Pizzuti 2002 (PKDD).
    """
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=min(NEAREST, len(embedding) - 1)).fit(embedding)
    return near.kneighbors()[0].mean(axis=1)
