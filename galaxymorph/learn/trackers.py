"""Trackers of experiments and callbacks of plugins, by name. fastai is imported when one is used.

A tracker follows the fit of one model: its context begins with the model's first batch, yields
fastai's callback for it, and ends with the fit. After an interruption it continues where it was.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from galaxymorph.base import Registry, import_extra, read_json, setting, write_json

if TYPE_CHECKING:
    from fastai.callback.core import Callback

    from galaxymorph.learn.recipe import Recipe
    from galaxymorph.learn.runs import Run

PROJECT = "galaxymorph"
# In a run's folder: each tracker's id of the run.
TRACKING = "tracking.json"


@dataclass(frozen=True)
class Tracker:
    """A tracker of experiments.

    Args:
        library: that it needs, which the extra of the tracker's name installs.
        follow: from a run with one model to a context with the callback of all stages of its fit.
    """

    library: str
    follow: Callable[[Run], AbstractContextManager[Callback]]


TRACKERS: Registry[Tracker] = Registry("tracker")
# From a run with one model and the name of a stage of its fit to a callback of that stage.
CALLBACKS: Registry[Callable[[Run, str], Callback]] = Registry("callback")


def require_trackers(recipe: Recipe) -> None:
    """Raise BadInput if the library of one of a recipe's trackers isn't installed."""
    for name in recipe.track:
        import_extra(TRACKERS[name].library, name, setting("track", name))


@contextmanager
def follow_tensorboard(run: Run) -> Iterator[Callback]:
    """Write losses, metrics and hyperparameters into the run's folder `tensorboard`."""
    from fastai.callback.tensorboard import TensorBoardCallback

    class ScalarsCallback(TensorBoardCallback):
        """Write numbers only: PyTorch's optimizers have other hyperparameters too."""

        def after_batch(self) -> None:
            if not self.training:
                return
            self.writer.add_scalar("train_loss", self.smooth_loss, self.train_iter)
            for group, settings in enumerate(self.opt.hypers):
                self.writer.add_scalar(f"lr_{group}", settings["lr"], self.train_iter)

    folder = str(run.path / "tensorboard")
    yield ScalarsCallback(log_dir=folder, trace_model=False, log_preds=False)


@contextmanager
def follow_wandb(run: Run) -> Iterator[Callback]:
    """Log to Weights & Biases; `WANDB_MODE=offline` writes into the run's folder only."""
    import wandb
    from fastai.callback.wandb import WandbCallback

    from galaxymorph.learn.recipe import recipe_to_dict

    class RecipeCallback(WandbCallback):
        """Log a fit; its configuration is the recipe, not every object of the learner."""

        def before_fit(self) -> None:
            self.learn.gather_args = dict
            super().before_fit()
            del self.learn.gather_args

    # https://docs.wandb.ai/guides/runs/resuming
    wandb.init(
        project=os.environ.get("WANDB_PROJECT", PROJECT),
        name=run.path.name,
        id=_known_id(run, "wandb") or _keep_id(run, "wandb", secrets.token_hex(8)),
        resume="allow",
        dir=run.path,
        config=recipe_to_dict(run.recipe),
    )
    with _finishing(lambda failed: wandb.finish(exit_code=int(failed))):
        yield RecipeCallback(log_preds=False)


@contextmanager
def follow_mlflow(run: Run) -> Iterator[Callback]:
    """Log to MLflow, where `MLFLOW_TRACKING_URI` says."""
    import mlflow
    from fastai.callback.core import Callback
    from fastai.learner import Recorder

    from galaxymorph.learn.recipe import recipe_to_dict

    class MLflowCallback(Callback):
        """Log each epoch's losses and metrics; MLflow has no callback of fastai's since 3.0."""

        order = Recorder.order + 1

        def after_epoch(self) -> None:
            names, values = self.recorder.metric_names[1:-1], self.recorder.log[1:-1]
            # Epochs before a resumed one have no values.
            mlflow.log_metrics(
                dict(zip(names, map(float, values), strict=False)), step=self.train_iter
            )

    # https://mlflow.org/docs/latest/ml/tracking/tracking-api
    if not os.environ.get("MLFLOW_EXPERIMENT_NAME"):
        mlflow.set_experiment(PROJECT)
    known = _known_id(run, "mlflow")
    active = mlflow.start_run(run_id=known, run_name=None if known else run.path.name)
    if not known:
        _keep_id(run, "mlflow", active.info.run_id)
        mlflow.log_params(recipe_to_dict(run.recipe))
    with _finishing(lambda failed: mlflow.end_run("FAILED" if failed else "FINISHED")):
        yield MLflowCallback()


@contextmanager
def _finishing(end: Callable[[bool], object]) -> Iterator[None]:
    """Call a function at the end of the block, with whether it failed."""
    try:
        yield
    except BaseException:
        end(True)
        raise
    end(False)


def _known_id(run: Run, tracker: str) -> str | None:
    path = run.path / TRACKING
    return read_json(path).get(tracker) if path.exists() else None


def _keep_id(run: Run, tracker: str, name: str) -> str:
    path = run.path / TRACKING
    write_json(path, {**(read_json(path) if path.exists() else {}), tracker: name})
    return name


TRACKERS.register("wandb", Tracker("wandb", follow_wandb))
TRACKERS.register("mlflow", Tracker("mlflow", follow_mlflow))
TRACKERS.register("tensorboard", Tracker("tensorboard", follow_tensorboard))
