"""Moments and intervals of cumulative fractions, against draws from the distributions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.zoo import (
    SCHEMAS,
    cumulative_moments,
    deviations,
    fraction_beta,
    fraction_intervals,
    to_conditional,
    to_cumulative,
)
from tests.makers import PUBLISHED

TREES = {name: SCHEMAS[name].tree for name in PUBLISHED}


def drawn(tree, alpha, count, seed):
    """Return cumulative fractions of volunteers, from one galaxy's concentrations."""
    gammas = np.random.default_rng(seed).gamma(np.tile(alpha, (count, 1)))
    return to_cumulative(tree, to_conditional(tree, gammas))


@pytest.mark.parametrize("name", TREES)
def test_moments_are_those_of_draws(name):
    """200,000 draws: a mean is known to 0.0011 (sigma at most 0.5 / sqrt(200,000)); 5 sigma."""
    tree = TREES[name]
    alpha = np.random.default_rng(3).uniform(1, 30, len(tree.columns))
    fractions = drawn(tree, alpha, 200_000, 4)
    mean, square = (item[0] for item in cumulative_moments(tree, alpha[None]))
    assert np.allclose(mean, fractions.mean(axis=0), atol=0.0056)
    assert np.allclose(square, np.square(fractions).mean(axis=0), atol=0.0056)
    assert np.allclose(deviations(mean, square), fractions.std(axis=0), rtol=0.02, atol=1e-4)


@pytest.mark.parametrize("name", TREES)
def test_intervals_hold_a_fraction_as_often_as_they_say(name):
    """20,000 draws: 0.01 is 4.7 sigma where the distribution is exact, at a question asked of all.

    Of products it is an approximation, wide rather than narrow where fractions are small.
    """
    tree = TREES[name]
    alpha = np.random.default_rng(5).uniform(1, 60, (5, len(tree.columns)))
    mean, square = cumulative_moments(tree, alpha)
    low, high = fraction_intervals(mean, deviations(mean, square), 0.9)
    exact = tree.membership[tree.asked_of_all].any(axis=0)
    for at, item in enumerate(alpha):
        fractions = drawn(tree, item, 20_000, at)
        inside = ((fractions >= low[at]) & (fractions <= high[at])).mean(axis=0)
        assert np.abs(inside[exact] - 0.9).max() < 0.01
        assert inside.min() > 0.88
        assert inside.max() < 0.95


@given(mean=st.floats(0, 1), share=st.floats(0, 1), level=st.floats(0.01, 0.99))
@settings(max_examples=200, deadline=None)
def test_intervals_stay_among_fractions_whatever_the_moments(mean, share, level):
    deviation = np.sqrt(share * mean * (1 - mean))
    low, high = fraction_intervals(np.array([mean]), np.array([deviation]), level)
    assert 0 <= low[0] <= high[0] <= 1


@given(mean=st.floats(0.01, 0.99), share=st.floats(0.001, 0.9))
@settings(max_examples=100, deadline=None)
def test_a_beta_distribution_has_the_moments_that_it_was_made_of(mean, share):
    deviation = np.sqrt(share * mean * (1 - mean))
    result = fraction_beta(np.array([mean]), np.array([deviation]))
    assert result.mean()[0] == pytest.approx(mean, rel=1e-6)
    assert result.std()[0] == pytest.approx(deviation, rel=1e-6)


def test_a_mixture_is_wider_than_its_parts():
    tree = TREES["galaxy-zoo-challenge"]
    alpha = np.random.default_rng(7).uniform(1, 100, (8, len(tree.columns)))
    mean, square = cumulative_moments(tree, alpha)
    mixed = deviations(mean.mean(axis=0), square.mean(axis=0))
    assert (np.square(mixed) >= np.square(deviations(mean, square)).mean(axis=0) - 1e-12).all()
