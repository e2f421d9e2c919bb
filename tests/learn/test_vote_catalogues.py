"""Votes of other campaigns through the command line, from the table to predictions."""

import importlib.util
import json
import shutil

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph import load_predictor
from galaxymorph.zoo import SCHEMAS, broken_sums
from tests.conftest import RECIPE, galaxymorph
from tests.zoo.test_votes import made_votes, write

GALAXIES = 40
QUICK = ["--recipe", RECIPE, "--size", "32", "--batch", "8", "--epochs", "1"]


def catalogue(folder, name: str, ending: str):
    """Write votes in a schema's own columns, and noise as images, named by its own ids."""
    table = made_votes(name, GALAXIES)
    write(table, folder / f"catalogue{ending}")
    images = folder / "images"
    images.mkdir()
    rng = np.random.default_rng(0)
    for galaxy in table[SCHEMAS[name].ids[0]]:
        pixels = rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(images / f"{galaxy}.jpg")
    return folder / f"catalogue{ending}"


@pytest.mark.parametrize(
    ("name", "ending", "loss"),
    [
        ("galaxy-zoo-2", ".csv", "cross-entropy"),
        ("galaxy-zoo-2", ".fits", "dirichlet-multinomial"),
        ("galaxy-zoo-decals", ".parquet", "dirichlet-multinomial"),
    ],
)
def test_a_fit_takes_another_campaigns_table_and_answers_its_questions(
    name, ending, loss, tmp_path, capsys
):
    table = catalogue(tmp_path, name, ending)
    settings = ["--target", "tree", "--schema", name, "--loss", loss, *QUICK]
    out = ["--out", tmp_path, "--name", "run"]
    assert galaxymorph("fit", "--data", table, *settings, *out) == 0
    tree = SCHEMAS[name].tree
    found = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    assert not broken_sums(tree, found[tree.columns].to_numpy(float)).any()
    said = pd.read_csv(tmp_path / "run" / "split.csv", dtype={"galaxy": str})
    assert len(said) == GALAXIES
    assert set(said["label"]) <= {answer.column for answer in tree.questions[0].answers}
    # The figures are the slow part, and of one catalogue as of another.
    if ending == ".fits":
        assert galaxymorph("interpret", tmp_path / "run", "--data", table) == 0
    capsys.readouterr()
    assert galaxymorph("predict", tmp_path / "run", tmp_path / "images", "--json") == 0
    assert tree.columns[-1] in capsys.readouterr().out


def test_a_model_of_another_campaign_travels(tmp_path):
    table = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    settings = ["--target", "tree", "--schema", "galaxy-zoo-decals", *QUICK]
    assert galaxymorph("fit", "--data", table, *settings, "--out", tmp_path, "--name", "run") == 0
    run, images = tmp_path / "run", [str(path) for path in sorted((tmp_path / "images").iterdir())]
    columns = SCHEMAS["galaxy-zoo-decals"].tree.columns
    expected = load_predictor(run, "fp32").predict(images)[columns]
    # As the first files of the format were, which said nothing of the schema.
    silent = tmp_path / "silent"
    silent.mkdir()
    shutil.copy(run / "model.safetensors", silent)
    about = json.loads((run / "model.json").read_text())
    assert about.pop("schema") == "galaxy-zoo-decals"
    (silent / "model.json").write_text(json.dumps(about))
    models = [run / "model.safetensors", silent / "model.safetensors"]
    if importlib.util.find_spec("onnxruntime"):
        models.append(tmp_path / "model.onnx")
        assert galaxymorph("export", run, "--format", "onnx", "-o", models[-1]) == 0
    for model in models:
        exact = None if model.suffix == ".onnx" else "fp32"
        found = load_predictor(model, exact).predict(images)[columns]
        assert np.allclose(found, expected, atol=1e-4)


def test_what_does_not_go_together_is_said_in_one_line(tmp_path, simple, capsys):
    table = catalogue(tmp_path, "galaxy-zoo-2", ".csv")
    out = ["--out", tmp_path / "runs"]
    assert galaxymorph("fit", "--data", table, "--target", "tree", *QUICK, *out) == 2
    assert "fit with --target tree --schema galaxy-zoo-2" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", table, "--schema", "galaxy-zoo-2", *QUICK, *out) == 2
    assert "use --target tree" in capsys.readouterr().err
    tree = ["--target", "tree", "--schema", "galaxy-zoo-2"]
    assert galaxymorph("fit", "--data", table, *tree, "--scheme", "hubble", *QUICK, *out) == 2
    assert "leave out --scheme or --schema" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", simple, "--target", "tree", "--id-column", "x", *out) == 2
    assert "the challenge's tables have GalaxyID" in capsys.readouterr().err
    assert galaxymorph("fit", "--data", simple, *tree, *QUICK, *out) == 2
    assert "training_solutions_rev1.csv" in capsys.readouterr().err


def test_galaxies_without_an_image_are_named_and_an_id_of_ones_own_is_taken(tmp_path, capsys):
    table = catalogue(tmp_path, "galaxy-zoo-decals", ".csv")
    votes = pd.read_csv(table)
    votes["name"] = [f"g{row}" for row in range(len(votes))]
    votes.to_csv(table, index=False)
    settings = ["--target", "tree", "--schema", "galaxy-zoo-decals", *QUICK]
    out = ["--out", tmp_path, "--id-column", "name"]
    assert galaxymorph("fit", "--data", table, *settings, *out) == 2
    assert "no image g0.jpg" in capsys.readouterr().err
    for row, image in enumerate(sorted((tmp_path / "images").iterdir())[:30]):
        shutil.move(image, tmp_path / "images" / f"g{row}.jpg")
    assert galaxymorph("fit", "--data", table, *settings, *out, "--skip-bad", "--name", "own") == 0
    rejected = pd.read_csv(tmp_path / "own" / "rejected.csv")
    assert len(rejected) == GALAXIES - 30
