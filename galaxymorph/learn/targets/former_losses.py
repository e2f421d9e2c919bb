"""The losses of models that were pickled before format 3, under their former names.

`base.former_names` imports this module in place of the former `learn.losses` and
`learn.objectives`. A loss is rebuilt from the registry; its pickled buffers are not used.
"""

from __future__ import annotations

from typing import Any, ClassVar

import torch

from galaxymorph.learn.targets.loss import GalaxyLoss as TodaysLoss
from galaxymorph.learn.targets.loss import RootMeanSquare
from galaxymorph.learn.targets.registry import TARGETS
from galaxymorph.zoo import SCHEMAS

__all__ = [
    "DirichletMultinomial",
    "GalaxyLoss",
    "KLDivergence",
    "MeanSquaredError",
    "QuestionCrossEntropy",
    "RootMeanSquare",
]


class GalaxyLoss(TodaysLoss):
    """A loss that is restored from the registry by its target and name."""

    target: ClassVar[str] = "tree"
    loss: ClassVar[str]

    def __setstate__(self, state: dict[str, Any]) -> None:
        tree = state.get("tree")
        # Pickled questions have other fields than today's.
        tree = SCHEMAS[tree.name].tree if tree is not None else None
        super().__init__(TARGETS[self.target].losses[self.loss], tree)
        self.reduction = state.get("reduction", "mean")

    def invert(self, prediction: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return `link_function`."""
        return self.link_function(prediction, like)

    def moments(self, logits: torch.Tensor) -> torch.Tensor:
        """Return `mean_and_square`."""
        return self.mean_and_square(logits)


# Pickled methods name the class that defined them.
_TreeLoss = GalaxyLoss


class MeanSquaredError(GalaxyLoss):
    """The loss `mse` of the target `tree`."""

    loss = "mse"


class QuestionCrossEntropy(GalaxyLoss):
    """The loss `cross-entropy` of the target `tree`."""

    loss = "cross-entropy"


class DirichletMultinomial(GalaxyLoss):
    """The loss `dirichlet-multinomial` of the target `tree`."""

    loss = "dirichlet-multinomial"


class KLDivergence(GalaxyLoss):
    """The loss `kl` of the target `soft3`."""

    target = "soft3"
    loss = "kl"


def _mean_square(logits: torch.Tensor, target: torch.Tensor, loss: GalaxyLoss) -> torch.Tensor:
    return loss.square_error(logits, target)
