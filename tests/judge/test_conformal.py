"""Prediction sets: that they cover, and that they are MAPIE's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom

from galaxymorph.judge.calibration.conformal import (
    coverage_band,
    coverage_law,
    coverage_study,
    cross_sets,
    least_calibrating,
    prediction_sets,
    set_scores,
    set_thresholds,
    set_words,
)
from galaxymorph.judge.calibration.set_methods import SET_METHODS
from tests.judge.test_calibration import world

# The share of seeds on which a statistical test here would fail although all is well.
FALSE_ALARM = 1e-4


@pytest.mark.parametrize("method", SET_METHODS)
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
    # Adaptive sets hold the likeliest class in any case, and cover more than asked.
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
@given(st.integers(1, 60), st.floats(0.5, 0.99), st.sampled_from(list(SET_METHODS)))
def test_sets_grow_with_coverage_and_are_full_where_there_are_too_few_galaxies(n, coverage, method):
    found, truth, _ = world(n + 20, n)
    thresholds = set_thresholds(found[:n], truth[:n], coverage, method)
    sets = prediction_sets(found[n:], thresholds, method)
    wider = prediction_sets(found[n:], set_thresholds(found[:n], truth[:n], 0.995, method), method)
    assert (wider >= sets).all()
    assert wider.all()
    assert coverage_band([(n, 20)], 0.995) == (1.0, 1.0, 1.0)


def test_an_empty_and_a_full_set_are_said_and_counted():
    sets = np.array([[False, False], [True, True], [True, False]])
    assert set_words(sets, ["disk", "smooth"]) == ["none", "disk|smooth", "disk"]
    scores = set_scores(sets, np.array([0, 0, 0]))
    assert scores["empty"] == scores["full"] == pytest.approx(1 / 3)
    assert scores["coverage"] == pytest.approx(2 / 3)


def test_the_study_has_a_row_a_split_and_method():
    found, truth, _ = world(120, 7)
    study = coverage_study([(found, truth, 60)], 0.9, seed=1, splits=5)
    assert len(study) == 5 * len(SET_METHODS) * 2
    assert study.equals(coverage_study([(found, truth, 60)], 0.9, seed=1, splits=5))


def sharp_world(n, seed, classes=3, sharp=4.0):
    """An exact model that is right more often than sets are asked to be."""
    rng = np.random.default_rng(seed)
    found = softmax(rng.normal(0, sharp, (n, classes)), axis=1)
    return found, (found.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1).clip(0, classes - 1)


@pytest.mark.parametrize("method", ["aps", "raps"])
def test_adaptive_sets_always_hold_the_likeliest_class(method):
    """The surest galaxies had empty sets where a model was right more often than asked."""
    found, truth = sharp_world(600, 1, sharp=12)
    right = (found.argmax(axis=1) == truth).mean()
    assert right > 0.93
    thresholds = set_thresholds(found[:300], truth[:300], 0.9, method)
    sets = prediction_sets(found[300:], thresholds, method)
    assert sets[np.arange(300), found[300:].argmax(axis=1)].all()
    held = sets[np.arange(300), truth[300:]]
    for code in range(3):
        own = truth[300:] == code
        hit = (found[300:].argmax(axis=1) == truth[300:])[own]
        assert held[own].mean() >= hit.mean()


@pytest.mark.parametrize("method", ["aps", "raps"])
@pytest.mark.parametrize("classes", [2, 3, 6])
def test_adaptive_scores_are_the_published_ones(method, classes):
    """Against a loop over classes in falling order: U of its own, all of the likelier ones."""
    found, _ = sharp_world(40, 2, classes)
    scores = SET_METHODS[method].scores(found)
    draws = set()
    for p, s in zip(found, scores, strict=True):
        order = np.argsort(-p)
        u = s[order[0]] / p[order[0]]
        draws.add(u)
        for rank, code in enumerate(order):
            penalty = 0.1 * max(rank, 0) if method == "raps" else 0
            assert s[code] == pytest.approx(p[order[:rank]].sum() + u * p[code] + penalty)
    assert len(draws) == 40
    assert 0 <= min(draws) < 0.3
    assert 0.7 < max(draws) < 1


@pytest.mark.parametrize("sharp", [1.0, 4.0, 12.0])
@pytest.mark.parametrize("classes", [2, 3, 5])
def test_the_draw_that_a_galaxy_fixes_is_even(sharp, classes):
    """Kolmogorov and Smirnov's test on 4,000 galaxies; one false alarm in 10,000 seeds a case."""
    from scipy.stats import kstest

    from galaxymorph.judge.calibration.set_methods import _draws

    found, _ = sharp_world(4000, 3, classes, sharp)
    assert kstest(_draws(found), "uniform").pvalue > FALSE_ALARM
    # Other hardware rounds differently, and gives nearly the same draw.
    other = _draws(found.astype(np.float32).astype(float))
    assert np.quantile(np.abs((other - _draws(found) + 0.5) % 1 - 0.5), 0.99) < 1e-3


@pytest.mark.parametrize("method", ["aps", "raps"])
def test_adaptive_sets_of_two_classes_cover_as_asked_and_are_not_all_full(method):
    """A model of two classes that is right three times in four, asked for 0.9.

    20,000 galaxies calibrate and 20,000 are tested: coverage is known to 0.003 (1 sigma, both
    draws), and 0.012 is four of them, a false alarm of 6e-5 at a fixed seed.
    """
    found, truth = sharp_world(40_000, 4, classes=2, sharp=1.2)
    assert 0.7 < (found.argmax(axis=1) == truth).mean() < 0.82
    half = 20_000
    thresholds = set_thresholds(found[:half], truth[:half], 0.9, method)
    scores = set_scores(prediction_sets(found[half:], thresholds, method), truth[half:])
    assert scores["coverage"] == pytest.approx(0.9, abs=0.012)
    assert scores["full"] < 0.8
    assert scores["empty"] == 0


def test_sets_by_class_cover_within_the_exact_band_of_each_class():
    """Class by class the number covered is beta-binomial, of that class's galaxies alone."""
    draws, hits, expected = 300, np.zeros(3), np.zeros(3)
    for seed in range(draws):
        found, truth = sharp_world(300, 1000 + seed, sharp=2.0)
        fit, test = slice(0, 200), slice(200, None)
        thresholds = set_thresholds(found[fit], truth[fit], 0.9, "lac", by_class=True)
        sets = prediction_sets(found[test], thresholds)
        for code in range(3):
            own = truth[test] == code
            covered = sets[own, code].sum()
            law = coverage_law(int((truth[fit] == code).sum()), int(own.sum()), 0.9)
            low, high = law.ppf([0.05, 0.95])
            hits[code] += low <= covered <= high
            expected[code] += law.cdf(high) - law.cdf(low - 1)
    for code in range(3):
        least, most = binom(draws, expected[code] / draws).ppf(
            [FALSE_ALARM / 2, 1 - FALSE_ALARM / 2]
        )
        assert least <= hits[code] <= most


@pytest.mark.parametrize("coverage", [0.5, 0.8, 0.9, 0.95, 0.99])
def test_the_least_number_is_where_sets_stop_being_full(coverage):
    least = least_calibrating(coverage)
    for n, full in ((least, False), (least - 1, True)):
        if n < 1:
            continue
        found, truth = sharp_world(n, 5)
        assert np.isinf(set_thresholds(found, truth, coverage)).all() == full


@pytest.mark.parametrize("method", SET_METHODS)
def test_one_fold_of_cross_conformal_sets_is_split_conformal(method):
    found, truth = sharp_world(130, 6, sharp=2.0)
    thresholds = set_thresholds(found[:57], truth[:57], 0.8, method)
    split = prediction_sets(found[57:], thresholds, method)
    crossed = cross_sets([(found[:57], truth[:57])], found[None, 57:], 0.8, method)
    assert np.array_equal(split, crossed)


@pytest.mark.parametrize("method", SET_METHODS)
def test_folds_of_unlike_sharpness_cover_as_asked(method):
    """Five folds, one of them four times as sharp: pooled thresholds gave 0.83 to 0.97.

    New galaxies by CV+, and the test part by each fold's own thresholds. The mean over 60 runs of
    5 x 80 calibrating and 400 new galaxies has a standard error of 0.0035 at most, so 0.885 is
    four under 0.9: one false alarm in 30,000, and seeds are fixed.
    """
    powers = [0.7, 0.8, 1.0, 1.3, 4.0]
    crossed, own = [], []
    for seed in range(60):
        rng = np.random.default_rng(seed)
        logits = rng.normal(0, 2, (800, 3))
        true = softmax(logits, axis=1)
        truth = (true.cumsum(axis=1) < rng.random((800, 1))).sum(axis=1).clip(0, 2)
        noisy = [softmax(p * (logits + rng.normal(0, 0.5, (800, 3))), axis=1) for p in powers]
        known = [
            (each[80 * k : 80 * (k + 1)], truth[80 * k : 80 * (k + 1)])
            for k, each in enumerate(noisy)
        ]
        new = np.stack([each[400:] for each in noisy])
        held = cross_sets(known, new, 0.9, method)[np.arange(400), truth[400:]]
        crossed.append(held.mean())
        for k, (pair, each) in enumerate(zip(known, noisy, strict=True)):
            part = slice(400 + 80 * k, 480 + 80 * k)
            sets = prediction_sets(each[part], set_thresholds(*pair, 0.9, method), method)
            own.append(sets[np.arange(80), truth[part]].mean())
    assert np.mean(crossed) > 0.885
    assert np.mean(own) > 0.885
    if method == "lac":
        assert np.mean(crossed) < 0.94
        assert np.mean(own) < 0.915


def test_the_band_of_folds_is_that_of_their_sum():
    """Against draws from each fold's own beta-binomial law; quantiles of 200,000 of them."""
    parts = [(40, 60), (100, 60), (5, 30)]
    rng = np.random.default_rng(7)
    covered = np.full(200_000, 30)
    for calibrating, tested in parts[:2]:
        covered += coverage_law(calibrating, tested, 0.9).rvs(len(covered), random_state=rng)
    mean, low, high = coverage_band(parts, 0.9)
    assert mean == pytest.approx(covered.mean() / 150, abs=1e-3)
    assert low == pytest.approx(np.quantile(covered, 0.025) / 150, abs=0.007)
    assert high == pytest.approx(np.quantile(covered, 0.975) / 150, abs=0.007)
