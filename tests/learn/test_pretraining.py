import json

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from safetensors import safe_open
from safetensors.torch import load_file

from galaxymorph.learn import Recipe, build_model
from galaxymorph.learn.backbones.initial_weights import PACKAGE_WEIGHTS, load_trunk
from tests.conftest import galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn", "one_worker")

QUICK = ["--size", "32", "--batch", "8", "--epochs", "1", "--held-out", "0.3", "--views", "1"]


@pytest.fixture(scope="module")
def pretrained(new_folder):
    """A run on a sky that is simulated for it, both in a folder."""
    folder = new_folder("pretrained")
    out = ["--sky", folder / "sky", "--n", "24", "--out", folder, "--name", "mine"]
    assert galaxymorph("pretrain", *out, *QUICK) == 0
    return folder


def test_pretrain_simulates_trains_on_the_tree_and_writes_a_backbone_for_fit(
    simple, pretrained, tmp_path, capsys
):
    out = ["--sky", pretrained / "sky", "--n", "24", "--out", pretrained, "--name", "mine"]
    run, backbone = pretrained / "mine", pretrained / "mine" / "backbone.safetensors"
    assert json.loads((run / "recipe.json").read_text())["recipe"]["target"] == "tree"
    with safe_open(backbone, "pt") as file:
        about = json.loads(file.metadata()["galaxymorph"])
    assert (about["arch"], about["galaxies"]) == ("resnet18", 24)
    # The names are torchvision's, so that anyone can load it.
    found = load_file(backbone)
    missing = torchvision.models.resnet18().load_state_dict(found, strict=False)
    assert set(missing.missing_keys) == {"fc.weight", "fc.bias"} and not missing.unexpected_keys
    trained = load_file(run / "model.safetensors")
    assert torch.equal(found["conv1.weight"], trained["0.0.weight"].half())
    # The same command again trains nothing, and writes the same file.
    before = backbone.read_bytes()
    assert galaxymorph("pretrain", *out) == 0
    assert backbone.read_bytes() == before
    assert galaxymorph("pretrain", *out, "--epochs", "2") == 2
    assert "leave out the settings to continue it" in capsys.readouterr().err
    fit = ["fit", "--data", simple, "--weights", backbone, "--out", tmp_path, "--name", "tuned"]
    quick = ["--size", "32", "--epochs", "0", "--frozen-epochs", "1", "--views", "1"]
    assert galaxymorph(*fit, *quick, "--trunk-views", "1") == 0
    tuned = load_file(tmp_path / "tuned" / "model.safetensors")
    assert torch.equal(tuned["0.0.weight"], found["conv1.weight"].float())


def test_pretrain_on_real_galaxies_judges_by_them_and_trains_on_the_sky_too(
    simple, pretrained, tmp_path
):
    sky = pretrained / "sky"
    out = ["--sky", sky, "--n", "24", "--out", tmp_path, "--name", "mixed"]
    network = ["--arch", "test_resnet", "--rotate", "90"]
    assert galaxymorph("pretrain", "--data", simple, *out, *QUICK, *network) == 0
    run = tmp_path / "mixed"
    assert len(pd.read_csv(run / "split.csv")) == 60
    assert len(pd.read_csv(run / "sources.csv")) == 24
    assert json.loads((run / "recipe.json").read_text())["recipe"]["also"] == [str(sky)]
    before = (run / "backbone.safetensors").read_bytes()
    assert galaxymorph("pretrain", "--data", simple, *out) == 0
    assert (run / "backbone.safetensors").read_bytes() == before


def test_the_packages_own_weights_are_half_precision_and_load_into_a_resnet18_alone(
    simple, tmp_path, capsys
):
    assert PACKAGE_WEIGHTS.stat().st_size < 23e6
    recipe = Recipe(weights="galaxymorph")
    trunk = build_model(recipe, 3)[0]
    load_trunk(trunk, recipe)
    stored = load_file(PACKAGE_WEIGHTS)["layer4.1.conv2.weight"]
    assert stored.dtype == torch.float16
    assert torch.equal(trunk.state_dict()["7.1.conv2.weight"], stored.float())
    assert np.isfinite(stored.numpy()).all()
    fit = ["fit", "--data", simple, "--weights", "galaxymorph", "--arch", "resnet34"]
    assert galaxymorph(*fit, "--out", tmp_path) == 2
    assert "these are weights of resnet18, not of resnet34" in capsys.readouterr().err
