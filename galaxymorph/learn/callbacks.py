"""Callbacks of a fit, one concern each, and the checkpoints that it is resumed from."""

from __future__ import annotations

import csv
import io
import math
import pickle
import random
import time
from collections.abc import Mapping
from contextlib import redirect_stdout
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.callback.tracker import EarlyStoppingCallback, TrackerCallback
from fastai.learner import Learner
from fastai.torch_core import default_device, set_seed

from galaxymorph.base import Damaged, Progress, counted, reading, replacing, say, write_text
from galaxymorph.learn.averaging import AverageWeights
from galaxymorph.learn.distributed import processes, rank, summed, unwrapped_model, wrapped_loader
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.targets.columns import UNLABELLED_LOSS, loss_parts, source_columns, target_of
from galaxymorph.learn.targets.loss import SourcesLoss
from galaxymorph.learn.targets.registry import Target

if TYPE_CHECKING:
    from galaxymorph.learn.adaptation.unlabelled import UnlabelledLoss

# In a run's folder `checkpoints`: the weights that `--keep` chooses, the state of the fit, and the
# stored features.
KEPT, LAST, FEATURES = "kept.pt", "last.pt", "features"


@dataclass
class TrainingState:
    """The progress of a fit: with model and optimizer, all that it is resumed from.

    Args:
        stage: number of complete stages.
        epoch: number of complete epochs of the next stage.
        best: best value of the target's monitor, negated where less is better.
        history: a row of `history.csv` for each epoch.
    """

    stage: int = 0
    epoch: int = 0
    best: float = -math.inf
    history: list[dict[str, float | str]] = field(default_factory=list)


class FrozenInEval(Callback):
    """Keep frozen modules in evaluation mode, so that their running statistics don't change.

    fastai's `BnFreeze` does so for BatchNorm alone, not for dropout and stochastic depth.
    """

    order = 0

    def before_train(self) -> None:
        for module in self.learn.model.modules():
            weights = list(module.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                module.eval()


class SeedEpochs(Callback):
    """Seed every random choice of an epoch by its number, so that a fit can be resumed at any."""

    order = -20

    def __init__(self, seed: int, first: int):
        self.seed, self.first = seed, first

    def before_epoch(self) -> None:
        seed = (self.seed * 10_007 + self.first + self.epoch) % 2**31
        # Each process has other random views, and the galaxies in the same order.
        set_seed((seed + rank()) % 2**31, reproducible=True)
        loader = wrapped_loader(self.dls.train)
        loader.rng = random.Random(seed)
        # By which stored features choose their view.
        loader.epoch = self.first + self.epoch


class EpochCallback(Callback):
    """Act after each epoch, those excepted that were complete before the fit was resumed."""

    def __init__(self, state: TrainingState):
        self.state, self.first = state, state.epoch

    def after_epoch(self) -> None:
        if self.epoch >= self.first:
            self.after_new_epoch()

    def after_new_epoch(self) -> None:
        raise NotImplementedError


class BestWeightsCallback(TrackerCallback):
    """Write `kept.pt`: the weights of the best epoch by the target's monitor, or of the last.

    Args:
        folder: of the checkpoints.
        state: of the fit.
        target: with the monitor.
        keep: the recipe's.
        average: of the weights, kept in their place if the recipe says so.
    """

    # Before the history and the checkpoint, see `CheckpointCallback`.
    order = 58

    def __init__(
        self,
        folder: Path,
        state: TrainingState,
        target: Target,
        keep: str,
        average: AverageWeights | None = None,
    ):
        greater = target.monitor.greater_is_better
        comparison = np.greater if greater else np.less
        super().__init__(target.monitor.column, comparison, reset_on_fit=False)
        self.folder, self.state, self.keep_best = folder, state, keep == "best"
        self.average = average if keep == "average" else None
        self.first, self.sign = state.epoch, 1 if greater else -1
        self.best = self.sign * state.best

    def after_epoch(self) -> None:
        if self.epoch < self.first:
            return
        super().after_epoch()
        self.state.best = self.sign * float(self.best)
        # The first epoch's are written even if its score is NaN, so that there are some.
        if not rank() and (self.new_best or not self.keep_best or not self.state.history):
            model = self.average.averaged if self.average else unwrapped_model(self.learn.model)
            save_tensors(self.folder / KEPT, model.state_dict())


class HistoryCallback(EpochCallback):
    """Append each epoch's learning rate, losses and metrics to the state, and write them as CSV.

    With further sources, there is the training loss of each; with unlabelled images, theirs.

    fastai's `CSVLogger` appends to its file, and its training loss is smoothed across epochs, so
    that a resumed fit would write another file.
    """

    order = 60

    def __init__(
        self, path: Path, state: TrainingState, stage: str, unlabelled: UnlabelledLoss | None = None
    ):
        super().__init__(state)
        self.path, self.stage, self.unlabelled = path, stage, unlabelled

    def before_train(self) -> None:
        self.total, self.count = 0.0, 0
        if isinstance(self.learn.loss_func, SourcesLoss):
            self.learn.loss_func.totals.zero_()

    def after_batch(self) -> None:
        if not self.training:
            return
        # Left on the device: a copy would wait for the GPU. Several processes average theirs.
        # All training batches have one size.
        loss = self.learn.loss.detach().mean()
        self.total += loss if processes() == 1 else self.learn.to_detach(loss)
        self.count += 1

    def after_train(self) -> None:
        # Validation adds to the totals.
        self.parts: dict[str, float] = {}
        if isinstance(self.learn.loss_func, SourcesLoss):
            sums, numbers = summed(self.learn.loss_func.totals.clone()).T
            means = zip(source_columns(len(sums) - 1), (sums / numbers).tolist(), strict=True)
            # A source whose galaxies are all in earlier ones has none.
            self.parts = {name: mean for name, mean in means if not math.isnan(mean)}
        if self.unlabelled is not None:
            self.parts[UNLABELLED_LOSS] = float(self.unlabelled.total / self.count)

    def after_new_epoch(self) -> None:
        names = self.recorder.metric_names[1:-1]
        self.state.epoch += 1
        self.state.history.append(
            {
                "stage": self.stage,
                "epoch": len(self.state.history) + 1,
                "lr": float(self.opt.hypers[-1]["lr"]),
                **dict(zip(names, map(float, self.recorder.values[-1]), strict=True)),
                "train_loss": float(self.total / self.count),
                **self.parts,
            }
        )
        if not rank():
            write_history(self.path, self.state)


class CheckpointCallback(EpochCallback):
    """Write model, optimizer and state after each epoch, the last of an epoch's files.

    A fit killed before this file repeats the epoch and writes the same again. fastai's
    `SaveModelCallback` has neither the history nor the best score.
    """

    order = 62

    def __init__(self, path: Path, state: TrainingState, average: AverageWeights | None = None):
        super().__init__(state)
        self.path, self.average = path, average

    def after_new_epoch(self) -> None:
        if not rank():
            save_checkpoint(self.path, self.learn, self.state, self.average)


class CountSteps(Callback):
    """Number the batches through all stages of the fit, and after an interruption, for trackers."""

    # After fastai's `TrainEvalCallback`, which numbers them from the start of a stage.
    order = 0

    def __init__(self, first: int):
        self.first = first

    def before_train(self) -> None:
        self.learn.train_iter = (self.first + self.epoch) * len(self.dls.train)


class ReportEpochs(EpochCallback):
    """Print a line after each epoch: its losses, and the first of the target's epoch metrics."""

    order = 65

    def __init__(
        self, progress: Progress, label: str, state: TrainingState, epochs: int, recipe: Recipe
    ):
        super().__init__(state)
        self.progress, self.label, self.epochs = progress, label, epochs
        self.metric, self.words = target_of(recipe).epoch_metrics[0], loss_parts(recipe)

    def after_new_epoch(self) -> None:
        last = self.state.history[-1]
        parts = [
            f"{words} {last[column]:.3f}" for column, words in self.words.items() if column in last
        ]
        by_source = f" ({', '.join(parts)})" if parts else ""
        self.progress.say(
            f"{self.label}, epoch {last['epoch']}/{self.epochs} ({last['stage']}): "
            f"loss {last['train_loss']:.3f}{by_source}, validation loss {last['valid_loss']:.3f}, "
            f"{self.metric.label} {last[self.metric.column]:.3f}"
        )


class EarlyStopping(EarlyStoppingCallback):
    """End a stage when the target's monitor hasn't improved, by all epochs of the stage.

    fastai's callback would begin to count when an interrupted fit is resumed.
    """

    # After all that is done with an epoch.
    order = ReportEpochs.order + 1

    def __init__(self, state: TrainingState, stage: str, target: Target, patience: int):
        greater = target.monitor.greater_is_better
        comparison = np.greater if greater else np.less
        super().__init__(target.monitor.column, comparison, patience=patience, reset_on_fit=False)
        self.first = state.epoch
        self.best, self.past = (-math.inf if greater else math.inf), 0
        for row in state.history:
            if row["stage"] == stage:
                self._count(float(row[target.monitor.column]))

    @property
    def is_over(self) -> bool:
        """Whether the stage has ended by its past epochs."""
        return self.past >= self.patience

    def before_fit(self) -> None:
        super().before_fit()
        self.wait = self.past

    def after_epoch(self) -> None:
        if self.epoch < self.first:
            return
        # It prints.
        with redirect_stdout(io.StringIO()):
            super().after_epoch()

    def after_cancel_fit(self) -> None:
        """Say why the stage has ended."""
        say(f"no better {self.monitor} for {counted(self.patience, 'epoch')}: the stage ends early")

    def _count(self, value: float) -> None:
        better = bool(self.comp(value, self.best))
        self.best, self.past = (value, 0) if better else (self.best, self.past + 1)


class ShowProgress(Callback):
    """Advance a progress bar by each batch's galaxies, of training or of prediction."""

    order = 70
    # Seconds between two readings of the loss, which wait for the GPU.
    INTERVAL = 0.5

    def __init__(self, progress: Progress, training: bool = True):
        self.progress, self.of_training = progress, training
        self.last_reading = 0.0

    def after_batch(self) -> None:
        if bool(self.training) != self.of_training:
            return
        note, now = "", time.monotonic()
        if self.of_training and now - self.last_reading >= self.INTERVAL:
            self.last_reading, note = now, f"loss {float(self.smooth_loss):.3f}"
        self.progress.advance(processes() * len(self.x), note)


def galaxies_to_train(epochs: int, learn: Learner) -> int:
    """Return how many galaxies that many epochs train on, incomplete batches left out."""
    return epochs * len(learn.dls.train) * learn.dls.train.bs


def save_tensors(path: Path, value: object) -> None:
    """Write tensors and plain values, whole or not at all; torch reads them without code."""
    with replacing(path) as temporary:
        torch.save(value, temporary)


def load_tensors(path: Path) -> dict:
    """Return what `save_tensors` wrote.

    Raises:
        BadInput: the file isn't there, or is damaged.
    """
    with reading(path, f"delete {path.parent}/*.pt, and the fit starts again"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise Damaged(error) from error


def save_checkpoint(
    path: Path, learn: Learner, state: TrainingState, average: AverageWeights | None = None
) -> None:
    """Write model, optimizer, state and the average of weights at the end of an epoch."""
    optimizer = learn.opt.state_dict()
    groups = [
        {key: _plain(value) for key, value in group.items()} for group in optimizer["param_groups"]
    ]
    save_tensors(
        path,
        {
            "model": unwrapped_model(learn.model).state_dict(),
            "opt": {"state": optimizer["state"], "param_groups": groups},
            "state": asdict(state),
            **({"average": average.state_dict()} if average else {}),
        },
    )


def read_state(path: Path) -> TrainingState:
    """Return the state in a checkpoint, or the initial one if there is none yet."""
    if not path.exists():
        return TrainingState()
    return TrainingState(**load_tensors(path)["state"])


def restore_checkpoint(path: Path, learn: Learner, average: AverageWeights | None = None) -> None:
    """Load model, optimizer and average from a checkpoint; the learner must be frozen as it was."""
    load_learner_state(learn, load_tensors(path), average)


def learner_state(learn: Learner, average: AverageWeights | None = None) -> dict[str, dict]:
    """Return a copy of the state of model and optimizer, on the CPU, and of the average."""
    model = unwrapped_model(learn.model).state_dict()
    return {
        "model": {name: value.to("cpu", copy=True) for name, value in model.items()},
        "opt": deepcopy(learn.opt.state_dict()),
        **({"average": average.state_dict()} if average else {}),
    }


def load_learner_state(
    learn: Learner, saved: Mapping[str, dict], average: AverageWeights | None = None
) -> None:
    """Load model, optimizer and average; the learner must be frozen as it was."""
    # The optimizer's state goes to the weights' device, and stays there when they are moved.
    learn.model.to(default_device())
    learn.model.load_state_dict(saved["model"])
    learn.opt.load_state_dict(saved["opt"])
    if average is not None:
        average.load_state_dict(saved["average"])


def write_history(path: Path, state: TrainingState) -> None:
    """Write a row an epoch as CSV."""
    text = io.StringIO()
    # A frozen trunk has no loss of unlabelled images, and earlier versions had none by source.
    columns = list(dict.fromkeys(name for row in state.history for name in row))
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(state.history)
    write_text(path, text.getvalue())


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, np.floating) else value
