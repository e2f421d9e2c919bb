"""Runs of the format before this one: `tests/data/format-2.zip` holds two, and what they predict.

They are of four images, written by commit 8405a0a; see `FORMER_NAMES` for their pickles.
"""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from galaxymorph.learn import Run
from galaxymorph.predict import load_predictor
from tests.conftest import galaxymorph

ROOT = Path(__file__).parents[2]
both = pytest.mark.parametrize("name", ["classes", "tree"])


@pytest.fixture(scope="module")
def former(new_folder) -> Path:
    folder = new_folder("former")
    with zipfile.ZipFile(ROOT / "tests" / "data" / "format-2.zip") as archive:
        archive.extractall(folder)
    return folder


def expected_of(former: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(former / f"{name}-expected.csv", dtype={"galaxy": str})


def numbers_of(table: pd.DataFrame) -> list[str]:
    return [column for column in table if table[column].dtype.kind == "f" and column != "part"]


@both
def test_a_run_of_before_predicts_what_it_did(former, name):
    expected = expected_of(former, name)
    columns = numbers_of(expected)
    images = sorted(map(str, (former / "images").iterdir()))
    table = load_predictor(former / name, "fp32").predict(images)
    assert np.allclose(table[columns].astype(float), expected[columns], atol=1e-5)


def test_a_learner_of_before_loads_and_predicts_alike(former):
    expected = expected_of(former, "classes")
    script = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from fastai.learner import load_learner\n"
        "import galaxymorph\n"
        "learn = load_learner(sys.argv[1])\n"
        "for image in sys.argv[2:]:\n"
        "    with learn.no_bar(): print(*learn.predict(image)[2].tolist())\n"
    )
    images = sorted((former / "images").iterdir())
    command = [sys.executable, "-c", script, former / "classes" / "model.pkl", *images]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    predicted = np.array([line.split() for line in done.stdout.splitlines()], float)
    columns = [column for column in expected if column.startswith("p_")]
    assert np.allclose(predicted, expected[columns], atol=1e-4)


@both
def test_its_split_history_and_recipe_are_read(former, name):
    run = Run(former / name)
    assert {"train", "valid", "test"} <= set(run.split["split"])
    assert len(run.history) == run.recipe.epochs
    assert run.recipe.target == name


# `report` writes the page, with what `calibrate` adds to it.
@both
@pytest.mark.usefixtures("unrefreshed")
def test_commands_work_on_a_run_of_before(former, name, tmp_path, capsys):
    assert galaxymorph("calibrate", former / name) == 0
    assert galaxymorph("report", former / name) == 0
    other = shutil.copytree(former / name, tmp_path / "other")
    assert galaxymorph("compare", former / name, other) == 0
    assert "error:" not in capsys.readouterr().err


def test_a_run_of_the_first_format_is_read(former, tmp_path):
    """It called trunk_lr body_lr."""
    run = tmp_path / "first"
    run.mkdir()
    record = json.loads((former / "classes" / "recipe.json").read_text())
    record["format"] = 1
    record["recipe"]["body_lr"] = record["recipe"].pop("trunk_lr") / 4
    (run / "recipe.json").write_text(json.dumps(record))
    assert Run(run).recipe.trunk_lr == 0.25


@pytest.mark.parametrize("name", ["mse", "cross-entropy", "dirichlet-multinomial", "kl"])
def test_a_pickled_loss_of_before_gives_what_it_did(name):
    path = ROOT / "tests" / "data" / "losses-format-2.pt"
    former = torch.load(path, weights_only=False)[name]
    loss, logits, target = (former[key] for key in ("loss", "logits", "target"))
    assert float(loss(logits, target)) == pytest.approx(former["losses"], rel=1e-5)
    assert torch.allclose(loss.activation(logits), former["prediction"], atol=1e-6)
    assert torch.allclose(loss.moments(logits), former["moments"], atol=1e-5)
    assert float(former["metric"](logits, target)) == pytest.approx(former["square"], rel=1e-5)
    assert torch.allclose(
        loss.activation(loss.invert(former["prediction"], logits)), former["prediction"], atol=1e-4
    )
