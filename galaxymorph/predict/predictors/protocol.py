"""The protocol of predictors, for every stored model and for objects of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeAlias

import numpy as np
import pandas as pd

from galaxymorph.images import Fault, Source
from galaxymorph.judge import Calibrator
from galaxymorph.learn import Recipe
from galaxymorph.predict.images import Images

# Called with the number of images after each batch.
OnProgress: TypeAlias = Callable[[int], object] | None
# Filled with the reasons why images can't be used, by their places.
Faults: TypeAlias = dict[int, Fault] | None
# From each model's uncalibrated probabilities, shape (models, n, classes), to prediction sets.
PredictionSets: TypeAlias = Callable[[np.ndarray], Sequence[str]]


class Predictor(Protocol):
    """A model, or several, that predicts images.

    An object with these members can be used in place of a loaded model: in `predicted_table`,
    `average_predictors` and `predict_catalogue`. `BasePredictor` has all of them but
    `outputs_of_each`.
    """

    @property
    def recipe(self) -> Recipe:
        """Return the settings that determine inputs and outputs: target, schema, frame."""

    @property
    def classes(self) -> Sequence[str]:
        """Return the classes in order."""

    @property
    def calibrators(self) -> Sequence[Calibrator] | None:
        """Return one calibrator a model, a single one of their mean, or None without."""

    def predict(self, images: Images, sets: PredictionSets | None = None) -> pd.DataFrame:
        """Return a row an image, see `predicted_table`.

        Raises:
            BadInput: an image can't be used.
        """

    def outputs(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return the calibrated mean of `outputs_of_each`, shape (n, outputs)."""

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each model's uncalibrated outputs, shape (models, n, outputs).

        Outputs are class probabilities or vote fractions, the mean over the recipe's views. Of
        distributions the mean squares come after the means, see `learn.Link`.

        Args:
            images: as `galaxymorph.images.as_image` takes them.
            on_progress: called with the number of images after each batch.
            faults: filled with the reasons why images can't be used, in place of an error; the
                outputs of these images have no meaning.

        Raises:
            BadInput: an image can't be used, and `faults` is None.
        """
