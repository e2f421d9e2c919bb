"""Trackers, early stopping, mixup and callbacks of plugins, in fits and fits that go on."""

import json
import shutil
import sys
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.metrics import mae
from fastai.optimizer import OptimWrapper

from galaxymorph.base import BadInput, read_json
from galaxymorph.learn import Recipe, Run, make_recipe
from galaxymorph.learn.callbacks import CountSteps, EarlyStopping, TrainingState
from galaxymorph.learn.targets.loss import make_loss_and_metrics
from galaxymorph.learn.targets.registry import TARGETS
from galaxymorph.learn.trackers import CALLBACKS, TRACKERS, Tracker, require_trackers
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.learn.test_fit import same_weights

pytestmark = pytest.mark.usefixtures("undrawn")

AdamW = partial(OptimWrapper, opt=torch.optim.AdamW, fused=True)
# Stops a fit after its second epoch, once.
PLUGIN = """
from pathlib import Path
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.losses import MSELossFlat
from fastai.metrics import mae
from fastai.optimizer import OptimWrapper
from galaxymorph.learn.trackers import CALLBACKS

class Stop(Callback):
    order = 90
    def __init__(self, run, stage):
        self.flag, self.path = run.path / "stopped", run.path / "stages.txt"
        with self.path.open("a") as file:
            file.write(stage + "\\n")
    def after_epoch(self):
        if self.epoch == 1 and not self.flag.exists():
            self.flag.touch()
            raise KeyboardInterrupt

CALLBACKS.register("stop", Stop)
"""


def arguments(data, out, *more):
    start = ["fit", "--data", data, "--recipe", RECIPE, "--out", out, "--name", "run"]
    return [str(word) for word in [*start, *QUICK, "--epochs", "4", *more]]


def scalars(run):
    """Return the values of each scalar that TensorBoard shows, by step."""
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(run / "tensorboard")).Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@pytest.fixture(scope="module")
def tracked(simple, new_folder):
    """A fit with every setting of this page, stopped after two epochs and continued."""
    out = new_folder("tracked")
    plugin = out / "stop.py"
    plugin.write_text(PLUGIN)
    more = ["--track", "tensorboard", "--mixup", "0.4", "--early-stopping", "4"]
    words = arguments(simple, out, *more, "--callback", "stop", "--plugin", plugin)
    resume = ["fit", "--resume", str(out / "run"), "--plugin", str(plugin)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(CALLBACKS, "_entries", dict(CALLBACKS._entries))
        assert galaxymorph(*words) != 0
        assert not Run(out / "run").is_trained
        assert galaxymorph(*resume) == 0
    return out / "run"


def test_a_run_says_what_was_used(tracked):
    recipe = json.loads((tracked / "recipe.json").read_text())["recipe"]
    assert recipe["track"] == ["tensorboard"]
    assert recipe["callback"] == ["stop"]
    assert (recipe["mixup"], recipe["early_stopping"]) == (0.4, 4)


def test_tensorboard_has_each_epoch_of_a_fit_that_was_continued(tracked):
    history, found = pd.read_csv(tracked / "history.csv"), scalars(tracked)
    assert len(history) == 4
    steps, losses = zip(*found["valid_loss"], strict=True)
    assert len(set(np.diff(steps))) == 1
    assert steps[0] > 0
    assert losses == pytest.approx(list(history["valid_loss"]), rel=1e-4)


def test_a_plugins_callback_is_made_for_each_start_of_a_stage(tracked):
    assert (tracked / "stages.txt").read_text().split() == ["fine-tuned", "fine-tuned"]


def test_a_continued_fit_with_mixup_has_the_weights_of_one_that_was_not_stopped(
    tracked, simple, tmp_path
):
    assert galaxymorph(*arguments(simple, tmp_path, "--mixup", "0.4")) == 0
    assert same_weights(tracked, tmp_path / "run")
    assert galaxymorph(*arguments(simple, tmp_path / "plain")) == 0
    assert not same_weights(tracked, tmp_path / "plain" / "run")


@pytest.mark.parametrize("target", ["classes", "soft3"])
def test_mixup_mixes_the_losses_of_two_galaxies(target):
    recipe = make_recipe("quick", {"target": target})
    split = pd.DataFrame({"split": "train", "label": list("abc")})
    loss, _ = make_loss_and_metrics(recipe, split, list("abc"))
    assert loss.y_int
    loss.reduction = "none"
    logits = torch.randn(4, 3)
    hot = torch.eye(3)[[0, 1, 2, 0]]
    targets = hot if target == "soft3" else torch.tensor([0, 1, 2, 0])
    assert loss(logits, targets).shape == (4,)


def test_mixup_and_stored_features_exclude_each_other():
    assert make_recipe("quick", {"mixup": 0.4}).trunk_views == 0
    with pytest.raises(BadInput, match=" mixup is given"):
        make_recipe("quick", {"mixup": 0.4, "trunk_views": 3})
    with pytest.raises(BadInput, match="cannot be combined with unlabelled"):
        make_recipe("semi", {"mixup": 0.4, "unlabelled": ("sky",)})


def stopping(*values, patience=2):
    rows = [{"stage": "frozen", "f1_score": 9.0}]
    rows += [{"stage": "fine-tuned", "f1_score": value} for value in values]
    state = TrainingState(epoch=len(values), history=rows)
    return EarlyStopping(state, "fine-tuned", TARGETS["classes"], patience)


def test_a_stage_is_over_by_the_epochs_of_its_history():
    assert not stopping().is_over
    assert not stopping(0.1, 0.2, 0.2).is_over
    assert stopping(0.1, 0.3, 0.2, 0.3).is_over
    assert stopping(0.3, float("nan"), 0.1).is_over
    assert not stopping(0.3, 0.2, 0.4, 0.1).is_over


def test_early_stopping_ends_a_stage_and_a_continued_fit_too(simple, tmp_path, capsys):
    # No rate: nothing improves after the first epoch.
    words = ["--lr", "1e-30", "--weight-decay", "0", "--early-stopping", "2", "--epochs", "9"]
    assert galaxymorph(*arguments(simple, tmp_path, *words)) == 0
    run = tmp_path / "run"
    assert "for 2 epochs: the stage ends early" in capsys.readouterr().err
    history = pd.read_csv(run / "history.csv")
    assert len(history) == 3
    # As if the fit had been killed after its last epoch.
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    (copy / "predictions_test.parquet").unlink()
    assert galaxymorph("fit", "--resume", copy) == 0
    assert len(pd.read_csv(copy / "history.csv")) == 3
    assert same_weights(run, copy)


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"track": ("tensorbord",)}, "track is 'tensorbord'; use one of wandb, mlflow"),
        ({"callback": ("mine",)}, "callback is 'mine'; it needs a plugin"),
        ({"mixup": -1.0}, "mixup is -1"),
        ({"early_stopping": -1}, "early_stopping is -1"),
    ],
)
def test_unknown_names_are_refused(setting, words, monkeypatch):
    # Other tests may have registered callbacks.
    monkeypatch.setattr(CALLBACKS, "_entries", {})
    with pytest.raises(BadInput, match=words):
        make_recipe("quick", setting)


def test_a_tracker_that_is_not_installed_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(BadInput, match=r"^track='tensorboard' needs .*galaxymorph\[tensorboard\]"):
        require_trackers(make_recipe("quick", {"track": ("tensorboard",)}))


@pytest.fixture
def follow(tmp_path):
    """Return a function that follows a fit of two stages, of two epochs of four batches each."""
    tracked = SimpleNamespace(path=tmp_path / "run", recipe=Recipe())
    tracked.path.mkdir()

    def fit(tracker):
        data = [(torch.randn(3), torch.randn(1)) for _ in range(32)]
        loaders = DataLoaders.from_dsets(data, data, bs=8, num_workers=0)
        learn = Learner(loaders, torch.nn.Linear(3, 1), MSELossFlat(), AdamW, metrics=[mae])
        with TRACKERS[tracker].follow(tracked) as callback, learn.no_bar(), learn.no_logging():
            for first in (0, 2):
                learn.fit(2, cbs=[callback, CountSteps(first)])
        return read_json(tracked.path / "tracking.json")[tracker]

    return fit


def test_wandb_logs_offline(follow, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    name = follow("wandb")
    # As after an interruption.
    assert follow("wandb") == name
    logs = sorted((tmp_path / "run" / "wandb").glob("offline-run-*"))
    assert logs
    assert all(path.name.endswith(name) and list(path.glob("*.wandb")) for path in logs)


def test_mlflow_logs_each_epoch_and_continues_its_run(follow, tmp_path, monkeypatch):
    import mlflow

    place = f"sqlite:///{tmp_path}/runs.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", place)
    name = follow("mlflow")
    assert follow("mlflow") == name
    client = mlflow.MlflowClient(place)
    run = client.get_run(name)
    assert run.data.params["arch"] == "resnet18"
    assert (run.info.status, run.info.run_name) == ("FINISHED", "run")
    steps = [metric.step for metric in client.get_metric_history(name, "mae")]
    assert sorted(steps) == sorted([4, 8, 12, 16] * 2)


def test_a_tracker_of_a_plugin_follows_a_fit(simple, tmp_path, monkeypatch):
    monkeypatch.setattr(TRACKERS, "_entries", dict(TRACKERS._entries))
    seen = []

    @contextmanager
    def follow(run):
        seen.append("begin")
        yield Callback(after_epoch=lambda _: seen.append("epoch"))
        seen.append("end")

    TRACKERS.register("mine", Tracker("json", follow))
    words = arguments(simple, tmp_path, "--track", "mine", "--epochs", "2")
    assert galaxymorph(*words) == 0
    assert seen == ["begin", "epoch", "epoch", "end"]
