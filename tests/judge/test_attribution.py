"""Attribution on a network whose answer hangs on a patch that the test plants."""

import json
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.judge import METHODS, attribute, require_feature_maps
from tests.conftest import galaxymorph
from tests.judge.planted import planted


@pytest.fixture(scope="module")
def explained(run, tmp_path_factory):
    """A copy of the small run, explained with few galaxies."""
    copy = tmp_path_factory.mktemp("explained") / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("explain", copy, "--limit", "8") == 0
    return copy


def test_explain_writes_a_tree_of_tables_and_pictures(explained):
    folder = explained / "explain"
    json.loads((folder / "explain.json").read_text())
    table = pd.read_parquet(folder / "galaxies.parquet")
    assert (table["right"] == (table["label"] == table["answer"])).all()
    for method in METHODS:
        pictures = list((folder / method).glob("*.png"))
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
