"""Prediction sets: that they cover, and that they are MAPIE's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

from galaxymorph.judge.conformal import (
    SCORES,
    coverage_band,
    coverage_law,
    coverage_study,
    prediction_sets,
    set_scores,
    set_thresholds,
    set_words,
)
from tests.judge.test_calibration import world

# The share of seeds on which a statistical test here would fail although all is well.
FALSE_ALARM = 1e-4


@pytest.mark.parametrize("method", SCORES)
def test_sets_cover_within_the_exact_band(method):
    calibrating, tested, draws = 100, 100, 400
    law = coverage_law(calibrating, tested, 0.9)
    low, high = law.ppf([0.05, 0.95])
    inside = law.cdf(high) - law.cdf(low - 1)
    hits = short = 0
    for seed in range(draws):
        # Any model will do, here an overconfident one.
        found, truth, _ = world(calibrating + tested, seed, power=3.0)
        thresholds = set_thresholds(found[:calibrating], truth[:calibrating], 0.9, method)
        sets = prediction_sets(found[calibrating:], thresholds, method)
        covered = sets[np.arange(tested), truth[calibrating:]].sum()
        hits += low <= covered <= high
        short += covered < low
    least, most = binom(draws, inside).ppf([FALSE_ALARM / 2, 1 - FALSE_ALARM / 2])
    # Sums over all classes are 1, so adaptive scores have ties, and sets cover more than asked.
    assert least <= (hits if method == "lac" else draws - short)
    assert method != "lac" or hits <= most


def test_lac_is_mapies():
    mapie = pytest.importorskip("mapie.classification")
    from sklearn.base import BaseEstimator, ClassifierMixin

    class HandsBack(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    found, truth, _ = world(300, 5)
    estimator = HandsBack()
    estimator.classes_ = np.arange(3)
    estimator.fitted_ = True
    theirs = mapie.SplitConformalClassifier(
        estimator, confidence_level=[0.8, 0.95], conformity_score="lac", prefit=True
    ).conformalize(found[:200], truth[:200])
    sets = theirs.predict_set(found[200:])[1]
    for at, coverage in enumerate((0.8, 0.95)):
        thresholds = set_thresholds(found[:200], truth[:200], coverage)
        assert np.array_equal(prediction_sets(found[200:], thresholds), sets[:, :, at])


def test_sets_by_class_cover_each_class():
    found, truth, _ = world(20000, 6, power=3.0)
    skewed = found * [3.0, 1.0, 0.3]
    skewed /= skewed.sum(axis=1, keepdims=True)
    half = slice(0, 10000)
    rest = slice(10000, None)
    scores = {}
    for by_class in (False, True):
        thresholds = set_thresholds(skewed[half], truth[half], 0.9, "lac", by_class)
        scores[by_class] = set_scores(prediction_sets(skewed[rest], thresholds), truth[rest])
    by_class = [scores[True][f"coverage_{code}"] for code in range(3)]
    assert by_class == pytest.approx([0.9] * 3, abs=0.025)
    assert min(scores[False][f"coverage_{code}"] for code in range(3)) < 0.85


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 60), st.floats(0.5, 0.99), st.sampled_from(list(SCORES)))
def test_sets_grow_with_coverage_and_are_full_where_there_are_too_few_galaxies(n, coverage, method):
    found, truth, _ = world(n + 20, n)
    thresholds = set_thresholds(found[:n], truth[:n], coverage, method)
    sets = prediction_sets(found[n:], thresholds, method)
    wider = prediction_sets(found[n:], set_thresholds(found[:n], truth[:n], 0.995, method), method)
    assert (wider >= sets).all()
    assert wider.all()
    assert coverage_band(n, 20, 0.995) == (1.0, 1.0, 1.0)


def test_an_empty_and_a_full_set_are_said_and_counted():
    sets = np.array([[False, False], [True, True], [True, False]])
    assert set_words(sets, ["disk", "smooth"]) == ["none", "disk|smooth", "disk"]
    scores = set_scores(sets, np.array([0, 0, 0]))
    assert scores["empty"] == scores["full"] == pytest.approx(1 / 3)
    assert scores["coverage"] == pytest.approx(2 / 3)


def test_the_study_has_a_row_a_split_and_method():
    found, truth, _ = world(120, 7)
    study = coverage_study(found, truth, 60, 0.9, seed=1, splits=5)
    assert len(study) == 5 * len(SCORES) * 2
    assert study.equals(coverage_study(found, truth, 60, 0.9, seed=1, splits=5))
