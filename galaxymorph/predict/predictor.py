"""A trained run as a predictor: images in, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pandas as pd
from fastai.torch_core import default_device
from safetensors.torch import load_file
from torch import nn

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, Progress
from galaxymorph.images import decode
from galaxymorph.learn import (
    Recipe,
    Run,
    build_model,
    image_loader,
    infer,
    keep_freed_memory,
    prediction_table,
    resolve_precision,
    serving_network,
)
from galaxymorph.zoo import image_references


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
        work = len(images) * len(self.models)
        with Progress("predicting", work, "images") as progress:
            mean = sum(
                infer(model, image_loader(images, self.recipe), self.recipe.views, progress.advance)
                for model in self.models
            ) / len(self.models)
        table = prediction_table(mean, self.classes)
        table.insert(0, "galaxy", [_galaxy(image) for image in images])
        table.insert(1, "image", list(images))
        return table


def _galaxy(image: str) -> str:
    return PurePosixPath(image.split(REFERENCE_SEPARATOR)[-1]).stem


def load_predictor(path: str | Path, precision: str | None = None) -> Predictor:
    """Load a run's predictor from its safetensors, which, unlike a pickle, can't run code.

    Args:
        path: the run's folder.
        precision: auto, fp32, bf16 or fp16; by itself the recipe's own.

    Raises:
        BadInput: not a finished run, or a precision that the device hasn't.
    """
    run = Run(Path(path))
    run.require_trained()
    keep_freed_memory()
    models = []
    for member in run.members:
        model = build_model(run.recipe, len(run.classes))
        model.load_state_dict(load_file(member.path / "model.safetensors"))
        model = model.to(default_device())
        resolved = resolve_precision(precision or run.recipe.precision, model)
        models.append(serving_network(model, resolved, run.recipe.size))
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
