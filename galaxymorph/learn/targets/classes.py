"""The target `classes`: the class of each galaxy by a scheme or a column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galaxymorph.learn.targets.registry import (
    ACCURACY,
    MACRO_F1,
    TARGETS,
    Loss,
    Target,
    register_loss,
)

if TYPE_CHECKING:
    import torch

    from galaxymorph.learn.targets.loss import GalaxyLoss
    from galaxymorph.learn.targets.registry import Labels
    from galaxymorph.zoo import Catalogue


def label_classes(catalogue: Catalogue, scheme: str) -> Labels:
    """Return the galaxies that the scheme keeps with their class; see `zoo.label_catalogue`."""
    from galaxymorph.zoo import label_catalogue

    return label_catalogue(catalogue, scheme)


def make_metrics(loss: GalaxyLoss, classes: int) -> list[Any]:
    """Return accuracy and macro-F1."""
    from fastai.metrics import F1Score, accuracy

    return [accuracy, F1Score(average="macro", labels=list(range(classes)))]


def cross_entropy(head: None, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return minus the log-probability of each galaxy's class, shape (n,).

    A fit's cross-entropy is fastai's, with its class weights and label smoothing: see `make_loss`.
    """
    return -logits.log_softmax(dim=1).gather(1, target[:, None])[:, 0]


TARGETS.register(
    "classes",
    Target(
        words="one class per galaxy, for the galaxies that the scheme keeps",
        label=label_classes,
        metrics=("classification",),
        monitor=MACRO_F1,
        epoch_metrics=(MACRO_F1, ACCURACY),
        make_metrics=make_metrics,
        soft=False,
    ),
)
register_loss("cross-entropy", Loss("cross-entropy", ("classes",), cross_entropy))
