"""Corruption errors of a run against a reference, as ImageNet-C has them."""

from __future__ import annotations

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Damaged, read_parquet, reading
from galaxymorph.judge.metrics.bootstrap import (
    RESAMPLES,
    Interval,
    interval,
    unknown,
    value_with_interval,
)
from galaxymorph.judge.metrics.metric import METRICS, Metric, tree_of, true_and_predicted
from galaxymorph.judge.metrics.vote_fractions import square_errors
from galaxymorph.judge.robustness.records import CorruptionErrors, RobustnessRecord, require_alike
from galaxymorph.learn import Run, predicted_columns, run_files, target_of

# Ratios of errors to a reference's; an error below the least is rounding.
RATIOS, LEAST_ERROR = ("ce", "relative_ce"), 1e-3


def corruption_error(
    record: RobustnessRecord,
    reference: RobustnessRecord,
    name: str,
    errors: np.ndarray | None = None,
    reference_errors: np.ndarray | None = None,
    seed: int = 0,
) -> CorruptionErrors:
    """Return the corruption errors of a run against a reference's, in which the reference has 1.

    CE of a corruption is the sum of errors over the severities by the reference's sum, relative CE
    the same of errors beyond those of clean images (Hendrycks & Dietterich 2019, section 4.2); the
    error is 1 - accuracy, or, of a tree's answers, their RMSE. A ratio counts where the reference's
    sum is at least the half-width of the interval of its clean error in every severity, or 0.001:
    less is noise, and the ratio is None. Means are over the corruptions that count.

    Args:
        record: of the run.
        reference: that of the reference, on the same suite and severities.
        name: of the reference.
        errors: of the run, see `galaxy_errors`, for intervals.
        reference_errors: of the reference.
        seed: of the resampling.

    Returns:
        `run`, the name; `mean_ce` and `mean_relative_ce` with intervals (percentile bootstrap over
        galaxies, of both runs together where they are as many); `counted`, of `corruptions`;
        `per_corruption`.

    Raises:
        BadInput: the two were measured with different settings.
    """
    require_alike(record, reference, name)
    names = list(record["corruptions"])
    denominators, numerators = (
        np.array([_error_sums(each, corruption) for corruption in names])
        for each in (reference, record)
    )
    counts = denominators >= _error_floor(reference)
    ratios = np.divide(numerators, denominators, out=np.full_like(numerators, np.nan), where=counts)
    draws = np.full((1, *ratios.shape), np.nan)
    if errors is not None and reference_errors is not None:
        root = record["headline"] == "rmse"
        draws = _resampled_ratios(errors, reference_errors, len(names), root, seed)
    means = [_mean_ratio(ratios[used, at], draws[:, used, at]) for at, used in enumerate(counts.T)]
    return {
        "run": name,
        "mean_ce": means[0],
        "mean_relative_ce": means[1],
        "counted": {ratio: int(counts[:, at].sum()) for at, ratio in enumerate(RATIOS)},
        "corruptions": len(names),
        "per_corruption": {
            corruption: {
                ratio: round(value, 4) if counted else None
                for ratio, value, counted in zip(RATIOS, *row, strict=True)
            }
            for corruption, *row in zip(names, ratios, counts, strict=True)
        },
    }


def _error_sums(record: RobustnessRecord, corruption: str) -> tuple[float, float]:
    """Return the sums over severities of errors, and of errors in excess of the clean images'."""
    severities = record["corruptions"][corruption]["severities"].values()
    errors = np.array([scores["error"]["value"] for scores in severities], float)
    clean = np.array(record["clean"]["error"]["value"], float)
    return float(errors.sum()), float((errors - clean).sum())


def _error_floor(reference: RobustnessRecord) -> float:
    """Return the least sum of errors over the severities that counts, see `corruption_error`."""
    clean = reference["clean"]["error"]
    low, high = np.array([clean["low"], clean["high"]], float)
    return max((high - low) / 2, LEAST_ERROR) * len(reference["severities"])


def _mean_ratio(ratios: np.ndarray, draws: np.ndarray) -> Interval:
    """Return the mean over corruptions of ratios, with the interval of their draws, NaN if none."""
    if not len(ratios):
        return unknown()
    if np.isnan(draws).all():
        return interval(ratios.mean(), np.nan, np.nan)
    return value_with_interval(ratios.mean(), draws.mean(axis=1))


def _resampled_ratios(
    errors: np.ndarray, reference_errors: np.ndarray, corruptions: int, root: bool, seed: int
) -> np.ndarray:
    """Return CE and relative CE of resamples of galaxies, shape (RESAMPLES, corruptions, 2).

    Args:
        errors: see `galaxy_errors`.
        reference_errors: of the reference.
        corruptions: their number.
        root: whether the error is the root of the mean.
        seed: of the resampling.
    """
    rng = np.random.default_rng(seed)

    def draw_counts(n: int) -> np.ndarray:
        return rng.multinomial(n, np.full(n, 1 / n), RESAMPLES)

    counts = draw_counts(len(errors))
    paired = len(errors) == len(reference_errors)
    reference_counts = counts if paired else draw_counts(len(reference_errors))
    sums = []
    for times, values in ((counts, errors), (reference_counts, reference_errors)):
        mean = times @ values / len(values)
        mean = np.sqrt(mean) if root else mean
        corrupted = mean[:, 1:].reshape(RESAMPLES, corruptions, -1)
        relative = corrupted - mean[:, :1, None]
        sums.append(np.stack([corrupted.sum(axis=2), relative.sum(axis=2)], axis=2))
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[0] / sums[1]


def galaxy_errors(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Return each test galaxy's contribution to a measured run's error, shape (n, conditions).

    Clean images come first, then the severities of each corruption. Of classes it is 1 where the
    class is wrong; of a tree the mean square error of answers, of which the root of the mean over
    galaxies is the error.

    Args:
        run: measured.
        table: its predictions of corrupted images, see `robustness_of`.
    """
    if target_of(run.recipe).chooses:
        errors = (table["label"] != table["predicted"]).to_numpy(float)
    else:
        errors = square_errors(tree_of(run), *true_and_predicted(run, table))
    return errors.reshape(_conditions(table), -1).T


def read_robustness_table(run: Run) -> pd.DataFrame:
    """Return a measured run's predictions of corrupted images.

    Raises:
        BadInput: the run's robustness isn't measured, or its table is damaged.
    """
    path, remedy = (
        run.path / run_files.ROBUSTNESS_TABLE,
        f"run `python cli.py robustness {run.path}` again",
    )
    if not path.exists():
        raise BadInput(f"{path} does not exist", remedy)
    chooses = target_of(run.recipe).chooses
    columns = ["label", "predicted"] if chooses else predicted_columns(run.recipe, run.classes)
    table = read_parquet(path, ["corruption", "severity", *columns], remedy)
    with reading(path, remedy):
        conditions = _conditions(table)
        if not conditions or len(table) % conditions:
            raise Damaged("its conditions aren't of the same galaxies")
    return table


def _conditions(table: pd.DataFrame) -> int:
    return len(table.groupby(["corruption", "severity"]))


for name, metric in {
    "ce": Metric("corruption error", "error divided by that of the reference run", "less"),
    "relative_ce": Metric(
        "relative corruption error",
        "error in excess of clean, divided by that of the reference run",
        "less",
    ),
    "mean_ce": Metric("mean corruption error", "over corruptions", "less"),
    "mean_relative_ce": Metric("mean relative corruption error", "over corruptions", "less"),
}.items():
    METRICS.register(name, metric)
