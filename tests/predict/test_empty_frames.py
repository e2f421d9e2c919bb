"""A blank image has no class, whichever way it is predicted."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph.predict import load_predictor
from tests.conftest import RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

CLASSES = ["p_elliptical", "p_spiral", "p_irregular"]


@pytest.fixture
def mixed(simple, tmp_path):
    """Two galaxies, and a black, a white and a half uncovered picture."""
    folder = tmp_path / "mixed"
    folder.mkdir()
    for image in sorted((simple / "images_training_rev1").glob("*.jpg"))[:2]:
        shutil.copy(image, folder)
    half = np.array(Image.open(image))
    half[:, :230] = 0
    Image.fromarray(half).save(folder / "half.png")
    for name, level in (("black", 0), ("white", 255)):
        Image.new("RGB", (60, 60), (level,) * 3).save(folder / f"{name}.jpg")
    return folder


STATUS = {"black": "blank", "white": "saturated", "half": "no coverage"}


def require_empty(table: pd.DataFrame, name: str = "galaxy") -> None:
    by_name = table.set_index(name)
    empty = by_name["status"] != "ok"
    assert by_name["status"][empty].to_dict() == STATUS
    assert by_name.loc[empty, ["predicted", "confidence", *CLASSES]].isna().all(axis=None)
    assert by_name["error"][empty].str.contains("value|white").all()
    assert by_name.loc[~empty, CLASSES].sum(axis=1).to_numpy() == pytest.approx(1, abs=1e-5)
    assert by_name["error"][~empty].isna().all()


@pytest.mark.parametrize("ending", ["csv", "parquet"])
@pytest.mark.parametrize("more", [[], ["--skip-bad"], ["--views", "4", "--crops", "0.6,0.8"]])
def test_predict_writes_rows_without_a_class(run, mixed, tmp_path, capsys, ending, more):
    output = tmp_path / f"o.{ending}"
    assert galaxymorph("predict", run, mixed, "-o", output, *more) == 0
    require_empty(pd.read_csv(output) if ending == "csv" else pd.read_parquet(output))
    assert "3 of 5 images have no prediction" in capsys.readouterr().err


def test_predict_prints_them_and_fails_where_there_is_nothing_else(run, mixed, capsys):
    assert galaxymorph("predict", run, mixed) == 0
    lines = capsys.readouterr().out.splitlines()
    (black,) = [line for line in lines if "black.jpg" in line]
    # Behind the path: its part of the split, class, confidence and three probabilities.
    assert black.split()[1:] == [*"––––––", "blank"]
    assert galaxymorph("predict", run, mixed / "black.jpg", "--json") == 1
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["predicted"], row["status"]) == (None, "blank")


@pytest.mark.parametrize("more", [["--outliers"], ["--coverage", "0.8"]])
def test_options_of_predict_do_without_them(run, mixed, tmp_path, more):
    output = tmp_path / "o.parquet"
    assert galaxymorph("predict", run, mixed, "-o", output, *more) == 0
    require_empty(pd.read_parquet(output))


def test_a_catalogue_has_their_status(run, mixed, tmp_path):
    assert galaxymorph("predict", run, mixed, "-o", f"{tmp_path / 'out'}/") == 0
    require_empty(pd.read_parquet(tmp_path / "out"), "galaxy")


def test_the_python_api_has_their_status_for_files_and_pixels(run, mixed):
    predictor = load_predictor(run)
    require_empty(predictor.predict(sorted(mixed.iterdir())))
    pixels = [np.array(Image.open(path)) for path in sorted(mixed.iterdir())]
    result = predictor.predict(pixels)
    assert result["status"].tolist() == ["ok", "ok", "blank", "no coverage", "saturated"]
    assert "image 2: every pixel" in result["error"][2]


def test_an_exported_file_does_the_same(onnx_file, mixed):
    require_empty(load_predictor(onnx_file).predict(sorted(mixed.iterdir())))


def test_fit_sets_them_aside_and_says_so(simple, mixed, tmp_path, capsys):
    data = tmp_path / "data"
    shutil.copytree(simple, data)
    images = sorted((data / "images_training_rev1").glob("*.jpg"))
    for name, image in zip(STATUS, (images[0], images[6], images[12]), strict=True):
        source = next(mixed.glob(f"{name}.*"))
        Image.open(source).convert("RGB").save(image, quality=95)
    assert galaxymorph("data", "check", data) == 2
    assert "every pixel has the same value" in capsys.readouterr().out
    arguments = ["--recipe", RECIPE, "--size", "32", "--epochs", "1", "--batch", "16"]
    out = ["--out", tmp_path / "runs", "--name", "run"]
    assert galaxymorph("fit", "--data", data, *arguments, *out) == 0
    assert "3 images without a galaxy excluded: " in capsys.readouterr().err
    run = tmp_path / "runs" / "run"
    rejected = pd.read_csv(run / "rejected.csv", dtype=str)
    assert sorted(rejected["galaxy"]) == [images[at].stem for at in (0, 6, 12)]
    assert len(pd.read_csv(run / "split.csv")) == 57


def test_triage_never_hands_them_out(run, mixed, tmp_path, capsys):
    assert galaxymorph("triage", run, mixed, "-o", tmp_path / "t", "--number", "5") == 0
    assert len(pd.read_csv(tmp_path / "t" / "manifest.csv")) == 2
    assert "3 of 5 images have no prediction" in capsys.readouterr().err


def test_of_a_tree_they_have_no_walk_and_no_submission(simple, mixed, tmp_path, capsys):
    arguments = ["--recipe", RECIPE, "--target", "tree", "--size", "32", "--epochs", "1"]
    out = ["--out", tmp_path / "runs", "--name", "tree", "--batch", "16"]
    assert galaxymorph("fit", "--data", simple, *arguments, *out) == 0
    tree = tmp_path / "runs" / "tree"
    capsys.readouterr()
    assert galaxymorph("predict", tree, mixed) == 0
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in printed if "white.jpg" in line] == ["saturated"]
    command = ["predict", tree, mixed, "--format", "kaggle", "-o", tmp_path / "s.csv"]
    assert galaxymorph(*command) == 2
    assert "black.jpg: every pixel" in capsys.readouterr().err
    assert galaxymorph(*command, "--skip-bad") == 0
    assert len(pd.read_csv(tmp_path / "s.csv")) == 2
