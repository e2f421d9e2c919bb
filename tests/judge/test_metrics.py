import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, precision_recall_fscore_support

from galaxymorph.judge import bootstrap, classification_metrics, confident_mistakes, confusion_cells

CLASSES = ["a", "b", "c"]


def predictions(true, predicted, confidence=None) -> pd.DataFrame:
    table = pd.DataFrame({"label": true, "predicted": predicted})
    return table.assign(confidence=0.5 if confidence is None else confidence)


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
