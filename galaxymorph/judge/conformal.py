"""Prediction sets that hold the true class as often as asked: split-conformal classification.

The thresholds need a table of scores and nothing else, so that serving needs no MAPIE; where
MAPIE has the same method, a test compares.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pandas as pd

SPLITS = 200
# Regularised sets: the penalty of every class after the first (Angelopoulos et al. 2021, eq. 4).
PENALTY, FREE = 0.1, 1
EMPTY, JOIN = "none", "|"


def _lac(probabilities: np.ndarray) -> np.ndarray:
    return 1 - probabilities


def _aps(probabilities: np.ndarray) -> np.ndarray:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(probabilities, order, axis=1), axis=1)
    scores = np.empty_like(sums)
    np.put_along_axis(scores, order, sums, axis=1)
    return scores


def _raps(probabilities: np.ndarray) -> np.ndarray:
    ranks = (-probabilities).argsort(axis=1, kind="stable").argsort(axis=1) + 1
    return _aps(probabilities) + PENALTY * np.maximum(ranks - FREE, 0)


# Scores of every class of every galaxy, low where it fits: Sadinle, Lei & Wasserman 2019; Romano,
# Sesia & Candès 2020 without randomisation; Angelopoulos et al. 2021. Those of the adaptive methods
# have ties, a class of last rank always 1, and cover more than asked where those matter.
SCORES: dict[str, Callable[[np.ndarray], np.ndarray]] = {"lac": _lac, "aps": _aps, "raps": _raps}


def set_thresholds(
    probabilities: np.ndarray,
    truth: np.ndarray,
    coverage: float,
    method: str = "lac",
    by_class: bool = False,
) -> np.ndarray:
    """Return the largest score that each class may have in a set, shape (classes,).

    The ceil((n + 1) coverage)-th smallest score of the true class; infinite, so that the class is
    in every set, where there are too few galaxies for that (Vovk, Gammerman & Shafer 2005).

    Args:
        probabilities: of the calibrating galaxies, shape (n, classes).
        truth: positions of their classes, shape (n,).
        coverage: the share of sets that are to hold the true class.
        method: of `SCORES`.
        by_class: for each class on its own, rather than over all galaxies.
    """
    scores = SCORES[method](np.asarray(probabilities, float))
    own = scores[np.arange(len(truth)), truth]
    classes = scores.shape[1]
    if not by_class:
        return np.full(classes, _quantile(own, coverage))
    return np.array([_quantile(own[truth == code], coverage) for code in range(classes)])


def prediction_sets(
    probabilities: np.ndarray, thresholds: np.ndarray, method: str = "lac"
) -> np.ndarray:
    """Return which classes are in each galaxy's set, booleans of shape (n, classes)."""
    return SCORES[method](np.asarray(probabilities, float)) <= thresholds


def set_words(sets: np.ndarray, classes: list[str]) -> list[str]:
    """Return the sets in words, classes joined by `|`; an empty one is `none`."""
    names = np.array(classes, dtype=object)
    return [JOIN.join(names[row]) or EMPTY for row in sets]


def coverage_band(calibrating: int, tested: int, coverage: float, level: float = 0.95):
    """Return mean, low and high of the coverage on a test part, exactly, scores without ties.

    The number covered is beta-binomial: of `tested` trials with a probability drawn from
    Beta(n + 1 - l, l), l = floor((n + 1)(1 - coverage)) (Angelopoulos & Bates 2023, section 3.2).
    """
    law = coverage_law(calibrating, tested, coverage)
    if law is None:
        return 1.0, 1.0, 1.0
    tails = law.ppf([(1 - level) / 2, (1 + level) / 2]) / tested
    return float(law.mean() / tested), float(tails[0]), float(tails[1])


def coverage_law(calibrating: int, tested: int, coverage: float):
    """Return the law of the number covered, or None where every set is full."""
    from scipy.stats import betabinom

    rank = _rank(calibrating, coverage)
    if rank > calibrating:
        return None
    return betabinom(tested, rank, calibrating + 1 - rank)


def coverage_study(
    probabilities: np.ndarray,
    truth: np.ndarray,
    calibrating: int,
    coverage: float,
    seed: int,
    splits: int = SPLITS,
) -> pd.DataFrame:
    """Return coverage and size of sets over random cuts into galaxies that calibrate and test.

    A row a cut and method: `method`, `by_class`, `coverage`, `size`, `empty`, `full` (shares of
    sets), and `coverage_<code>` of each class, NaN where none is tested.
    """
    rng = np.random.default_rng(seed)
    classes, rows = probabilities.shape[1], []
    for _ in range(splits):
        order = rng.permutation(len(truth))
        fit, test = order[:calibrating], order[calibrating:]
        for method in SCORES:
            for by_class in (False, True):
                thresholds = set_thresholds(
                    probabilities[fit], truth[fit], coverage, method, by_class
                )
                sets = prediction_sets(probabilities[test], thresholds, method)
                rows.append(
                    {"method": method, "by_class": by_class, **set_scores(sets, truth[test])}
                )
    names = [f"coverage_{code}" for code in range(classes)]
    return pd.DataFrame(rows).reindex(
        columns=["method", "by_class", "coverage", "size", "empty", "full", *names]
    )


def set_scores(sets: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return coverage, overall and by class, mean size, and the shares of empty and full sets."""
    held = sets[np.arange(len(truth)), truth]
    size = sets.sum(axis=1)
    return {
        "coverage": float(held.mean()),
        "size": float(size.mean()),
        "empty": float((size == 0).mean()),
        "full": float((size == sets.shape[1]).mean()),
        **{f"coverage_{code}": float(held[truth == code].mean()) for code in np.unique(truth)},
    }


def _rank(count: int, coverage: float) -> int:
    # 0.9 of 10 is 9.000000000000002 in floating point, and one more galaxy isn't asked for.
    return math.ceil((count + 1) * coverage - 1e-9)


def _quantile(scores: np.ndarray, coverage: float) -> float:
    rank = _rank(len(scores), coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf
