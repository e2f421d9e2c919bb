"""Votes: the tree's arithmetic, and that counts follow the expected fractions."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.survey.volunteers import SKILL_SHARES, TREE, _probabilities, _walk
from galaxymorph.zoo import to_cumulative
from galaxymorph.zoo.tree import broken_sums


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 60))
def test_votes_obey_the_tree_and_never_exceed_the_volunteers_shown(seed, shown):
    rng = np.random.default_rng(seed)
    probabilities = _probabilities(rng.normal(0, 3, len(TREE.columns)))
    counts = _walk(rng, shown, probabilities[2])
    assert (counts >= 0).all()
    assert counts.max() <= shown
    asked = TREE.membership @ counts
    reached = np.where(TREE.asked_of_all, shown, TREE.leads @ counts)
    assert (asked == reached).all()


def test_counts_follow_the_expected_fractions():
    rng = np.random.default_rng(0)
    probabilities = _probabilities(rng.normal(0, 1.5, len(TREE.columns)))
    expected = SKILL_SHARES @ to_cumulative(TREE, probabilities)
    assert not broken_sums(TREE, expected[None]).any()
    shown = 200_000
    crowd = rng.multinomial(shown, SKILL_SHARES)
    counts = sum(_walk(rng, number, p) for number, p in zip(crowd, probabilities, strict=True))
    assert counts / shown == pytest.approx(expected, abs=5 * np.sqrt(0.25 / shown))


def test_skill_makes_volunteers_agree():
    probabilities = _probabilities(np.random.default_rng(1).normal(0, 1, len(TREE.columns)))
    largest = [max(chance[:3]) for chance in probabilities]
    assert largest == sorted(largest)
