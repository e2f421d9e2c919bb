"""Deep CORAL: training for another survey from its unlabelled images."""

from __future__ import annotations

import torch
from torch import nn

from galaxymorph.learn.adaptation.unlabelled import UnlabelledLoss
from galaxymorph.learn.embeddings import last_layer


class Coral(UnlabelledLoss):
    """Deep CORAL: add `coral` of the embeddings of a batch and of target images to the loss.

    In training, BatchNorm normalises the batches of the two surveys separately, and its running
    statistics become those of both.
    """

    def before_fit(self) -> None:
        self.hook = last_layer(self.learn.model).register_forward_pre_hook(self._store)

    def after_loss(self) -> None:
        if not self.training:
            return
        source = self.embeddings
        self.learn.model(self.images.view(self.images.draw(len(source))))
        self.add(coral(source.float(), self.embeddings.float()), self.weight)

    def after_fit(self) -> None:
        self.hook.remove()

    def _store(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.embeddings = inputs[0]


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the CORAL loss: |C_S - C_T|^2 / (4 d^2), of covariances (Sun & Saenko 2016, eq. 1)."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)
