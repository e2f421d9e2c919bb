"""The target `soft3`: class shares, for all galaxies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from galaxymorph.learn.targets.registry import (
    RMSE,
    TARGETS,
    VALIDATION_LOSS,
    Loss,
    Target,
    register_loss,
)

if TYPE_CHECKING:
    import torch

    from galaxymorph.learn.targets.loss import GalaxyLoss
    from galaxymorph.learn.targets.registry import Labels
    from galaxymorph.zoo import Catalogue


def label_shares(catalogue: Catalogue, scheme: str) -> Labels:
    """Return every galaxy with its shares; see `zoo.soft_label_catalogue`."""
    from galaxymorph.zoo import soft_label_catalogue

    return soft_label_catalogue(catalogue, scheme)


def make_metrics(loss: GalaxyLoss, classes: int) -> list[Any]:
    """Return the root-mean-square error over the known targets of a part."""
    from galaxymorph.learn.targets.loss import RootMeanSquare

    return [RootMeanSquare(loss.square_error)]


def kl_divergence(head: None, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of the softmax over classes from a target, shape (n,).

    The target's shares, shape (n, classes), sum to 1; see `zoo.soft_targets`. Its mean over
    galaxies is what PyTorch calls `batchmean`.
    """
    from torch.nn import functional

    return functional.kl_div(logits.log_softmax(dim=1), target, reduction="none").sum(dim=1)


TARGETS.register(
    "soft3",
    Target(
        words="class shares, for all galaxies",
        label=label_shares,
        metrics=("distribution", "classification"),
        monitor=VALIDATION_LOSS,
        epoch_metrics=(RMSE,),
        make_metrics=make_metrics,
    ),
)
register_loss("kl", Loss("divergence of class shares", ("soft3",), kl_divergence))
