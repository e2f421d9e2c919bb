import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from galaxymorph.learn.adaptation.coral import coral
from tests.conftest import QUICK, RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")


@settings(max_examples=20, deadline=None)
@given(n=st.integers(2, 9), d=st.integers(1, 6), seed=st.integers(0, 99))
def test_coral_is_the_papers_formula(n, d, seed):
    rng = np.random.default_rng(seed)
    source, target = rng.normal(size=(2, n, d))
    expected = np.sum((np.cov(source.T) - np.cov(target.T)) ** 2) / (4 * d**2)
    found = coral(torch.from_numpy(source), torch.from_numpy(target))
    assert float(found) == pytest.approx(expected, abs=1e-9)
    assert float(coral(torch.from_numpy(source), torch.from_numpy(source + 3))) < 1e-9


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


def test_adapting_while_training_changes_the_weights(run, simple, tmp_path):
    images = simple / "images_training_rev1"
    more = ["--unlabelled", images, "--adapt", "coral", "--adapt-weight", "5"]
    assert galaxymorph(*fit(simple, tmp_path, "adapted", *more)) == 0
    recipe = json.loads((tmp_path / "adapted" / "recipe.json").read_text())["recipe"]
    assert recipe["unlabelled"] == [str(images)]
    assert recipe["adapt"] == "coral"
    assert np.abs(weights(tmp_path / "adapted") - weights(run)).max() > 1e-3


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--adapt", "coral"], "give --unlabelled"),
        (["--adapt-weight", "2"], "there are no unlabelled images"),
        (["--adapt", "coral", "--unlabelled", "missing"], "no such file"),
        (["--adapt", "coral", "--unlabelled", "tests/learn"], "0 images"),
        (["--adapt", "coral", "--unlabelled", ".", "--pipeline", "plain"], "fast pipeline"),
    ],
)
def test_what_cannot_be_adapted_is_refused(simple, tmp_path, capsys, more, says):
    assert galaxymorph(*fit(simple, tmp_path, "refused", *more)) == 2
    assert says in capsys.readouterr().err
    assert not (tmp_path / "refused").exists()
