"""Prediction sets with a guaranteed coverage: split-conformal classification.

The thresholds need a table of scores only, so that serving needs no MAPIE; tests compare with MAPIE
where it has the same method.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.judge.calibration.set_methods import SET_METHODS, class_ranks
from galaxymorph.judge.metrics.bootstrap import TAILS, Interval, mean_interval, proportion
from galaxymorph.judge.metrics.metric import METRICS, Metric

SPLITS = 200
EMPTY, JOIN = "none", "|"


def set_thresholds(
    probabilities: np.ndarray,
    truth: np.ndarray,
    coverage: float,
    method: str = "lac",
    by_class: bool = False,
) -> np.ndarray:
    """Return the largest score that each class may have in a set, shape (classes,).

    The ceil((n + 1) coverage)-th smallest score of the true class; infinite, so that the class is
    in every set, where there are too few galaxies for that, see `least_calibrating` (Vovk,
    Gammerman & Shafer 2005).

    Args:
        probabilities: of the calibrating galaxies, shape (n, classes).
        truth: positions of their classes, shape (n,).
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`.
        by_class: for each class separately, rather than over all galaxies.
    """
    scores = _true_scores(probabilities, truth, method)
    classes = np.shape(probabilities)[1]
    if not by_class:
        return np.full(classes, _quantile(scores, coverage))
    return np.array([_quantile(scores[truth == code], coverage) for code in range(classes)])


def least_calibrating(coverage: float) -> int:
    """Return the least number of calibrating galaxies with which not every set is full.

    The least n with ceil((n + 1) coverage) <= n: 9 for 0.9, 19 for 0.95, 99 for 0.99; of sets by
    class, of each class.
    """
    least = math.ceil(coverage / (1 - coverage) - 1e-9)
    return max(1, least)


def cross_sets(
    calibrating: Sequence[tuple[np.ndarray, np.ndarray]],
    probabilities: np.ndarray,
    coverage: float,
    method: str = "lac",
) -> np.ndarray:
    """Return the sets of new galaxies by a cross-validated run, booleans of shape (n, classes).

    CV+ (Barber et al. 2021, Annals of Statistics 49, 486; of classes Romano, Sesia & Candès 2020,
    equation 10): a class is in the set unless its score under their own fold's model is beyond that
    of ceil((m + 1) coverage) or more of all m calibrating galaxies. It guarantees a coverage of
    2 coverage - 1 only, and has nearly `coverage` where folds are exchangeable; with one fold it
    equals `prediction_sets`.

    Args:
        calibrating: of each fold, its model's probabilities, shape (m_k, classes), of galaxies
            that it wasn't trained on, and positions of their classes.
        probabilities: every fold's, of the new galaxies, shape (folds, n, classes).
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`.
    """
    probabilities = np.asarray(probabilities, float)
    below = np.zeros(probabilities.shape[1:], int)
    for fold, new in zip(calibrating, probabilities, strict=True):
        scores = np.sort(_true_scores(*fold, method))
        below += np.searchsorted(scores, SET_METHODS[method].scores(new), side="left")
    count = sum(len(truth) for _, truth in calibrating)
    sets = below < _rank(count, coverage)
    return _filled(sets, probabilities.mean(axis=0), method)


def _true_scores(probabilities: np.ndarray, truth: np.ndarray, method: str) -> np.ndarray:
    scores = SET_METHODS[method].scores(np.asarray(probabilities, float))
    return scores[np.arange(len(truth)), truth]


def _filled(sets: np.ndarray, probabilities: np.ndarray, method: str) -> np.ndarray:
    return sets | (class_ranks(probabilities) == 1) if SET_METHODS[method].keeps_likeliest else sets


def prediction_sets(
    probabilities: np.ndarray, thresholds: np.ndarray, method: str = "lac"
) -> np.ndarray:
    """Return which classes are in each galaxy's set, booleans of shape (n, classes).

    Args:
        probabilities: shape (n, classes).
        thresholds: see `set_thresholds`: shape (classes,), or (n, classes) of each galaxy.
        method: of `SET_METHODS`.
    """
    probabilities = np.asarray(probabilities, float)
    return _filled(SET_METHODS[method].scores(probabilities) <= thresholds, probabilities, method)


def set_words(sets: np.ndarray, classes: list[str]) -> list[str]:
    """Return the sets in words, classes joined by `|`; an empty one is `none`."""
    names = np.array(classes, dtype=object)
    return [JOIN.join(names[row]) or EMPTY for row in sets]


def coverage_band(parts: Sequence[tuple[int, int]], coverage: float) -> tuple[float, float, float]:
    """Return mean and 95 % band of the coverage on test parts, exactly, scores without ties.

    The number covered is beta-binomial: of `tested` trials with a probability drawn from
    Beta(n + 1 - l, l), l = floor((n + 1)(1 - coverage)) (Angelopoulos & Bates 2023, section 3.2).
    Those of several folds are independent.

    Args:
        parts: of each fold, the numbers of calibrating and of tested galaxies.
        coverage: the share of sets that are to hold the true class.
    """
    pmf, total = np.ones(1), sum(tested for _, tested in parts)
    for calibrating, tested in parts:
        law = coverage_law(calibrating, tested, coverage)
        numbers = np.arange(tested + 1)
        pmf = np.convolve(pmf, (numbers == tested) if law is None else law.pmf(numbers))
    below = np.cumsum(pmf)
    low, high = (int((below < tail).sum()) / total for tail in TAILS)
    return float((pmf * np.arange(total + 1)).sum() / total), low, high


def coverage_law(calibrating: int, tested: int, coverage: float) -> Any:
    """Return scipy's distribution of the number covered, or None where every set is full."""
    from scipy.stats import betabinom

    rank = _rank(calibrating, coverage)
    if rank > calibrating:
        return None
    return betabinom(tested, rank, calibrating + 1 - rank)


def coverage_study(
    parts: Sequence[tuple[np.ndarray, np.ndarray, int]],
    coverage: float,
    seed: int,
    splits: int = SPLITS,
) -> pd.DataFrame:
    """Return coverage and size of sets over random cuts into galaxies that calibrate and test.

    Each fold's galaxies are cut separately and have separate thresholds, as the stored sets of the
    test part have. A row a cut and method: `method`, `by_class`, `coverage`, `size`, `empty`,
    `full` (shares of sets), and `coverage_<code>` of each class, NaN where none is tested.

    Args:
        parts: of each fold, its model's probabilities, shape (n, classes), positions of the true
            classes, and the number of galaxies that calibrate.
        coverage: the share of sets that are to hold the true class.
        seed: of the cuts.
        splits: number of cuts.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(splits):
        orders = [rng.permutation(len(truth)) for _, truth, _ in parts]
        for method in SET_METHODS:
            for by_class in (False, True):
                cuts = [
                    _cut(*part, order, coverage, method, by_class)
                    for part, order in zip(parts, orders, strict=True)
                ]
                sets, truth = (np.concatenate(arrays) for arrays in zip(*cuts, strict=True))
                rows.append({"method": method, "by_class": by_class, **set_scores(sets, truth)})
    names = [f"coverage_{code}" for code in range(parts[0][0].shape[1])]
    return pd.DataFrame(rows).reindex(
        columns=["method", "by_class", "coverage", "size", "empty", "full", *names]
    )


def _cut(
    probabilities: np.ndarray,
    truth: np.ndarray,
    calibrating: int,
    order: np.ndarray,
    coverage: float,
    method: str,
    by_class: bool,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the sets of the galaxies that a cut tests, and their classes."""
    fit, test = order[:calibrating], order[calibrating:]
    thresholds = set_thresholds(probabilities[fit], truth[fit], coverage, method, by_class)
    return prediction_sets(probabilities[test], thresholds, method), truth[test]


def set_scores(sets: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return coverage, overall and by class, mean size, and the shares of empty and full sets."""
    covered = sets[np.arange(len(truth)), truth]
    size = sets.sum(axis=1)
    return {
        "coverage": float(covered.mean()),
        "size": float(size.mean()),
        "empty": float((size == 0).mean()),
        "full": float((size == sets.shape[1]).mean()),
        **{f"coverage_{code}": float(covered[truth == code].mean()) for code in np.unique(truth)},
    }


def set_intervals(sets: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, Interval]:
    """Return `set_scores` with intervals: Wilson's of shares, of the size that of a bootstrap.

    Args:
        sets: which classes are in each galaxy's set, shape (n, classes).
        truth: positions of the true classes, shape (n,).
        seed: of the resampling.
    """
    covered, size, n = sets[np.arange(len(truth)), truth], sets.sum(axis=1), len(truth)
    return {
        "coverage": proportion(covered.sum(), n),
        "size": mean_interval(size, seed),
        "empty": proportion((size == 0).sum(), n),
        "full": proportion((size == sets.shape[1]).sum(), n),
        **{
            f"coverage_{code}": proportion(covered[truth == code].sum(), (truth == code).sum())
            for code in np.unique(truth)
        },
    }


def _rank(count: int, coverage: float) -> int:
    # 0.9 of 10 is 9.000000000000002 in floating point, which needs no galaxy more.
    return math.ceil((count + 1) * coverage - 1e-9)


def _quantile(scores: np.ndarray, coverage: float) -> float:
    rank = _rank(len(scores), coverage)
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else math.inf


for name, metric in {
    "coverage": Metric(
        "coverage", "fraction of prediction sets that contain the true class", "nominal", (0.0, 1.0)
    ),
    "size": Metric("size", "mean number of classes in a prediction set", "less"),
    "empty": Metric("empty", "fraction of empty prediction sets", limits=(0.0, 1.0)),
    "full": Metric(
        "full", "fraction of prediction sets that contain all classes", limits=(0.0, 1.0)
    ),
    "splits_within_band": Metric(
        "splits within band",
        "fraction of random splits whose coverage is within the 95 % band",
        "greater",
        (0.0, 1.0),
    ),
}.items():
    METRICS.register(name, metric)
