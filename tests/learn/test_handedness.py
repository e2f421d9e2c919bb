"""With --no-flips nothing is mirrored: not while training, not in predictions of many views."""

import json
import shutil

import numpy as np
import pytest
import torch

from galaxymorph.base import BadInput
from galaxymorph.learn import Run, make_recipe
from galaxymorph.learn.views import random_affines
from galaxymorph.predict.uncertainty_sources import open_uncertainty_source
from tests.conftest import galaxymorph


@pytest.fixture(scope="module")
def unmirrored(run, new_folder):
    """The run as if it had been fitted with --no-flips and four views."""
    copy = new_folder("exports") / "run"
    shutil.copytree(run, copy)
    record = json.loads((copy / "recipe.json").read_text())
    record["recipe"] |= {"flips": False, "views": 4}
    (copy / "recipe.json").write_text(json.dumps(record))
    return copy


@pytest.mark.parametrize("preset", ["small", "robust", "scratch", "quick"])
def test_presets_of_eight_views_take_the_four_rotations(preset):
    assert make_recipe(preset, {}).views == 8
    assert make_recipe(preset, {"flips": False}).views == 4
    with pytest.raises(BadInput, match="^views=8: four of them are mirrored"):
        make_recipe(preset, {"flips": False, "views": 8})


@pytest.mark.parametrize(("flips", "mirrored"), [(True, True), (False, False)])
def test_random_views_keep_the_handedness(flips, mirrored):
    torch.manual_seed(0)
    maps = random_affines(200, make_recipe("small", {"flips": flips}), 180)
    handedness = torch.linalg.det(maps[:, :, :2])
    assert bool((handedness < 0).any()) == mirrored


@pytest.mark.parametrize(
    "command",
    [
        ["predict", "RUN", "DATA", "--views", "8"],
        ["predict", "RUN", "DATA", "--views", "8", "-o", "OUT/"],
        ["predict", "EXPORT", "DATA", "--views", "8"],
        ["robustness", "RUN", "--suite", "published", "--views", "8"],
    ],
    ids=["predict", "catalogue", "exported", "robustness"],
)
def test_eight_views_of_such_a_run_are_refused(unmirrored, simple, tmp_path, capsys, command):
    words = {
        "RUN": unmirrored,
        "DATA": simple / "images_training_rev1",
        "OUT/": f"{tmp_path}/out/",
        "EXPORT": tmp_path / "m.safetensors",
    }
    if "EXPORT" in command:
        export = ["export", unmirrored, "--format", "safetensors", "-o", words["EXPORT"]]
        assert galaxymorph(*export) == 0
    assert galaxymorph(*(words.get(word, word) for word in command)) == 2
    assert "--views 8: four of them are mirrored" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_views_that_uncertainty_is_read_from_are_rotations(run, unmirrored, simple):
    images = sorted(map(str, (simple / "images_training_rev1").iterdir()))[:4]
    every, own = (
        open_uncertainty_source(Run(path), "views")(images)[0] for path in (run, unmirrored)
    )
    assert (len(every), len(own)) == (8, 4)
    assert np.allclose(every[:4], own, atol=1e-5)
