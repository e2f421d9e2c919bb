"""A metric is one entry: a plugin's appears wherever the package's own do."""

import json
import shutil

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import Registry
from galaxymorph.judge import METRICS, Metric, Predictions
from galaxymorph.judge.metrics.metric import DIRECTIONS, metric_of
from galaxymorph.judge.metrics.run_metrics import run_metrics
from galaxymorph.learn import Run
from tests.conftest import galaxymorph


@pytest.fixture
def planted(monkeypatch):
    """A user's metric, registered from outside the package."""
    entries = dict(METRICS)
    monkeypatch.setattr(METRICS, "_entries", entries)
    METRICS.register(
        "mine",
        Metric(
            "share called spiral",
            "a metric of a plugin",
            better="less",
            digits=2,
            family="classification",
            value=lambda predictions: (predictions.table["predicted"] == "spiral").mean(),
        ),
    )


def test_a_plugins_metric_is_seen_wherever_metrics_are(run, planted, tmp_path, capsys):
    path = shutil.copytree(run, tmp_path / "run")
    other = shutil.copytree(run, tmp_path / "other")
    for each in (path, other):
        metrics = run_metrics(Run(each))
        (each / "metrics.json").write_text(json.dumps(metrics))
    table = Run(path).predictions("test")
    assert metrics["test"]["mine"]["value"] == pytest.approx(
        (table["predicted"] == "spiral").mean(), abs=1e-6
    )
    assert metrics["test"]["mine"]["low"] <= metrics["test"]["mine"]["high"]
    from galaxymorph.report import print_metrics

    print_metrics(metrics, Run(path).recipe)
    assert "share called spiral" in capsys.readouterr().out
    assert galaxymorph("report", path) == 0
    for name in ("report.html", "model-card.md"):
        assert "share called spiral" in (path / name).read_text()
    assert "less is better" in (path / "model-card.md").read_text()
    capsys.readouterr()
    assert galaxymorph("compare", path, other, "-o", tmp_path / "all.csv") == 0
    assert "share called spiral" in capsys.readouterr().out
    scores = pd.read_csv(tmp_path / "all.csv")
    assert set(scores.loc[scores["score"] == "test.mine", "better"]) == {"less"}


def test_a_metric_of_each_class_is_a_column(run, monkeypatch, capsys):
    monkeypatch.setattr(METRICS, "_entries", dict(METRICS))
    METRICS.register(
        "per_class.share",
        Metric(
            "share",
            family="classification",
            estimates=lambda predictions: {
                name: {"value": float(share), "low": None, "high": None}
                for name, share in zip(
                    predictions.classes,
                    predictions.confusion.sum(axis=1) / len(predictions),
                    strict=True,
                )
            },
        ),
    )
    from galaxymorph.report import print_metrics

    metrics = run_metrics(Run(run))
    shares = [each["share"]["value"] for each in metrics["test"]["per_class"].values()]
    assert sum(shares) == pytest.approx(1)
    print_metrics(metrics, Run(run).recipe)
    assert " share " in capsys.readouterr().out


@pytest.mark.parametrize("name", list(METRICS))
def test_every_metric_says_how_it_is_read(name):
    metric = METRICS[name]
    assert metric.label and metric.better in DIRECTIONS
    assert metric.limits[0] < metric.limits[1]
    if metric.family:
        assert metric.about and (metric.value or metric.estimate or metric.estimates)
    group = name.rpartition(".")[0]
    path = f"test.{group}.item.{name.removeprefix(group + '.')}" if group else f"test.{name}"
    assert metric_of(path) is metric


def test_a_metrics_default_interval_is_the_paired_bootstrap_of_its_value():
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(1.0, 1.0, 100)})
    metric = Metric("mean", value=lambda predictions: predictions.table["x"].mean(), better="less")
    before = Predictions(table, seed=1)
    after = Predictions(table + 0.5, seed=1)
    estimate = metric.judge(before)
    assert estimate["value"] == pytest.approx(table["x"].mean())
    assert estimate["low"] < estimate["value"] < estimate["high"]
    # Galaxies are in pairs, so that a shift of all has no width.
    assert metric.gain(before, after) == {key: pytest.approx(0.5) for key in estimate}
    assert metric.loss(before, after)["value"] == pytest.approx(0.5)


def test_a_registry_imports_the_packages_entries_before_it_is_read():
    registry = Registry("metric", modules=["galaxymorph.base.registry"])
    assert list(registry) == []
    assert registry._modules == []
