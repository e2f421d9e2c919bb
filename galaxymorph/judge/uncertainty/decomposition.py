"""Uncertainty of several predictions, and the galaxies that it chooses for labelling."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from galaxymorph.judge.metrics.metric import METRICS, Metric
from galaxymorph.judge.metrics.vote_fractions import entropy

# Candidates a chosen galaxy: the most uncertain, among which the choice is diverse.
CANDIDATES = 10


@dataclass(frozen=True)
class Uncertainty:
    """The uncertainty of several predictions of each galaxy, in nats, each of shape (n,).

    `mean`, of shape (n, classes), is the predictive mean; `total` its entropy; `aleatoric` the
    mean entropy of the predictions, which more training doesn't lower; `epistemic` the rest, the
    mutual information of class and model (Houlsby et al. 2011, arXiv:1112.5745, eq. 2).
    """

    mean: np.ndarray
    total: np.ndarray
    aleatoric: np.ndarray
    epistemic: np.ndarray


def decompose_uncertainty(
    samples: np.ndarray, entropies: Callable[[np.ndarray], np.ndarray] = entropy
) -> Uncertainty:
    """Return the uncertainty in predictions of shape (samples, n, outputs).

    Args:
        samples: shares of classes, or fractions of a tree.
        entropies: of such predictions, from shape (n, outputs) to (n,); see `entropies_of`.
    """
    mean = samples.mean(axis=0)
    total = entropies(mean)
    aleatoric = np.mean([entropies(sample) for sample in samples], axis=0)
    # By concavity never negative, but for rounding.
    return Uncertainty(mean, total, aleatoric, np.maximum(total - aleatoric, 0))


def choose_for_labelling(
    uncertainty: np.ndarray, embeddings: np.ndarray, number: int, seed: int
) -> np.ndarray:
    """Return the positions of galaxies that are uncertain and unlike each other.

    The most uncertain `CANDIDATES` times as many are put into `number` clusters, weighted by their
    uncertainty, and each cluster gives its most uncertain (Zhdanov 2019, arXiv:1901.05954,
    section 3).

    Args:
        uncertainty: of each galaxy, at least 0, shape (n,).
        embeddings: shape (n, features).
        number: how many are chosen; all, if there are no more.
        seed: of the clusters' start.

    Returns:
        Positions, the most uncertain first.
    """
    from sklearn.cluster import KMeans

    order = np.argsort(-uncertainty, kind="stable")
    if number >= len(order):
        return order
    candidates = order[: CANDIDATES * number]
    # A cluster of galaxies without any uncertainty has no centre.
    weights = uncertainty[candidates] + 1e-9
    means = KMeans(number, n_init=1, random_state=seed)
    clusters = means.fit_predict(embeddings[candidates], sample_weight=weights)
    _, first = np.unique(clusters, return_index=True)
    chosen = candidates[np.sort(first)]
    # Equal embeddings leave clusters empty.
    rest = candidates[~np.isin(candidates, chosen)][: number - len(chosen)]
    chosen = np.concatenate([chosen, rest])
    return chosen[np.argsort(-uncertainty[chosen], kind="stable")]


for name, metric in {
    "volunteers": Metric(
        "rank correlation with volunteers' entropy",
        "Spearman's, of the uncertainty of predictions and of votes",
        "greater",
        (-1.0, 1.0),
    ),
    "seconds": Metric("seconds for 1,000 images", "decoding included", "less", digits=1),
}.items():
    METRICS.register(name, metric)
