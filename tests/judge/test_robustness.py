import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import softmax
from scipy.stats import binom
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.images import CORRUPTIONS
from galaxymorph.judge.calibration.reliability import calibration_error
from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.judge.metrics.classification import f1_difference
from galaxymorph.judge.metrics.metric import class_codes
from galaxymorph.judge.robustness.corruption_errors import corruption_error
from galaxymorph.learn import Run, adapt_batchnorm
from galaxymorph.report.page_content import PageContent
from galaxymorph.report.sections import gather_sections
from galaxymorph.report.server.markup import section_template
from tests.conftest import RECIPE, galaxymorph


@pytest.fixture(scope="module")
def measured(run, new_folder):
    """The run, its robustness measured in full at severities 1 and 5."""
    path = new_folder("robust") / "run"
    shutil.copytree(run, path)
    with pytest.MonkeyPatch.context() as patch:
        # No test here looks at the page.
        patch.setattr("galaxymorph.api.analyses.refresh_report", lambda *_: None)
        assert galaxymorph("robustness", path, "--severities", "1,5") == 0
    return path


def test_every_corruption_is_scored_and_every_prediction_kept(measured):
    scores = json.loads((measured / "robustness.json").read_text())
    table = pd.read_parquet(measured / "robustness.parquet")
    own = pd.read_parquet(measured / "predictions_test.parquet")
    assert list(scores["corruptions"]) == list(CORRUPTIONS)
    assert len(table) == len(own) * (1 + 2 * len(CORRUPTIONS))
    for found in scores["corruptions"].values():
        for each in found["severities"].values():
            assert each["macro_f1"]["low"] <= each["macro_f1"]["value"] <= each["macro_f1"]["high"]
            lost = scores["clean"]["macro_f1"]["value"] - each["macro_f1"]["value"]
            assert each["drop"]["value"] == pytest.approx(lost, abs=2e-6)
            assert each["error"]["value"] == pytest.approx(1 - each["accuracy"]["value"], abs=2e-6)
    agree = scores["consistency"]["rotation"]["agree"]
    assert agree == proportion(round(agree["value"] * len(own)), len(own))


def test_clean_scores_have_the_intervals_of_the_runs_metrics(measured):
    clean = json.loads((measured / "robustness.json").read_text())["clean"]
    own = json.loads((measured / "metrics.json").read_text())
    assert clean["macro_f1"] == own["test"]["macro_f1"]
    assert clean["accuracy"] == own["test"]["accuracy"]
    scores = json.loads((measured / "robustness.json").read_text())
    assert scores["interval"] == own["interval"]
    assert scores["probabilities"] == "uncalibrated probabilities"


def test_what_is_lost_has_the_interval_of_pairs_of_predictions(measured):
    scores = json.loads((measured / "robustness.json").read_text())
    table = pd.read_parquet(measured / "robustness.parquet")
    classes = json.loads((measured / "metrics.json").read_text())["classes"]
    parts = dict(iter(table.groupby(["corruption", "severity"])))
    true, clean = class_codes(parts["clean", 0], classes)
    seed = json.loads((measured / "recipe.json").read_text())["recipe"]["seed"]
    for name, found in scores["corruptions"].items():
        _, worse = class_codes(parts[name, 5], classes)
        expected = f1_difference(true, worse, clean, len(classes), seed)
        assert found["severities"]["5"]["drop"] == expected


@pytest.mark.usefixtures("plain")
def test_a_calibrated_runs_prediction_sets_are_followed(run, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(run, path)
    own = pd.read_parquet(path / "predictions_test.parquet")
    probabilities = own[["p_elliptical", "p_spiral", "p_irregular"]].to_numpy()
    least = float(np.sort(probabilities.max(axis=1))[2])
    sets = {"method": "lac", "thresholds": [1 - least, 1 - least, None]}
    # Far from 1, so that the error can't be that of bare probabilities.
    calibrator = {"method": "temperature", "parameters": {"temperature": [50.0]}}
    record = {"format": 1, "method": "temperature", "calibrators": [calibrator], "sets": sets}
    (path / "calibration.json").write_text(json.dumps(record))
    assert galaxymorph("robustness", path, "--suite", "published") == 0
    scores = json.loads((path / "robustness.json").read_text())
    clean = scores["clean"]
    confidence = softmax(np.log(probabilities) / 50, axis=1).max(axis=1)
    right = (own["predicted"] == own["label"]).to_numpy(float)
    expected = max(calibration_error(confidence, right, debiased=True), 0)
    assert clean["ece"]["value"] == pytest.approx(expected, abs=1e-3)
    bare = calibration_error(probabilities.max(axis=1), right, debiased=True)
    assert abs(bare - expected) > 0.01
    assert scores["probabilities"] == "probabilities calibrated by temperature"
    inside = np.column_stack([probabilities[:, :2] >= least, np.ones(len(own), bool)])
    assert clean["set_size"]["value"] == pytest.approx(inside.sum(axis=1).mean(), abs=0.12)
    assert 0 <= clean["set_coverage"]["value"] <= 1
    said = capsys.readouterr().out
    assert "set size" in said
    assert "ECE of probabilities calibrated by temperature" in said


def test_clean_predictions_are_the_runs_own_and_flips_are_against_them(measured):
    table = pd.read_parquet(measured / "robustness.parquet")
    own = pd.read_parquet(measured / "predictions_test.parquet").set_index("galaxy")
    clean = table[table["severity"] == 0].set_index("galaxy")
    for column in ("p_elliptical", "p_spiral", "p_irregular"):
        assert np.allclose(clean[column], own.loc[clean.index, column], atol=1e-4)
    before = clean["predicted"].loc[table["galaxy"]].to_numpy()
    assert (table["flipped"] == (table["predicted"].to_numpy() != before)).all()


def test_figures_are_drawn(measured):
    for name in ("robustness", "robustness_curves"):
        assert (measured / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_a_run_has_error_1_against_itself_and_must_be_measured_alike(measured, tmp_path, capsys):
    scores = json.loads((measured / "robustness.json").read_text())
    against = corruption_error(scores, scores, "itself")
    known = [each["ce"] for each in against["per_corruption"].values() if each["ce"] is not None]
    assert known
    assert set(known) == {1.0}
    assert galaxymorph("robustness", measured, "--suite", "published", "--reference", measured) == 2
    assert "measured with suite full, this run with published" in capsys.readouterr().err


@pytest.mark.usefixtures("plain")
def test_the_published_suite_is_the_published_table(run, tmp_path, capsys):
    path = tmp_path / "run"
    shutil.copytree(run, path)
    assert galaxymorph("robustness", path, "--suite", "published") == 0
    scores = json.loads((path / "robustness.json").read_text())
    found = {
        name: each["severities"]["3"]["strength"] for name, each in scores["corruptions"].items()
    }
    assert found == {"gaussian_noise": 0.08, "psf_blur": 1.5, "brightness": 0.7}
    capsys.readouterr()
    assert galaxymorph("robustness", path, "--suite", "published", "--severities", "2") == 2
    assert "severity 3 only" in capsys.readouterr().err
    assert galaxymorph("robustness", path, "--severities", "6") == 2
    assert "1 to 5" in capsys.readouterr().err
    # Nine test galaxies, of which the last is alone in its batch.
    assert galaxymorph("robustness", path, "--suite", "published", "--adapt") == 2
    assert "8 images are too few" in capsys.readouterr().err


def test_a_reference_that_was_not_measured_is_refused(run, tmp_path, capsys):
    assert galaxymorph("robustness", run, "--reference", run) == 2
    assert "has not been measured" in capsys.readouterr().err


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_the_calibration_error_is_the_bins_mean_gap(pairs):
    confidence, correct = (np.array(values, float) for values in zip(*pairs, strict=True))
    # About 25 galaxies a bin: up to 49 have one, up to 60 here have two.
    bins = max(len(pairs) // 25, 1)
    at = np.minimum(confidence * bins // 1, bins - 1)
    gaps = [
        abs(confidence[at == k].mean() - correct[at == k].mean()) * (at == k).sum()
        for k in np.unique(at)
    ]
    found = calibration_error(confidence, correct)
    assert found == pytest.approx(sum(gaps) / len(pairs), abs=1e-9)


def test_batchnorm_takes_the_statistics_of_the_images_it_is_given():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    images = 2 + 3 * torch.randn(512, 3, 4, 4)
    adapted = adapt_batchnorm(model, images.split(64))
    found = adapted(images).detach()
    # 16 of 528 parts are the old statistics, 0 and 1.
    assert float(found.mean().abs()) < 0.1
    assert float(found.std()) == pytest.approx(1, abs=0.1)
    assert torch.equal(model[1].running_mean, torch.zeros(4))
    assert not adapted.training


def test_what_cannot_be_adapted_is_refused():
    with pytest.raises(BadInput, match="no BatchNorm"):
        adapt_batchnorm(nn.Conv2d(3, 4, 1), [torch.zeros(20, 3, 4, 4)])
    with pytest.raises(BadInput, match="8 images"):
        adapt_batchnorm(nn.BatchNorm2d(3), [torch.zeros(8, 3, 4, 4)])


@pytest.mark.parametrize(("target", "headline"), [("soft3", "kl"), ("tree", "rmse")])
@pytest.mark.usefixtures("plain")
def test_vote_fractions_are_scored_too(simple, tmp_path, capsys, target, headline):
    options = ["--size", "32", "--batch", "16", "--epochs", "1", "--target", target]
    out = ["--recipe", RECIPE, "--out", tmp_path, "--name", "run"]
    assert galaxymorph("fit", "--data", simple, *out, *options) == 0
    assert galaxymorph("robustness", tmp_path / "run", "--suite", "published") == 0
    scores = json.loads((tmp_path / "run" / "robustness.json").read_text())
    assert scores["headline"] == headline
    own = json.loads((tmp_path / "run" / "metrics.json").read_text())["test"][headline]
    assert scores["clean"][headline]["value"] == pytest.approx(own["value"], abs=1e-3)
    for found in scores["corruptions"].values():
        worse = found["severities"]["3"][headline]["value"] - scores["clean"][headline]["value"]
        assert found["severities"]["3"]["drop"]["value"] == pytest.approx(worse, abs=2e-6)
    content = gather_sections(PageContent(Run(tmp_path / "run")), ["robustness"])["robustness"]
    page = section_template("robustness").render(content=content)
    assert "the value on corrupted images minus that on clean ones" in page


def measured_errors(errors: np.ndarray, clean: tuple[float, float]) -> dict:
    """Scores of two corruptions in two severities, from galaxies' errors, clean ones first."""
    means = errors.mean(axis=0)
    names = ("fog", "hail")
    return {
        "suite": "full",
        "severities": [1, 2],
        "views": 1,
        "headline": "macro_f1",
        "clean": {"error": {"value": means[0], "low": clean[0], "high": clean[1]}},
        "corruptions": {
            name: {
                "severities": {
                    str(s): {"error": {"value": means[1 + 2 * at + s - 1]}} for s in (1, 2)
                }
            }
            for at, name in enumerate(names)
        },
    }


def test_a_denominator_of_noise_is_left_out_and_counted():
    """One of 0.001 made the mean 325. Hail costs the reference one galaxy of a thousand."""
    rng = np.random.default_rng(1)
    chances = np.array([[0.05, 0.3, 0.4, 0.05, 0.052], [0.05, 0.2, 0.3, 0.2, 0.4]])
    theirs, ours = (np.sort(rng.random((1000, 5)), axis=0) < each for each in chances)
    known, scores = (measured_errors(each.astype(float), (0.04, 0.065)) for each in (theirs, ours))
    found = corruption_error(scores, known, "it", ours.astype(float), theirs.astype(float))
    assert found["counted"] == {"ce": 2, "relative_ce": 1}
    assert found["corruptions"] == 2
    assert found["per_corruption"]["hail"]["relative_ce"] is None
    tops, bottoms = ours.mean(axis=0), theirs.mean(axis=0)
    relative = (tops[1:3] - tops[0]).sum() / (bottoms[1:3] - bottoms[0]).sum()
    assert found["mean_relative_ce"]["value"] == pytest.approx(relative, abs=1e-6)
    both = [tops[1:3].sum() / bottoms[1:3].sum(), tops[3:].sum() / bottoms[3:].sum()]
    assert found["mean_ce"]["value"] == pytest.approx(np.mean(both), abs=1e-6)
    json.dumps(found, allow_nan=False)


def test_intervals_of_the_mean_corruption_error_cover():
    """300 pairs of runs on 400 galaxies of known chances; 270 have a chance of 1e-4 at 0.935."""
    rng = np.random.default_rng(2)
    chances = np.array([[0.05, 0.3, 0.4, 0.2, 0.3], [0.06, 0.2, 0.3, 0.2, 0.4]])
    truth = np.mean([0.5 / 0.7, 0.6 / 0.5])
    covered = 0
    for seed in range(300):
        theirs, ours = ((rng.random((400, 5)) < each).astype(float) for each in chances)
        known, scores = (measured_errors(each, (0.03, 0.08)) for each in (theirs, ours))
        found = corruption_error(scores, known, "it", ours, theirs, seed)["mean_ce"]
        covered += found["low"] <= truth <= found["high"]
    assert covered >= binom(300, 0.935).ppf(1e-4)
