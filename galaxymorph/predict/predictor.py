"""A trained run as a predictor: images in, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
from torch import nn

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, Progress
from galaxymorph.images import decode
from galaxymorph.learn import (
    Recipe,
    Run,
    image_loader,
    infer,
    load_network,
    prediction_table,
    serving_network,
)
from galaxymorph.predict.quantization import OnnxNetwork, quantized
from galaxymorph.zoo import image_references


@dataclass(frozen=True)
class Predictor:
    """The networks of a run, one or a fold each, with what their inputs and outputs mean."""

    models: list[nn.Module | OnnxNetwork]
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
        table = prediction_table(found, self.classes)
        table.insert(0, "galaxy", [_galaxy(image) for image in images])
        table.insert(1, "image", list(images))
        return table


def _galaxy(image: str) -> str:
    return PurePosixPath(image.split(REFERENCE_SEPARATOR)[-1]).stem


def load_predictor(path: str | Path, precision: str | None = None) -> Predictor:
    """Load a run's predictor from its safetensors, which, unlike a pickle, can't run code.

    Args:
        path: the run's folder.
        precision: auto, fp32, bf16, fp16 or int8; by itself the recipe's own.

    Raises:
        BadInput: not a finished run, a precision that the device hasn't, or no int8 file.
    """
    run = Run(Path(path))
    run.require_trained()
    if precision == "int8":
        models = [OnnxNetwork(quantized(member)) for member in run.members]
        return Predictor(models, run.recipe, run.classes)
    models = [
        serving_network(load_network(member), run.recipe, precision) for member in run.members
    ]
    return Predictor(models, run.recipe, run.classes)


def expand_images(paths: Sequence[str]) -> list[str]:
    """Return references of the images that the paths name: files, folders, zips, members of zips.

    Raises:
        BadInput: a path isn't there, or a folder or zip holds no image.
    """
    references: list[str] = []
    for path in paths:
        if REFERENCE_SEPARATOR in path or (Path(path).is_file() and not path.endswith(".zip")):
            references.append(path)
            continue
        found = image_references(path)
        if not found:
            raise BadInput(f"{path}: no images there", "give JPEG or PNG files")
        references += found
    return references


def usable_images(references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the references that decode, and a line for each of the others."""
    good, faults = [], []
    for reference in references:
        try:
            decode(reference)
            good.append(reference)
        except BadInput as error:
            faults.append(str(error))
    return good, faults
