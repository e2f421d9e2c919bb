"""How far probabilities are from frequencies: calibration errors and proper scores."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galaxymorph.judge.calibrators import nll

BINS = 15


def calibration_scores(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Return the scores of probabilities, shape (n, classes), against true classes, shape (n,).

    `ece_equal_mass` and `ece_equal_width`, the expected calibration error of the most probable
    class in `BINS` bins (Guo et al. 2017, eq. 3; Nguyen & O'Connor 2015); `ece_classwise`, its
    mean over classes, each class's probability in bins of equal mass (Kull et al. 2019, eq. 5);
    `nll` in nats; `brier`, the sum over classes, and its parts: reliability - resolution +
    uncertainty + within_bins (Murphy 1973; Stephenson et al. 2008, eq. 7).
    """
    confidence = probabilities.max(axis=1)
    hits = (probabilities.argmax(axis=1) == truth).astype(float)
    known = np.eye(probabilities.shape[1])[truth]
    by_class = [_binned(p, y, equal_mass(p)) for p, y in zip(probabilities.T, known.T, strict=True)]
    brier = float(np.square(probabilities - known).sum(axis=1).mean())
    parts = {
        "reliability": sum(float((w * (p - y) ** 2).sum()) for w, p, y in by_class),
        "resolution": sum(
            float((w * (y - (w * y).sum()) ** 2).sum()) for w, _, y in by_class
        ),
        "uncertainty": float((known.mean(axis=0) * (1 - known.mean(axis=0))).sum()),
    }  # fmt: skip
    explained = parts["reliability"] - parts["resolution"] + parts["uncertainty"]
    return {
        "ece_equal_mass": _error(_binned(confidence, hits, equal_mass(confidence))),
        "ece_equal_width": _error(_binned(confidence, hits, equal_width(confidence))),
        "ece_classwise": float(np.mean([_error(binned) for binned in by_class])),
        "nll": nll(probabilities, truth),
        "brier": brier,
        **parts,
        "within_bins": brier - explained,
    }


def truth_scores(probabilities: np.ndarray, chances: np.ndarray) -> dict[str, float]:
    """Return how far probabilities are from the true chances of classes, both (n, classes).

    `truth_error`, the mean absolute difference over galaxies and classes; and `ece_truth`, the
    expected calibration error of the most probable class in `BINS` bins of equal mass, against its
    chance rather than against what was drawn.
    """
    at = probabilities.argmax(axis=1)
    rows = np.arange(len(at))
    confidence = probabilities[rows, at]
    return {
        "truth_error": float(np.abs(probabilities - chances).mean()),
        "ece_truth": _error(_binned(confidence, chances[rows, at], equal_mass(confidence))),
    }


def equal_mass(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return each value's bin, all bins holding as many but for one."""
    order = np.empty(len(values), int)
    order[np.argsort(values, kind="stable")] = np.arange(len(values))
    return order * bins // len(values)


def equal_width(values: np.ndarray, bins: int = BINS) -> np.ndarray:
    """Return each value's bin, all bins as wide between 0 and 1."""
    return np.minimum((values * bins).astype(int), bins - 1)


def reliability_table(probabilities: np.ndarray, truth: np.ndarray, bins: int) -> pd.DataFrame:
    """Return a row a bin of equal mass of the confidence in the most probable class.

    `galaxies`, mean `confidence`, `accuracy` and its 95 % interval `low` to `high` (Clopper &
    Pearson 1934).
    """
    from scipy.stats import binomtest

    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == truth
    rows = []
    for _, part in pd.DataFrame({"confidence": confidence, "hit": hits}).groupby(
        equal_mass(confidence, bins)
    ):
        interval = binomtest(int(part["hit"].sum()), len(part)).proportion_ci(0.95)
        rows.append(
            {
                "galaxies": len(part),
                "confidence": float(part["confidence"].mean()),
                "accuracy": float(part["hit"].mean()),
                "low": float(interval.low),
                "high": float(interval.high),
            }
        )
    return pd.DataFrame(rows)


def _binned(
    values: np.ndarray, outcomes: np.ndarray, bins: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return each bin's share of galaxies, mean value and mean outcome."""
    counts = np.bincount(bins, minlength=BINS)
    divisors = np.maximum(counts, 1)
    means = (np.bincount(bins, each, minlength=BINS) / divisors for each in (values, outcomes))
    return counts / len(values), *means


def _error(binned: tuple[np.ndarray, np.ndarray, np.ndarray]) -> float:
    weights, values, outcomes = binned
    return float((weights * np.abs(values - outcomes)).sum())
