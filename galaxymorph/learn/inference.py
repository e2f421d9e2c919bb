"""Predictions of networks, averaged over flips and 90° rotations."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from fastai.callback.core import Callback

from galaxymorph.learn.splitting import in_halves
from galaxymorph.learn.views import dihedral


@dataclass(frozen=True)
class Link:
    """The link between a network's logits and its predictions.

    Args:
        inverse_link: from logits to predictions, both of shape (n, outputs).
        link_function: from a prediction, and the logits of one similar to it, to logits.
        mean_and_square: from logits to the quantities that are averaged over views and networks:
            the predictions and, if logits stand for a distribution of each output, its mean
            squares, shape (n, 2 outputs).
    """

    inverse_link: Callable[[torch.Tensor], torch.Tensor]
    link_function: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
    mean_and_square: Callable[[torch.Tensor], torch.Tensor]

    def __setstate__(self, state: dict[str, object]) -> None:
        # Learners that were exported before the fields had these names.
        former = {
            "activate": "inverse_link",
            "invert": "link_function",
            "moments": "mean_and_square",
        }
        self.__dict__.update({former.get(name, name): value for name, value in state.items()})


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(dim=1)


def _log(probabilities: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return probabilities.log()


SOFTMAX = Link(_softmax, _log, _softmax)


class AverageViews(Callback):
    """Replace the logits, outside training, by those of the prediction averaged over views.

    Loss functions and activations then get them as the model's output.
    """

    order = -5
    # Of learners that were exported before there was another.
    link = SOFTMAX

    def __init__(self, views: int, link: Link = SOFTMAX):
        self.views, self.link = views, link

    def after_pred(self) -> None:
        if not self.training and self.views > 1:
            with torch.no_grad():
                first = self.pred.as_subclass(torch.Tensor)
                model, inverse_link = self.learn.model, self.link.inverse_link
                mean = mean_prediction(model, self.xb[0], self.views, inverse_link, first)
                self.learn.pred = self.link.link_function(mean, first)


def mean_prediction(
    model: Callable[[torch.Tensor], torch.Tensor],
    batch: torch.Tensor,
    views: int,
    inverse_link: Callable[[torch.Tensor], torch.Tensor],
    first: torch.Tensor | None = None,
) -> torch.Tensor:
    """Return predictions, shape (n, outputs), averaged over the first `views` dihedral views.

    Args:
        model: gives logits, in evaluation mode.
        batch: the model's input, shape (n, 3, side, side).
        views: 1, 4 (90° rotations) or 8 (mirrored too).
        inverse_link: from logits to predictions.
        first: the logits of the first view, if they are known.
    """
    plain = batch.as_subclass(torch.Tensor)
    logits = [
        model(dihedral(plain, view)) if view or first is None else first for view in range(views)
    ]
    return torch.stack([inverse_link(part) for part in logits]).mean(dim=0)


def infer(
    networks: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    batches: Iterable[torch.Tensor],
    views: int,
    inverse_link: Callable[[torch.Tensor], torch.Tensor],
    on_progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return each network's predictions for every galaxy, shape (networks, n, outputs).

    Args:
        networks: give logits, in evaluation mode.
        batches: the model's inputs, alone or as the first of a tuple.
        views: as in `mean_prediction`.
        inverse_link: from logits to predictions.
        on_progress: called with the number of galaxies after each batch.
    """
    parts = []
    with torch.inference_mode():
        for batch in batches:
            batch = images_of_batch(batch)
            predictions = [
                in_halves(
                    partial(mean_prediction, network, views=views, inverse_link=inverse_link), batch
                )
                for network in networks
            ]
            parts.append(torch.stack(predictions).cpu())
            if on_progress:
                on_progress(len(batch))
    return torch.cat(parts, dim=1).numpy()


def images_of_batch(batch: Any) -> torch.Tensor:
    """Return the images of a batch, given alone or as the first of a tuple, as a plain tensor."""
    images = batch[0] if isinstance(batch, tuple | list) else batch
    return images.as_subclass(torch.Tensor)
