"""Selective prediction: the most certain predictions are accepted, the others rejected."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from typing_extensions import NotRequired, TypedDict

from galaxymorph.judge.metrics.bootstrap import Interval, proportion
from galaxymorph.judge.metrics.metric import METRICS, Metric

# Confidence that the accepted galaxies have at least the required accuracy.
CONFIDENCE = 0.95


def risk_coverage(uncertainty: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return coverage, the fraction accepted, and selective risk, the most certain accepted first.

    Galaxies of equal uncertainty come in any order: the risk is the mean over all orders.

    Args:
        uncertainty: of each galaxy, in any unit, shape (n,).
        wrong: whether its prediction is, or its loss, shape (n,).
    """
    values, at, counts = np.unique(uncertainty, return_inverse=True, return_counts=True)
    means = np.bincount(at, np.asarray(wrong, float), minlength=len(values)) / counts
    ordered = np.repeat(means, counts)
    accepted = np.arange(1, len(ordered) + 1)
    return accepted / len(ordered), np.cumsum(ordered) / accepted


def aurc(uncertainty: np.ndarray, wrong: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (Geifman & El-Yaniv 2017); less is better."""
    return float(risk_coverage(uncertainty, wrong)[1].mean())


def least_kept(accuracy: float, confidence: float = CONFIDENCE) -> int:
    """Return the least number of galaxies, all of them right, that prove an accuracy.

    The least n with accuracy ** n <= 1 - confidence: 29 for 0.9, 59 for 0.95, 299 for 0.99.
    """
    return math.ceil(math.log(1 - confidence) / math.log(accuracy) - 1e-9)


def guaranteed_limit(
    uncertainty: np.ndarray, wrong: np.ndarray, accuracy: float, confidence: float = CONFIDENCE
) -> float | None:
    """Return the largest uncertainty up to which predictions are accurate enough, or None.

    With `confidence` over draws of these galaxies, new galaxies of no larger uncertainty are right
    at least as often as required. Limits are tested in rising order, each by Clopper and Pearson's
    (1934) bound of the share wrong, until one fails (fixed sequence testing: Angelopoulos et al.
    2021, arXiv:2110.01052, section 2.3, in place of the union bound over a search of Geifman &
    El-Yaniv 2017, NeurIPS, algorithm 1). One wrong galaxy among the most certain would end that at
    once, so there are several sequences, which begin at `least_kept` accepted galaxies, at twice as
    many and so on, and share the error probability evenly.

    Args:
        uncertainty: of galaxies that calibrate, shape (n,).
        wrong: whether their predictions are, shape (n,).
        accuracy: required, below 1.
        confidence: that it is reached.
    """
    from scipy.stats import beta

    order = np.argsort(uncertainty, kind="stable")
    ordered = np.asarray(uncertainty, float)[order]
    accepted = np.arange(1, len(ordered) + 1)
    errors = np.cumsum(np.asarray(wrong, float)[order])
    # Galaxies of equal uncertainty are accepted together.
    ends = np.append(np.diff(ordered) > 0, True)
    sequences = 1 + max(0, int(math.log2(max(1, len(ordered) / least_kept(accuracy, confidence)))))
    level = 1 - (1 - confidence) / sequences
    bounds = beta.ppf(level, errors + 1, np.maximum(accepted - errors, 1e-9))
    limits = []
    for number in range(sequences):
        tested = ends & (accepted >= least_kept(accuracy, level) * 2**number)
        passed = np.minimum.accumulate(bounds[tested] <= 1 - accuracy + 1e-12)
        limits.extend(ordered[tested][passed])
    return float(max(limits)) if limits else None


class KeptAtAccuracy(TypedDict):
    """The galaxies that can be accepted at an accuracy.

    `limit` of the uncertainty, on one set of galaxies; of others `kept`, the share within it, and
    the `accuracy` of those (Wilson 1927; Clopper & Pearson 1934), None without a limit; and
    `least`, the number of calibrating galaxies that it takes.
    """

    limit: NotRequired[float | None]
    least: int
    kept: Interval
    accuracy: Interval


def keep_at_accuracies(
    calibrating: tuple[np.ndarray, np.ndarray],
    tested: tuple[np.ndarray, np.ndarray],
    accuracies: Sequence[float],
) -> dict[str, KeptAtAccuracy]:
    """Return the galaxies that can be accepted at each accuracy.

    Args:
        calibrating: uncertainties and whether predictions are wrong, of the galaxies on which the
            limit is chosen, see `guaranteed_limit`.
        tested: likewise, of those on which it is judged.
        accuracies: required.
    """
    limits = {accuracy: guaranteed_limit(*calibrating, accuracy) for accuracy in accuracies}
    return {
        f"{accuracy:g}": {"limit": limit, **_kept([(tested, limit)], accuracy)}
        for accuracy, limit in limits.items()
    }


def keep_at_accuracies_by_halves(
    uncertainty: np.ndarray, wrong: np.ndarray, accuracies: Sequence[float], seed: int
) -> dict[str, KeptAtAccuracy]:
    """Return `keep_at_accuracies` of galaxies without others to choose the limit on.

    It is chosen on either half of them and judged on the other, both taken together; where one half
    has no limit, none of the other is accepted.

    Args:
        uncertainty: shape (n,).
        wrong: whether predictions are, shape (n,).
        accuracies: required.
        seed: of the halves.
    """
    first = np.random.default_rng(seed).permutation(len(wrong)) < len(wrong) // 2
    uncertainty, wrong = np.asarray(uncertainty), np.asarray(wrong)
    halves = [(uncertainty[rows], wrong[rows]) for rows in (first, ~first)]
    kept = {}
    for accuracy in accuracies:
        limits = [guaranteed_limit(*half, accuracy) for half in halves]
        pairs = list(zip(halves, reversed(limits), strict=True))
        kept[f"{accuracy:g}"] = _kept(pairs, accuracy)
    return kept


def _kept(
    tested: list[tuple[tuple[np.ndarray, np.ndarray], float | None]], accuracy: float
) -> KeptAtAccuracy:
    """Return the share of galaxies within their limits, and its accuracy; None without a limit.

    Args:
        tested: uncertainties and whether predictions are wrong, and the limit, None for nothing.
        accuracy: required.
    """
    if all(limit is None for _, limit in tested):
        tested = []
    kept = right = total = 0
    for (uncertainty, wrong), limit in tested:
        within = np.asarray(uncertainty, float) <= (-math.inf if limit is None else limit)
        kept += int(within.sum())
        right += int((1 - np.asarray(wrong, float)[within]).sum())
        total += len(within)
    return {
        "least": least_kept(accuracy),
        "kept": proportion(kept, total),
        "accuracy": proportion(right, kept, "exact"),
    }


AREA = "mean selective risk over all coverages, the most certain galaxies accepted first"
for name, metric in {
    "aurc": Metric("area under the risk-coverage curve", AREA, "less", digits=4, short="AURC"),
    "aurc_total": Metric("AURC by total uncertainty", AREA, "less", digits=4, short="AURC, total"),
    "aurc_epistemic": Metric(
        "AURC by epistemic uncertainty", AREA, "less", digits=4, short="AURC, epistemic"
    ),
    "risk": Metric(
        "mean risk",
        "fraction of misclassified galaxies; of fractions the mean divergence or squared error",
        "less",
        digits=4,
    ),
    "kept_at_accuracy": Metric(
        "at accuracy",
        "fraction of galaxies that can be accepted at a given accuracy",
        "greater",
        (0.0, 1.0),
    ),
}.items():
    METRICS.register(name, metric)
