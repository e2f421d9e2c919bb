"""A trained run as a predictor: images in, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from torch import nn

from galaxymorph.base import Progress
from galaxymorph.learn import Recipe, Run, image_loader, infer, load_network, serving_network
from galaxymorph.predict.images import image_table


@dataclass(frozen=True)
class Predictor:
    """The networks of a run, one or a fold each, with what their inputs and outputs mean."""

    models: list[nn.Module]
    recipe: Recipe
    classes: list[str]

    def predict(self, images: Sequence[str]) -> pd.DataFrame:
        """Return `galaxy`, `image`, `predicted`, `confidence` and `p_<class>`, a row an image.

        `galaxy` is the image's name without its ending.

        The probabilities are the mean over the recipe's views and the run's folds.

        Raises:
            BadInput: an image can't be used.
        """
        batches = image_loader(images, self.recipe)
        with Progress("predicting", len(images), "images") as progress:
            found = infer(self.models, batches, self.recipe.views, progress.advance)
        return image_table(images, found, self.classes)


def load_torch_predictor(run: Run, precision: str | None = None) -> Predictor:
    """Load a trained run's networks from its safetensors.

    Raises:
        BadInput: the device hasn't that precision.
    """
    models = [
        serving_network(load_network(member), run.recipe, precision) for member in run.members
    ]
    return Predictor(models, run.recipe, run.classes)
