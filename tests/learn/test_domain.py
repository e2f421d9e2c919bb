import json
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from galaxymorph.learn.adaptation.domain import Reversed, coral, reversal
from tests.conftest import QUICK, RECIPE, galaxymorph

ROOT = Path(__file__).parents[2]


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 9), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_coral_is_the_papers_formula(n, d, seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, n, d))
    expected = np.sum((np.cov(source.T) - np.cov(target.T)) ** 2) / (4 * d**2)
    found = coral(torch.from_numpy(source), torch.from_numpy(target))
    assert float(found) == pytest.approx(expected, abs=1e-9)
    assert float(coral(torch.from_numpy(source), torch.from_numpy(source + 3))) < 1e-9


def test_the_gradient_is_reversed_and_grows():
    x = torch.ones(3, requires_grad=True)
    Reversed.apply(x, 0.5).sum().backward()
    assert x.grad.tolist() == [-0.5] * 3
    assert reversal(0) == 0
    assert reversal(1) == pytest.approx(1, abs=1e-3)


def fit(simple, out, name, *more):
    return [
        "fit",
        "--data",
        simple,
        "--recipe",
        RECIPE,
        "--out",
        out,
        "--name",
        name,
        *QUICK,
        *more,
    ]


def weights(run: Path) -> np.ndarray:
    stored = load_file(run / "model.safetensors")
    return np.concatenate([stored[name].ravel() for name in sorted(stored)])


@pytest.mark.parametrize("how", ["coral", "dann"])
def test_adapting_while_training_changes_the_weights(run, simple, tmp_path, how):
    images = simple / "images_training_rev1"
    more = ["--target-data", images, "--adapt", how, "--adapt-weight", "5"]
    assert galaxymorph(*fit(simple, tmp_path, how, *more)) == 0
    recipe = json.loads((tmp_path / how / "recipe.json").read_text())["recipe"]
    assert recipe["target_data"] == str(images)
    assert recipe["adapt"] == how
    assert np.abs(weights(tmp_path / how) - weights(run)).max() > 1e-3


def test_an_adversary_goes_on_where_it_was_stopped(simple, tmp_path):
    more = ["--target-data", simple / "images_training_rev1", "--adapt", "dann"]
    assert galaxymorph(*fit(simple, tmp_path, "whole", *more)) == 0
    script = (
        "import os, signal, sys\n"
        "import galaxymorph.learn.callbacks as callbacks\n"
        "save = callbacks.save_checkpoint\n"
        "def then_die(*arguments):\n"
        "    save(*arguments)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "callbacks.save_checkpoint = then_die\n"
        "from galaxymorph.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    arguments = [str(word) for word in fit(simple, tmp_path, "killed", *more)]
    done = subprocess.run([sys.executable, "-c", script, *arguments], cwd=ROOT, capture_output=True)
    assert done.returncode == -signal.SIGKILL
    assert galaxymorph("fit", "--resume", tmp_path / "killed") == 0
    assert np.array_equal(weights(tmp_path / "whole"), weights(tmp_path / "killed"))


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--adapt", "coral"], "give both"),
        (["--target-data", "."], "give both"),
        (["--adapt-weight", "2"], "nothing is adapted to"),
        (["--adapt", "coral", "--target-data", "missing"], "no such file"),
        (["--adapt", "coral", "--target-data", "tests/learn"], "0 images"),
        (["--adapt", "dann", "--target-data", ".", "--pipeline", "plain"], "fast pipeline"),
    ],
)
def test_what_cannot_be_adapted_is_refused(simple, tmp_path, capsys, more, says):
    assert galaxymorph(*fit(simple, tmp_path, "refused", *more)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()
