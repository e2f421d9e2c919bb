"""Predictions from a network, averaged over flips and quarter turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback
from torch import nn

from galaxymorph.learn.splitting import in_halves
from galaxymorph.learn.views import dihedral


@dataclass(frozen=True)
class Link:
    """From a network's logits to the prediction that they stand for, and back.

    `invert` takes a prediction and the logits of one of those that it is the mean of. `moments` is
    what is averaged over views and networks: the prediction and, where logits stand for a
    distribution of each output, its mean square beside that, shape (n, 2 outputs).
    """

    activate: Callable[[torch.Tensor], torch.Tensor]
    invert: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    moments: Callable[[torch.Tensor], torch.Tensor]


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(dim=1)


def _log(probabilities: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return probabilities.log()


SOFTMAX = Link(_softmax, _log, _softmax)


class AverageViews(Callback):
    """Give, outside training, logits that stand for the prediction averaged over several views.

    Loss functions and activations then see what they would have seen as the model's output.
    """

    order = -5
    # That of learners exported before there was another.
    link = SOFTMAX

    def __init__(self, views: int, link: Link = SOFTMAX):
        self.views, self.link = views, link

    def after_pred(self) -> None:
        if not self.training and self.views > 1:
            with torch.no_grad():
                first = self.pred.as_subclass(torch.Tensor)
                model, activate = self.learn.model, self.link.activate
                mean = mean_prediction(model, self.xb[0], self.views, activate, first)
                self.learn.pred = self.link.invert(mean, first)


def mean_prediction(
    model: nn.Module,
    batch: torch.Tensor,
    views: int,
    activate: Callable[[torch.Tensor], torch.Tensor],
    first: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return predictions, shape (n, outputs), averaged over the first `views` dihedral views.

    Args:
        model: gives logits, in evaluation mode.
        batch: the model's input, shape (n, 3, side, side).
        views: 1, 4 (quarter turns) or 8 (mirrored too).
        activate: makes predictions of logits.
        first: the logits of the first view, if they are known.
    """
    plain = batch.as_subclass(torch.Tensor)
    logits = [
        model(dihedral(plain, view)) if view or first is None else first for view in range(views)
    ]
    return torch.stack([activate(part) for part in logits]).mean(dim=0)


def infer(
    networks: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    batches: Iterable[torch.Tensor],
    views: int,
    activate: Callable[[torch.Tensor], torch.Tensor],
    seen: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return the predictions for every galaxy, shape (n, outputs): the mean of `infer_each`."""
    return infer_each(networks, batches, views, activate, seen).mean(axis=0)


def infer_each(
    networks: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    batches: Iterable[torch.Tensor],
    views: int,
    activate: Callable[[torch.Tensor], torch.Tensor],
    seen: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return each network's predictions for every galaxy, shape (networks, n, outputs).

    Args:
        networks: give logits, in evaluation mode.
        batches: the model's inputs, alone or as the first of a tuple.
        views: as in `mean_prediction`.
        activate: makes predictions of logits.
        seen: called with the number of galaxies after each batch.
    """
    parts = []
    with torch.inference_mode():
        for batch in batches:
            batch = images_of_batch(batch)
            each = [
                in_halves(partial(mean_prediction, network, views=views, activate=activate), batch)
                for network in networks
            ]
            parts.append(torch.stack(each).cpu())
            if seen:
                seen(len(batch))
    return torch.cat(parts, dim=1).numpy()


def images_of_batch(batch: Any) -> torch.Tensor:
    """Return the images of a batch, given alone or as the first of a tuple, as a plain tensor."""
    images = batch[0] if isinstance(batch, tuple | list) else batch
    return images.as_subclass(torch.Tensor)
