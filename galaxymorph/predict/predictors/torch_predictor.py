"""A trained run as a predictor: images in, a table of predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import Progress
from galaxymorph.images import Fault, Source
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import (
    ADAPTING_IMAGES,
    Recipe,
    Run,
    adapt_batchnorm,
    image_loader,
    images_of_batch,
    infer_each,
    load_network,
    make_link,
    serving_network,
)
from galaxymorph.predict.images import Images, drop_empty_frames
from galaxymorph.predict.tables import Sets, predicted_table


@dataclass(frozen=True)
class TorchPredictor:
    """The networks of a run, one or a fold each, with what their inputs and outputs mean."""

    models: list[nn.Module]
    recipe: Recipe
    classes: list[str]
    moments: Callable[[torch.Tensor], torch.Tensor]
    calibrators: list[Calibrator] | None = None

    def predict(self, images: Images, sets: Sets | None = None) -> pd.DataFrame:
        """Return `galaxy`, `image` and the prediction, a row an image.

        An image is a path, bytes, an image of Pillow's or pixels: see `as_sources`.

        `galaxy` is the image's name without its ending. The prediction is `predicted`,
        `confidence` and `p_<class>`, or a column an answer of the decision tree.

        Args:
            images: references.
            sets: from each bare model's probabilities to the column `set`.

        Raises:
            BadInput: an image can't be used.
        """
        return predicted_table(self, images, sets)

    def outputs(
        self,
        images: Sequence[Source],
        seen: Callable[[int], object],
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return predictions, shape (n, outputs), the mean over the recipe's views and the folds.

        Of distributions the mean squares come after the means, see `learn.Link`.

        Args:
            images: as `galaxymorph.images.as_image` takes them.
            seen: called with the number of images after each batch.
            faults: filled, in place of an error, with why an image can't be used, by its place;
                what is predicted there means nothing.

        Raises:
            BadInput: an image can't be used.
        """
        return calibrated_mean(self.outputs_of_each(images, seen, faults), self.calibrators)

    def outputs_of_each(
        self,
        images: Sequence[Source],
        seen: Callable[[int], object],
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return each bare model's predictions, shape (models, n, outputs); see `outputs`."""
        batches = image_loader(images, self.recipe, faults)
        return infer_each(self.models, batches, self.recipe.views, self.moments, seen)


def load_torch_predictor(
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
    models = [serving_network(network, run.recipe, precision) for network in networks]
    return TorchPredictor(models, run.recipe, run.classes, make_link(run.recipe).mean_and_square)


def _adapted(networks: list[nn.Module], recipe: Recipe, images: Sequence[str]) -> list[nn.Module]:
    # Evenly from all of them, since catalogues are ordered by something.
    images = drop_empty_frames(list(images)[:: -(-len(images) // ADAPTING_IMAGES)], recipe)
    with Progress("adapting", len(images) * len(networks), "images") as progress:
        return [
            adapt_batchnorm(
                network, map(images_of_batch, image_loader(images, recipe)), progress.advance
            )
            for network in networks
        ]
