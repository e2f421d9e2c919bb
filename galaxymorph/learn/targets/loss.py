"""The loss of a recipe as a module of PyTorch, its link, and the metrics of its epochs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from fastai.learner import AvgMetric
from fastai.losses import CrossEntropyLossFlat
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.learn.inference import SOFTMAX, Link
from galaxymorph.learn.recipe import Recipe, read_sources
from galaxymorph.learn.sources.events import Event, source_events
from galaxymorph.learn.targets.columns import loss_entry, loss_name, target_of
from galaxymorph.learn.targets.partial import EventDistances, event_loss, largest_loss
from galaxymorph.learn.targets.registry import TARGETS, Loss
from galaxymorph.learn.targets.tree_head import TreeHead, concentrations, full_precision
from galaxymorph.zoo import Tree, cumulative_moments
from galaxymorph.zoo.columns import WEIGHT


class GalaxyLoss(nn.Module):
    """The mean over galaxies of a registered loss, from logits and targets.

    `reduction` may be set to `none` for the losses themselves, shape (n,), as fastai does. `y_int`
    lets its MixUp mix the losses of two targets, since targets with unknown parts can't be mixed.

    Args:
        loss: the entry.
        tree: the decision tree whose answers are the outputs; None where classes are.
    """

    def __init__(self, loss: Loss, tree: Tree | None = None):
        super().__init__()
        self.function: Callable[..., torch.Tensor] = loss.function
        self.takes, self.tree = loss.takes, tree
        self.head = TreeHead(tree, loss.link) if tree else None
        self.reduction = "mean"

    # Learners that were exported before it have it too.
    y_int = True

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.to(logits.device)
        # fastai's tensor subclasses can't be mixed.
        logits, target = (values.as_subclass(torch.Tensor) for values in (logits, target))
        logits = full_precision(logits)
        # Codes of classes stay whole numbers.
        target = target.to(logits.dtype) if target.ndim > 1 else target
        losses = self.function(self.head, logits, target)
        return losses.mean() if self.reduction == "mean" else losses

    def inverse_link(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the prediction of logits, both of shape (n, outputs)."""
        if self.head is None:
            return full_precision(logits).softmax(dim=1)
        return self.head.to(logits.device)(logits)

    def activation(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the inverse link, under the name that fastai's `get_preds` calls."""
        return self.inverse_link(logits)

    def link_function(self, prediction: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return logits of a prediction; `like` are the logits of one similar to it."""
        if self.head is None:
            return prediction.clamp_min(torch.finfo(prediction.dtype).tiny).log()
        return self.head.to(like.device).link_function(prediction, like)

    def mean_and_square(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the predicted mean and, of a distribution, the mean square beside it.

        Unlike variances, mean squares can be averaged over views and networks. The shape is
        (n, outputs), or (n, 2 outputs).
        """
        if self.head is None or self.tree is None or self.head.link != "dirichlet":
            return self.inverse_link(logits)
        alpha = concentrations(logits).cpu().numpy()
        return torch.from_numpy(np.hstack(cumulative_moments(self.tree, alpha))).float()

    def square_error(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of the predictions over galaxies and known targets."""
        logits, target = (values.as_subclass(torch.Tensor) for values in (logits, target))
        known = torch.ones_like(target)
        if self.head is not None:
            head = self.head.to(target.device)
            target = head.fractions_of_counts(target) if self.takes == "counts" else target
            known = head.known(target)
        return mean_square(self.inverse_link(logits), target, known).mean()


class SourcesLoss(GalaxyLoss):
    """The loss of a tree's galaxies from several sources: votes, events, and weights.

    A galaxy's loss is that of its votes, to which a question without votes adds nothing, plus the
    distance of its fractions from what its other labels allow, see `partial`, times its weight.
    Targets are the columns of `training_columns`, shape (n, answers + events + 2, one more with
    `has_largest`).

    Args:
        loss: the entry.
        tree: the decision tree.
        events: in the order of their columns.
        has_largest: whether there is a column of the answer with the largest fraction.
        sources: the number of further sources.

    `totals` are the sum of each source's losses, weights left out, and their number, of the main
    catalogue first, shape (1 + sources, 2): of all calls since it was last set to 0.
    """

    totals: torch.Tensor

    def __init__(
        self,
        loss: Loss,
        tree: Tree,
        events: Sequence[Event],
        has_largest: bool = False,
        sources: int = 1,
    ):
        super().__init__(loss, tree)
        self.answers = len(tree.columns)
        self.events = EventDistances(tree, events) if events else None
        self.has_largest = has_largest
        self.columns = self.answers + len(events) + has_largest + 2
        self.register_buffer("totals", torch.zeros(1 + sources, 2), persistent=False)

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.to(logits.device)
        logits, target = (values.as_subclass(torch.Tensor) for values in (logits, target))
        logits = full_precision(logits)
        target = target.to(logits.dtype)
        assert self.head is not None
        if target.shape[1] != self.columns:
            raise BadInput(
                "the stored features have the labels of another version of galaxymorph",
                "delete the folder `features` in the run's `checkpoints`, and resume",
            )
        votes, weight, source = target[:, : self.answers], target[:, -2], target[:, -1]
        labels = target[:, self.answers : -2]
        losses = self.function(self.head, logits, votes)
        if labels.shape[1]:
            fractions = self.head(logits)
            if self.has_largest:
                losses = losses + largest_loss(fractions, labels[:, -1])
                labels = labels[:, :-1]
            if self.events is not None:
                holding, opposite = self.events(fractions)
                losses = losses + event_loss(holding, opposite, labels)
        self._add_up(losses.detach(), source)
        losses = losses * weight
        return losses.mean() if self.reduction == "mean" else losses

    def square_error(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the mean squared error of galaxies with votes, see `GalaxyLoss`."""
        return super().square_error(logits, target[:, : self.answers])

    def _add_up(self, losses: torch.Tensor, source: torch.Tensor) -> None:
        """Add the losses of a batch to the totals, which stay on the device."""
        of_source = source[:, None] == torch.arange(len(self.totals), device=source.device)
        sums = torch.where(of_source, losses[:, None], torch.zeros_like(losses)[:, None]).sum(dim=0)
        self.totals += torch.stack([sums, of_source.sum(dim=0)], dim=1)


class RootMeanSquare(AvgMetric):
    """The root-mean-square error over a part of the split, not the mean of its batches'."""

    @property
    def value(self) -> torch.Tensor | None:
        mean = super().value
        return None if mean is None else mean.sqrt()

    @property
    def name(self) -> str:
        return "rmse"


def mean_square(predicted: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of each galaxy over its known targets, shape (n,)."""
    squares = (predicted - target).square() * known
    return squares.sum(dim=1) / known.sum(dim=1).clamp_min(1)


def make_loss(target: str, name: str, tree: Tree | None = None) -> GalaxyLoss:
    """Return a loss of a target by its name.

    Args:
        target: one of `TARGETS`.
        name: one of its losses.
        tree: the decision tree, for a target that isn't classes or their shares.

    Raises:
        BadInput: the name is unknown, or the loss needs a tree and has none.
    """
    entry = TARGETS.find(target)
    loss = entry.losses.find(name)
    if entry.tree is not None and tree is None:
        raise BadInput(f"loss {name!r} needs a decision tree", "give the tree")
    return GalaxyLoss(loss, tree)


def make_loss_and_metrics(
    recipe: Recipe, split: pd.DataFrame, classes: Sequence[str]
) -> tuple[Callable[..., torch.Tensor], list[Any]]:
    """Return the loss of a fit and fastai's metrics of its epochs.

    Args:
        recipe: of the fit.
        split: `label` and `split` of its galaxies; class weights are of those that train. With
            `weight`, there are galaxies of further sources, see `SourcesLoss`.
        classes: in order.
    """
    target, loss = target_of(recipe), _loss_of(recipe)
    if WEIGHT in split and target.tree is not None:
        sources = read_sources(recipe)
        loss = SourcesLoss(
            loss_entry(recipe),
            target.tree,
            source_events(sources, target.tree),
            any(source.largest is not None for source in sources),
            len(sources),
        )
    metrics = target.make_metrics(loss, len(classes))
    if target.soft or loss_name(recipe) != "cross-entropy":
        return loss, metrics
    weights = class_weights(split, classes, recipe.class_weights)
    cross_entropy = CrossEntropyLossFlat(weight=weights, label_smoothing=recipe.label_smoothing)
    return cross_entropy, metrics


def make_link(recipe: Recipe) -> Link:
    """Return how a recipe's logits become predictions."""
    if not target_of(recipe).soft:
        return SOFTMAX
    loss = _loss_of(recipe)
    return Link(loss.inverse_link, loss.link_function, loss.mean_and_square)


def class_weights(split: pd.DataFrame, classes: Sequence[str], power: float) -> torch.Tensor:
    """Return train counts to the minus `power`, scaled to sum to the number of classes."""
    counts = split.loc[split["split"] == "train", "label"].value_counts()
    weights = np.array([float(counts.get(name, np.inf)) ** -power for name in classes])
    return torch.tensor(weights * len(classes) / weights.sum(), dtype=torch.float32)


def _loss_of(recipe: Recipe) -> GalaxyLoss:
    return GalaxyLoss(loss_entry(recipe), target_of(recipe).tree)
