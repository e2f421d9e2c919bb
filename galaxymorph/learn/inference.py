"""Class probabilities from a network, averaged over flips and quarter turns."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import torch
from fastai.callback.core import Callback
from torch import nn

from galaxymorph.learn.views import dihedral


class AverageViews(Callback):
    """Give, outside training, the log of the probabilities averaged over several views.

    Loss functions and activations then see what they would have seen as the model's output.
    """

    order = -5

    def __init__(self, views: int):
        self.views = views

    def after_pred(self) -> None:
        if not self.training and self.views > 1:
            with torch.no_grad():
                mean = mean_probability(self.learn.model, self.xb[0], self.views, self.pred)
            self.learn.pred = mean.log()


def mean_probability(
    model: nn.Module, batch: torch.Tensor, views: int, first: torch.Tensor | None = None
) -> torch.Tensor:
    """Return probabilities, shape (n, classes), averaged over the first `views` dihedral views.

    Args:
        model: gives logits, in evaluation mode.
        batch: the model's input, shape (n, 3, side, side).
        views: 1, 4 (quarter turns) or 8 (mirrored too).
        first: the logits of the first view, if they are known.
    """
    plain = batch.as_subclass(torch.Tensor)
    logits = [
        model(dihedral(plain, view)) if view or first is None else first for view in range(views)
    ]
    return torch.stack([part.float().softmax(dim=1) for part in logits]).mean(dim=0)


def infer(
    networks: Sequence[Callable[[torch.Tensor], torch.Tensor]],
    batches: Iterable[torch.Tensor],
    views: int,
    seen: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return the probabilities of every galaxy in the batches, shape (n, classes).

    Args:
        networks: give logits, in evaluation mode; the mean of their probabilities counts.
        batches: the model's inputs, alone or as the first of a tuple.
        views: as in `mean_probability`.
        seen: called with the number of galaxies after each batch.
    """
    parts = []
    with torch.inference_mode():
        for batch in batches:
            batch = batch[0] if isinstance(batch, tuple | list) else batch
            each = [mean_probability(network, batch, views).cpu() for network in networks]
            parts.append(torch.stack(each).mean(dim=0))
            if seen:
                seen(len(batch))
    return torch.cat(parts).numpy()
