"""Bootstrap intervals of any scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from galaxymorph.base import Progress

RESAMPLES = 1000
LEVEL = 0.95


def bootstrap(
    score: Callable[[np.ndarray], dict[str, float]], n: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Return each score with its percentile bootstrap interval.

    Args:
        score: from the positions of galaxies, some repeated, to named scores.
        n: the number of galaxies.
        seed: of the resampling.

    Returns:
        By name: `value` on the galaxies themselves, `low` and `high`, the central `LEVEL` of
        `RESAMPLES` resamples (Efron & Tibshirani 1993, chapter 13). A score that is NaN, since
        no galaxy says anything of it, has None for all three; resamples where it is are left out.
    """
    rng = np.random.default_rng(seed)
    value = score(np.arange(n))
    draws = []
    with Progress("bootstrap", RESAMPLES, "resamples") as progress:
        for _ in range(RESAMPLES):
            draws.append(score(rng.integers(0, n, n)))
            progress.advance()
    tails = pd.DataFrame(draws).quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        name: {
            "value": _rounded(value[name]),
            "low": _rounded(tails[name].iloc[0]),
            "high": _rounded(tails[name].iloc[1]),
        }
        for name in value
    }


def _rounded(score: float) -> float | None:
    return None if np.isnan(score) else round(float(score), 6)


def mean_interval(values: np.ndarray, seed: int) -> dict[str, float | None]:
    """Return the mean of a value a galaxy with its percentile bootstrap interval, as `bootstrap`.

    Args:
        values: shape (n,); NaN for a galaxy that says nothing of it, which is left out.
        seed: of the resampling.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    return ratio_interval(values, np.ones(len(values)), seed)


def ratio_interval(above: np.ndarray, below: np.ndarray, seed: int) -> dict[str, float | None]:
    """Return the ratio of two means over galaxies with its interval, as `bootstrap`.

    Args:
        above: shape (n,).
        below: shape (n,), of the same galaxies; its sum isn't 0.
        seed: of the resampling.
    """
    n = len(above)
    if not n:
        return dict.fromkeys(("value", "low", "high"))
    rows = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = above[rows].sum(axis=1) / below[rows].sum(axis=1)
    low, high = np.nanquantile(draws, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        "value": _rounded(above.sum() / below.sum()),
        "low": _rounded(low),
        "high": _rounded(high),
    }
