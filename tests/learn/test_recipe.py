"""The settings of a fit: validation, the schema for editors, presets."""

import json
from dataclasses import FrozenInstanceError, asdict, fields
from pathlib import Path

import pytest

from galaxymorph.base import BadInput
from galaxymorph.learn import RECIPES, Recipe, make_recipe


def test_every_fault_is_named_at_once():
    with pytest.raises(BadInput) as stop:
        make_recipe("baseline", {"size": 7, "lr": float("nan"), "scheme": "hubbel", "flips": 1})
    for words in (
        "size is 7; it takes 32 to 1024",
        "lr is nan; it takes over 0.0 to 1.0",
        "scheme is 'hubbel'; use one of layer1, hubble, gz2-five: did you mean hubble?",
        "flips is 1; it takes a value of type bool",
    ):
        assert words in str(stop.value)


def test_every_broken_rule_is_named_at_once(tmp_path):
    path = tmp_path / "recipe.json"
    settings = {"pipeline": "plain", "crop": 0.5, "blur": 1.0, "adapt": "coral"}
    path.write_text(json.dumps(settings))
    with pytest.raises(BadInput) as stop:
        make_recipe(str(path), {})
    message = str(stop.value)
    assert "leave out crop and shift" in message
    assert "leave out colour, blur and noise" in message
    assert f"{path}: adapt is 'coral', and there are no unlabelled images" in message


def test_unknown_settings_get_suggestions(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"epoch": 3, "btach": 2}))
    with pytest.raises(BadInput, match="did you mean 'epochs'.*did you mean 'batch'"):
        make_recipe(str(path), {})


def test_the_schema_has_help_types_ranges_and_choices():
    properties = Recipe.model_json_schema()["properties"]
    assert set(properties) == {setting.name for setting in fields(Recipe)} | {"$schema"}
    assert properties["size"] | {"minimum": 32, "maximum": 1024} == properties["size"]
    assert "hubble" in properties["scheme"]["enum"]
    assert properties["loss"]["enum"][-1] is None
    assert all("description" in value for name, value in properties.items() if name[0] != "$")


def test_a_recipe_may_name_its_schema(tmp_path):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"$schema": "./recipe.schema.json", "epochs": 7}))
    assert make_recipe(str(path), {}).epochs == 7


def test_settings_are_frozen():
    with pytest.raises(FrozenInstanceError):
        Recipe().size = 3


@pytest.mark.parametrize("name", RECIPES)
def test_every_preset_is_sound_and_stays_itself_once_written(name, tmp_path):
    recipe = make_recipe(name, {})
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(asdict(recipe)))
    assert make_recipe(str(path), {}) == recipe
    assert RECIPES[name].note


def test_a_removed_setting_without_effect_is_ignored_and_others_are_refused(tmp_path, capsys):
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"consistency": 0.0, "adapt": "none"}))
    assert make_recipe(str(path), {}) == make_recipe("baseline", {})
    assert f"{path}: the setting consistency was removed" in capsys.readouterr().err
    path.write_text(json.dumps({"target_data": "sky", "adapt": "coral"}))
    assert make_recipe(str(path), {}).unlabelled == (str(Path("sky").absolute()),)
    path.write_text(json.dumps({"target_data": None}))
    assert make_recipe(str(path), {}) == make_recipe("baseline", {})
    for settings in ({"consistency": 4.0}, {"adapt": "dann", "target_data": "images"}):
        path.write_text(json.dumps(settings))
        with pytest.raises(BadInput, match="was removed; leave it out, or use the galaxymorph"):
            make_recipe(str(path), {})
