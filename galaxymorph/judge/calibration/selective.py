"""What is gained by passing the uncertain galaxies on to volunteers: selective prediction."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.judge.metrics.metric import METRICS, Metric

# Confidence that the accuracy of what is kept is at least as high as asked.
CONFIDENCE = 0.95


def risk_coverage(uncertainty: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share kept and the share of those that are wrong, the surest kept first.

    Galaxies of equal uncertainty come in any order: the risk is the mean over all orders.

    Args:
        uncertainty: of each galaxy, in any unit, shape (n,).
        wrong: whether its prediction is, or what it costs, shape (n,).
    """
    values, at, counts = np.unique(uncertainty, return_inverse=True, return_counts=True)
    means = np.bincount(at, np.asarray(wrong, float), minlength=len(values)) / counts
    ordered = np.repeat(means, counts)
    kept = np.arange(1, len(ordered) + 1)
    return kept / len(ordered), np.cumsum(ordered) / kept


def aurc(uncertainty: np.ndarray, wrong: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (Geifman & El-Yaniv 2017); less is better."""
    return float(risk_coverage(uncertainty, wrong)[1].mean())


def least_kept(accuracy: float, confidence: float = CONFIDENCE) -> int:
    """Return the least number of galaxies, all right, that show an accuracy.

    The least n with accuracy ** n <= 1 - confidence: 29 for 0.9, 59 for 0.95, 299 for 0.99.
    """
    return math.ceil(math.log(1 - confidence) / math.log(accuracy) - 1e-9)


def guaranteed_limit(
    uncertainty: np.ndarray, wrong: np.ndarray, accuracy: float, confidence: float = CONFIDENCE
) -> float | None:
    """Return the largest uncertainty up to which predictions are as accurate as asked, or None.

    With `confidence` over draws of these galaxies, new galaxies of no larger uncertainty are right
    at least as often as asked. Limits are tested in rising order, each by Clopper and Pearson's
    (1934) bound of the share wrong, until one fails (fixed sequence testing: Angelopoulos et al.
    2021, arXiv:2110.01052, section 2.3, in place of the union bound over a search of Geifman &
    El-Yaniv 2017, NeurIPS, algorithm 1). One wrong galaxy among the surest would end that at once,
    so there are several sequences, which begin where `least_kept` galaxies are kept, twice as many
    and so on, and share the error probability evenly.

    Args:
        uncertainty: of galaxies that calibrate, shape (n,).
        wrong: whether their predictions are, shape (n,).
        accuracy: that is asked for, below 1.
        confidence: that it is reached.
    """
    from scipy.stats import beta

    order = np.argsort(uncertainty, kind="stable")
    ordered = np.asarray(uncertainty, float)[order]
    kept = np.arange(1, len(ordered) + 1)
    errors = np.cumsum(np.asarray(wrong, float)[order])
    # Galaxies of equal uncertainty are kept together.
    ends = np.append(np.diff(ordered) > 0, True)
    sequences = 1 + max(0, int(math.log2(max(1, len(ordered) / least_kept(accuracy, confidence)))))
    each = 1 - (1 - confidence) / sequences
    bounds = beta.ppf(each, errors + 1, np.maximum(kept - errors, 1e-9))
    limits = []
    for number in range(sequences):
        tested = ends & (kept >= least_kept(accuracy, each) * 2**number)
        passed = np.minimum.accumulate(bounds[tested] <= 1 - accuracy + 1e-12)
        limits.extend(ordered[tested][passed])
    return float(max(limits)) if limits else None


def keep_at_accuracies(
    calibrating: tuple[np.ndarray, np.ndarray],
    tested: tuple[np.ndarray, np.ndarray],
    accuracies: Sequence[float],
) -> dict[str, dict]:
    """Return what may be kept at each accuracy: chosen on some galaxies, judged on others.

    Args:
        calibrating: uncertainties and whether predictions are wrong, of the galaxies on which the
            limit is chosen, see `guaranteed_limit`.
        tested: likewise, of others.
        accuracies: that are asked for.

    Returns:
        By accuracy: `limit`, of the uncertainty; of the tested galaxies `kept`, the share within
        it, and `accuracy` of those, each value, low and high (Wilson 1927; Clopper & Pearson 1934);
        and `least`, how many calibrating galaxies it takes. Without a limit, `limit` and the values
        are None, and nothing is kept.
    """
    found = {}
    for accuracy in accuracies:
        limit = guaranteed_limit(*calibrating, accuracy)
        judged = [(tested, limit)] if limit is not None else []
        found[f"{accuracy:g}"] = {"limit": limit, **_judged(judged, accuracy)}
    return found


def keep_at_accuracies_by_halves(
    uncertainty: np.ndarray, wrong: np.ndarray, accuracies: Sequence[float], seed: int
) -> dict[str, dict]:
    """Return `keep_at_accuracies` of galaxies of which there are no others to choose the limit on.

    It is chosen on either half of them and judged on the other, both taken together; where one half
    has no limit, nothing is kept of the other.

    Args:
        uncertainty: shape (n,).
        wrong: whether predictions are, shape (n,).
        accuracies: that are asked for.
        seed: of the halves.
    """
    first = np.random.default_rng(seed).permutation(len(wrong)) < len(wrong) // 2
    halves = [(np.asarray(uncertainty)[own], np.asarray(wrong)[own]) for own in (first, ~first)]
    found = {}
    for accuracy in accuracies:
        limits = [guaranteed_limit(*half, accuracy) for half in halves]
        judged = [
            (half, -math.inf if limit is None else limit)
            for half, limit in zip(halves, reversed(limits), strict=True)
        ]
        known = any(limit is not None for limit in limits)
        found[f"{accuracy:g}"] = _judged(judged if known else [], accuracy)
    return found


def _judged(judged: list[tuple[tuple[np.ndarray, np.ndarray], float]], accuracy: float) -> dict:
    """Return how many galaxies are within their limits, and how many of those are right."""
    kept = right = total = 0
    for (uncertainty, wrong), limit in judged:
        within = np.asarray(uncertainty, float) <= limit
        kept += int(within.sum())
        right += int((1 - np.asarray(wrong, float)[within]).sum())
        total += len(within)
    return {
        "least": least_kept(accuracy),
        "kept": proportion(kept, total),
        "accuracy": proportion(right, kept, "exact"),
    }


AREA = "mean risk of the galaxies kept, the surest first, over the shares kept"
for name, metric in {
    "aurc": Metric("area under risk and coverage", AREA, "less", digits=4, short="AURC"),
    "aurc_total": Metric("AURC by total uncertainty", AREA, "less", digits=4, short="AURC, total"),
    "aurc_epistemic": Metric(
        "AURC by epistemic uncertainty", AREA, "less", digits=4, short="AURC, epistemic"
    ),
    "risk": Metric(
        "mean error", "share of wrong classes, or mean error of votes", "less", digits=4
    ),
    "kept_at_accuracy": Metric(
        "at accuracy", "share of galaxies that can be kept at an accuracy", "greater", (0.0, 1.0)
    ),
}.items():
    METRICS.register(name, metric)
