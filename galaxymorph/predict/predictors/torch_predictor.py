"""Networks in PyTorch as a predictor, and those of a trained run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput, Progress, counted, setting
from galaxymorph.images import Source
from galaxymorph.learn import (
    ADAPTING_IMAGES,
    Recipe,
    Run,
    adapt_batchnorm,
    image_loader,
    images_of_batch,
    infer,
    last_layer,
    load_network,
    make_link,
    serving_network,
)
from galaxymorph.predict.images import drop_empty_frames
from galaxymorph.predict.predictors.base import BasePredictor, Faults, Listener, OnProgress


@dataclass(frozen=True, kw_only=True, repr=False)
class TorchPredictor(BasePredictor):
    """The networks of a run, one a fold or member.

    `mean_and_square` turns their logits into outputs, see `learn.Link`.
    """

    models: Sequence[nn.Module]
    mean_and_square: Callable[[torch.Tensor], torch.Tensor]

    def _members(self) -> str:
        return counted(len(self.models), "network")

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each network's uncalibrated outputs, see `Predictor.outputs_of_each`."""
        batches = image_loader(images, self.recipe, faults)
        return infer(self.models, batches, self.recipe.views, self.mean_and_square, on_progress)

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        """Call a listener, see `BasePredictor.listen`."""

        def forward(layer: nn.Module, inputs: tuple[Any, ...], logits: torch.Tensor) -> None:
            listener(_as_array(inputs[0]), _as_array(logits))

        hook = last_layer(self.models[0]).register_forward_hook(forward)
        try:
            yield
        finally:
            hook.remove()


def _as_array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.float().cpu().numpy()


def load_run(
    run: Run, precision: str | None = None, adapt_to: Sequence[str] | None = None
) -> TorchPredictor:
    """Load a trained run's networks from its safetensors.

    Args:
        run: trained.
        precision: in place of the recipe's.
        adapt_to: images of which BatchNorm takes the statistics, see `adapt_batchnorm`.

    Raises:
        BadInput: the device hasn't that precision, or the images can't be adapted to.
    """
    networks = [load_network(member) for member in run.members]
    if adapt_to is not None:
        networks = _adapted(networks, run.recipe, adapt_to)
    return TorchPredictor(
        models=[serving_network(network, run.recipe, precision) for network in networks],
        recipe=run.recipe,
        classes=run.classes,
        mean_and_square=make_link(run.recipe).mean_and_square,
    )


def _adapted(networks: list[nn.Module], recipe: Recipe, images: Sequence[str]) -> list[nn.Module]:
    # Evenly from all of them, since catalogues are ordered by something.
    images = drop_empty_frames(list(images)[:: -(-len(images) // ADAPTING_IMAGES)], recipe)
    if not images:
        raise BadInput(f"{setting('adapt')}: no image shows a galaxy", "leave it out")
    with Progress("adapting", len(images) * len(networks), "images") as progress:
        return [
            adapt_batchnorm(
                network, map(images_of_batch, image_loader(images, recipe)), progress.advance
            )
            for network in networks
        ]
