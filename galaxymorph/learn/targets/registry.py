"""The targets that a model can be trained on, and the losses of each, by name.

An entry stands beside its code: `classes`, `vote_shares` and `tree` hold the package's, a plugin
its own. Nothing here imports PyTorch or pandas, so that a command line lists them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from galaxymorph.base import Registry
from galaxymorph.zoo.columns import PROBABILITY
from galaxymorph.zoo.tree import Tree

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from galaxymorph.learn.targets.loss import GalaxyLoss
    from galaxymorph.learn.targets.tree_head import TreeHead
    from galaxymorph.zoo import Catalogue

    Labels = tuple[pd.DataFrame, list[str]]
    # From the tree's head (of classes there is none), logits and targets to losses.
    LossFunction = (
        Callable[[TreeHead, torch.Tensor, torch.Tensor], torch.Tensor]
        | Callable[[None, torch.Tensor, torch.Tensor], torch.Tensor]
    )


@dataclass(frozen=True)
class Loss:
    """A loss that a target can be trained on.

    Args:
        words: that describe it, for help and pages.
        targets: names of the targets that it is for.
        function: from the tree's head (None for classes), logits, shape (n, outputs), and targets
            to the loss of each galaxy, shape (n,). Targets are fractions or counts, shape
            (n, outputs); for `classes` they are codes, shape (n,).
        link: what turns logits into predictions: `softmax`, or `dirichlet` for a distribution of
            each fraction. See `tree_head.LINKS`.
        takes: the target's columns that it is computed from: `fractions`, or `counts` of votes.
    """

    words: str
    targets: tuple[str, ...]
    function: LossFunction
    link: str = "softmax"
    takes: str = "fractions"


@dataclass(frozen=True)
class EpochMetric:
    """A validation metric of each epoch.

    Args:
        column: of `history.csv`: the name that fastai gives to the metric.
        label: in words, the same as in `judge.METRICS`.
        greater_is_better: whether greater values are better.
    """

    column: str
    label: str
    greater_is_better: bool = False


VALIDATION_LOSS = EpochMetric("valid_loss", "validation loss")
MACRO_F1 = EpochMetric("f1_score", "macro-F1", greater_is_better=True)
ACCURACY = EpochMetric("accuracy", "accuracy", greater_is_better=True)
RMSE = EpochMetric("rmse", "RMSE")


@dataclass(frozen=True)
class Target:
    """What a model predicts.

    Args:
        words: that describe it.
        label: from a catalogue and a scheme's name to the galaxies, each with a `label`, by which
            the split is stratified, and to the classes; see `zoo.labels`.
        metrics: the families of metrics that judge it, the first of them before the others.
        monitor: the metric by which epochs are compared.
        epoch_metrics: the metrics of an epoch besides the losses; the first is printed.
        make_metrics: from the loss and the number of classes to these metrics in fastai's form.
        prefix: of the columns of predictions; the output's name follows.
        chooses: whether the largest output is the predicted class.
        soft: whether each galaxy's target is a vector rather than its `label`.
        tree: the decision tree whose answers are the outputs; None where the classes are.
        losses: that it can be trained on, the default first; see `register_loss`.
    """

    words: str
    label: Callable[[Catalogue, str], Labels]
    metrics: tuple[str, ...]
    monitor: EpochMetric
    epoch_metrics: Sequence[EpochMetric]
    make_metrics: Callable[[GalaxyLoss, int], list[Any]]
    prefix: str = PROBABILITY
    chooses: bool = True
    soft: bool = True
    tree: Tree | None = None
    losses: Registry[Loss] = field(default_factory=lambda: Registry("loss"))


TARGETS: Registry[Target] = Registry("target")


def register_loss(name: str, loss: Loss) -> Loss:
    """Add a loss to the targets that it is for, and return it.

    Raises:
        BadInput: a target is unknown, or has a loss of that name.
    """
    for target in loss.targets:
        TARGETS.find(target).losses.register(name, loss)
    return loss


def losses_by_target() -> Sequence[tuple[str, str]]:
    """Return every pair of a target's and a loss's name."""
    return [(target, name) for target, entry in TARGETS.items() for name in entry.losses]
