"""A trained run as a predictor: images in, a table of predictions out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import Progress
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import (
    Recipe,
    Run,
    image_loader,
    infer_each,
    load_network,
    make_link,
    serving_network,
)
from galaxymorph.predict.images import image_table

# From bare probabilities, shape (n, classes), to prediction sets in words.
Sets = Callable[[np.ndarray], Sequence[str]]


@dataclass(frozen=True)
class Predictor:
    """The networks of a run, one or a fold each, with what their inputs and outputs mean."""

    models: list[nn.Module]
    recipe: Recipe
    classes: list[str]
    activate: Callable[[torch.Tensor], torch.Tensor]
    calibrators: list[Calibrator] | None = None

    def predict(self, images: Sequence[str], sets: Sets | None = None) -> pd.DataFrame:
        """Return `galaxy`, `image` and the prediction, a row an image.

        `galaxy` is the image's name without its ending. The prediction is `predicted`,
        `confidence` and `p_<class>`, or a column an answer of the decision tree.

        Args:
            images: references.
            sets: from the bare models' mean probabilities to the column `set`.

        Raises:
            BadInput: an image can't be used.
        """
        with Progress("predicting", len(images), "images") as progress:
            each = self.each_output(images, progress.advance)
        found = calibrated_mean(each, self.calibrators)
        table = image_table(images, found, self.recipe, self.classes)
        return table.assign(set=sets(each.mean(axis=0))) if sets else table

    def outputs(self, images: Sequence[str], seen: Callable[[int], object]) -> np.ndarray:
        """Return predictions, shape (n, outputs), the mean over the recipe's views and the folds.

        Args:
            images: references.
            seen: called with the number of images after each batch.

        Raises:
            BadInput: an image can't be used.
        """
        return calibrated_mean(self.each_output(images, seen), self.calibrators)

    def each_output(self, images: Sequence[str], seen: Callable[[int], object]) -> np.ndarray:
        """Return each bare model's predictions, shape (models, n, outputs); see `outputs`."""
        batches = image_loader(images, self.recipe)
        return infer_each(self.models, batches, self.recipe.views, self.activate, seen)


def load_torch_predictor(run: Run, precision: str | None = None) -> Predictor:
    """Load a trained run's networks from its safetensors.

    Raises:
        BadInput: the device hasn't that precision.
    """
    models = [
        serving_network(load_network(member), run.recipe, precision) for member in run.members
    ]
    return Predictor(models, run.recipe, run.classes, make_link(run.recipe).activate)
