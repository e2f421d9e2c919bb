"""Answering two random views of a galaxy alike: a penalty on the difference."""

from __future__ import annotations

import torch
from fastai.callback.core import Callback

from galaxymorph.learn.inference import Link
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.targets.objectives import make_link


class Consistency(Callback):
    """Add to the loss how far the predictions for a batch's two views of each galaxy differ.

    The batch comes as `RandomView` makes it: all galaxies once, then all again. Both views learn
    from the labels too. This is the Pi-model's term (Laine & Aila 2017, section 2.1; Sajjadi et al.
    2016, equation 1): the squared difference, here summed over a galaxy's answers.
    """

    # After the loss, and before mixed precision is left.
    order = -10

    def __init__(self, link: Link, weight: float):
        self.link, self.weight = link, weight

    def before_batch(self) -> None:
        if self.training:
            self.learn.yb = tuple(torch.cat([target, target]) for target in self.yb)

    def after_loss(self) -> None:
        if self.training:
            # What is reported stays the loss on labels.
            apart = disagreement(self.link.activate(self.pred.as_subclass(torch.Tensor)))
            self.learn.loss_grad = self.learn.loss_grad + self.weight * apart


def disagreement(predictions: torch.Tensor) -> torch.Tensor:
    """Return the mean over galaxies of the squared difference of two predictions.

    Args:
        predictions: shape (2 n, answers), all galaxies once, then all again.
    """
    first, second = predictions.chunk(2)
    return (first - second).square().sum(dim=1).mean()


def consistency_callbacks(recipe: Recipe) -> list[Callback]:
    """Return what a recipe's consistency term adds to a stage."""
    return [Consistency(make_link(recipe), recipe.consistency)] if recipe.consistency else []
