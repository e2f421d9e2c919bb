"""What is gained by passing the doubtful galaxies on to people: selective prediction."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np


def risk_coverage(doubt: np.ndarray, wrong: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the share kept and the share of those that are wrong, the surest kept first.

    Args:
        doubt: of each galaxy, in any unit, shape (n,).
        wrong: whether its prediction is, shape (n,).
    """
    ordered = np.asarray(wrong, float)[np.argsort(doubt, kind="stable")]
    counts = np.arange(1, len(ordered) + 1)
    return counts / len(ordered), np.cumsum(ordered) / counts


def aurc(doubt: np.ndarray, wrong: np.ndarray) -> float:
    """Return the area under the risk-coverage curve (Geifman & El-Yaniv 2017); less is better."""
    return float(risk_coverage(doubt, wrong)[1].mean())


def kept_at(doubt: np.ndarray, wrong: np.ndarray, accuracies: Sequence[float]) -> dict[str, float]:
    """Return the largest share that can be kept at each accuracy or better, 0 where none can."""
    kept, risk = risk_coverage(doubt, wrong)
    return {
        f"{accuracy:g}": float(kept[risk <= 1 - accuracy + 1e-12].max(initial=0.0))
        for accuracy in accuracies
    }
