"""Calibration: the arithmetic, and the command on a run."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax

from galaxymorph.judge.calibration.calibrators import (
    CALIBRATORS,
    Calibrator,
    choose_method,
    class_folds,
    fit_calibrator,
    held_out_losses,
    nll,
)
from galaxymorph.judge.calibration.conformal import cross_sets
from galaxymorph.judge.calibration.reliability import (
    PER_BIN,
    calibration_scores,
    equal_mass,
    mass_bins,
    reliability_table,
    truth_scores,
)
from galaxymorph.judge.calibration.selective import aurc, risk_coverage
from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.judge.metrics.expected_fractions import class_chances
from galaxymorph.learn import Run
from galaxymorph.predict import load_predictor
from galaxymorph.report.tables import interval_words
from tests.conftest import QUICK, RECIPE, galaxymorph, without_drawing


def world(n: int, seed: int, power: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities sharpened by a power, classes drawn from the true ones, and those."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 1.5, (n, 3))
    true = softmax(logits, axis=1)
    drawn = (true.cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return softmax(power * logits, axis=1), drawn, true


@pytest.mark.parametrize("method", ["temperature", "vector", "isotonic"])
def test_an_overconfident_model_is_mended(method):
    found, truth, _ = world(3000, 1, power=4.0)
    new, new_truth, new_true = world(3000, 2, power=4.0)
    mended = fit_calibrator(method, found, truth)(new)
    assert np.allclose(mended.sum(axis=1), 1)
    before, after = (calibration_scores(p, new_truth) for p in (new, mended))
    assert before["ece_equal_mass"] > 0.15
    assert after["ece_equal_mass"] < 0.04
    assert after["nll"] < 0.7 * before["nll"]
    # Against the probabilities that the classes were drawn from, rather than the drawn ones.
    assert np.abs(mended - new_true).mean() < 0.2 * np.abs(new - new_true).mean()


def test_the_temperature_is_scikit_learns():
    from sklearn.base import BaseEstimator, ClassifierMixin
    from sklearn.calibration import CalibratedClassifierCV

    frozen = pytest.importorskip(
        "sklearn.frozen", reason="scikit-learn fits temperatures since 1.8"
    )

    class HandsBack(ClassifierMixin, BaseEstimator):
        def fit(self, x, y):
            return self

        def predict_proba(self, x):
            return x

        def predict(self, x):
            return x.argmax(axis=1)

    found, truth, _ = world(400, 3, power=3.0)
    estimator = HandsBack()
    estimator.classes_ = np.arange(3)
    theirs = CalibratedClassifierCV(frozen.FrozenEstimator(estimator), method="temperature")
    theirs.fit(found, truth)
    ours = fit_calibrator("temperature", found, truth)
    floored = (400 * theirs.predict_proba(found) + 1 / 3) / 401
    assert np.allclose(ours(found), floored, atol=1e-4)
    assert ours.parameters["temperature"][0] == pytest.approx(3.0, rel=0.2)


def test_the_method_is_chosen_by_likelihood_on_galaxies_held_out():
    found, truth, _ = world(1500, 4, power=3.0)
    losses = held_out_losses(found, truth, seed=0)
    assert list(losses) == list(CALIBRATORS)
    assert choose_method(losses) == "temperature"
    assert held_out_losses(found[:3], np.array([0, 0, 1]), seed=0) == {}
    assert choose_method({}) == "none"


@pytest.mark.parametrize(
    ("n", "allowed"),
    [
        (12, {"none"}),
        (19, {"none"}),
        (40, {"none", "temperature"}),
        (200, {"none", "temperature", "vector"}),
        (1500, set(CALIBRATORS)),
    ],
)
def test_a_method_is_tried_from_its_least_number_on(n, allowed):
    found, _, _ = world(n, 5)
    truth = np.arange(n) % 3
    # Forty galaxies of which one class has a single one have too few of each for vector scaling.
    if n == 40:
        truth = np.minimum(np.arange(n), 2)[::-1] // 2
        truth[0] = 2
    assert set(held_out_losses(found, truth, 0)) | {"none"} == allowed


def test_folds_deal_out_each_class_evenly():
    truth = np.array([0] * 23 + [1] * 7 + [2] * 2)
    folds = class_folds(truth, 3)
    for code in range(3):
        counts = np.bincount(folds[truth == code], minlength=5)
        assert counts.max() - counts.min() <= 1


def test_an_automatic_choice_never_costs_much_and_gains_where_there_is_something_to_gain():
    """Excess NLL over the bare model on 20,000 new galaxies, the mean over 40 calibrations.

    One of a calibrated model from 40 galaxies was 0.12 before the rule of one standard error. A
    mean over 40 has a standard error under 0.004 here; 0.02 is five of them above what is expected,
    so that a false alarm takes less than 1e-6, and seeds are fixed.
    """
    for power, most in ((1.0, 0.02), (3.0, -0.1)):
        new, new_truth, _ = world(20_000, 999, power)
        excess = []
        for seed in range(40):
            found, truth, _ = world(40, seed, power)
            method = choose_method(held_out_losses(found, truth, seed))
            mended = fit_calibrator(method, found, truth)(new)
            excess.append(nll(mended, new_truth) - nll(new, new_truth))
        assert np.mean(excess) < most


@pytest.mark.parametrize("method", CALIBRATORS)
@pytest.mark.parametrize("n", [2, 12, 200, 3000])
def test_no_calibrated_probability_is_0_or_1_however_sure_and_right_the_model(method, n):
    truth = np.arange(n) % 3
    sure = np.eye(3)[truth]
    odd = np.vstack([np.eye(3), [[1 / 3] * 3], [[0.5, 0.5, 0]]])
    mended = fit_calibrator(method, sure, truth)(odd)
    assert np.allclose(mended.sum(axis=1), 1)
    assert mended.min() > 0
    assert mended.max() < 1
    if method != "none":
        # Of n galaxies, one more that could be of any class.
        assert mended.min() >= 1 / (3 * (n + 1)) - 1e-12
        assert np.float32(mended.max()) < 1


@pytest.mark.parametrize("method", ["temperature", "vector"])
def test_a_model_that_is_always_right_keeps_the_order_of_its_galaxies(method):
    rng = np.random.default_rng(3)
    truth = np.arange(60) % 3
    found = softmax(3 * np.eye(3)[truth] + rng.uniform(0, 0.5, (60, 3)), axis=1)
    assert (found.argmax(axis=1) == truth).all()
    mended = fit_calibrator(method, found, truth)(found)
    own = truth == 0
    assert len(np.unique(mended[own].max(axis=1))) == own.sum()
    assert mended.max() < 1 - 1 / (3 * 61)


def test_the_isotonic_curve_is_scipys():
    """Against `scipy.optimize.isotonic_regression`, another implementation, at every galaxy."""
    pytest.importorskip("scipy", "1.12")
    from scipy.optimize import isotonic_regression

    found, truth, _ = world(1200, 6, power=2.0)
    mended = fit_calibrator("isotonic", found, truth)
    curves = np.empty(found.shape)
    for code in range(3):
        values, first, inverse = np.unique(found[:, code], return_index=True, return_inverse=True)
        hits = np.bincount(inverse, truth == code) / np.bincount(inverse)
        curve = isotonic_regression(hits, weights=np.bincount(inverse)).x
        curves[:, code] = curve[inverse]
        assert len(first) == len(values)
    curves = np.clip(curves, np.finfo(float).eps, None)
    curves /= curves.sum(axis=1, keepdims=True)
    assert np.allclose(mended(found), (1200 * curves + 1 / 3) / 1201, atol=1e-9)


def test_a_probability_that_is_nan_is_refused_and_not_calibrated():
    found, truth, _ = world(50, 6)
    found[7, 1] = np.nan
    for method in CALIBRATORS:
        with pytest.raises(ValueError, match="NaN"):
            fit_calibrator(method, found, truth)


@settings(max_examples=30, deadline=None)
@given(st.integers(20, 200), st.integers(0, 10**6), st.floats(0.2, 5))
def test_calibrating_loses_no_more_than_its_floor_on_its_own_galaxies(n, seed, power):
    found, truth, _ = world(n, seed, power)
    for method in ("temperature", "vector"):
        mended = nll(fit_calibrator(method, found, truth)(found), truth)
        assert mended <= nll(found, truth) + np.log((n + 1) / n) + 1e-6


@settings(max_examples=30, deadline=None)
@given(st.integers(2, 300), st.integers(0, 10**6))
def test_the_parts_of_the_brier_score_sum_to_it(n, seed):
    found, truth, _ = world(n, seed)
    scores = calibration_scores(found, truth)
    parts = scores["reliability"] - scores["resolution"] + scores["uncertainty"]
    expected = np.nan
    if n >= 2 * PER_BIN:
        # Stephenson et al. 2008: WBV - WBC, whose definition has the factor 2.
        variance = covariance = 0.0
        for values, hits in zip(found.T, np.eye(found.shape[1])[truth].T, strict=True):
            bins = mass_bins(values)
            for each in np.unique(bins):
                p, y = values[bins == each], hits[bins == each]
                variance += np.sum((p - p.mean()) ** 2) / n
                covariance += 2 * np.sum((p - p.mean()) * (y - y.mean())) / n
        assert scores["within_bins"] == pytest.approx(variance - covariance, abs=1e-12)
        expected = scores["brier"]
    assert parts + scores["within_bins"] == pytest.approx(expected, nan_ok=True)
    assert all(0 <= scores[f"ece_{kind}"] <= 1 for kind in ("equal_mass", "equal_width"))
    counts = np.bincount(equal_mass(found[:, 0], 5), minlength=5)
    assert counts.max() - counts.min() <= 1


def test_errors_of_a_known_case():
    certain = np.tile([1.0, 0.0], (10, 1))
    scores = calibration_scores(certain, np.array([0] * 6 + [1] * 4))
    assert scores["ece_equal_width"] == pytest.approx(0.4)
    assert scores["brier"] == pytest.approx(0.8)
    table = reliability_table(certain, np.array([0] * 6 + [1] * 4))
    assert table["accuracy"].tolist() == [0.6]
    # Clopper and Pearson's interval of 6 in 10.
    assert table[["low", "high"]].iloc[0].tolist() == pytest.approx([0.2624, 0.8784], abs=1e-4)


def test_the_surest_are_kept_first():
    uncertainty, wrong = np.array([0.3, 0.1, 0.2, 0.4]), np.array([True, False, False, False])
    kept, risk = risk_coverage(uncertainty, wrong)
    assert kept.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert risk.tolist() == pytest.approx([0, 0, 1 / 3, 1 / 4])
    assert aurc(uncertainty, wrong) == pytest.approx((1 / 3 + 1 / 4) / 4)


@pytest.mark.parametrize("method", ["temperature", "vector", "isotonic"])
@pytest.mark.usefixtures("plain")
def test_a_method_for_which_there_are_too_few_galaxies_warns(method, run, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("calibrate", copy, "--method", method) == 0
    said = capsys.readouterr().err
    assert f"warning: --method {method} takes" in said
    assert "and there are 6, 1 of" in said
    for part in ("calibration", "test"):
        table = pd.read_parquet(copy / f"predictions_{part}.parquet")
        mended = table[[name for name in table if name.startswith("calibrated_")]].to_numpy()
        assert mended.min() >= 1 / 21 - 1e-6
    # Without a galaxy of some class, nothing may be learnt that excludes it.
    path = copy / "predictions_calibration.parquet"
    table = pd.read_parquet(path)
    table[table["label"] != "spiral"].to_parquet(path)
    capsys.readouterr()
    assert galaxymorph("calibrate", copy, "--method", method) == (
        0 if method == "temperature" else 2
    )
    said = capsys.readouterr().err
    assert ("no calibration galaxy is in class spiral" in said) or (
        "no calibration galaxy is in class 'spiral'" in said
    )


@pytest.fixture(scope="module")
def calibrated(run, new_folder):
    copy = new_folder("calibrated") / "run"
    shutil.copytree(run, copy)
    with pytest.MonkeyPatch.context() as patch:
        # No test of it looks at the page.
        patch.setattr("galaxymorph.api.analyses.refresh_report", lambda *_: None)
        assert galaxymorph("calibrate", copy, "--method", "temperature") == 0
    return copy


def test_calibrate_stores_what_it_learnt_and_predict_uses_it(calibrated, simple, capsys):
    record = json.loads((calibrated / "calibration.json").read_text())
    assert record["part"] == "calibration"
    assert record["galaxies"] == [6]
    temperature = record["calibrators"][0]["parameters"]["temperature"][0]
    assert {"nll", "brier", "ece_equal_mass"} <= set(record["after"])
    for name in ("reliability", "coverage", "risk_coverage"):
        assert (calibrated / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    image = next((simple / "images_training_rev1").glob("*.jpg"))
    capsys.readouterr()
    tables = []
    for more in ([], ["--raw"], ["--coverage", "0.5"]):
        assert galaxymorph("predict", calibrated, image, "--json", *more) == 0
        tables.append(json.loads(capsys.readouterr().out)[0])
    names = ["p_elliptical", "p_spiral", "p_irregular"]
    bare = np.array([tables[1][name] for name in names])
    expected = softmax(np.log(np.clip(bare, 1e-16, 1)) / temperature)
    expected = (6 * expected + 1 / 3) / 7
    assert [tables[0][name] for name in names] == pytest.approx(expected.tolist(), abs=1e-4)
    # By its own coverage of 0.9, for which six galaxies are too few.
    assert tables[0]["set"] == "elliptical|spiral|irregular"
    assert set(tables[2]["set"].split("|")) <= {"elliptical", "spiral", "irregular", "none"}


def test_the_runs_own_sets_come_before_those_of_random_splits(run, tmp_path, capsys):
    own = shutil.copytree(run, tmp_path / "run")
    assert galaxymorph("calibrate", own, "--coverage", "0.7") == 0
    said = capsys.readouterr().out
    table = pd.read_parquet(own / "predictions_test.parquet")
    chosen = [set(words.split("|")) - {"none"} for words in table["set"]]
    held = sum(label in words for label, words in zip(table["label"], chosen, strict=True))
    sizes = np.array([len(words) for words in chosen])
    sets = json.loads((own / "calibration.json").read_text())["sets"]["test"]
    assert sets["coverage"] == proportion(held, len(table))
    assert sets["empty"] == proportion((sizes == 0).sum(), len(table))
    assert sets["size"]["value"] == pytest.approx(sizes.mean(), abs=1e-6)
    title = "Prediction sets of this run at 70 %, by 6 galaxies of calibration: 9 test galaxies"
    words = interval_words(sets["coverage"])
    page = (own / "report.html").read_text()
    for text in (said, page[page.index('<section id="calibration"') :]):
        first, second = text.index("Prediction sets of this run"), text.index("200 random splits")
        assert first < text.index(words) < second
    assert title in page
    # The sets of `robustness` on clean images are these, and so are their scores.
    with without_drawing():
        assert galaxymorph("robustness", own, "--suite", "published") == 0
    clean = json.loads((own / "robustness.json").read_text())["clean"]
    assert clean["set_coverage"] == sets["coverage"]


def test_predictions_carry_calibrated_probabilities_and_sets(calibrated):
    for part in ("valid", "calibration", "test"):
        table = pd.read_parquet(calibrated / f"predictions_{part}.parquet")
        mended = table[[name for name in table if name.startswith("calibrated_")]]
        assert np.allclose(mended.sum(axis=1), 1)
        assert table["set"].str.len().gt(0).all()


@pytest.mark.usefixtures("plain")
def test_a_run_of_three_parts_calibrates_on_validation_and_says_so(run, tmp_path, capsys):
    copy = tmp_path / "old"
    shutil.copytree(run, copy)
    split = pd.read_csv(copy / "split.csv", dtype=str)
    split["split"] = split["split"].replace("calibration", "train")
    split.to_csv(copy / "split.csv", index=False)
    (copy / "predictions_calibration.parquet").unlink()
    assert galaxymorph("calibrate", copy) == 0
    said = capsys.readouterr().err
    assert "the validation part, which selected the epoch" in said
    record = json.loads((copy / "calibration.json").read_text())
    assert record["part"] == "valid"
    # Nine galaxies are too few for anything.
    assert record["method"] == "none"
    assert "9 calibration galaxies are few" in said
    assert "temperature (needs 20), vector (needs 20 of each class), isotonic (needs 1,000" in said


def test_a_damaged_calibration_is_named(calibrated, simple, capsys):
    path = calibrated / "calibration.json"
    sound = path.read_text()
    path.write_text("{}")
    image = next((simple / "images_training_rev1").glob("*.jpg"))
    status = galaxymorph("predict", calibrated, image)
    path.write_text(sound)
    assert status == 2
    assert "calibration.json: damaged" in capsys.readouterr().err


@pytest.mark.usefixtures("plain")
def test_folds_are_calibrated_each_by_its_own_galaxies(simple, tmp_path):
    fit = ["fit", "--data", simple, "--recipe", RECIPE, "--out", tmp_path, "--name", "cv", *QUICK]
    assert galaxymorph(*fit, "--folds", "2", "--epochs", "1") == 0
    run = tmp_path / "cv"
    assert galaxymorph("calibrate", run, "--method", "vector") == 0
    record = json.loads((run / "calibration.json").read_text())
    assert len(record["calibrators"]) == len(record["galaxies"]) == 2
    whole = pd.read_parquet(run / "predictions_test.parquet").set_index("galaxy")
    names = ["p_elliptical", "p_spiral", "p_irregular"]
    assert galaxymorph("calibrate", run, "--method", "vector", "--coverage", "0.6") == 0
    sets = json.loads((run / "calibration.json").read_text())["sets"]
    assert np.shape(sets["thresholds"]) == (2, 3)
    covered = []
    for fold, limits in zip("12", sets["thresholds"], strict=True):
        table = pd.read_parquet(run / "folds" / fold / "predictions_test.parquet")
        chosen = [set(words.split("|")) - {"none"} for words in table["set"]]
        bare = table[names].to_numpy(float)
        for words, row in zip(chosen, bare / bare.sum(axis=1, keepdims=True), strict=True):
            expected = {n[2:] for n, p, q in zip(names, row, limits, strict=True) if 1 - p <= q}
            assert words == expected
        covered += [label in words for label, words in zip(table["label"], chosen, strict=True)]
    # The table has the coverage of the stored sets.
    assert sets["test"]["coverage"]["value"] == pytest.approx(np.mean(covered), abs=1e-6)
    # New galaxies, which both folds predict, have the sets of CV+.
    images = sorted(map(str, (simple / "images_training_rev1").glob("*.jpg")))[:12]
    table = tmp_path / "new.csv"
    command = ["predict", run, *images, "--coverage", "0.6", "--no-drift", "-o", table]
    assert galaxymorph(*command) == 0
    each = load_predictor(run).outputs_of_each(images, lambda number: None)
    known = []
    for fold in "12":
        calibrating = pd.read_parquet(run / "folds" / fold / "predictions_calibration.parquet")
        truth = pd.Index([n[2:] for n in names]).get_indexer(calibrating["label"])
        bare = calibrating[names].to_numpy(float)
        known.append((bare / bare.sum(axis=1, keepdims=True), truth))
    expected = cross_sets(known, each, 0.6)
    found = [set(words.split("|")) - {"none"} for words in pd.read_csv(table)["set"]]
    classes = [n[2:] for n in names]
    assert found == [{c for c, held in zip(classes, row, strict=True) if held} for row in expected]
    for fold, learnt in zip("12", record["calibrators"], strict=True):
        table = pd.read_parquet(run / "folds" / fold / "predictions_test.parquet")
        table = table.set_index("galaxy")
        bare = table[["p_elliptical", "p_spiral", "p_irregular"]].to_numpy(float)
        mended = Calibrator(**learnt)(bare / bare.sum(1)[:, None])
        names = ["calibrated_elliptical", "calibrated_spiral", "calibrated_irregular"]
        assert np.allclose(table[names], mended, atol=1e-6)
        assert np.allclose(whole.loc[table.index, names], mended, atol=1e-6)


@pytest.mark.usefixtures("plain")
def test_against_the_chances_of_a_simulation_no_drawn_label_is_an_error(
    run, simple, tmp_path, capsys
):
    data, own = tmp_path / "data", tmp_path / "run"
    shutil.copytree(simple, data)
    shutil.copytree(run, own)
    votes = pd.read_csv(data / "training_solutions_rev1.csv")
    truth = votes.add_prefix("expected_").rename(columns={"expected_GalaxyID": "GalaxyID"})
    truth.assign(shown=40).to_parquet(data / "truth.parquet")
    recipe = (own / "recipe.json").read_text()
    (own / "recipe.json").write_text(recipe.replace(str(simple), str(data)))
    galaxies = pd.read_parquet(own / "predictions_test.parquet")["galaxy"]
    chances = class_chances(Run(own), galaxies, seed=0)
    assert np.allclose(chances.sum(axis=1), 1)
    # By the rule itself, on ballots of each galaxy: no class but the likeliest is often drawn.
    labels = pd.read_parquet(own / "predictions_test.parquet")["label"]
    best = np.array(["elliptical", "spiral", "irregular"])[chances.argmax(axis=1)]
    assert (best == labels).mean() > 0.8
    assert truth_scores(chances, chances) == {"truth_error": 0, "ece_truth": 0}
    assert galaxymorph("calibrate", own, "--method", "temperature") == 0
    assert "against the true probabilities" in capsys.readouterr().out
    test = pd.read_parquet(own / "predictions_test.parquet")
    bare = test[["p_elliptical", "p_spiral", "p_irregular"]].to_numpy(float)
    record = json.loads((own / "calibration.json").read_text())
    error = np.abs(bare / bare.sum(axis=1, keepdims=True) - chances).mean()
    assert record["before"]["truth_error"]["value"] == pytest.approx(error, abs=1e-5)
    assert class_chances(Run(run), galaxies, seed=0) is None


@pytest.mark.parametrize("part", ["calibration", "test"])
def test_a_prediction_that_is_no_number_is_named(run, tmp_path, capsys, part):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    path = copy / f"predictions_{part}.parquet"
    table = pd.read_parquet(path)
    table.loc[table.index[2], "p_spiral"] = np.nan
    table.to_parquet(path)
    assert galaxymorph("calibrate", copy) == 2
    said = capsys.readouterr().err
    assert f"the prediction of galaxy {table['galaxy'].iloc[2]} is not a number (1 such)" in said
    assert not (copy / "calibration.json").exists()
