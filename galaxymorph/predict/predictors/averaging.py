"""Several predictors as one: of several runs, or of several crops of the frame."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from galaxymorph.base import BadInput, counted, setting
from galaxymorph.images import Fault, Source, as_image, open_galaxy, require_some
from galaxymorph.learn import output_names, require_views
from galaxymorph.predict.predictors.base import (
    BasePredictor,
    Faults,
    OnProgress,
    Predictor,
    changeable,
)

# Images that are decoded for every predictor before the next ones: half a megabyte each.
CHUNK = 256


@dataclass(frozen=True, kw_only=True, repr=False)
class MeanPredictor(BasePredictor):
    """The mean of several predictors' outputs; recipe and classes are those of the first.

    Its models are the predictors, each with its calibrators. Of crops of one model, `whole` is the
    model with its own crop, whose embeddings tell which images it isn't trained for.
    """

    predictors: Sequence[Predictor]
    whole: BasePredictor | None = None

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each predictor's outputs, see `Predictor.outputs_of_each`."""
        require_some(images)
        chunks = []
        for start in range(0, len(images), CHUNK):
            sources = images[start : start + CHUNK]
            decoded = self._decoded(sources)
            by_model = []
            for predictor in self.predictors:
                unusable: dict[int, Fault] = {}
                by_model.append(predictor.outputs(decoded, None, unusable))
                # Threads add them in any order.
                for at in sorted(unusable):
                    # Pixels have no name, which the fault of a file has.
                    fault = _fault_of(predictor, sources[at], start + at) or unusable[at]
                    if faults is None:
                        raise fault.error
                    faults[start + at] = fault
            # A model of distributions has mean squares too, and the others have none.
            width = min(outputs.shape[1] for outputs in by_model)
            chunks.append(np.stack([outputs[:, :width] for outputs in by_model]))
            if on_progress:
                on_progress(len(sources))
        return np.concatenate(chunks, axis=1)

    def _members(self) -> str:
        return counted(len(self.predictors), "predictor")

    def _decoded(self, images: Sequence[Source]) -> Sequence[Source]:
        """Return the images' pixels, unless the predictors render FITS files differently."""
        if len({predictor.recipe.rendering for predictor in self.predictors}) > 1:
            return images
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(self._pixels, images))

    def _pixels(self, image: Source) -> Source:
        try:
            if self.recipe.pixels == "flux":
                return open_galaxy(image, self.recipe.crop, self.recipe.rendering)
            return np.array(as_image(image, self.recipe.rendering))
        except BadInput:
            # Each predictor reports the fault.
            return image


def _fault_of(predictor: Predictor, image: Source, at: int) -> Fault | None:
    try:
        open_galaxy(image, predictor.recipe.crop, predictor.recipe.rendering, at)
    except BadInput as error:
        return Fault(error)
    return None


def average_predictors(
    predictors: Sequence[Predictor],
    names: Sequence[str | Path],
    views: int | None = None,
    crops: Sequence[float] = (),
) -> Predictor:
    """Return a predictor of the mean of several.

    Args:
        predictors: of models with the same outputs.
        names: of the models, for an error.
        views: flips and 90° rotations averaged, in place of those of the recipes.
        crops: fractions of the image's side, in place of those of the recipes.

    Raises:
        BadInput: the models' outputs mean different things, or their views or crops are fixed.
    """
    _require_alike(predictors, names)
    if views is not None:
        for predictor in predictors:
            require_views(predictor.recipe, views)
        predictors = [
            changeable(predictor, f"{setting('views', views)}: {name}").changed(views=views)
            for predictor, name in zip(predictors, names, strict=True)
        ]
    whole = predictors[0]
    if crops:
        for predictor, name in zip(predictors, names, strict=True):
            if predictor.recipe.pipeline == "plain":
                raise BadInput(f"{setting('crops')}: {name} uses the whole frame", "leave it out")
        predictors = [
            changeable(predictor, f"{setting('crops')}: {name}").changed(crop=crop)
            for predictor, name in zip(predictors, names, strict=True)
            for crop in crops
        ]
    if len(predictors) == 1:
        return predictors[0]
    if len(names) == 1 and isinstance(whole, BasePredictor):
        # The mean of a model's crops is calibrated as the model is.
        predictors = [replace(changeable(each, ""), vote_maps=()) for each in predictors]
    first = predictors[0]
    mean = MeanPredictor(recipe=first.recipe, classes=first.classes, predictors=predictors)
    if len(names) > 1 or not isinstance(whole, BasePredictor):
        return mean
    return replace(
        mean,
        whole=whole,
        schemes=whole.schemes,
        vote_maps=whole.vote_maps,
        reference=whole.reference,
        on_outliers=whole.on_outliers,
    )


def _require_alike(predictors: Sequence[Predictor], names: Sequence[str | Path]) -> None:
    first = predictors[0]
    expected = output_names(first.recipe, first.classes)
    for predictor, name in zip(predictors[1:], names[1:], strict=True):
        if predictor.recipe.target != first.recipe.target:
            raise BadInput(
                f"{names[0]} has target {first.recipe.target}, and {name} has "
                f"{predictor.recipe.target}",
                "average runs with the same target",
            )
        outputs = output_names(predictor.recipe, predictor.classes)
        if outputs != expected:
            raise BadInput(
                f"{names[0]} and {name} have different outputs: {', '.join(expected[:3])}… and "
                f"{', '.join(outputs[:3])}…",
                "average runs with the same label scheme",
            )
