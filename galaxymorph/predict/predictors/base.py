"""The base class of the package's predictors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.images import Fault, Source, galaxy_image
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import Recipe
from galaxymorph.predict.images import Images
from galaxymorph.predict.predictors.protocol import Faults, OnProgress, PredictionSets, Predictor
from galaxymorph.predict.tables import predicted_table

Kind = TypeVar("Kind", bound="BasePredictor")


@dataclass(frozen=True, kw_only=True)
class BasePredictor(ABC):
    """A `Predictor` but for `outputs_of_each`."""

    recipe: Recipe
    classes: Sequence[str]
    calibrators: Sequence[Calibrator] | None = None

    def predict(self, images: Images, sets: PredictionSets | None = None) -> pd.DataFrame:
        """Return `galaxy`, `image` and the prediction, a row an image, see `predicted_table`.

        `galaxy` is the image's name without its ending. The prediction is `predicted`,
        `confidence` and `p_<class>`, or a column an answer of the decision tree.

        Raises:
            BadInput: an image can't be used.
        """
        return predicted_table(self, images, sets)

    def outputs(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return the calibrated mean of `outputs_of_each`, shape (n, outputs).

        Raises:
            BadInput: an image can't be used, and `faults` is None.
        """
        return calibrated_mean(self.outputs_of_each(images, on_progress, faults), self.calibrators)

    def frame(self, source: Source, at: int, faults: Faults) -> Image.Image | None:
        """Return an image for a network; None if it can't be used, and `faults` has the reason.

        Raises:
            BadInput: the image can't be used, and `faults` is None.
        """
        try:
            return galaxy_image(source, self.recipe.crop, self.recipe.rendering, at)
        except BadInput as error:
            if faults is None:
                raise
            faults[at] = Fault(error)
            return None

    @abstractmethod
    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each model's uncalibrated outputs, see `Predictor.outputs_of_each`."""

    def changed(self: Kind, **settings: Any) -> Kind:
        """Return this predictor with other settings of its recipe, such as `views`."""
        return replace(self, recipe=replace(self.recipe, **settings))


def changeable(predictor: Predictor, what: str) -> BasePredictor:
    """Return a predictor whose recipe's settings can be changed.

    Raises:
        BadInput: it isn't a `BasePredictor`.
    """
    if not isinstance(predictor, BasePredictor):
        raise BadInput(f"{what} is not one of the package's predictors", "set it on the predictor")
    return predictor
