"""The recipe of a fit without --recipe: which preset, on what grounds, and that it is recorded."""

import json
import re

import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.learn import RECIPES, default_recipe, make_recipe, recipe_choice
from tests.conftest import galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

CHALLENGE = {"elliptical": 14_146, "spiral": 1_570, "irregular": 1_137}
FEW = {"elliptical": 200, "spiral": 50, "irregular": 23}


@pytest.fixture
def downloads(monkeypatch):
    """Return a function that says whether ImageNet's weights can be downloaded."""

    def can(answer: bool) -> None:
        monkeypatch.setattr(recipe_choice, "has_pretrained", lambda recipe: answer)

    return can


def test_the_whole_challenge_with_imagenet_weights_takes_the_published_recipe(downloads):
    downloads(True)
    chosen = default_recipe(CHALLENGE, {})
    assert (chosen.preset, chosen.recipe) == ("baseline", make_recipe("baseline", {}))
    assert chosen.reason == "16,853 galaxies, 1,137 of irregular; ImageNet weights of resnet18"


@pytest.mark.parametrize(
    ("can", "counts", "changes", "preset", "weights"),
    [
        (True, FEW, {}, "quick", "galaxymorph"),
        (False, FEW, {}, "quick", "galaxymorph"),
        (False, CHALLENGE, {}, "quick", "galaxymorph"),
        (True, CHALLENGE, {"weights": "galaxymorph"}, "quick", "galaxymorph"),
        (True, FEW, {"weights": "none"}, "scratch", "none"),
        (True, FEW, {"weights": "imagenet"}, "quick", "imagenet"),
        (True, FEW, {"arch": "resnet34"}, "quick", "imagenet"),
        # What the user asks for isn't replaced: the fit says that it can't be had.
        (False, CHALLENGE, {"weights": "imagenet"}, "baseline", "imagenet"),
        (True, FEW, {"pipeline": "plain"}, "plain", "imagenet"),
        (True, FEW, {"target": "tree"}, "quick", "galaxymorph"),
        (True, CHALLENGE, {"target": "tree"}, "baseline", "imagenet"),
    ],
)
def test_the_choice(downloads, can, counts, changes, preset, weights):
    downloads(can)
    chosen = default_recipe(counts, changes)
    assert (chosen.preset, chosen.recipe.weights) == (preset, weights)
    assert default_recipe(counts, changes) == chosen


def test_few_galaxies_download_nothing(monkeypatch):
    def refuse(recipe):
        raise AssertionError("a download was tried")

    monkeypatch.setattr(recipe_choice, "has_pretrained", refuse)
    assert default_recipe(FEW, {}).reason == (
        "273 galaxies, 23 of irregular; baseline is for 10,000 galaxies or more"
    )


def test_settings_of_the_user_replace_the_presets():
    assert default_recipe(FEW, {"epochs": 3, "size": 96}).recipe.size == 96
    with pytest.raises(BadInput, match="loss"):
        default_recipe(FEW, {"loss": "kl"})


def test_a_fit_says_and_records_its_choice(simple, tmp_path, capfd):
    words = ["fit", "--data", simple, "--weights", "galaxymorph", "--size", "32", "--epochs", "1"]
    assert galaxymorph(*words, "--views", "1", "--out", tmp_path) == 0
    said = capfd.readouterr()
    line = "recipe quick: 60 galaxies, 10 of spiral; --weights galaxymorph"
    assert re.search(rf"^{re.escape(line)}$", said.err, re.MULTILINE)
    recipe = json.loads((tmp_path / "quick-layer1-resnet18" / "recipe.json").read_text())["recipe"]
    assert (recipe["weights"], recipe["size"], recipe["lr"]) == (
        "galaxymorph",
        32,
        RECIPES["quick"].recipe.lr,
    )


def test_nothing_is_downloaded_for_a_table_that_is_wrong(simple, tmp_path, monkeypatch, capfd):
    def refuse(*arguments, **settings):
        raise AssertionError("weights were asked for")

    monkeypatch.setattr("galaxymorph.learn.backbones.architectures.build_model", refuse)
    words = ["fit", "--data", simple, "--labels-column", "nowhere", "--out", tmp_path]
    for recipe in ([], ["--recipe", "baseline"]):
        assert galaxymorph(*words, *recipe) == 2
        assert "nowhere" in capfd.readouterr().err


def test_a_table_of_bad_rows_alone_is_refused_by_name(simple, tmp_path, capfd):
    table = pd.read_csv(simple / "training_solutions_rev1.csv").assign(kind="a")
    twice = pd.concat([table, table])[["GalaxyID", "kind"]]
    (tmp_path / "data").mkdir()
    twice.to_csv(tmp_path / "data" / "labels.csv", index=False)
    (tmp_path / "data" / "images_training_rev1").symlink_to(simple / "images_training_rev1")
    words = ["fit", "--data", tmp_path / "data", "--labels-column", "kind", "--skip-bad"]
    assert galaxymorph(*words, "--out", tmp_path) == 2
    assert "no galaxy with a class remains" in capfd.readouterr().err
