import shutil

import numpy as np
import pandas as pd
import pytest

from tests.conftest import QUICK, RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def other(simple, new_folder):
    """A second run, of another size and seed."""
    out = new_folder("other")
    quick = [*QUICK, "--size", "40", "--epochs", "1", "--seed", "5"]
    fit = ["fit", "--data", simple, "--recipe", RECIPE, "--out", out, "--name", "run", *quick]
    assert galaxymorph(*fit) == 0
    return out / "run"


def predicted(tmp_path, *arguments) -> pd.DataFrame:
    path = tmp_path / "table.csv"
    assert galaxymorph("predict", *arguments, "-o", path, "--no-drift") == 0
    return pd.read_csv(path)


def numbers(table: pd.DataFrame) -> np.ndarray:
    return table.filter(like="p_").to_numpy(float)


def test_several_runs_give_the_mean_of_their_predictions(run, other, simple, tmp_path):
    images = simple / "images_training_rev1"
    item = [numbers(predicted(tmp_path, path, images)) for path in (run, other)]
    assert not np.allclose(*item, atol=1e-3)
    both = predicted(tmp_path, run, other, images)
    assert np.allclose(numbers(both), np.mean(item, axis=0), atol=1e-6)
    assert (both["confidence"] == numbers(both).max(axis=1)).all()


def test_views_and_crops_replace_the_runs_own(run, simple, tmp_path):
    images = simple / "images_training_rev1"
    plain = predicted(tmp_path, run, images)
    turned = predicted(tmp_path, run, images, "--views", "8")
    assert not np.allclose(numbers(plain), numbers(turned), atol=1e-4)
    item = [numbers(predicted(tmp_path, run, images, "--crops", crop)) for crop in ("0.6", "1.0")]
    assert np.allclose(item[1], numbers(plain), atol=1e-6)
    both = predicted(tmp_path, run, images, "--crops", "0.6,1.0")
    assert np.allclose(numbers(both), np.mean(item, axis=0), atol=1e-6)


def test_a_run_that_sees_the_whole_frame_takes_no_crops(run, simple, tmp_path, capsys):
    plain = tmp_path / "plain"
    shutil.copytree(run, plain)
    text = (plain / "recipe.json").read_text()
    (plain / "recipe.json").write_text(text.replace('"pipeline": "fast"', '"pipeline": "plain"'))
    images = simple / "images_training_rev1"
    assert galaxymorph("predict", plain, images, "--crops", "0.5") == 2
    assert "uses the whole frame" in capsys.readouterr().err


def test_what_cannot_be_averaged_is_refused_in_a_line(run, simple, tmp_path, capsys):
    images = simple / "images_training_rev1"
    for runs in ([run], [run, run]):
        assert galaxymorph("predict", *runs) == 2
        assert "no images given, only runs" in capsys.readouterr().err
    for crops in ("0.6,x", "2", ""):
        assert galaxymorph("predict", run, images, "--crops", crops) == 2
        assert f"--crops {crops}" in capsys.readouterr().err
    shares = tmp_path / "shares"
    shutil.copytree(run, shares)
    text = (shares / "recipe.json").read_text()
    (shares / "recipe.json").write_text(text.replace('"elliptical"', '"smooth"'))
    assert galaxymorph("predict", run, shares, images) == 2
    assert "have different outputs" in capsys.readouterr().err
    assert galaxymorph("predict", run, run, images, "-o", f"{tmp_path}/out/") == 2
    assert "an output folder is for one run" in capsys.readouterr().err
