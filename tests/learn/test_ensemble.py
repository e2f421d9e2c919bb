"""A deep ensemble through the command line: one run of several models, judged by their mean."""

import json
import shutil
import signal

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.learn import make_recipe
from galaxymorph.predict import load_predictor
from tests.conftest import galaxymorph
from tests.learn.test_fit import fit_arguments, in_a_process_of_its_own, same_weights

pytestmark = pytest.mark.usefixtures("undrawn")

SHARES = ["p_elliptical", "p_spiral", "p_irregular"]
ONE_EPOCH = ["--epochs", "1"]


@pytest.fixture(scope="module")
def ensemble(simple, new_folder):
    """A run of two models, that was killed while it trained the second and gone on with."""
    out = new_folder("ensemble")
    arguments = fit_arguments(simple, out, "run", *ONE_EPOCH, "--members", "2")
    kill = "callbacks:save_checkpoint:2"
    assert in_a_process_of_its_own(*arguments, kill=kill) == -signal.SIGKILL
    assert (out / "run" / "members" / "1" / "model.pkl").exists()
    assert not (out / "run" / "members" / "2" / "model.pkl").exists()
    assert in_a_process_of_its_own("fit", "--resume", out / "run") == 0
    return out / "run"


def test_its_models_are_those_of_other_seeds_on_one_split(simple, ensemble, tmp_path):
    split = (ensemble / "split.csv").read_text()
    recipes = [
        json.loads((ensemble / "members" / n / "recipe.json").read_text())["recipe"] for n in "12"
    ]
    assert recipes[0]["seed"] == 3 != recipes[1]["seed"]
    for n in "12":
        assert (ensemble / "members" / n / "split.csv").read_text() == split
    assert not same_weights(*(ensemble / "members" / n for n in "12"))
    assert in_a_process_of_its_own(*fit_arguments(simple, tmp_path, "one", *ONE_EPOCH)) == 0
    assert same_weights(ensemble / "members" / "1", tmp_path / "one")
    assert galaxymorph("reproduce", ensemble) == 0


def test_it_predicts_and_is_judged_by_the_mean_of_its_models(simple, ensemble):
    for part in ("valid", "calibration", "test"):
        name = f"predictions_{part}.parquet"
        whole = pd.read_parquet(ensemble / name)
        each = [pd.read_parquet(ensemble / "members" / n / name) for n in "12"]
        assert np.allclose(whole[SHARES], np.mean([one[SHARES] for one in each], axis=0))
        best = whole[SHARES].idxmax(axis=1).str.removeprefix("p_")
        assert whole["predicted"].tolist() == best.tolist()
    images = [str(path) for path in sorted((simple / "images_training_rev1").iterdir())]
    found = load_predictor(ensemble, "fp32").predict(images).set_index("galaxy")
    assert np.allclose(found.loc[whole["galaxy"], SHARES], whole[SHARES], atol=5e-3)
    metrics = json.loads((ensemble / "metrics.json").read_text())["test"]
    accuracy = (whole["predicted"] == whole["label"]).mean()
    assert metrics["accuracy"]["value"] == pytest.approx(accuracy, abs=1e-6)
    assert "macro_f1_of_folds" not in metrics


def test_the_other_commands_take_it(simple, ensemble, unrefreshed, tmp_path, capsys):
    images = simple / "images_training_rev1"
    assert galaxymorph("calibrate", ensemble, "--method", "temperature") == 0
    record = json.loads((ensemble / "calibration.json").read_text())
    assert len(record["calibrators"]) == 1
    bare, calibrated = (
        load_predictor(ensemble, "fp32", raw=raw).predict([str(next(images.iterdir()))])
        for raw in (True, False)
    )
    power = 1 / record["calibrators"][0]["parameters"]["temperature"][0]
    scaled = bare[SHARES].to_numpy() ** power
    # No probability is further than a galaxy in n + 1 from even.
    n = record["calibrators"][0]["galaxies"]
    expected = (n * scaled / scaled.sum() + 1 / 3) / (n + 1)
    assert np.allclose(calibrated[SHARES], expected, atol=1e-5)
    assert galaxymorph("interpret", ensemble, "--most", "4") == 0
    published = ["--suite", "published"]
    assert galaxymorph("robustness", ensemble, *published) == 0
    out = tmp_path / "asked"
    assert galaxymorph("triage", ensemble, images, "-o", out, "--source", "ensemble") == 0
    assert galaxymorph("report", ensemble) == 0
    capsys.readouterr()
    assert "ensemble of 2 networks" in (ensemble / "report.html").read_text()
    portable = tmp_path / "model.safetensors"
    assert galaxymorph("export", ensemble, "--format", "safetensors", "-o", portable) == 0
    sent = load_predictor(portable, "fp32").predict([str(path) for path in images.iterdir()])
    here = load_predictor(ensemble, "fp32").predict([str(path) for path in images.iterdir()])
    assert np.allclose(sent[SHARES], here[SHARES], atol=1e-6)


def test_going_on_with_a_calibrated_one_keeps_what_calibration_added(ensemble, tmp_path):
    copy = tmp_path / "run"
    shutil.copytree(ensemble, copy)
    assert galaxymorph("calibrate", copy, "--method", "temperature") == 0
    before = pd.read_parquet(copy / "predictions_test.parquet")
    assert {"set", "calibrated_spiral"} <= set(before)
    assert galaxymorph("fit", "--resume", copy) == 0
    pd.testing.assert_frame_equal(pd.read_parquet(copy / "predictions_test.parquet"), before)


def test_members_do_not_go_with_folds():
    with pytest.raises(
        BadInput, match="^members 3: it cannot be combined with folds 5; leave out one"
    ):
        make_recipe("baseline", {"members": 3, "folds": 5})
