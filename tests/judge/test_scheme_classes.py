"""Classes of label schemes from predicted vote fractions: calibrated, stored, read."""

import json

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.judge import described_schemes, fit_scheme, scheme_labels, score_scheme
from galaxymorph.judge.calibration.set_methods import SET_METHODS
from galaxymorph.report import print_calibration
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES

ANSWERS = GALAXY_ZOO_CHALLENGE.columns
NUMBER = 1500


def _galaxies(seed: int, number: int = NUMBER) -> tuple[np.ndarray, np.ndarray]:
    """Return predicted fractions, and the classes of `layer1` by true ones."""
    rng = np.random.default_rng(seed)
    smooth = rng.beta(0.5, 0.5, number)
    votes = pd.DataFrame(0.0, range(number), ANSWERS)
    votes["Class1.1"], votes["Class1.2"] = smooth, 1 - smooth
    votes["Class2.1"] = (1 - smooth) * rng.beta(0.5, 0.5, number)
    votes["Class6.1"] = rng.beta(0.5, 0.5, number)
    predicted = votes.to_numpy() * np.exp(0.4 * rng.normal(size=votes.shape))
    return predicted.clip(0, 1), scheme_labels("layer1", votes)


@pytest.fixture(scope="module")
def fitted():
    return fit_scheme("layer1", *_galaxies(1), coverage=0.9, seed=0)


def test_sets_of_new_galaxies_have_the_coverage_and_probabilities_are_nearly_calibrated(fitted):
    fractions, labels = _galaxies(2)
    scores = score_scheme(fitted, fractions, labels, seed=0)
    # The likeliest class, which is always in the set, is right in more than 0.9.
    known = np.isin(labels, fitted.classes)
    right = fitted.columns(fractions)["layer1"].to_numpy()[known] == labels[known]
    assert 0.9 < right.mean() <= scores["coverage"]["value"]
    assert 1 <= scores["size"]["value"] < 1.25
    # Without it the coverage is the promised one.
    shares = fitted.probabilities(fractions[known])
    truth = [fitted.classes.index(name) for name in labels[known]]
    within = SET_METHODS[fitted.sets].scores(shares)[np.arange(len(truth)), truth]
    assert 0.87 < (within <= fitted.threshold).mean() < 0.93
    # A regression on logarithms is nearly the right model of these galaxies, not exactly.
    assert scores["ece_equal_mass"]["value"] < 0.05
    assert scores["macro_f1"]["value"] > 0.9


def test_sets_of_galaxies_between_the_classes_have_several_and_none_is_empty(fitted):
    fractions, _ = _galaxies(8)
    table = fitted.columns(fractions)
    classes = table["layer1_set"].str.split("|")
    assert all(name in each for name, each in zip(table["layer1"], classes, strict=True))
    sizes, confidence = classes.map(len), table["layer1_confidence"]
    assert sizes[confidence < 0.6].mean() > 1.5
    assert sizes[confidence > 0.99].mean() < 1.01


def test_a_record_from_before_sets_had_a_method_keeps_its_sets(fitted):
    record = {key: value for key, value in fitted.record.items() if key != "sets"}
    (read,) = described_schemes({"schemes": [record | {"threshold": 0.1}]}, len(ANSWERS), "m.json")
    shares = np.array([[0.95, 0.04, 0.01], [0.6, 0.3, 0.1]])
    assert read.sets_of(shares).tolist() == [[True, False, False], [False, False, False]]


def test_columns_agree_with_probabilities(fitted):
    fractions, _ = _galaxies(3, 50)
    table, shares = fitted.columns(fractions), fitted.probabilities(fractions)
    assert np.allclose(shares.sum(axis=1), 1)
    assert list(table["layer1"]) == [fitted.classes[at] for at in shares.argmax(axis=1)]
    assert np.allclose(table["layer1_confidence"], shares.max(axis=1))
    assert np.allclose(table["layer1_p_spiral"], shares[:, fitted.classes.index("spiral")])
    confident = table["layer1_confidence"] > 0.999
    assert confident.any()
    assert (table["layer1_set"] == table["layer1"])[confident].all()


def test_labels_are_those_of_the_scheme_and_empty_where_it_keeps_no_galaxy():
    votes = pd.DataFrame(0.0, range(2), ANSWERS)
    votes["Class1.1"] = [0.8, 0.5]
    assert list(scheme_labels("layer1", votes)) == ["elliptical", ""]


def test_a_scheme_with_few_galaxies_of_a_class_is_left_out():
    fractions, labels = _galaxies(4, 400)
    few = np.flatnonzero(labels == "spiral")[9:]
    keep = np.setdiff1d(np.arange(400), few)
    assert fit_scheme("layer1", fractions[keep], labels[keep], 0.9, 0) is None


def test_a_scheme_of_two_classes_is_fitted(monkeypatch):
    entries = dict(SCHEMES._entries)
    monkeypatch.setattr(SCHEMES, "_entries", entries)
    rules = {name: SCHEMES["layer1"].classes[name] for name in ("elliptical", "spiral")}
    entries["two"] = type(SCHEMES["layer1"])("two classes", rules, keep=0.7)
    fractions, labels = _galaxies(5)
    two = np.where(labels == "irregular", "", labels)
    fitted = fit_scheme("two", fractions, two, 0.9, 0)
    shares = fitted.probabilities(fractions)
    assert shares.shape == (NUMBER, 2)
    known = two != ""
    predicted = np.array(fitted.classes)[shares.argmax(axis=1)]
    assert (predicted == two)[known].mean() > 0.95


def test_a_record_gives_the_same_probabilities(fitted):
    record = json.loads(json.dumps({"schemes": [fitted.record]}))
    (read,) = described_schemes(record, len(ANSWERS), "model.json")
    fractions, _ = _galaxies(6, 20)
    assert np.allclose(read.probabilities(fractions), fitted.probabilities(fractions), atol=1e-4)


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [[1.0]]},
        {"bias": [0.0]},
        {"classes": "elliptical"},
        {"coverage": "high"},
        {"scheme": 3},
        {"sets": "best"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_damaged_record_is_refused_in_one_line(fitted, change):
    with pytest.raises(BadInput, match=r"^model.json: ") as refusal:
        described_schemes({"schemes": [fitted.record | change]}, len(ANSWERS), "model.json")
    assert "\n" not in str(refusal.value)


def test_no_empty_table_is_printed_where_no_scheme_is_calibrated(capsys):
    print_calibration({"scheme_classes": {"schemes": [], "test": {}}})
    assert capsys.readouterr().out == ""


def test_scores_without_a_galaxy_of_the_scheme_are_unknown(fitted):
    fractions, labels = _galaxies(7, 5)
    scores = score_scheme(fitted, fractions, np.full_like(labels, ""), seed=0)
    assert all(score["value"] is None for score in scores.values())
