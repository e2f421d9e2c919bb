"""Calibration errors: that few galaxies don't bias them, that their intervals cover, and ties."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from galaxymorph.judge import aurc
from galaxymorph.judge.calibration.reliability import (
    ERRORS,
    PER_BIN,
    bin_count,
    binned,
    binned_error,
    calibrated_band,
    calibration_error,
    calibration_intervals,
    calibration_scores,
    confidence_band,
    equal_mass,
    mass_bins,
    reliability_table,
    truth_scores,
)
from galaxymorph.zoo import SCHEMAS, to_cumulative
from tests.judge.test_vote_fractions import distribution_metrics, tree_metrics


def overconfident(n: int, rng: np.random.Generator, by: float):
    """Probabilities of two classes, classes drawn from less of it, and the error, which is known.

    Confidence is even between 0.6 and 1, and right less often by `by` (not under a half).
    """
    confidence = rng.uniform(0.6, 1, n)
    wrong = rng.random(n) >= confidence - by
    best = rng.integers(0, 2, n)
    probabilities = np.where(
        np.arange(2) == best[:, None], confidence[:, None], 1 - confidence[:, None]
    )
    return probabilities, np.where(wrong, 1 - best, best)


@pytest.mark.parametrize(("n", "error"), [(100, 0.086), (200, 0.0), (400, 0.086)])
def test_intervals_of_calibration_errors_cover_as_often_as_they_say(n, error, monkeypatch):
    """Percentile intervals of the plain error covered 0.086 in 70 % of runs, and 0 in none.

    40 runs with 150 resamples, for the time's sake: of a coverage of 0.9 fewer than 28 have a
    chance of 1e-4 (binomial). benchmarks/coverage.py has it at n to 1,000.
    """
    monkeypatch.setattr("galaxymorph.judge.metrics.bootstrap.RESAMPLES", 150)
    rng = np.random.default_rng(5)
    covered = 0
    for seed in range(40):
        found, truth = overconfident(n, rng, error)
        interval = calibration_intervals(found, truth, seed).scores["ece_equal_mass"]
        covered += interval["low"] <= error <= interval["high"]
        assert interval["low"] <= interval["value"] <= interval["high"]
    assert covered >= binom(40, 0.9).ppf(1e-4)


@pytest.mark.parametrize(("n", "error"), [(50, 0.086), (100, 0.086), (200, 0.0), (400, 0.086)])
def test_the_debiased_error_is_nearer_to_the_truth_in_the_mean_than_the_plain_one(n, error):
    """Biases of 100 galaxies are -0.004 and 0.015; with 600 runs they are known to 0.002."""
    rng = np.random.default_rng(77)
    errors = []
    for _ in range(600):
        found, truth = overconfident(n, rng, error)
        confidence = found.max(axis=1)
        held = binned(confidence, found.argmax(axis=1) == truth, mass_bins(confidence))
        errors.append([binned_error(held, debiased) for debiased in (False, True)])
    plain, debiased = np.abs(np.mean(errors, axis=0) - error)
    assert debiased < plain


def test_a_calibrated_model_stays_within_its_band_and_another_leaves_it():
    """Of 60 calibrated models of 200 galaxies 2.5 % exceed the band's high end; more than 7 have a
    chance under 1e-4 (binomial). Overconfident by 0.2, none stays within it.
    """
    rng = np.random.default_rng(6)
    above = dict.fromkeys(ERRORS, 0)
    for seed in range(60):
        found, truth = overconfident(200, rng, 0.0)
        band = calibrated_band(found, seed)
        scores = calibration_scores(found, truth, debiased=True)
        for name in ERRORS:
            above[name] += scores[name] > band[name]["high"]
    assert max(above.values()) <= binom(60, 0.025).ppf(1 - 1e-4)
    found, truth = overconfident(400, rng, 0.2)
    band = calibrated_band(found, 0)
    scores = calibration_scores(found, truth, debiased=True)
    assert all(scores[name] > band[name]["high"] for name in ERRORS)
    one = confidence_band(found.max(axis=1), 1)["high"]
    assert one == pytest.approx(band["ece_equal_width"]["high"], rel=0.15)


def test_the_debiased_parts_of_the_brier_score_sum_to_it_and_are_less_biased():
    """Reliability of a calibrated model is 0; resolution the variance of its probabilities."""
    rng = np.random.default_rng(7)
    plain, debiased = [], []
    for _ in range(200):
        found, truth = overconfident(150, rng, 0.0)
        both = (calibration_scores(found, truth, debiased=each) for each in (False, True))
        for scores, kept in zip(both, (plain, debiased), strict=True):
            parts = scores["reliability"] - scores["resolution"] + scores["uncertainty"]
            assert scores["brier"] == pytest.approx(parts + scores["within_bins"])
            kept.append(scores["reliability"])
    # Standard errors are under 0.001; the plain one is 6 / 150 * 2 * mean of p (1 - p) = 0.012.
    assert np.mean(plain) > 0.008
    assert abs(np.mean(debiased)) < 0.003


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 80), st.integers(1, 6), st.integers(0, 10**6))
def test_the_order_of_rows_changes_no_metric_however_many_are_equal(n, levels, seed):
    """Ties moved the calibration error between 0.027 and 0.20, and AURC from 0.46 to 0.66."""
    rng = np.random.default_rng(seed)
    tree = SCHEMAS["galaxy-zoo-challenge"].tree
    coarse = 1 + rng.integers(0, levels, (n, 3)).astype(float)
    found, chances = (each / each.sum(axis=1, keepdims=True) for each in (coarse, coarse[::-1]))
    truth = rng.integers(0, 3, n)
    wrong = (found.argmax(axis=1) != truth).astype(float)
    fractions = [
        to_cumulative(tree, rng.integers(1, levels + 2, (n, len(tree.columns))).astype(float))
        for _ in range(2)
    ]

    def metrics(rows: np.ndarray) -> dict[str, float]:
        p, y = found[rows], truth[rows]
        named = {f"plain {k}": v for k, v in calibration_scores(p, y).items()}
        named |= calibration_scores(p, y, debiased=True) | truth_scores(p, chances[rows], True)
        named["aurc"] = aurc(1 - p.max(axis=1), wrong[rows])
        named["ece"] = calibration_error(p.max(axis=1), 1 - wrong[rows])
        return named

    order = rng.permutation(n)
    before, after = metrics(np.arange(n)), metrics(order)
    for name, value in before.items():
        assert after[name] == pytest.approx(value, abs=1e-9, nan_ok=True), name
    if seed % 10 == 0:
        for judge in (
            lambda rows: distribution_metrics(found[rows], chances[rows], 0),
            lambda rows: tree_metrics(tree, *(each[rows] for each in fractions), 0),
        ):
            with pytest.MonkeyPatch.context() as patch:
                # Intervals, of which few resamples do, are not compared.
                patch.setattr("galaxymorph.judge.metrics.bootstrap.RESAMPLES", 2)
                values = [_values(judge(rows)) for rows in (order, np.arange(n))]
            assert values[0] == pytest.approx(values[1], abs=2e-6, nan_ok=True)


def _values(metrics: dict, prefix: str = "") -> dict[str, float]:
    """Return the values of scores, without their intervals, which are of other resamples."""
    if set(metrics) == {"value", "low", "high"}:
        return {prefix: np.nan if metrics["value"] is None else metrics["value"]}
    found = {}
    for name, each in metrics.items():
        if isinstance(each, dict):
            found |= _values(each, f"{prefix}.{name}")
    return found


def test_equal_confidences_share_a_bin():
    values = np.array([0.5] * 40 + [0.7] * 3 + [0.9] * 57)
    for bins in (2, 5, 15):
        found = equal_mass(values, bins)
        assert [len(set(found[values == each])) for each in (0.5, 0.7, 0.9)] == [1, 1, 1]
        assert found.max() < bins


@pytest.mark.parametrize(
    ("n", "bins"), [(1, 1), (15, 1), (49, 1), (50, 2), (100, 4), (374, 14), (375, 15), (5000, 15)]
)
def test_number_and_figure_are_of_the_same_bins(n, bins):
    found, truth = overconfident(n, np.random.default_rng(9), 0.1)
    table = reliability_table(found, truth)
    assert len(table) == bin_count(n) == bins
    gaps = (table["confidence"] - table["accuracy"]).abs()
    drawn = (gaps * table["galaxies"]).sum() / n
    assert calibration_scores(found, truth)["ece_equal_mass"] == pytest.approx(drawn)


def test_number_and_figure_are_of_the_same_bins_where_confidences_are_equal():
    confidence = np.repeat([0.6, 0.61, 0.9, 0.97], [30, 4, 60, 106])
    found = np.column_stack([confidence, 1 - confidence])
    truth = (np.random.default_rng(3).random(len(found)) > confidence).astype(int)
    table = reliability_table(found, truth)
    assert table["galaxies"].sum() == 200
    assert table["galaxies"].min() >= 12
    gaps = (table["confidence"] - table["accuracy"]).abs()
    drawn = (gaps * table["galaxies"]).sum() / 200
    assert calibration_scores(found, truth)["ece_equal_mass"] == pytest.approx(drawn)


@pytest.mark.parametrize("n", [15, 49, 50])
def test_a_single_bin_says_nothing_of_reliability_and_resolution(n):
    """Bins of a galaxy each had a resolution that equals the uncertainty; one bin has none."""
    found, truth = overconfident(n, np.random.default_rng(10), 0.1)
    scores = calibration_intervals(found, truth, 0).scores
    for name in ("reliability", "resolution", "within_bins"):
        known = {end is not None for end in scores[name].values()}
        assert known == {n >= 2 * PER_BIN}, name
    assert scores["uncertainty"]["value"] > 0.1
    assert scores["ece_equal_mass"]["value"] is not None


def test_a_nan_among_probabilities_is_an_error_and_no_score():
    found, truth = overconfident(40, np.random.default_rng(8), 0.0)
    found[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        calibration_scores(found, truth)
