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
