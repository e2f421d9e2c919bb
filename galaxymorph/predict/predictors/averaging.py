"""Several predictors as one: of several runs, or of several crops of the frame."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.images import Fault, Source, as_image
from galaxymorph.learn import Recipe, output_names, require_views
from galaxymorph.predict.images import Images
from galaxymorph.predict.tables import predicted_table

if TYPE_CHECKING:
    from galaxymorph.predict.predictors.onnx_predictor import OnnxPredictor
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

# Images that are decoded for every predictor before the next ones: half a megabyte each.
CHUNK = 256


@dataclass(frozen=True)
class MeanPredictor:
    """The mean of several predictors' outputs; recipe and classes are the first one's."""

    predictors: Sequence[TorchPredictor | OnnxPredictor]

    @property
    def recipe(self) -> Recipe:
        """That of the first: target and outputs are everyone's."""
        return self.predictors[0].recipe

    @property
    def classes(self) -> list[str]:
        """The classes, in order."""
        return self.predictors[0].classes

    def predict(self, images: Images) -> pd.DataFrame:
        """Return what `TorchPredictor.predict` does.

        Raises:
            BadInput: an image can't be used.
        """
        return predicted_table(self, images)

    def outputs(
        self,
        images: Sequence[Source],
        seen: Callable[[int], object],
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return what `TorchPredictor.outputs` does, shape (n, outputs).

        Raises:
            BadInput: an image can't be used.
        """
        parts = []
        for start in range(0, len(images), CHUNK):
            chunk = self._decoded(images[start : start + CHUNK])
            empty = None if faults is None else type(faults)()
            each = [
                predictor.outputs(chunk, lambda n: None, empty) for predictor in self.predictors
            ]
            for at, fault in (empty or {}).items():
                faults[start + at] = fault
            # A model of distributions gives mean squares too, for which the others have none.
            width = min(found.shape[1] for found in each)
            parts.append(np.mean([found[:, :width] for found in each], axis=0))
            seen(len(chunk))
        return np.concatenate(parts)

    def _decoded(self, images: Sequence[Source]) -> Sequence[Source]:
        """Return the images' pixels, unless the predictors render FITS files differently."""
        if len({each.recipe.rendering for each in self.predictors}) > 1:
            return images
        rendering = self.recipe.rendering
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(lambda image: np.array(as_image(image, rendering)), images))


def average_predictors(
    predictors: Sequence[TorchPredictor | OnnxPredictor],
    names: Sequence[str | Path],
    views: int | None = None,
    crops: Sequence[float] = (),
) -> TorchPredictor | OnnxPredictor | MeanPredictor:
    """Return one predictor that gives the mean of several.

    Args:
        predictors: of models with the same outputs.
        names: of the models, for an error.
        views: flips and quarter turns averaged, in place of each recipe's own.
        crops: shares of the frame's side, in place of each recipe's own one.

    Raises:
        BadInput: the models' outputs mean different things.
    """
    _require_alike(predictors, names)
    if views is not None:
        for predictor in predictors:
            require_views(predictor.recipe, views)
        predictors = [_changed(predictor, views=views) for predictor in predictors]
    if crops:
        for predictor, name in zip(predictors, names, strict=True):
            if predictor.recipe.pipeline == "plain":
                raise BadInput(f"--crops: {name} sees the whole frame", "leave it out")
        predictors = [_changed(predictor, crop=crop) for predictor in predictors for crop in crops]
    return predictors[0] if len(predictors) == 1 else MeanPredictor(predictors)


def _require_alike(
    predictors: Sequence[TorchPredictor | OnnxPredictor], names: Sequence[str | Path]
) -> None:
    first = predictors[0]
    for predictor, name in zip(predictors[1:], names[1:], strict=True):
        if predictor.recipe.target != first.recipe.target:
            raise BadInput(
                f"{names[0]} learnt {first.recipe.target}, and {name} {predictor.recipe.target}",
                "average runs of one target",
            )
        ours, theirs = (output_names(each.recipe, each.classes) for each in (first, predictor))
        if ours != theirs:
            raise BadInput(
                f"{names[0]} and {name} have other outputs: {', '.join(ours[:3])}… and "
                f"{', '.join(theirs[:3])}…",
                "average runs of one scheme",
            )


def _changed(
    predictor: TorchPredictor | OnnxPredictor, **settings
) -> TorchPredictor | OnnxPredictor:
    return replace(predictor, recipe=replace(predictor.recipe, **settings))
