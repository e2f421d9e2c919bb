"""Bootstrap intervals of any scores."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Literal, TypedDict

import numpy as np
import pandas as pd

from galaxymorph.base import Progress

RESAMPLES = 1000
# Galaxies that `bootstrap_together` scores at once: of few, all resamples.
AT_ONCE = 50_000
LEVEL = 0.95
TAILS = [(1 - LEVEL) / 2, (1 + LEVEL) / 2]


class Interval(TypedDict):
    """A value and the ends of its interval, as JSON has them; None where they are unknown."""

    value: float | None
    low: float | None
    high: float | None


def interval(value: float, low: float, high: float) -> Interval:
    """Return an interval rounded to six places, None for NaN."""
    return {"value": rounded(value), "low": rounded(low), "high": rounded(high)}


def unknown() -> Interval:
    """Return the interval of a quantity of which nothing is known."""
    return {"value": None, "low": None, "high": None}


def bootstrap(
    score: Callable[[np.ndarray], Mapping[str, float]], n: int, seed: int
) -> dict[str, Interval]:
    """Return each score with its bootstrap interval.

    Args:
        score: from the positions of galaxies, some repeated, to named scores.
        n: the number of galaxies.
        seed: of the resampling.

    Returns:
        By name: `value` on the galaxies themselves, `low` and `high`, the central `LEVEL` of
        `RESAMPLES` resamples (Efron & Tibshirani 1993, chapter 13). A score that is NaN,
        of no galaxy, has None for all three; resamples where it is are left out.
    """
    rng = np.random.default_rng(seed)
    value, resampled = score(np.arange(n)), []
    with Progress("bootstrap", RESAMPLES, "resamples") as progress:
        for _ in range(RESAMPLES):
            resampled.append(score(rng.integers(0, n, n)))
            progress.advance()
    return _intervals(value, pd.DataFrame(resampled))


def bootstrap_together(
    scores: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    n: int,
    seed: int,
    biased: Collection[str] = (),
) -> dict[str, Interval]:
    """Return `bootstrap` of scores that are computed of many resamples at once.

    The resamples of a seed are those of `bootstrap`.

    Args:
        scores: from positions of galaxies, shape (resamples, n), to named scores, (resamples,).
        n: the number of galaxies.
        seed: of the resampling.
        biased: scores, never below 0, of which a resample is another value in the mean than of the
            galaxies themselves: a calibration error is larger of them. Their interval is that of
            the deviations of resamples from their mean, mirrored about the value (Davison & Hinkley
            1997, Bootstrap Methods, section 5.2.1, the basic interval, centred).
    """
    rng = np.random.default_rng(seed)
    value = {name: float(of_one[0]) for name, of_one in scores(np.arange(n)[np.newaxis]).items()}
    resampled, step = [], max(1, AT_ONCE // max(n, 1))
    with Progress("bootstrap", RESAMPLES, "resamples") as progress:
        for start in range(0, RESAMPLES, step):
            rows = rng.integers(0, n, (min(step, RESAMPLES - start), n))
            resampled.append(pd.DataFrame(scores(rows)))
            progress.advance(len(rows))
    return _intervals(value, pd.concat(resampled, ignore_index=True), biased)


def _intervals(
    value: Mapping[str, float], draws: pd.DataFrame, biased: Collection[str] = ()
) -> dict[str, Interval]:
    """Return the intervals of scores, by name, from those of resamples, a row each."""
    tails = draws.quantile(TAILS)
    intervals = {}
    for name, found in value.items():
        low, high = map(float, tails[name].to_list())
        if name in biased:
            twice = found + float(draws[name].mean())
            low, high = max(twice - high, 0.0), max(twice - low, 0.0)
            found = max(found, 0.0)
        intervals[name] = interval(found, low, high)
    return intervals


def bootstrap_one(score: Callable[[np.ndarray], float], n: int, seed: int) -> Interval:
    """Return one score with its interval, see `bootstrap`."""
    return bootstrap(lambda rows: {"": score(rows)}, n, seed)[""]


def central(draws: np.ndarray) -> np.ndarray:
    """Return the ends of the central `LEVEL` of draws; those that are NaN are left out."""
    return np.nanquantile(draws, TAILS)


def value_with_interval(value: float, draws: np.ndarray) -> Interval:
    """Return a value with the central `LEVEL` of draws, widened to hold it.

    Args:
        value: on the galaxies themselves.
        draws: on resamples, shape (RESAMPLES,).
    """
    low, high = central(draws)
    return interval(value, min(low, value), max(high, value))


def rounded(score: float) -> float | None:
    """Return a score as JSON takes it, to six places; None for NaN."""
    return None if np.isnan(score) else round(float(score), 6)


def mean_interval(values: np.ndarray, seed: int) -> Interval:
    """Return the mean of a value a galaxy with its percentile bootstrap interval, as `bootstrap`.

    Args:
        values: shape (n,); NaN for a galaxy without one, which is left out.
        seed: of the resampling.
    """
    values = np.asarray(values, float)
    values = values[~np.isnan(values)]
    n = len(values)
    if not n:
        return unknown()
    return interval(values.sum() / n, *central(values[_resamples(n, seed)].sum(axis=1) / n))


def ratio_interval(above: np.ndarray, below: np.ndarray, seed: int) -> Interval:
    """Return the ratio of two means over galaxies with its interval, as `bootstrap`.

    Args:
        above: shape (n,).
        below: shape (n,), of the same galaxies; its sum isn't 0.
        seed: of the resampling.
    """
    n = len(above)
    if not n:
        return unknown()
    rows = _resamples(n, seed)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = above[rows].sum(axis=1) / below[rows].sum(axis=1)
    return interval(above.sum() / below.sum(), *central(draws))


def _resamples(n: int, seed: int) -> np.ndarray:
    """Return positions of galaxies, shape (RESAMPLES, n)."""
    return np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))


def proportion(hits: int, of: int, method: Literal["wilson", "exact"] = "wilson") -> Interval:
    """Return a share with its 95 % interval.

    Args:
        hits: how many.
        of: of how many; nothing is known of none.
        method: `wilson` (Wilson 1927), which covers in 95 % of cases in the mean over shares, or
            `exact` (Clopper & Pearson 1934), in 95 % or more for each.
    """
    from scipy.stats import binomtest

    if not of:
        return unknown()
    ends = binomtest(int(hits), int(of)).proportion_ci(LEVEL, method)
    return interval(hits / of, ends.low, ends.high)


def over_folds(scores: Sequence[float]) -> Interval:
    """Return the mean score of a cross-validated run's folds with its interval over trainings.

    Each fold has other galaxies, another training set and another seed, so that the interval covers
    all of them: it is of a model that is trained again, not of the models as they are. Student's t
    of k folds, with a variance of the mean of (1 / k + 1 / (k - 1)) s ** 2, since training sets
    overlap (Nadeau & Bengio 2003, Machine Learning 52, 239, equation 6, test over training
    galaxies being 1 / (k - 1)). With two folds it is wide; it may reach beyond a score's range.

    Args:
        scores: of each fold.
    """
    from scipy.stats import t

    values = np.asarray(scores, float)
    k, mean = len(values), float(np.mean(values))
    if k < 2 or np.isnan(mean):
        return interval(mean, np.nan, np.nan)
    half = t.ppf((1 + LEVEL) / 2, k - 1) * np.sqrt(1 / k + 1 / (k - 1)) * values.std(ddof=1)
    return interval(mean, mean - half, mean + half)
