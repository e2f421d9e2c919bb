"""The most anomalous galaxies of a catalogue, by their embeddings or predictions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import pyarrow as pa

from galaxymorph.base import BadInput, Progress, Registry, setting
from galaxymorph.judge import unit_vectors
from galaxymorph.judge.explain.neighbours import A_COMPONENT, COMPONENTS
from galaxymorph.judge.robustness.drift import NEIGHBOURS
from galaxymorph.predict.embedded_catalogue import EmbeddedCatalogue, warn_of_few

# Galaxies that a detector is fitted on, drawn at random: those that the others are compared with.
FITTED = 20_000
# The distance within which a galaxy is the same one, in standard deviations.
ITSELF = 1e-3
SEED = 0

# From vectors of length 1, shape (n, features), to scores, shape (n,), greater of anomalous ones.
Score = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Detector:
    """An anomaly score.

    Args:
        words: for the help.
        fit: from vectors, shape (n, features), to the score.
    """

    words: str
    fit: Callable[[np.ndarray], Score]


def _neighbours(known: np.ndarray) -> Score:
    """Return the distance to the tenth-nearest other galaxy (Ramaswamy et al. 2000, SIGMOD).

    It is along the first principal components, each of unit variance.
    """
    from sklearn.decomposition import PCA
    from sklearn.neighbors import NearestNeighbors

    few = max(2, len(known) // A_COMPONENT)
    components = min(COMPONENTS, few, len(known) - 1, known.shape[1])
    if components < 1:
        return lambda vectors: np.zeros(len(vectors))
    projection = PCA(components, whiten=True, random_state=SEED).fit(known)
    number = min(NEIGHBOURS + 1, len(known))
    neighbours = NearestNeighbors(n_neighbors=number).fit(projection.transform(known))

    def score(vectors: np.ndarray) -> np.ndarray:
        distances, _ = neighbours.kneighbors(projection.transform(vectors))
        # A galaxy among the known ones is the nearest of itself.
        is_known = distances[:, 0] < ITSELF
        return np.where(is_known, distances[:, -1], distances[:, number - 2])

    return score


def _mahalanobis(known: np.ndarray) -> Score:
    """Return the squared Mahalanobis distance, of Ledoit & Wolf's covariance (2004, JMVA 88)."""
    from sklearn.covariance import LedoitWolf

    return LedoitWolf().fit(known).mahalanobis


DETECTORS: Registry[Detector] = Registry(
    "detector",
    {
        "neighbours": Detector("distance to the tenth-nearest galaxy", _neighbours),
        "mahalanobis": Detector("Mahalanobis distance from the mean galaxy", _mahalanobis),
    },
)


def rank_anomalies(
    catalogue: EmbeddedCatalogue, detector: str = "neighbours", number: int = 100
) -> pd.DataFrame:
    """Return the most anomalous galaxies of a catalogue, a row each, by falling score.

    The columns are `rank`, `galaxy`, `image`, `score`, and those of the predictions.

    Args:
        catalogue: with embeddings.
        detector: of `DETECTORS`.
        number: of galaxies, of which the catalogue may have fewer.

    Raises:
        BadInput: there is no such detector, a file is damaged, or no image has an embedding.
    """
    entry = DETECTORS.find(detector, setting("detector"))
    scores = _scores(catalogue, entry)
    usable = int(np.isfinite(scores).sum())
    rows = np.argsort(-np.nan_to_num(scores, nan=-np.inf), kind="stable")
    rows = rows[: min(number, usable)]
    table = catalogue.predictions().take(pa.array(rows)).to_pandas()
    table.insert(0, "rank", np.arange(1, len(rows) + 1))
    table.insert(3, "score", scores[rows].astype(np.float32))
    table = table.drop(columns="model_id")
    warn_of_few(
        catalogue.folder,
        usable,
        "an anomaly stands out",
        "look at the images rather than at the ranking",
    )
    table.attrs["schema"] = catalogue.schema
    return table


def _scores(catalogue: EmbeddedCatalogue, detector: Detector) -> np.ndarray:
    """Return the score of every row, NaN of an image that couldn't be used."""
    rows, known, usable = _fitted(catalogue)
    score = detector.fit(unit_vectors(known))
    scores = np.full(catalogue.rows, np.nan)
    if usable == len(rows):
        scores[rows] = score(unit_vectors(known))
        return scores
    start = 0
    with Progress("scoring", usable, "galaxies") as progress:
        for part in catalogue.vectors():
            at = np.flatnonzero(np.isfinite(part).all(axis=1))
            if len(at):
                scores[start + at] = score(unit_vectors(part[at]))
            start += len(part)
            progress.advance(len(at))
    return scores


def _fitted(catalogue: EmbeddedCatalogue) -> tuple[np.ndarray, np.ndarray, int]:
    """Return the rows that a detector is fitted on, their embeddings, and the usable rows' number.

    Raises:
        BadInput: a file is damaged, or no image has an embedding.
    """
    # The rows of the smallest numbers are a random sample, which needs one reading.
    drawn = np.random.default_rng(SEED).random(catalogue.rows)
    rows, known, usable, start = np.empty(0, int), None, 0, 0
    for part in catalogue.vectors():
        at = np.flatnonzero(np.isfinite(part).all(axis=1))
        rows = np.append(rows, start + at)
        known = part[at] if known is None else np.concatenate([known, part[at]])
        if len(rows) > FITTED:
            kept = np.sort(np.argpartition(drawn[rows], FITTED)[:FITTED])
            rows, known = rows[kept], known[kept]
        usable, start = usable + len(at), start + len(part)
    if known is None or not usable:
        raise BadInput(f"{catalogue.folder}: no image has an embedding", "predict usable images")
    return rows, known, usable
