"""Intervals of vote fractions, judged on votes that are drawn from what is predicted."""

import json

import numpy as np
import pytest

from galaxymorph.judge.calibration.fraction_intervals import interval_metrics, vote_ranks
from galaxymorph.judge.calibration.fractions import fit_variance
from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.zoo import SCHEMAS, cumulative_moments, deviations, to_conditional, to_cumulative
from tests.makers import PUBLISHED

TREES = {name: SCHEMAS[name].tree for name in PUBLISHED}


def predicted_and_voted(tree, n, seed):
    """Return moments of predictions, and fractions and votes drawn from them, down the tree."""
    rng = np.random.default_rng(seed)
    alpha = rng.uniform(1, 40, (n, len(tree.columns)))
    mean, square = cumulative_moments(tree, alpha)
    conditional = to_conditional(tree, rng.gamma(alpha))
    counts = np.zeros_like(conditional)
    volunteers = rng.integers(20, 60, n)
    for at in tree.walk:
        own = np.flatnonzero(tree.membership[at])
        asked = counts @ tree.leads[at] if not tree.asked_of_all[at] else volunteers
        for row in range(n):
            counts[row, own] = rng.multinomial(int(asked[row]), conditional[row, own])
    return mean, deviations(mean, square), to_cumulative(tree, conditional), counts


@pytest.mark.parametrize("name", TREES)
def test_intervals_hold_votes_and_fractions_that_are_drawn_from_them(name):
    """A galaxy's answers go together, so 1,500 galaxies tell an answer to 0.0078 (1 sigma)."""
    tree = TREES[name]
    mean, deviation, fractions, counts = predicted_and_voted(tree, 1500, 11)
    found = interval_metrics(tree, mean, deviation, counts, fractions, seed=0)
    assert found["votes"]["value"] == pytest.approx(0.9, abs=0.01)
    assert 0.89 < found["truth"]["value"] < 0.93
    for held in found["per_answer"].values():
        assert 0.865 < held["votes"]["value"] < 0.955
    json.dumps(found, allow_nan=False)


def test_few_galaxies_leave_the_coverage_of_an_answer_open():
    tree = TREES["galaxy-zoo-challenge"]
    mean, deviation, _, counts = predicted_and_voted(tree, 3, 5)
    found = interval_metrics(tree, mean, deviation, counts, mean, seed=0)["per_answer"]
    # All three, by Wilson.
    assert found[tree.columns[0]]["truth"] == proportion(3, 3)


def test_ranks_are_even_where_the_prediction_is_right_and_not_where_it_is_sure_of_itself():
    from scipy.stats import chisquare

    tree = TREES["galaxy-zoo-challenge"]
    mean, deviation, _, counts = predicted_and_voted(tree, 1500, 12)
    first = slice(0, 3)
    for at in range(3):
        ranks = vote_ranks(tree, mean, deviation, counts, seed=1)[:, first]
        # Seeded: one false alarm in a thousand seeds.
        assert chisquare(np.histogram(ranks[:, at], 10, (0, 1))[0]).pvalue > 1e-3
    sure = vote_ranks(tree, mean, deviation / 4, counts, seed=1)[:, 0]
    assert chisquare(np.histogram(sure, 10, (0, 1))[0]).pvalue < 1e-6
    found = interval_metrics(tree, mean, deviation / 4, counts, None, seed=1)
    assert found["votes"]["high"] < 0.88
    assert "truth" not in found


def test_a_calibrated_variance_is_the_one_that_votes_were_drawn_with():
    """Of distributions made four times too narrow the factors come back as 4, to a tenth."""
    tree = TREES["galaxy-zoo-challenge"]
    mean, deviation, fractions, counts = predicted_and_voted(tree, 1500, 13)
    found = fit_variance(tree, mean, deviation / 2, counts)
    factor = np.array(found.parameters["factor"])
    first = tree.membership[tree.asked_of_all].any(axis=0)
    assert factor[first] == pytest.approx(4, rel=0.1)
    moments = found(np.hstack([mean, mean**2 + (deviation / 2) ** 2]))
    mended = deviations(*np.split(moments, 2, axis=1))
    assert np.allclose(moments[:, : mean.shape[1]], mean)
    before = interval_metrics(tree, mean, deviation / 2, counts, fractions, seed=0)
    after = interval_metrics(tree, mean, mended, counts, fractions, seed=0)
    assert before["votes"]["high"] < 0.89
    assert after["votes"]["value"] == pytest.approx(0.9, abs=0.01)
    assert before["truth"]["high"] < 0.7 < 0.88 < after["truth"]["low"]


def test_few_galaxies_leave_the_variance_as_it_is():
    """Where 1 is true, five galaxies gave factors from 0.018 to 2.1 by likelihood alone.

    The prior's width is 0.5 in the logarithm, and an estimate shrunk towards its mean varies less
    than it: with 240 factors, one beyond 4.5 widths has a chance under 0.002 (normal). The mean
    over draws and questions of the squared logarithm is under the prior's variance, 0.25.
    """
    tree = TREES["galaxy-zoo-challenge"]
    powers = []
    for seed in range(20):
        mean, deviation, _, counts = predicted_and_voted(tree, 5, 100 + seed)
        factors = np.array(fit_variance(tree, mean, deviation, counts).parameters["factor"])
        powers.append(np.log(factors[tree.membership.argmax(axis=1)]))
    assert np.abs(powers).max() < 4.5 * 0.5
    assert np.square(powers).mean() < 0.25
