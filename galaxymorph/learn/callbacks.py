"""What happens around the training loop: one concern a callback."""

from __future__ import annotations

import csv
import io
import math
import pickle
import random
import time
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import Learner
from fastai.torch_core import set_seed

from galaxymorph.base import Damaged, Progress, reading, replacing, write_text
from galaxymorph.learn.distributed import bare, own_loader, processes, rank
from galaxymorph.learn.targets.registry import Target


@dataclass
class TrainingState:
    """Where a fit stands at the end of an epoch; with model and optimizer, all it needs to go on.

    `stage` and `epoch` count what is complete, `best` is the best score of the target's
    monitor, with its sign turned where less is better.
    """

    stage: int = 0
    epoch: int = 0
    best: float = -math.inf
    history: list[dict[str, float | str]] = field(default_factory=list)


class FrozenInEval(Callback):
    """Keep frozen modules in evaluation mode, so that their running statistics stay put."""

    order = 0

    def before_train(self) -> None:
        for module in self.learn.model.modules():
            weights = list(module.parameters())
            if weights and not any(weight.requires_grad for weight in weights):
                module.eval()


class SeedEpochs(Callback):
    """Seed every random choice of an epoch by its number, so that a fit can go on at any one."""

    order = -20

    def __init__(self, seed: int, first: int):
        self.seed, self.first = seed, first

    def before_epoch(self) -> None:
        seed = (self.seed * 10_007 + self.first + self.epoch) % 2**31
        # Every process its own random views, of galaxies in the same order.
        set_seed((seed + rank()) % 2**31, reproducible=True)
        loader = own_loader(self.dls.train)
        loader.rng = random.Random(seed)
        # Stored features have a number of views, which take turns.
        loader.epoch = self.first + self.epoch


class Journal(Callback):
    """Write the weights to keep, the history, and then where the fit stands, after every epoch.

    A fit killed before the last of them repeats the epoch and writes the same again.
    """

    order = 60

    def __init__(
        self, folder: Path, state: TrainingState, stage: str, keep_best: bool, target: Target
    ):
        self.folder, self.state, self.stage, self.keep_best = folder, state, stage, keep_best
        self.target = target

    def before_train(self) -> None:
        # fastai's own training loss is smoothed across epochs, so it would forget at a kill.
        self.total, self.count = 0.0, 0

    def after_batch(self) -> None:
        if not self.training:
            return
        # Left on the device: a copy would wait for all that a GPU still has to do. Several
        # processes average theirs. Training batches are all of one size.
        loss = self.learn.loss.detach().mean()
        self.total += loss if processes() == 1 else self.learn.to_detach(loss)
        self.count += 1

    def after_epoch(self) -> None:
        if self.epoch < self.state.epoch:
            return
        names = self.recorder.metric_names[1:-1]
        record = dict(zip(names, map(float, self.recorder.values[-1]), strict=True))
        state = self.state
        state.epoch += 1
        state.history.append(
            {
                "stage": self.stage,
                "epoch": len(state.history) + 1,
                "lr": float(self.opt.hypers[-1]["lr"]),
                **record,
                "train_loss": float(self.total / self.count),
            }
        )
        monitored = record[self.target.monitor]
        score = monitored if self.target.rises else -monitored
        # The first is kept even if it is no number, so that there is one.
        kept = not self.keep_best or score > state.best or len(state.history) == 1
        state.best = max(state.best, score)
        if rank():
            return
        if kept:
            save_tensors(self.folder / "kept.pt", bare(self.learn.model).state_dict())
        write_history(self.folder.parent / "history.csv", state)
        # Last, since what stands in it is not done again.
        save_checkpoint(self.folder / "last.pt", self.learn, state)


class ShowProgress(Callback):
    """Advance a progress bar by the galaxies seen: those trained on, or those predicted."""

    order = 70
    # Seconds between two readings of the loss, which wait for all that a GPU still has to do.
    BETWEEN = 0.5

    def __init__(self, progress: Progress, trained: bool = True):
        self.progress, self.trained = progress, trained
        self.last_reading = 0.0

    def after_batch(self) -> None:
        if bool(self.training) != self.trained:
            return
        note, now = "", time.monotonic()
        if self.trained and now - self.last_reading >= self.BETWEEN:
            self.last_reading, note = now, f"loss {float(self.smooth_loss):.3f}"
        self.progress.advance(processes() * len(self.x), note)


class SayEpochs(Callback):
    """Say after every epoch how it went."""

    order = 65

    def __init__(
        self,
        progress: Progress,
        label: str,
        state: TrainingState,
        epochs: int,
        scores: Mapping[str, str],
    ):
        self.progress, self.label, self.state, self.epochs = progress, label, state, epochs
        # One is enough for a line.
        self.score, self.words = next(iter(scores.items()))
        self.said = len(state.history)

    def after_epoch(self) -> None:
        if len(self.state.history) == self.said:
            return
        self.said = len(self.state.history)
        last = self.state.history[-1]
        self.progress.say(
            f"{self.label}, epoch {last['epoch']}/{self.epochs} ({last['stage']}): "
            f"loss {last['train_loss']:.3f}, validation loss {last['valid_loss']:.3f}, "
            f"{self.words} {last[self.score]:.3f}"
        )


def galaxies_to_train(epochs: int, learn: Learner) -> int:
    """Return how many galaxies a fit of that many epochs sees, an incomplete batch left out."""
    return epochs * len(learn.dls.train) * learn.dls.train.bs


def save_tensors(path: Path, value: object) -> None:
    """Write what torch can read again without running code, whole or not at all."""
    with replacing(path) as temporary:
        torch.save(value, temporary)


def load_tensors(path: Path) -> dict:
    """Return what `save_tensors` wrote.

    Raises:
        BadInput: the file isn't there, or is damaged.
    """
    with reading(path, f"delete {path.parent}/*.pt, and the fit begins anew"):
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, pickle.UnpicklingError) as error:
            raise Damaged(error) from error


def save_checkpoint(path: Path, learn: Learner, state: TrainingState) -> None:
    """Write model, optimizer and state at the end of an epoch."""
    optimizer = learn.opt.state_dict()
    groups = [
        {key: _plain(value) for key, value in group.items()} for group in optimizer["param_groups"]
    ]
    save_tensors(
        path,
        {
            "model": bare(learn.model).state_dict(),
            "opt": {"state": optimizer["state"], "param_groups": groups},
            "state": asdict(state),
        },
    )


def read_state(path: Path) -> TrainingState:
    """Return the state in a checkpoint, or the initial one if there is none yet."""
    if not path.exists():
        return TrainingState()
    return TrainingState(**load_tensors(path)["state"])


def restore_checkpoint(path: Path, learn: Learner) -> None:
    """Load model and optimizer from a checkpoint; the learner must be frozen as it was."""
    load_learner_state(learn, load_tensors(path))


def learner_state(learn: Learner) -> dict[str, dict]:
    """Return a copy of the model's and the optimizer's state, on the CPU."""
    model = bare(learn.model).state_dict()
    return {
        "model": {name: value.to("cpu", copy=True) for name, value in model.items()},
        "opt": deepcopy(learn.opt.state_dict()),
    }


def load_learner_state(learn: Learner, saved: Mapping[str, dict]) -> None:
    """Load model and optimizer; the learner must be frozen as it was."""
    learn.model.load_state_dict(saved["model"])
    learn.opt.load_state_dict(saved["opt"])


def write_history(path: Path, state: TrainingState) -> None:
    """Write a row an epoch as CSV."""
    text = io.StringIO()
    writer = csv.DictWriter(text, fieldnames=list(state.history[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(state.history)
    write_text(path, text.getvalue())


def _plain(value: object) -> object:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    return float(value) if isinstance(value, np.floating) else value
