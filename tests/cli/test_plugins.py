"""A plugin's scheme, vote schema, survey, corruption and stretch work wherever the package's do."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from galaxymorph.base import BadInput
from galaxymorph.images import CORRUPTIONS, STRETCHES, Rendering, corrupt, corruption, stretch
from galaxymorph.zoo import load_schema
from tests.makers import IMAGES, galaxy_images, in_folder, write_files, write_kaggle_folder
from tests.processes import run_command

TREE = {
    "name": "my-tree",
    "about": "two questions",
    "ids": ["name"],
    "columns": {"counts": "{answer}"},
    "questions": [
        {
            "name": "shape",
            "text": "Round?",
            "asked_of_all": True,
            "answers": [
                {"column": "round", "text": "yes"},
                {"column": "flat", "text": "no", "leads_to": "bar"},
            ],
        },
        {
            "name": "bar",
            "text": "A bar?",
            "answers": [{"column": "barred", "text": "yes"}, {"column": "plain", "text": "no"}],
        },
    ],
}
PLUGIN = """
from dataclasses import replace
from pathlib import Path

from galaxymorph.images import corruption, stretch
from galaxymorph.survey import SURVEYS
from galaxymorph.zoo import SCHEMAS, SCHEMES, Scheme, load_schema

SCHEMES.register("roundness", Scheme(
    "round or not", {"round": lambda v: v["Class1.1"], "other": lambda v: v["Class1.2"]}, keep=0.1
))
SCHEMAS.register("my-tree", load_schema(Path(__file__).with_name("tree.json")))
SURVEYS.register("mine", replace(SURVEYS["sdss"], about="a survey of mine"))


@corruption("haze", "share of white", (0.1, 0.2, 0.3, 0.4, 0.5))
def haze(batch, share, scene):
    return batch + share


@stretch
def root(planes, noise, white):
    return (planes / white).clip(0, 1) ** 0.5
"""


@pytest.fixture
def plugin(tmp_path) -> Path:
    (tmp_path / "tree.json").write_text(json.dumps(TREE))
    (tmp_path / "mine.py").write_text(PLUGIN)
    return tmp_path / "mine.py"


def test_a_scheme_is_in_the_table_of_a_catalogue_and_in_the_choices_of_fit(plugin, tmp_path):
    folder = write_kaggle_folder(tmp_path / "kaggle", 12)
    done = run_command("data", "check", folder, "--plugin", plugin)
    assert done.returncode == 0, done.stderr
    assert "roundness" in done.stdout and "round " in done.stdout
    without = run_command("fit", "--data", folder, "--scheme", "roundness", "--out", tmp_path)
    assert without.returncode == 2
    assert "layer1" in without.stderr and "roundness" in without.stderr
    text = run_command("fit", "--help", "--plugin", plugin).stdout
    assert "roundness" in text and "my-tree" in text and "root" in text


def test_a_catalogue_of_a_schema_is_checked(plugin, tmp_path):
    rows = ["name,round,flat,barred,plain"] + [f"{100001 + n},{n},5,2,3" for n in range(4)]
    files = {"votes.csv": "\n".join([*rows, ""]).encode(), **in_folder(galaxy_images(4), IMAGES)}
    folder = write_files(tmp_path / "votes", files)
    words = ("data", "check", folder / "votes.csv", "--schema", "my-tree")
    done = run_command(*words, "--plugin", plugin)
    assert done.returncode == 0, done.stderr
    assert "4 sound" in done.stdout
    bad = (folder / "votes.csv").read_text().replace("100003,2,5", "100003,2,x")
    (folder / "votes.csv").write_text(bad)
    done = run_command(*words, "--plugin", plugin)
    assert done.returncode == 2 and "row 4" in done.stdout + done.stderr


def test_a_survey_is_simulated(plugin, tmp_path):
    words = ("survey", "simulate", tmp_path / "sky", "--n", "2", "--survey", "mine")
    done = run_command(*words, "--plugin", plugin)
    assert done.returncode == 0, done.stderr
    assert json.loads((tmp_path / "sky" / "survey.json").read_text())["surveys"]["mine"]


def test_a_corruption_and_a_stretch_are_decorated_functions(monkeypatch):
    for registry in (CORRUPTIONS, STRETCHES):
        monkeypatch.setattr(registry, "_entries", dict(registry))

    @corruption("haze", "share of white", (0.1, 0.2, 0.3, 0.4, 0.5))
    def haze(batch, share, scene):
        return batch + share

    @stretch
    def root(planes, noise, white):
        return (planes / white).clip(0, 1) ** 0.5

    assert CORRUPTIONS["haze"].label == "haze"
    dark = torch.zeros(1, 3, 4, 4)
    assert np.allclose(corrupt(dark, "haze", 2, ["a"]), 0.2)
    assert Rendering().changed("root").stretch == "root"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda tree: tree.pop("questions"), "no questions"),
        (lambda tree: tree["columns"].update(votes="{answer}"), "columns of kind 'votes'"),
        (lambda tree: tree["questions"][1].update(name="shape"), "'shape' is there twice"),
        (lambda tree: tree["questions"][1]["answers"][0].pop("text"), "no text"),
        (lambda tree: tree["questions"][0]["answers"][1].update(leads_to="x"), "leads to 'x'"),
        (lambda tree: tree["questions"][1]["answers"][1].update(leads_to="shape"), "in a circle"),
    ],
)
def test_a_schema_that_is_wrong_is_refused_in_one_line(change, words, tmp_path):
    tree = json.loads(json.dumps(TREE))
    change(tree)
    (tmp_path / "tree.json").write_text(json.dumps(tree))
    with pytest.raises(BadInput, match=f"tree.json line 1: .*{words}"):
        load_schema(tmp_path / "tree.json")
