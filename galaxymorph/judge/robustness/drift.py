"""Drift between a run's training images and others: of the whole set, and of each image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

# Images of each side that are compared: enough for any difference that matters.
MOST = 256
LEAST = 40
PERMUTATIONS = 500
# When to warn: hardly chance, and large enough to matter. With hundreds of images any catalogue
# differs from another significantly.
LEVEL, EFFECT = 0.01, 0.7
# Embedding dimensions that the classifier of the effect size gets, and its folds.
DIMENSIONS, FOLDS = 32, 5
NEIGHBOURS = 10
# New embeddings whose distances are computed at once: 20 MB.
CHUNK = 1024


@dataclass(frozen=True)
class Drift:
    """How far two sets of embeddings differ.

    Args:
        mmd: squared maximum mean discrepancy, unbiased, so that it can be below 0.
        p: share of permutations that differ at least as much.
        auroc: of a linear classifier that tells the two sets apart, cross-validated: 0.5 when it
            can't, 1 when it always can.
    """

    mmd: float
    p: float
    auroc: float

    @property
    def warns(self) -> bool:
        """Whether the drift is significant and large."""
        return self.p < LEVEL and self.auroc > EFFECT


def drift_between(known: np.ndarray, new: np.ndarray, seed: int) -> Drift:
    """Return how far new embeddings differ from known ones, of at most `MOST` drawn from each.

    The test is Gretton et al.'s (2012, JMLR 13, 723): the unbiased squared maximum mean discrepancy
    (eq. 3) of a Gaussian kernel whose width is the median distance (section 8), by permutation.

    Args:
        known: shape (n, features), of galaxies that no model was trained on, such as the validation
            part: training galaxies lie closer to their classes than any new ones.
        new: shape (m, features).
        seed: of the draw, the permutations and the classifier's folds.
    """
    rng = np.random.default_rng(seed)
    known, new = (
        side[rng.choice(len(side), min(len(side), MOST), replace=False)] for side in (known, new)
    )
    both = np.concatenate([known, new]).astype(float)
    is_new = np.arange(len(both)) >= len(known)
    kernel = _kernel(both)
    mmd = _mmd(kernel, is_new[None])[0]
    shuffled = _mmd(kernel, np.stack([rng.permutation(is_new) for _ in range(PERMUTATIONS)]))
    p = (1 + int((shuffled >= mmd).sum())) / (1 + PERMUTATIONS)
    return Drift(float(mmd), p, _auroc(both, is_new, seed))


def neighbour_distance(known: np.ndarray, new: np.ndarray) -> np.ndarray:
    """Return how far each new embedding is from its tenth-nearest known one, shape (m,).

    Both are scaled to length 1 first (Sun et al. 2022, ICML, eq. 3), so it lies from 0 to 2.
    """
    # scikit-learn's neighbours take as long to import as a network to load.
    known, new = unit_vectors(known), unit_vectors(new)
    last = min(NEIGHBOURS, len(known)) - 1
    half_squares = np.square(known).sum(axis=1) / 2
    distances = np.empty(len(new))
    for start in range(0, len(new), CHUNK):
        part = new[start : start + CHUNK]
        at = np.argpartition(half_squares - part @ known.T, last, axis=1)[:, last]
        # Of the difference itself: that of squares would lose small distances to rounding.
        distances[start : start + CHUNK] = np.linalg.norm(known[at] - part, axis=1)
    return distances


@dataclass(frozen=True)
class OutlierReference:
    """Embeddings of training galaxies, with which those of new images are compared.

    Args:
        known: shape (n, features).
        usual: distances of validation galaxies, see `neighbour_distance`, ascending.
    """

    known: np.ndarray
    usual: np.ndarray

    def scores(self, vectors: np.ndarray) -> pd.DataFrame:
        """Return `distance` and `distance_rank`, a row an image, see `outlier_scores`."""
        distance = neighbour_distance(self.known, vectors)
        rank = np.searchsorted(self.usual, distance) / len(self.usual)
        return pd.DataFrame({"distance": distance, "distance_rank": rank})


def outlier_reference(train: np.ndarray, valid: np.ndarray) -> OutlierReference:
    """Return the reference of training and validation embeddings, each of shape (n, features)."""
    return OutlierReference(train, np.sort(neighbour_distance(train, valid)))


def unit_vectors(vectors: np.ndarray) -> np.ndarray:
    """Return vectors, shape (n, features), scaled to length 1."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def energy(logits: np.ndarray) -> np.ndarray:
    """Return -log sum exp of logits, shape (n,), larger of outliers (Liu et al. 2020, eq. 4)."""
    from scipy.special import logsumexp

    return -logsumexp(logits, axis=1)


def _kernel(both: np.ndarray) -> np.ndarray:
    squares = np.square(both).sum(axis=1)
    distances = np.maximum(squares[:, None] + squares - 2 * both @ both.T, 0)
    median = np.median(distances[np.triu_indices(len(both), 1)])
    return np.exp(-distances / (2 * max(median, 1e-12)))


def _mmd(kernel: np.ndarray, is_new: np.ndarray) -> np.ndarray:
    """Return the unbiased squared discrepancy for each row of labels."""
    ones = is_new.astype(float)
    m = ones.sum(axis=1)
    n = ones.shape[1] - m
    towards_new = ones @ kernel
    new_new = (towards_new * ones).sum(axis=1)
    new_known = (towards_new * (1 - ones)).sum(axis=1)
    known_known = kernel.sum() - new_new - 2 * new_known
    # Without the diagonal, which is 1.
    return (
        (known_known - n) / (n * (n - 1)) + (new_new - m) / (m * (m - 1)) - 2 * new_known / (n * m)
    )


def _auroc(both: np.ndarray, is_new: np.ndarray, seed: int) -> float:
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    smallest = len(both) * (FOLDS - 1) // FOLDS
    classifier = make_pipeline(
        PCA(min(DIMENSIONS, both.shape[1], smallest - 1), random_state=seed),
        StandardScaler(),
        LogisticRegression(C=0.1, class_weight="balanced", max_iter=1000),
    )
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)
    scores = cross_val_predict(classifier, both, is_new, cv=folds, method="decision_function")
    return float(roc_auc_score(is_new, scores))
