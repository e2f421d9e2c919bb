"""What training makes small, and how an epoch is scored, by a recipe's target and loss."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import pandas as pd
import torch
from fastai.learner import AvgMetric, Metric
from fastai.losses import CrossEntropyLossFlat
from fastai.metrics import F1Score, accuracy
from torch import nn

from galaxymorph.learn.inference import SOFTMAX, Link
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.targets.losses import GalaxyLoss, make_loss, mean_square
from galaxymorph.learn.targets.outputs import loss_name, target_of


@dataclass(frozen=True)
class Objective:
    """The loss of a fit and the metrics of its epochs."""

    loss: nn.Module | CrossEntropyLossFlat
    metrics: list[Callable | Metric]


class RootMeanSquare(AvgMetric):
    """The root of a mean square over a whole part, which isn't the mean of its batches'."""

    @property
    def value(self) -> torch.Tensor | None:
        mean = super().value
        return None if mean is None else mean.sqrt()

    @property
    def name(self) -> str:
        return "rmse"


def make_objective(recipe: Recipe, split: pd.DataFrame, classes: Sequence[str]) -> Objective:
    """Return the loss and the metrics of a recipe on the galaxies of a split."""
    if target_of(recipe).soft:
        loss = _make_loss(recipe)
        return Objective(loss, [RootMeanSquare(partial(_mean_square, loss=loss))])
    return Objective(
        CrossEntropyLossFlat(
            weight=class_weights(split, classes, recipe.class_weights),
            label_smoothing=recipe.label_smoothing,
        ),
        [accuracy, F1Score(average="macro", labels=list(range(len(classes))))],
    )


def make_link(recipe: Recipe) -> Link:
    """Return what a recipe's logits stand for."""
    if not target_of(recipe).soft:
        return SOFTMAX
    loss = _make_loss(recipe)
    return Link(loss.activation, loss.invert, loss.moments)


def class_weights(split: pd.DataFrame, classes: Sequence[str], power: float) -> torch.Tensor:
    """Return train counts to the minus `power`, scaled to sum to the number of classes."""
    counts = split.loc[split["split"] == "train", "label"].value_counts()
    weights = np.array([float(counts.get(name, np.inf)) ** -power for name in classes])
    return torch.tensor(weights * len(classes) / weights.sum(), dtype=torch.float32)


def _make_loss(recipe: Recipe) -> GalaxyLoss:
    return make_loss(loss_name(recipe), target_of(recipe).tree)


def _mean_square(logits: torch.Tensor, target: torch.Tensor, loss: GalaxyLoss) -> torch.Tensor:
    logits, target = (values.as_subclass(torch.Tensor) for values in (logits, target))
    observed = loss.observed(target)
    return mean_square(loss.activation(logits), observed, loss.known(observed)).mean()
