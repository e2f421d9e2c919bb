"""Attribution on a network whose answer hangs on a patch that the test plants."""

import base64
import json
import math
import re
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.cli.explain import explain
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    GRID,
    areas,
    as_grids,
    attribute,
    attribution_on_features,
    curves,
    physics_checks,
    probe_table,
    randomisation,
    read_grids,
    read_neighbours,
    require_feature_maps,
    shortcut_table,
    verdicts,
)
from galaxymorph.judge.explain.faithfulness import LEAST_SIGNAL, _randomise, _reestimate, _signal
from galaxymorph.judge.explain.physics import verdict
from galaxymorph.judge.explain.receptive_fields import cells_of
from galaxymorph.judge.metrics.bootstrap import proportion
from galaxymorph.learn import Recipe, Run, build_model
from tests.conftest import galaxymorph
from tests.judge.planted import planted


@pytest.fixture(scope="module")
def explained(run, new_folder):
    """A copy of the small run, explained with few galaxies."""
    copy = new_folder("explained") / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("explain", copy, "--limit", "3") == 0
    return copy


def test_explain_writes_a_tree_of_tables_and_pictures(explained):
    folder = explained / "explain"
    json.loads((folder / "explain.json").read_text())
    table = pd.read_parquet(folder / "galaxies.parquet")
    assert (table["right"] == (table["label"] == table["answer"])).all()
    expected = {"deletion_insertion", "random_weights", "shortcuts", "physics", "map", "anomalous"}
    assert expected <= {path.stem for path in folder.glob("*.png")}
    for method in ATTRIBUTION_METHODS:
        pictures = list((folder / method).glob("*.png"))
        assert pictures
        assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_a_page_has_the_evidence_and_the_likes_of_each_galaxy(explained):
    table = pd.read_parquet(explained / "explain" / "galaxies.parquet")
    grids, near = (read(explained / "explain") for read in (read_grids, read_neighbours))
    assert len(grids) == len(near) == 3
    assert set(grids) | set(near) <= set(table["galaxy"])
    every = [grid for by_method in grids.values() for grid in by_method.values()]
    assert len(every) == 3 * len(ATTRIBUTION_METHODS)
    assert all(grid.shape == (GRID, GRID) and grid.dtype == np.uint8 for grid in every)
    for name, likes in near.items():
        assert len(likes) == 2 and name not in [like for like, _, _ in likes]
        # Of three galaxies each is as far from the others as any two are.
        assert all(distance > 0 for _, distance, _ in likes)
    text = (explained / "report.html").read_text()
    data = json.loads(re.search(r'id="gallery-data">(.*?)</script>', text, re.DOTALL)[1])
    with_map = {row["galaxy"]: row["map"] for row in data["rows"] if "map" in row}
    assert with_map == {
        name: {method: base64.b64encode(grid.tobytes()).decode() for method, grid in found.items()}
        for name, found in grids.items()
    }
    # The method to believe first is told, with what its tests say.
    best = verdicts(json.loads((explained / "explain" / "explain.json").read_text()))[0]
    assert next(iter(data["maps"])) == best["method"]
    assert f"<strong>{ATTRIBUTION_METHODS[best['method']].label}</strong>" in text
    for value in best.values():
        if isinstance(value, dict):
            assert all(f"{abs(value[end]):.3f}" in text for end in ("value", "low", "high"))
    assert "Deletion and insertion</caption>" in text and "Random weights</caption>" in text
    assert {row["galaxy"]: row["near"] for row in data["rows"] if "near" in row} == near


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 4), side=st.integers(16, 96), seed=st.integers(0, 99))
def test_grids_keep_where_the_evidence_is(n, side, seed):
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, GRID, size=(n, 2))
    maps = np.zeros((n, side, side), np.float32)
    for each, (row, column) in zip(maps, cells, strict=True):
        ends = [round(at * side / GRID) for at in (row, row + 1, column, column + 1)]
        each[ends[0] : max(ends[1], ends[0] + 1), ends[2] : max(ends[3], ends[2] + 1)] = 0.3
    found = as_grids(maps)
    most = [np.unravel_index(grid.argmax(), grid.shape) for grid in found]
    assert np.abs(np.array(most) - cells).max() <= 1
    assert (found.max(axis=(1, 2)) == 255).all()
    assert not as_grids(np.zeros((1, side, side))).any()


def test_similar_draws_one_figure_and_names_a_galaxy_that_is_not_there(explained, run, capsys):
    galaxy = Run(explained).split["galaxy"].iloc[0]
    assert galaxymorph("explain", explained, "--similar", galaxy) == 0
    assert capsys.readouterr().out.strip() == str(explained / f"explain/similar_{galaxy}.png")
    assert galaxymorph("explain", explained, "--similar", "7") == 2
    assert "no galaxy 7" in capsys.readouterr().err


def test_the_command_offers_every_method(explained, capsys):
    (option,) = (option for option in explain.params if option.name == "method")
    assert list(option.type.choices) == list(ATTRIBUTION_METHODS)
    assert galaxymorph("explain", explained, "--similar", "7", "--limit", "3") == 2
    assert "leave out --method and --limit" in capsys.readouterr().err


def test_a_probe_reads_what_is_there_and_nothing_else():
    rng = np.random.default_rng(3)
    embedding = {"stage 1": rng.normal(size=(200, 30))}
    concepts = {
        "there": embedding["stage 1"][:, 4] + 0.1 * rng.normal(size=200),
        "not there": rng.normal(size=200),
        "rare": np.where(np.arange(200) < 10, 1.0, np.nan),
    }
    found = {row["concept"]: row["r2"] for row in probe_table(embedding, concepts, 0)}
    assert found["there"]["low"] > 0.9
    assert found["not there"]["high"] < 0.2
    assert "rare" not in found


@pytest.mark.parametrize("method", ATTRIBUTION_METHODS)
def test_attribution_falls_on_the_patch_that_decides(method):
    model, patch = planted()
    maps = attribute(model, method, np.arange(len(patch)))
    assert maps.shape == patch.shape
    assert maps.min() >= 0
    on_patch = (maps * patch).sum(axis=(1, 2)) / maps.sum(axis=(1, 2))
    # A map that knew nothing would have the patch's share of the frame, 0.06.
    assert on_patch.min() > 0.4
    inside = [maps[at].ravel()[patch[at].ravel()].mean() for at in range(len(patch))]
    outside = [maps[at].ravel()[~patch[at].ravel()].mean() for at in range(len(patch))]
    assert np.all(np.array(inside) > 8 * np.array(outside))


class Permuted(nn.Module):
    """A linear layer on channels in the last place, as in ConvNeXt."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(1, 1, bias=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.layer(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Added(nn.Module):
    """A convolution of stride 2 and a pooled shortcut, whose centres differ."""

    def __init__(self):
        super().__init__()
        self.way, self.shortcut = (
            nn.Conv2d(1, 1, 5, 2, 2, bias=False),
            nn.AvgPool2d(2, 2, ceil_mode=True),
        )

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.way(images) + self.shortcut(images)


def convolution(kernel, stride=1, padding=0, dilation=1, channels=1):
    return nn.Conv2d(channels, 1, kernel, stride, padding, dilation, bias=False)


@pytest.mark.parametrize(
    "layers",
    [
        [convolution(7, 2, 3), nn.AvgPool2d(3, 2, 1), convolution(3, 1, 2, 2)],
        [convolution(4, 4), Permuted(), convolution(7, 1, 3), convolution(2, 2)],
        [nn.ZeroPad2d((0, 1, 1, 2)), convolution((4, 3), 2), nn.ReflectionPad2d(1)],
        [nn.PixelUnshuffle(2), convolution(1, channels=4), convolution(3, (2, 1), 1)],
        [convolution(3, padding=1), Added(), convolution(3, 2, "valid")],
    ],
)
def test_the_field_of_a_cell_is_what_its_gradient_reaches(layers):
    network = nn.Sequential(*layers)
    for weight in network.parameters():
        nn.init.constant_(weight, 0.1)
    images = torch.rand(1, 1, 64, 96, requires_grad=True)
    maps, cells = network(images), cells_of(network, images.detach())
    at = np.array(maps.shape[-2:]) // 2
    maps[0, 0, at[0], at[1]].backward()
    reached = images.grad[0, 0].nonzero().numpy()
    assert (cells.count == maps.shape[-2:]).all()
    assert cells.low + at * cells.step == pytest.approx(reached.min(axis=0))
    assert cells.high + at * cells.step == pytest.approx(reached.max(axis=0))


@pytest.mark.parametrize(
    ("arch", "size", "first"),
    [
        # 7 and 3 pixels with a padding of 3 and 1.
        ("resnet18", 128, 0),
        ("resnet18", 224, 0),
        # Patches of 4, then of 2.
        ("convnext_atto", 128, 15.5),
        # Pads after the image's last pixel alone, where its side is even.
        ("tf_efficientnet_lite0", 128, 31),
        ("tf_efficientnet_lite0", 224, 31),
        ("efficientnet_lite0", 128, 0),
        # Merges four pixels into one of four times the channels before it convolves.
        ("tresnet_m", 128, 1.5),
    ],
)
def test_the_cells_of_networks_are_where_their_padding_puts_them(arch, size, first):
    recipe = Recipe(arch=arch, weights="none", normalise="none", dropout=0.0)
    trunk = build_model(recipe, 2)[0].eval()
    cells = cells_of(trunk, torch.rand(2, 3, size, size))
    assert cells.count.tolist() == [size // 32] * 2
    assert cells.step.tolist() == [32, 32]
    assert cells.first.tolist() == [first, first]


@pytest.mark.parametrize(
    ("layer", "first"),
    [
        ([nn.Conv2d(3, 1, 3, 8, 1)], 0),
        ([nn.Conv2d(3, 1, 8, 8)], 3.5),
        ([nn.ZeroPad2d((0, 7, 0, 7)), nn.Conv2d(3, 1, 15, 8)], 7),
    ],
)
def test_grad_cam_of_a_slope_is_that_slope(layer, first):
    """Each cell is the mean red of its field, and so a linear function of its centre."""
    network = nn.Sequential(nn.Sequential(*layer), nn.Sequential(nn.Flatten(), nn.Linear(64, 1)))
    with torch.no_grad():
        for weight in network.parameters():
            weight.zero_()
        layer[-1].weight[0, 0] = 1 / layer[-1].weight[0, 0].numel()
        network[1][1].weight += 1
    slope = 5 + torch.arange(64) + 2 * torch.arange(64)[:, None]
    images = torch.zeros(1, 3, 64, 64)
    images[0, 0] = slope
    found = ATTRIBUTION_METHODS["gradcam"].apply(network, images, torch.tensor([0]), images)
    # Cells at the edge have padding in their fields.
    inner = slice(math.ceil(first) + 8, math.floor(first) + 40)
    assert found.shape == (1, 64, 64)
    ratio = found[0, inner, inner].detach() / slope[inner, inner]
    assert ratio.numpy() == pytest.approx(float(ratio[0, 0]), rel=1e-5)


def test_a_network_without_feature_maps_is_refused_in_one_line():
    model, _ = planted(1)
    flat = nn.Sequential(nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 8)), nn.Linear(8, 2))
    with pytest.raises(BadInput, match="no feature maps"):
        require_feature_maps(replace(model, network=flat))


def test_deletion_and_insertion_by_the_map_beat_random_order():
    model, patch = planted()
    rows = np.arange(len(patch))
    blind = np.ones(patch.shape, np.float32)
    maps = {"occlusion": attribute(model, "occlusion", rows), "blind": blind}
    table = areas(curves(model, rows, maps), 0)
    gain = {(row["order"], row["curve"]): row["gain over random"] for row in table}
    for curve in ("deletion", "insertion"):
        assert gain["occlusion", curve]["low"] > 0.05
        assert gain["blind", curve]["low"] < 0.05


@pytest.mark.parametrize("method", ATTRIBUTION_METHODS)
def test_random_weights_leave_little_of_the_maps(method):
    model, patch = planted()
    rows = np.arange(len(patch))
    table = randomisation(model, method, rows, attribute(model, method, rows))
    assert [row["random"] for row in table][1] == "head"
    # Its head and its second stage can but let the one channel through.
    assert table[-1]["correlation"]["value"] < 0.8


def test_answers_change_with_the_patch_and_not_with_the_rest():
    model, patch = planted()
    found = {row["change"]: row for row in shortcut_table(model, np.arange(len(patch)))}
    assert found["the galaxy itself masked"]["changed"]["value"] == 1
    assert found["colour removed"]["changed"]["value"] == 1
    assert found["background replaced by flat sky"]["changed"]["value"] == 0
    checks = {row["check"]: row for row in physics_checks(model, np.arange(len(patch)))}
    assert checks["mirrored"]["verdict"] == ("pass" if len(patch) >= 72 else "undecided")
    assert checks["rotated by 90 degrees"]["distance"]["value"] < 0.01
    assert checks["dimmed to 0.5"]["verdict"] == "fail"


def test_evidence_on_a_feature_is_counted_against_its_area():
    model, patch = planted()
    rows = np.arange(len(patch))
    even = np.ones(patch.shape, np.float32)
    for maps, low, high in ((even, 0.99, 1.01), (patch.astype("float32"), 15, 17)):
        (row,) = attribution_on_features(model, rows, maps, {"bar": patch})
        assert low < row["times chance"]["value"] < high


@pytest.mark.parametrize("n", [20, 100, 500])
@pytest.mark.parametrize(("share", "wrong"), [(0.10, "pass"), (0.04, "fail"), (0.05, "both")])
def test_a_verdict_is_wrong_in_one_of_forty_cases_at_most(n, share, wrong):
    """By the binomial distribution, without draws: 10 % passed in 39 % of cases at n = 20."""
    numbers = np.arange(n + 1)
    verdicts = np.array([verdict(proportion(k, n, "exact")) for k in numbers])
    chance = binom(n, share).pmf(numbers)
    for name in ("pass", "fail") if wrong == "both" else (wrong,):
        assert chance[verdicts == name].sum() <= 0.025
    assert verdicts[0] == ("pass" if n >= 72 else "undecided")


def test_every_parameter_is_randomised_and_signals_live_on():
    """Layer scale and position embeddings kept what was learnt; BatchNorm's signals died."""

    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 8, 3, bias=False)
            self.norm = nn.BatchNorm2d(8)
            self.gamma = nn.Parameter(torch.linspace(0.1, 1, 8))
            self.place = nn.Parameter(torch.randn(1, 8, 1, 1))
            self.one = nn.Parameter(torch.tensor(3.0))

        def forward(self, x):
            return self.norm(0.1 * self.conv(x)) * self.gamma.view(1, -1, 1, 1) + self.place

    torch.manual_seed(0)
    network = nn.Sequential(Scaled(), nn.Flatten(), nn.Linear(8 * 6 * 6, 3)).eval()
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    _randomise(network)
    for name, parameter in network.named_parameters():
        if name != "0.norm.weight" and name != "0.norm.bias":
            assert not torch.equal(parameter, before[name]), name
    batch = torch.rand(32, 3, 8, 8)
    _reestimate(network, batch)
    signal = network[0](batch).std(dim=0).mean()
    assert signal > 0.1
    assert not network[0].norm.training
    with torch.no_grad():
        network[2].weight.zero_()
    assert _signal(network, batch) < LEAST_SIGNAL
