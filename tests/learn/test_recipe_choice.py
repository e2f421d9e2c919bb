"""The recipe of a fit without --recipe: which preset, on what grounds, and that it is recorded."""

import json
import re

import pytest

from galaxymorph.base import BadInput
from galaxymorph.learn import PRESETS, default_recipe, make_recipe, recipe_choice
from tests.conftest import galaxymorph

CHALLENGE = {"elliptical": 14_146, "spiral": 1_570, "irregular": 1_137}
FEW = {"elliptical": 200, "spiral": 50, "irregular": 23}


@pytest.fixture
def machine(monkeypatch):
    """Return a function that says which weights this machine can have, and its device."""

    def have(lite0: bool, downloads: bool, device: str = "cpu") -> None:
        class Device:
            type = device

        monkeypatch.setattr(recipe_choice, "has_lite0", lambda: lite0)
        monkeypatch.setattr(recipe_choice, "has_pretrained", lambda recipe: downloads)
        monkeypatch.setattr(recipe_choice, "default_device", Device)

    return have


@pytest.mark.parametrize("lite0", [True, False])
def test_the_whole_challenge_with_imagenet_weights_takes_the_published_recipe(machine, lite0):
    for device in ("cpu", "cuda"):
        machine(lite0, True, device)
        chosen = default_recipe(CHALLENGE, {})
        assert (chosen.preset, chosen.recipe) == ("baseline", make_recipe("baseline", {}))
    assert chosen.reason == "16,853 galaxies, 1,137 of irregular; ImageNet weights of resnet18"


@pytest.mark.parametrize(
    ("lite0", "downloads", "counts", "changes", "preset", "weights"),
    [
        (True, True, FEW, {}, "small", "imagenet"),
        (False, True, FEW, {}, "quick", "galaxymorph"),
        (False, False, CHALLENGE, {}, "quick", "galaxymorph"),
        (True, True, FEW, {"weights": "galaxymorph"}, "quick", "galaxymorph"),
        (True, True, FEW, {"weights": "none"}, "scratch", "none"),
        (True, True, FEW, {"weights": "imagenet"}, "small", "imagenet"),
        (True, True, FEW, {"arch": "resnet34"}, "quick", "imagenet"),
        (False, True, FEW, {"weights": "imagenet"}, "quick", "imagenet"),
        (True, False, CHALLENGE, {"weights": "imagenet"}, "baseline", "imagenet"),
        (True, True, FEW, {"pipeline": "plain"}, "plain", "imagenet"),
        (True, True, FEW, {"target": "tree"}, "small", "imagenet"),
    ],
)
def test_the_choice(machine, lite0, downloads, counts, changes, preset, weights):
    machine(lite0, downloads)
    chosen = default_recipe(counts, changes)
    assert (chosen.preset, chosen.recipe.weights) == (preset, weights)
    assert default_recipe(counts, changes) == chosen


def test_a_gpu_takes_more_galaxies_for_small(machine):
    counts = {"a": 3000, "b": 3000}
    machine(True, True, "cuda")
    assert default_recipe(counts, {}).preset == "small"
    machine(True, True, "cpu")
    assert default_recipe(counts, {}).preset == "baseline"


def test_settings_of_the_user_replace_the_presets(machine):
    machine(True, True)
    assert default_recipe(FEW, {"epochs": 3, "size": 96}).recipe.size == 96
    with pytest.raises(BadInput, match="--loss"):
        default_recipe(FEW, {"loss": "kl"})


def test_a_fit_says_and_records_its_choice(simple, tmp_path, capfd):
    words = ["fit", "--data", simple, "--weights", "galaxymorph", "--size", "32", "--epochs", "1"]
    assert galaxymorph(*words, "--views", "1", "--out", tmp_path) == 0
    said = capfd.readouterr()
    line = "recipe quick: 60 galaxies, 10 of spiral; weights galaxymorph"
    assert re.search(rf"^{re.escape(line)}$", said.err, re.MULTILINE)
    recipe = json.loads((tmp_path / "quick-layer1-resnet18" / "recipe.json").read_text())["recipe"]
    assert (recipe["weights"], recipe["size"], recipe["lr"]) == (
        "galaxymorph", 32, PRESETS["quick"].lr,
    )  # fmt: skip


def test_nothing_is_downloaded_for_a_table_that_is_wrong(simple, tmp_path, monkeypatch, capfd):
    def refuse(*arguments, **settings):
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("galaxymorph.learn.backbones.build_model", refuse)
    words = ["fit", "--data", simple, "--labels-column", "nowhere", "--out", tmp_path]
    for recipe in ([], ["--recipe", "baseline"]):
        assert galaxymorph(*words, *recipe) == 2
        assert "nowhere" in capfd.readouterr().err
