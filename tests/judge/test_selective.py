"""Selective prediction: ties, and the accuracy that is promised of what is kept."""

import json
import shutil

import numpy as np
import pytest
from scipy.stats import binom

from galaxymorph.judge.calibration.selective import (
    aurc,
    guaranteed_limit,
    keep_at_accuracies,
    keep_at_accuracies_by_halves,
    least_kept,
    risk_coverage,
)
from tests.conftest import galaxymorph


def sky(n: int, rng: np.random.Generator, levels: int | None = None):
    """Uncertainties, and whether predictions are wrong, whose chance is the uncertainty's square.

    With `levels`, uncertainties are rounded to so many.
    """
    uncertainty = rng.random(n)
    wrong = rng.random(n) < 0.5 * uncertainty**2
    return (uncertainty if levels is None else np.ceil(levels * uncertainty) / levels), wrong


def test_galaxies_of_equal_uncertainty_have_the_mean_risk_of_all_orders():
    """Against the mean over 4,000 random orders of the ties, by the definition."""
    rng = np.random.default_rng(1)
    uncertainty, wrong = sky(60, rng, levels=5)
    kept, risk = risk_coverage(uncertainty, wrong)
    orders = []
    for _ in range(4000):
        order = np.lexsort((rng.random(60), uncertainty))
        orders.append(np.cumsum(wrong[order]) / np.arange(1, 61))
    # A standard error is under 0.5 / sqrt(4000) = 0.008: five of them.
    assert np.abs(risk - np.mean(orders, axis=0)).max() < 0.04
    assert aurc(uncertainty, wrong) == pytest.approx(np.mean(orders), abs=0.005)
    assert kept.tolist() == [n / 60 for n in range(1, 61)]


@pytest.mark.parametrize(("accuracy", "least"), [(0.9, 29), (0.95, 59), (0.99, 299)])
def test_the_least_number_is_where_all_being_right_is_enough(accuracy, least):
    assert least_kept(accuracy) == least
    assert accuracy**least <= 0.05 < accuracy ** (least - 1)
    for n, known in ((least, True), (least - 1, False)):
        found = guaranteed_limit(np.arange(n), np.zeros(n), accuracy)
        assert (found is not None) == known
    assert guaranteed_limit(np.arange(500), np.ones(500), accuracy) is None


@pytest.mark.parametrize("levels", [None, 12])
@pytest.mark.parametrize(("accuracy", "n"), [(0.9, 60), (0.9, 300), (0.95, 300), (0.98, 1000)])
def test_what_is_kept_is_as_accurate_as_promised_in_95_of_100_calibrations(accuracy, n, levels):
    """Chosen and judged on the same galaxies, half of the promises were broken.

    The true accuracy up to a limit is known: with the chance of a mistake u^2 / 2, it is
    1 - limit^2 / 6. Of 600 calibrations more than binom.ppf(0.9999, 600, 0.05) = 52 broken ones
    are a false alarm in 10,000.
    """
    rng = np.random.default_rng(2)
    broken = kept = 0
    for _ in range(600):
        limit = guaranteed_limit(*sky(n, rng, levels), accuracy)
        if limit is not None:
            broken += 1 - limit**2 / 6 < accuracy
            kept += 1
    assert broken <= binom(600, 0.05).ppf(0.9999)
    assert kept > 20


def test_what_is_kept_is_judged_on_other_galaxies():
    rng = np.random.default_rng(3)
    known, tested = sky(400, rng), sky(5000, rng)
    found = keep_at_accuracies(known, tested, (0.9, 0.999))
    limit = found["0.9"]["limit"]
    assert found["0.9"]["kept"]["value"] == pytest.approx((tested[0] <= limit).mean(), abs=1e-6)
    right = 1 - tested[1][tested[0] <= limit].mean()
    assert found["0.9"]["accuracy"]["value"] == pytest.approx(right, abs=1e-6)
    assert found["0.9"]["accuracy"]["low"] < right < found["0.9"]["accuracy"]["high"]
    assert found["0.999"]["least"] == 2995
    nothing = {"value": None, "low": None, "high": None}
    assert found["0.999"]["kept"] == found["0.999"]["accuracy"] == nothing


def test_halves_are_each_judged_by_the_others_limit():
    """200 skies of 600: the mean accuracy of what is kept has a standard error under 0.002."""
    rng = np.random.default_rng(4)
    kept, accuracy = [], []
    for seed in range(200):
        found = keep_at_accuracies_by_halves(*sky(600, rng), [0.9], seed)["0.9"]
        if found["accuracy"]["value"] is not None:
            kept.append(found["kept"]["value"])
            accuracy.append(found["accuracy"]["value"])
    assert np.mean(accuracy) > 0.9
    assert 0.3 < np.mean(kept) < 0.78
    assert (
        keep_at_accuracies_by_halves(np.arange(20), np.zeros(20), [0.9], 0)["0.9"]["kept"]["value"]
        is None
    )


@pytest.mark.usefixtures("plain")
def test_calibrate_says_what_may_be_kept_or_that_nothing_may(run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("calibrate", copy) == 0
    printed = capsys.readouterr().out
    assert "for an accuracy of 90 %, no galaxy can be accepted" in printed
    assert "the choice needs at least 299 galaxies" in printed
    record = json.loads((copy / "calibration.json").read_text())
    assert record["selective"]["kept_at_accuracy"]["0.9"]["limit"] is None
    assert set(record["selective"]["aurc"]) == {"value", "low", "high"}
