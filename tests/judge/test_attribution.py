"""Attribution on a network whose answer hangs on a patch that the test plants."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.judge import (
    METHODS,
    areas,
    attribute,
    curves,
    looked_at,
    physics_checks,
    randomisation,
    require_feature_maps,
    shortcut_table,
)
from tests.conftest import galaxymorph
from tests.judge.planted import planted


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory):
    """A copy of the small run, explained with few galaxies."""
    copy = tmp_path_factory.mktemp("explained") / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("explain", copy, "--limit", "6") == 0
    return copy


def test_explain_writes_a_tree_of_tables_and_pictures(explained):
    folder = explained / "explain"
    json.loads((folder / "explain.json").read_text())
    table = pd.read_parquet(folder / "galaxies.parquet")
    assert (table["right"] == (table["label"] == table["answer"])).all()
    for method in METHODS:
        pictures = list((folder / method).glob("*.png")) + list(folder.glob("*.png"))
        assert pictures
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


@pytest.mark.parametrize("method", METHODS)
def test_attribution_falls_on_the_patch_that_decides(method):
    subject, patch = planted()
    maps = attribute(subject, method, np.arange(len(patch)))
    assert maps.shape == patch.shape
    assert maps.min() >= 0
    on_patch = (maps * patch).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    # A map that knew nothing would have the patch's share of the frame, 0.06.
    assert on_patch.min() > 0.4
    inside = [maps[at].ravel()[patch[at].ravel()].mean() for at in range(len(patch))]
    outside = [maps[at].ravel()[~patch[at].ravel()].mean() for at in range(len(patch))]
    assert np.all(np.array(inside) > 8 * np.array(outside))


def test_a_network_without_feature_maps_is_refused_in_one_line():
    subject, _ = planted(1)
    flat = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 8)), nn.Linear(8, 2))
    with pytest.raises(BadInput, match="no feature maps"):
        require_feature_maps(replace(subject, network=flat))


def test_deletion_and_insertion_by_the_map_beat_random_order():
    subject, patch = planted()
    rows = np.arange(len(patch))
    found = curves(subject, rows, attribute(subject, "occlusion", rows))
    for row in areas(found, 0):
        assert row["gain over random"]["low"] > 0.05
    blind = areas(curves(subject, rows, np.ones(patch.shape, np.float32)), 0)
    assert all(row["gain over random"]["low"] < 0.05 for row in blind)


@pytest.mark.parametrize("method", METHODS)
def test_random_weights_leave_little_of_the_maps(method):
    subject, patch = planted()
    rows = np.arange(len(patch))
    table = randomisation(subject, method, rows, attribute(subject, method, rows))
    assert [row["random"] for row in table][1] == "head"
    # Its head and its second stage can but let the one channel through.
    assert table[-1]["correlation"]["value"] < 0.8


def test_answers_change_with_the_patch_and_not_with_the_rest():
    subject, patch = planted()
    found = {row["change"]: row for row in shortcut_table(subject, np.arange(len(patch)))}
    assert found["the galaxy itself masked"]["changed"]["value"] == 1
    assert found["colour turned off"]["changed"]["value"] == 1
    assert found["background replaced by flat sky"]["changed"]["value"] == 0
    checks = {row["check"]: row for row in physics_checks(subject, np.arange(len(patch)))}
    assert checks["mirrored"]["passes"]
    assert checks["turned by 90 degrees"]["distance"]["value"] < 0.01
    assert not checks["dimmed to 0.5"]["passes"]


def test_evidence_on_a_feature_is_counted_against_its_area():
    subject, patch = planted()
    rows = np.arange(len(patch))
    even = np.ones(patch.shape, np.float32)
    for maps, low, high in ((even, 0.99, 1.01), (patch.astype("float32"), 15, 17)):
        (row,) = looked_at(subject, rows, maps, {"bar": patch})
        assert low < row["times chance"]["value"] < high
