"""How far probabilities are from frequencies: calibration errors and proper scores."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from galaxymorph.judge.calibration.calibrators import nll
from galaxymorph.judge.metrics.bootstrap import RESAMPLES, Interval, bootstrap_together, central
from galaxymorph.judge.metrics.metric import METRICS, Metric

# Bins at most, and galaxies in a bin, of calibration errors, parts of the Brier score and
# reliability diagrams alike: an accuracy of 0.9 of so many has a 95 % interval of some 0.25, and a
# bin of one galaxy compares a probability with 0 or 1.
BINS, PER_BIN = 15, 25
ERRORS = ("ece_equal_mass", "ece_equal_width", "ece_classwise")
# Scores whose resamples are biased: see `bootstrap`.
BIASED = (*ERRORS, "ece_truth", "reliability", "resolution")


class Band(TypedDict):
    """The ends of an interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Binned:
    """Of each bin, shape (..., bins): how many galaxies, mean probability, mean outcome.

    `variance` is that of the mean outcome about its expectation.
    """

    counts: np.ndarray
    means: np.ndarray
    outcomes: np.ndarray
    variance: np.ndarray


def calibration_scores(
    probabilities: np.ndarray, truth: np.ndarray, debiased: bool = False
) -> dict[str, np.ndarray]:
    """Return the scores of probabilities, (..., n, classes), against true classes, (..., n).

    Each has the shape (...): one for every resample of galaxies.

    `ece_equal_mass` and `ece_equal_width`, the expected calibration error of the most probable
    class in `bin_count` bins (Guo et al. 2017, eq. 3; Nguyen & O'Connor 2015); `ece_classwise`, its
    mean over classes, each class's probability in bins of equal mass (Kull et al. 2019, eq. 5);
    `nll` in nats; `brier`, the sum over classes, and its parts: reliability - resolution +
    uncertainty + within_bins, that is the variance of probabilities within bins less their
    covariance with the outcomes there, twice (Murphy 1973; Stephenson et al. 2008, eq. 7). Those
    that depend on bins are NaN where `bin_count` is 1.

    Args:
        probabilities: rows sum to 1.
        truth: positions of the true classes.
        debiased: subtract the bias of few galaxies: of calibration errors see `binned_error`; of
            the parts of the Brier score after Ferro & Fricker 2012 (Q. J. R. Meteorol. Soc. 138,
            1954, equations 10 to 12), whose sum is the same.

    Raises:
        ValueError: a probability is NaN or infinite.
    """
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is NaN or infinite")
    confidence = probabilities.max(axis=-1)
    hits = (probabilities.argmax(axis=-1) == truth).astype(float)
    one_hot = np.eye(probabilities.shape[-1])[truth]
    columns = (np.moveaxis(each, -1, 0) for each in (probabilities, one_hot))
    by_class = [binned(p, y, mass_bins(p)) for p, y in zip(*columns, strict=True)]
    brier = np.square(probabilities - one_hot).sum(axis=-1).mean(axis=-1)
    reliability, resolution, uncertainty = np.sum(
        [_brier_parts(one, debiased) for one in by_class], axis=0
    )
    if bin_count(probabilities.shape[-2]) < 2:
        # All galaxies together resolve nothing, whatever their probabilities.
        reliability, resolution = np.full((2, *brier.shape), np.nan)
    mass = binned(confidence, hits, mass_bins(confidence))
    errors = np.stack([binned_error(one, debiased) for one in by_class], axis=-1)
    return {
        "ece_equal_mass": binned_error(mass, debiased),
        "ece_equal_width": calibration_error(confidence, hits, debiased),
        "ece_classwise": errors.mean(axis=-1),
        "nll": nll(probabilities, truth),
        "brier": brier,
        "reliability": reliability,
        "resolution": resolution,
        "uncertainty": uncertainty,
        "within_bins": brier - (reliability - resolution + uncertainty),
    }


def calibration_error(
    confidence: np.ndarray, hits: np.ndarray, debiased: bool = False
) -> np.ndarray:
    """Return the expected calibration error in bins of equal width (Guo et al. 2017, eq. 3).

    Args:
        confidence: of the predicted class, shape (..., n).
        hits: whether it is right, shape (..., n).
        debiased: see `binned_error`.
    """
    return binned_error(binned(confidence, hits, width_bins(confidence)), debiased)


@dataclass(frozen=True)
class CalibrationScores:
    """The scores of probabilities with intervals.

    Args:
        scores: of `calibration_scores`, by name.
        if_calibrated: of each calibration error, see `calibrated_band`.
    """

    scores: dict[str, Interval]
    if_calibrated: dict[str, Band]

    @property
    def record(self) -> dict[str, Any]:
        """The scores as `calibration.json` has them."""
        return {**self.scores, "if_calibrated": self.if_calibrated}


def calibration_intervals(
    probabilities: np.ndarray, truth: np.ndarray, seed: int
) -> CalibrationScores:
    """Return debiased `calibration_scores` with intervals, and those of a calibrated model.

    An interval of a calibration error is that of its debiased estimate, see `bootstrap`; where
    the error is within what a calibrated model of this size has, it begins at 0. So it holds an
    error of 0 in 97.5 % of cases, and others in the cases that docs/statistics.md has.

    Args:
        probabilities: rows sum to 1, shape (n, classes).
        truth: positions of the true classes, shape (n,).
        seed: of the resampling.
    """
    scores = bootstrap_together(
        lambda rows: calibration_scores(probabilities[rows], truth[rows], debiased=True),
        len(truth),
        seed,
        BIASED,
    )
    band = calibrated_band(probabilities, seed)
    scores |= {name: from_zero(scores[name], band[name]) for name in ERRORS}
    return CalibrationScores(scores, band)


def calibrated_band(probabilities: np.ndarray, seed: int) -> dict[str, Band]:
    """Return the calibration errors that a model has if its probabilities are right.

    Classes are drawn from them `RESAMPLES` times (consistency resampling, Bröcker & Smith 2007,
    Weather and Forecasting 22, 651); of the debiased errors the central `LEVEL`.

    Args:
        probabilities: rows sum to 1, shape (n, classes).
        seed: of the draws.
    """
    n, classes = probabilities.shape
    ends = probabilities.cumsum(axis=1)
    ends[:, -1] = 1.0
    rng = np.random.default_rng(seed)
    drawn = np.stack([(ends < rng.random((n, 1))).sum(axis=1) for _ in range(RESAMPLES)])
    confidence, best = probabilities.max(axis=1), probabilities.argmax(axis=1)
    hits = drawn == best
    by_class = [
        _drawn_errors(column, drawn == code, mass_bins(column))
        for code, column in enumerate(probabilities.T)
    ]
    errors = {
        "ece_equal_mass": _drawn_errors(confidence, hits, mass_bins(confidence)),
        "ece_equal_width": _drawn_errors(confidence, hits, width_bins(confidence)),
        "ece_classwise": np.mean(by_class, axis=0),
    }
    return {name: band_of(values) for name, values in errors.items()}


def confidence_error_interval(confidence: np.ndarray, hits: np.ndarray, seed: int) -> Interval:
    """Return the debiased `calibration_error` with its interval, as `calibration_intervals` has it.

    Args:
        confidence: of the predicted class, shape (n,).
        hits: whether it is right, shape (n,).
        seed: of resampling and draws.
    """
    error = bootstrap_together(
        lambda rows: {"ece": calibration_error(confidence[rows], hits[rows], debiased=True)},
        len(confidence),
        seed,
        ["ece"],
    )
    return from_zero(error["ece"], confidence_band(confidence, seed))


def confidence_band(confidence: np.ndarray, seed: int) -> Band:
    """Return `calibrated_band` of the `calibration_error` of confidences, shape (n,)."""
    hits = np.random.default_rng(seed).random((RESAMPLES, len(confidence))) < confidence
    return band_of(_drawn_errors(confidence, hits, width_bins(confidence)))


def band_of(values: np.ndarray) -> Band:
    """Return `low` and `high` of the central `LEVEL` of errors, which aren't below 0."""
    low, high = central(np.maximum(values, 0))
    return {"low": round(float(low), 6), "high": round(float(high), 6)}


def from_zero(interval: Interval, band: Band) -> Interval:
    """Return an interval that begins at 0 if a calibrated model may have such an error."""
    value = interval["value"]
    below = value is not None and value <= band["high"]
    return {**interval, "low": 0.0} if below else interval


def truth_scores(
    probabilities: np.ndarray, chances: np.ndarray, debiased: bool = False
) -> dict[str, np.ndarray]:
    """Return how far probabilities are from the true chances of classes, both (..., n, classes).

    Each distance has the shape (...), as in `calibration_scores`.

    `truth_error`, the mean absolute difference over galaxies and classes; and `ece_truth`, the
    expected calibration error of the most probable class in bins of equal mass, see `mass_bins`,
    against its true probability rather than the drawn class.

    Args:
        probabilities: of the model.
        chances: of the simulation.
        debiased: subtract the bias of few galaxies, see `binned_error`.
    """
    at = probabilities.argmax(axis=-1)[..., np.newaxis]
    confidence, chance = (
        np.take_along_axis(each, at, axis=-1)[..., 0] for each in (probabilities, chances)
    )
    bins = mass_bins(confidence)
    in_bins = binned(confidence, chance, bins)
    # Chances aren't drawn: a bin's gap varies as its galaxies' gaps do.
    counts = np.maximum(in_bins.counts, 1)
    gaps = confidence - chance
    means = np.take_along_axis(_sums(bins, gaps) / counts, bins, axis=-1)
    variance = _sums(bins, np.square(gaps - means)) / counts**2
    in_bins = replace(in_bins, variance=variance)
    return {
        "truth_error": np.abs(probabilities - chances).mean(axis=(-2, -1)),
        "ece_truth": binned_error(in_bins, debiased),
    }


def bin_count(n: int) -> int:
    """Return how many bins n galaxies have: of `PER_BIN` each, at least 1 and at most `BINS`."""
    return int(np.clip(n // PER_BIN, 1, BINS))


def mass_bins(values: np.ndarray) -> np.ndarray:
    """Return each value's bin of equal mass, of `bin_count`; equal values share a bin.

    The last axis is that of the galaxies. Bins that equal values leave with less than half of
    `PER_BIN` join their neighbours.
    """
    return _joined(equal_mass(values, bin_count(values.shape[-1])), PER_BIN // 2)


def width_bins(values: np.ndarray) -> np.ndarray:
    """Return each value's bin of `bin_count`, all as wide between 0 and 1."""
    bins = bin_count(values.shape[-1])
    return np.minimum((values * bins).astype(int), bins - 1)


def equal_mass(values: np.ndarray, bins: int) -> np.ndarray:
    """Return each value's bin, all bins holding as many but for one; equal values share a bin."""
    from scipy.stats import rankdata

    if bins == 1:
        # Of few galaxies, thousands of resamplings would be ranked for nothing.
        return np.zeros(values.shape, int)
    shares = (rankdata(values, axis=-1) - 0.5) * bins / values.shape[-1]
    return np.minimum(shares.astype(int), bins - 1)


def binned_error(in_bins: Binned, debiased: bool) -> np.ndarray:
    """Return the mean over galaxies of their bin's absolute gap of probability and outcome.

    An absolute gap is larger than the true one in the mean. If a bin's gap is normal about the true
    one with standard deviation s, the expectation of its absolute value exceeds the true gap by the
    folded normal distribution's mean less that gap, which is estimated at the gap itself and
    subtracted (Kumar, Liang & Ma 2019, NeurIPS, section 4, of any power; Leone et al. 1961,
    Technometrics 3, 543, for the mean). The result may be below 0.

    Args:
        in_bins: the content of bins.
        debiased: whether it is subtracted.
    """
    gaps = np.abs(in_bins.means - in_bins.outcomes)
    if debiased:
        gaps = 2 * gaps - _folded_mean(gaps, np.sqrt(in_bins.variance))
    return (in_bins.counts * gaps).sum(axis=-1) / in_bins.counts.sum(axis=-1)


def reliability_table(probabilities: np.ndarray, truth: np.ndarray) -> pd.DataFrame:
    """Return a row a bin of the confidence in the most probable class, see `mass_bins`.

    `galaxies`, mean `confidence`, `accuracy` and its 95 % interval `low` to `high` (Clopper &
    Pearson 1934). The calibration error `ece_equal_mass` is of these bins.
    """
    from scipy.stats import binomtest

    confidence = probabilities.max(axis=1)
    hits = probabilities.argmax(axis=1) == truth
    rows = []
    for _, part in pd.DataFrame({"confidence": confidence, "hit": hits}).groupby(
        mass_bins(confidence)
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


def _joined(bins: np.ndarray, least: int) -> np.ndarray:
    """Return bins, of which those with few galaxies, since equal values share one, join others."""
    counts = np.moveaxis(_sums(bins), -1, 0)
    group = inside = np.zeros(counts.shape[1:], int)
    left, groups = counts.sum(axis=0), []
    for count in counts:
        begins = (inside >= least) & (left >= least)
        group = group + begins
        groups.append(group)
        inside, left = np.where(begins, 0, inside) + count, left - count
    return np.take_along_axis(np.stack(groups, axis=-1), bins, axis=-1)


def _sums(bins: np.ndarray, values: np.ndarray | None = None) -> np.ndarray:
    """Return the sum of values in each bin, shape (..., BINS); without values, how many there are.

    Args:
        bins: each galaxy's, from 0 to `BINS` - 1, shape (..., n).
        values: shape (..., n).
    """
    shape = (*bins.shape[:-1], BINS)
    size = int(np.prod(shape))
    places = bins + np.arange(0, size, BINS).reshape(*shape[:-1], 1)
    weights = None if values is None else np.ravel(values)
    return np.bincount(places.ravel(), weights, minlength=size).reshape(shape)


def binned(values: np.ndarray, outcomes: np.ndarray, bins: np.ndarray) -> Binned:
    """Return the content of bins, see `Binned`.

    Args:
        values: probabilities, shape (..., n).
        outcomes: 0 or 1, shape (..., n).
        bins: each galaxy's, from 0 to `BINS` - 1, shape (..., n).
    """
    counts = _sums(bins)
    divisors = np.maximum(counts, 1)
    means, shares = (_sums(bins, column) / divisors for column in (values, outcomes))
    return Binned(counts, means, shares, _variance(counts, means, shares))


def _variance(counts: np.ndarray, means: np.ndarray, outcomes: np.ndarray) -> np.ndarray:
    """Return the variance of shares of outcomes.

    Of the share with one more galaxy of the predicted chance: where all or none of a few are
    right, the share alone has none.
    """
    shares = (outcomes * counts + means) / (counts + 1)
    return shares * (1 - shares) / np.maximum(counts, 1)


def _folded_mean(mean: np.ndarray, deviation: np.ndarray) -> np.ndarray:
    """Return the mean absolute value of normal distributions."""
    from scipy.special import ndtr

    deviation = np.maximum(deviation, 1e-12)
    ratio = mean / deviation
    return deviation * np.sqrt(2 / np.pi) * np.exp(-(ratio**2) / 2) + mean * (1 - 2 * ndtr(-ratio))


def _drawn_errors(values: np.ndarray, outcomes: np.ndarray, bins: np.ndarray) -> np.ndarray:
    """Return the debiased error of each draw, shape (draws,), of outcomes, shape (draws, n)."""
    counts = _sums(bins)
    divisors = np.maximum(counts, 1)
    means = _sums(bins, values) / divisors
    shares = outcomes.astype(np.float32) @ np.eye(BINS, dtype=np.float32)[bins] / divisors
    gaps = np.abs(means - shares)
    spread = np.sqrt(_variance(counts, means, shares))
    return (counts * (2 * gaps - _folded_mean(gaps, spread))).sum(axis=1) / counts.sum()


def _brier_parts(in_bins: Binned, debiased: bool) -> np.ndarray:
    """Return reliability, resolution and uncertainty of one class."""
    galaxies = in_bins.counts.sum(axis=-1)
    weights = in_bins.counts / galaxies[..., np.newaxis]
    mean = (weights * in_bins.outcomes).sum(axis=-1)
    parts = np.stack(
        [
            (weights * (in_bins.means - in_bins.outcomes) ** 2).sum(axis=-1),
            (weights * (in_bins.outcomes - mean[..., np.newaxis]) ** 2).sum(axis=-1),
            mean * (1 - mean),
        ]
    )
    if not debiased:
        return parts
    within = in_bins.outcomes * (1 - in_bins.outcomes) / np.maximum(in_bins.counts - 1, 1)
    noise, all_noise = (weights * within).sum(axis=-1), parts[2] / np.maximum(galaxies - 1, 1)
    return parts + np.stack([-noise, all_noise - noise, all_noise])


ECE = "mean absolute gap of confidence and accuracy over bins"
for name, metric in {
    "nll": Metric(
        "negative log-likelihood",
        "of the true classes, in nats; of vote fractions, of the votes",
        "less",
        short="NLL",
    ),
    "brier": Metric(
        "Brier score", "squared error of the probabilities, summed over classes", "less", (0.0, 2.0)
    ),
    "ece_equal_mass": Metric(
        "calibration error, bins of equal mass", ECE, "less", (0.0, 1.0), short="ECE"
    ),
    "ece_equal_width": Metric("calibration error, bins of equal width", ECE, "less", (0.0, 1.0)),
    "ece_classwise": Metric(
        "calibration error by class", f"{ECE}, mean over classes", "less", (0.0, 1.0)
    ),
    "ece_truth": Metric(
        "calibration error against the true probabilities",
        "known in simulations, in bins of equal mass",
        "less",
        (0.0, 1.0),
    ),
    "truth_error": Metric(
        "mean distance from the true probabilities", "known in simulations", "less", (0.0, 1.0)
    ),
    "reliability": Metric("reliability of the Brier score", better="less"),
    "resolution": Metric("resolution of the Brier score", better="greater"),
    "uncertainty": Metric("uncertainty of the Brier score", "of the galaxies alone"),
    "within_bins": Metric(
        "variance less covariance within bins of the Brier score",
        "of probabilities, and of these with the classes, twice; below 0 where probabilities tell "
        "the classes of a bin's galaxies apart",
    ),
    "held_out_nll": Metric(
        "negative log-likelihood in cross-validation", "used to select the calibrator", "less"
    ),
}.items():
    METRICS.register(name, metric)
