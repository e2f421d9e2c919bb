"""The description of a model that its files hold."""

import json

import pytest

from galaxymorph.base import BadInput, plugins
from galaxymorph.learn import described_recipe, make_recipe
from galaxymorph.learn.description import describe_model
from galaxymorph.learn.targets.columns import output_names

CLASSES = ["a", "b"]
STATS = ((0.5,) * 3, (0.2,) * 3)


def description(**changes):
    recipe = make_recipe("baseline", {})
    outputs = output_names(recipe, CLASSES)
    return json.loads(json.dumps(describe_model(recipe, CLASSES, outputs, STATS))) | changes


def test_a_description_gives_the_recipe_back():
    recipe = described_recipe(description(), "model.json")
    assert (recipe.arch, recipe.size, recipe.scheme) == ("resnet18", 224, "layer1")
    former = description()
    del former["plugins"]
    assert described_recipe(former, "model.json") == recipe


def test_it_records_plugins_and_names_those_that_are_missing(monkeypatch):
    monkeypatch.setattr(plugins, "_loaded", {"my.plugin": None, "/x/bars.py": None})
    about = description(scheme="bars")
    assert about["plugins"] == ["my.plugin", "/x/bars.py"]
    with pytest.raises(BadInput, match="'bars'") as stop:
        described_recipe(about, "model.json")
    assert "plugin" not in str(stop.value)
    monkeypatch.setattr(plugins, "_loaded", {"my.plugin": None})
    with pytest.raises(BadInput, match="aren't loaded; add plugin='/x/bars.py'"):
        described_recipe(about, "model.json")


@pytest.mark.parametrize("value", ["my.plugin", [1]])
def test_a_damaged_list_of_plugins_is_named(value):
    with pytest.raises(BadInput, match="model.json.*plugins"):
        described_recipe(description(plugins=value), "model.json")
