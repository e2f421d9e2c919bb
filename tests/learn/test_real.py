"""On real galaxies, small and short: that learning happens, not how well."""

import json

import pytest

from tests.conftest import galaxymorph

pytestmark = [pytest.mark.real, pytest.mark.usefixtures("undrawn")]


@pytest.mark.parametrize(
    ("folder", "more", "galaxies"),
    [("galaxy-zoo-challenge", [], 1289), ("gz2-five", ["--labels-column", "label"], 1204)],
)
def test_a_short_fit_on_imagenet_weights_beats_the_largest_class(
    real, tmp_path, folder, more, galaxies
):
    quick = ["--recipe", "small", "--size", "64", "--epochs", "2", "--views", "1"]
    arguments = ["fit", "--data", real / folder, "--out", tmp_path, "--name", "run", *quick, *more]
    assert galaxymorph(*arguments) == 0
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    test = metrics["test"]
    assert abs(test["galaxies"] - 0.15 * galaxies) < 1
    largest = max(scores["support"] for scores in test["per_class"].values())
    share = largest / test["galaxies"]
    always_the_largest = 2 * share / (1 + share) / len(metrics["classes"])
    assert test["macro_f1"]["low"] > always_the_largest


def test_the_real_catalogues_are_sound(real, capsys):
    assert galaxymorph("data", "check", real / "galaxy-zoo-challenge") == 0
    printed = capsys.readouterr().out
    assert "elliptical 870, spiral 100, irregular 319" in printed
    assert "obey the tree" in printed
