import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm, t
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from galaxymorph.judge import Predictions, bootstrap, part_metrics
from galaxymorph.judge.galleries import confident_mistakes, confusion_cells, interpret_classes
from galaxymorph.judge.metrics.bootstrap import AT_ONCE, bootstrap_together, over_folds
from galaxymorph.judge.metrics.classification import (
    class_f1,
    f1_difference,
    f1_scores,
    macro_f1_interval,
)

CLASSES = ["a", "b", "c"]


def predictions(true, predicted, confidence=None) -> pd.DataFrame:
    table = pd.DataFrame({"label": true, "predicted": predicted})
    return table.assign(confidence=0.5 if confidence is None else confidence)


def classification_metrics(table, classes, seed) -> dict:
    return part_metrics(Predictions(table, classes, seed), ["classification"])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 100))
def test_values_are_scikit_learns_and_lie_in_their_intervals(seed):
    rng = np.random.default_rng(seed)
    true = rng.choice(CLASSES, 120, p=[0.7, 0.2, 0.1])
    predicted = np.where(rng.random(120) < 0.8, true, rng.choice(CLASSES, 120))
    metrics = classification_metrics(predictions(true, predicted), CLASSES, seed)
    macro = f1_score(true, predicted, average="macro")
    assert abs(metrics["macro_f1"]["value"] - macro) < 1e-6
    assert abs(metrics["accuracy"]["value"] - accuracy_score(true, predicted)) < 1e-6
    assert metrics["macro_f1"]["low"] < macro < metrics["macro_f1"]["high"]
    each = precision_recall_fscore_support(true, predicted, labels=CLASSES, zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), each, strict=False):
        found = [metrics["per_class"][code][name]["value"] for code in CLASSES]
        assert np.allclose(found, values, atol=1e-6)
    assert np.sum(metrics["confusion"]) == 120
    assert sum(scores["support"] for scores in metrics["per_class"].values()) == 120


def test_a_class_that_no_galaxy_has_scores_zero_without_a_warning(recwarn):
    metrics = classification_metrics(predictions(["a", "b"] * 10, ["a", "b"] * 10), CLASSES, 0)
    assert metrics["per_class"]["c"]["f1"]["value"] == 0
    assert not recwarn.list


def test_the_bootstrap_interval_covers_as_often_as_it_says():
    """A mean of 60 Bernoulli draws: of 200 intervals, 95 % should cover; under 88 % by chance
    once in 20,000 (binomial), and this seed is fixed."""
    rng = np.random.default_rng(8)
    covered = 0
    for trial in range(200):
        sample = (rng.random(60) < 0.7).astype(float)
        interval = bootstrap(lambda rows, s=sample: {"mean": s[rows].mean()}, 60, trial)["mean"]
        covered += interval["low"] <= 0.7 <= interval["high"]
    assert covered >= 176


@pytest.mark.parametrize("n", [1, 7, AT_ONCE // 300])
def test_resamples_scored_together_are_those_scored_one_by_one(n):
    values = np.random.default_rng(n).normal(size=n)
    together = bootstrap_together(lambda rows: {"mean": values[rows].mean(axis=1)}, n, 5)
    assert together == bootstrap(lambda rows: {"mean": values[rows].mean()}, n, 5)


def test_confident_mistakes_are_wrong_and_fall_in_confidence():
    table = predictions(["a", "a", "b", "c"], ["a", "b", "c", "a"], [0.99, 0.6, 0.9, 0.7])
    mistakes = confident_mistakes(table)
    assert mistakes["confidence"].tolist() == [0.9, 0.7, 0.6]


def test_the_cells_hold_every_galaxy_once():
    table = predictions(["a", "a", "b", "c"], ["a", "b", "c", "a"])
    cells = confusion_cells(table, CLASSES)
    assert len(cells) == 9
    assert sum(map(len, cells.values())) == 4
    assert len(cells["a", "b"]) == 1


def test_fastais_interpretation_reads_stored_predictions(capsys):
    table = predictions(["a", "a", "a", "b", "c"], ["a", "b", "b", "b", "a"])
    table["loss"] = [0.1, 2.0, 0.3, 0.2, 1.0]
    interpretation = interpret_classes(table, CLASSES)
    assert interpretation.confusion_matrix().tolist() == [[1, 2, 0], [0, 1, 0], [1, 0, 0]]
    assert [tuple(each)[:2] for each in interpretation.most_confused()] == [("a", "b"), ("c", "a")]
    assert list(confusion_cells(table, CLASSES))[:2] == [("a", "b"), ("c", "a")]
    losses, positions = interpretation.top_losses(2)
    assert positions.tolist() == [1, 4] and losses.tolist() == [2.0, 1.0]
    interpretation.print_classification_report()
    assert "precision" in capsys.readouterr().out


def drawn(counts, shares, rng) -> np.ndarray:
    """A confusion matrix of so many galaxies of each class."""
    return np.stack([rng.multinomial(n, p) for n, p in zip(counts, shares, strict=True)])


def shares_of(recalls) -> np.ndarray:
    """Shares of predicted classes by true class: mistakes are even."""
    found = np.repeat((1 - np.array(recalls))[:, None] / (len(recalls) - 1), len(recalls), axis=1)
    np.fill_diagonal(found, recalls)
    return found


@pytest.mark.parametrize("counts", [(100, 30, 2), (100, 30, 4), (20, 20, 20), (9, 1, 4)])
@pytest.mark.parametrize("recalls", [(0.97, 0.9, 0.8), (0.99, 0.97, 0.97)])
def test_intervals_of_macro_f1_hold_its_expectation_however_rare_a_class_is(counts, recalls):
    """A percentile bootstrap covers the macro-F1 of classes of 100, 30 and 4 in 72 % of cases.

    The truth is the macro-F1 of expected counts. Of 400 runs 365 are covered with a probability
    above 1 - 1e-4 where coverage is 0.94 or more (binomial), as benchmarks/coverage.py finds.
    """
    rng = np.random.default_rng(9)
    shares = shares_of(recalls)
    truth = f1_scores(np.array(counts)[:, None] * shares).mean()
    covered = 0
    for seed in range(400):
        found = macro_f1_interval(drawn(counts, shares, rng), seed)
        covered += found["low"] <= truth <= found["high"]
        assert found["low"] <= found["value"] <= found["high"]
    assert covered >= binom(400, 0.94).ppf(1e-4)


def test_right_answers_of_a_rare_class_leave_it_uncertain():
    """Of a class of two it was recall 1 (0 to 1), of four 1 (1 to 1). Wilson's, by its formula."""
    for support in (2, 4):
        true = ["a"] * 50 + ["b"] * support
        found = classification_metrics(predictions(true, true), ["a", "b"], 1)["per_class"]["b"]
        z = norm.ppf(0.975)
        low = support / (support + z**2)
        assert found["recall"] == {"value": 1, "low": pytest.approx(low, abs=1e-6), "high": 1}
        assert found["precision"] == found["recall"]
        assert found["f1"]["value"] == 1
        assert found["f1"]["low"] == pytest.approx(2 * low / (1 + low), abs=1e-6)


@pytest.mark.parametrize("counts", [(100, 30, 6), (20, 20, 20)])
def test_intervals_of_a_classes_f1_cover(counts):
    """The truth is F1 of expected counts; of 400 runs, 0.93 or more of each class are covered."""
    rng = np.random.default_rng(11)
    shares = shares_of((0.95, 0.9, 0.8))
    truth = f1_scores(np.array(counts)[:, None] * shares)
    covered = np.zeros(3)
    for _ in range(400):
        matrix = drawn(counts, shares, rng)
        for code in range(3):
            found = class_f1(matrix, code)
            covered[code] += found["low"] <= truth[code] <= found["high"]
    assert covered.min() >= binom(400, 0.93).ppf(1e-4)


def test_the_difference_of_macro_f1_covers_and_is_that_of_the_values():
    """Paired predictions of which the second is right in half of the first's mistakes, 300 runs."""
    rng = np.random.default_rng(10)
    true = np.repeat([0, 1, 2], [120, 40, 15])
    gains, intervals = [], []
    for seed in range(300):
        before = np.where(rng.random(175) < 0.8, true, rng.integers(0, 3, 175))
        after = np.where(rng.random(175) < 0.5, true, before)
        found = f1_difference(true, before, after, 3, seed)
        value = f1_score(true, after, average="macro") - f1_score(true, before, average="macro")
        assert found["value"] == pytest.approx(value, abs=1e-6)
        gains.append(value)
        intervals.append((found["low"], found["high"]))
    truth = np.mean(gains)
    covered = sum(low <= truth <= high for low, high in intervals)
    # 95 % and what the mean's own error takes away: 270 has a chance of 1e-4 at 0.935.
    assert covered >= binom(300, 0.935).ppf(1e-4)


def test_the_interval_over_folds_is_wider_than_over_galaxies_where_trainings_differ():
    """Folds' scores vary by 0.05 among trainings: 5 folds, 2,000 runs, independent folds.

    Of independent scores the corrected interval covers more than 95 %: their mean has 1 / k of the
    variance, and 1 / k + 1 / (k - 1) are taken.
    """
    rng = np.random.default_rng(12)
    covered = 0
    for _ in range(500):
        found = over_folds(rng.normal(0.9, 0.05, 5))
        covered += found["low"] <= 0.9 <= found["high"]
    assert covered >= binom(500, 0.95).ppf(1e-4)
    assert over_folds([0.8, 0.8, 0.8]) == {"value": 0.8, "low": 0.8, "high": 0.8}
    values = np.array([0.9, 0.94, 0.86])
    half = t.ppf(0.975, 2) * np.sqrt(1 / 3 + 1 / 2) * values.std(ddof=1)
    assert over_folds(values)["high"] == pytest.approx(0.9 + half, abs=1e-6)
    assert over_folds([0.7])["low"] is None
