"""The protocol of predictors, for every stored model and for objects of users; their base class."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, TypeVar

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import BadInput, counted, listed, setting
from galaxymorph.images import Fault, FluxImage, Source, open_galaxy
from galaxymorph.judge import (
    Calibrator,
    OutlierReference,
    SchemeClasses,
    VoteMap,
    calibrated_mean,
    require_votes,
)
from galaxymorph.learn import Recipe, output_names
from galaxymorph.predict.images import Images
from galaxymorph.predict.tables import mapped_fractions, predicted_table

Kind = TypeVar("Kind", bound="BasePredictor")
# Called with the number of images after each batch.
OnProgress: TypeAlias = Callable[[int], object] | None
# Filled with the reasons why images can't be used, by their places.
Faults: TypeAlias = dict[int, Fault] | None
# Called with embeddings, shape (n, features), and logits, shape (n, outputs), of a batch.
Listener: TypeAlias = Callable[[np.ndarray, np.ndarray], object]
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
        """Return the calibrated mean of `outputs_of_each`, shape (n, outputs).

        Vote fractions are those of the first of `vote_maps`, if the predictor has some.
        """

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


@dataclass(frozen=True, kw_only=True, repr=False)
class BasePredictor(ABC):
    """A `Predictor` but for `outputs_of_each`.

    Args:
        recipe: of the model.
        classes: in order.
        calibrators: one a model, a single one of their mean, or None without.
        schemes: of a decision tree, the calibrated classes that its fractions give.
        vote_maps: likewise, from its fractions to those of a catalogue's votes; the first is used.
        reference: embeddings of the first network with which those of images are compared.
        on_outliers: score adds out-of-distribution scores to predictions; refuse also leaves out
            those of images that are farther from the reference than every validation galaxy.
    """

    recipe: Recipe
    classes: Sequence[str]
    calibrators: Sequence[Calibrator] | None = None
    schemes: Sequence[SchemeClasses] = ()
    vote_maps: Sequence[VoteMap] = ()
    reference: OutlierReference | None = None
    on_outliers: Literal["ignore", "score", "refuse"] = "ignore"

    def __repr__(self) -> str:
        outputs = output_names(self.recipe, self.classes)
        words = [self.recipe.arch, f"{counted(len(outputs), 'output')} ({listed(outputs, 3)})"]
        return f"<{type(self).__name__}, {', '.join(filter(None, [*words, self._members()]))}>"

    def _members(self) -> str:
        """Return how many networks there are, in words; empty where that isn't known."""
        return ""

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
            BadInput: there is no image, or one can't be used and `faults` is None.
        """
        outputs = self.outputs_of_each(images, on_progress, faults)
        return mapped_fractions(calibrated_mean(outputs, self.calibrators), self)

    def opened(self, source: Source, at: int, faults: Faults) -> Image.Image | FluxImage | None:
        """Return an image, not framed yet; None if it can't be used, and `faults` has the reason.

        Raises:
            BadInput: the image can't be used, and `faults` is None.
        """
        try:
            return open_galaxy(source, self.recipe.crop, self.recipe.rendering, at)
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

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        """Call a listener with the first network's embeddings and logits of every batch and view.

        Formats that don't give embeddings don't call it.
        """
        yield

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


def with_votes(predictor: Predictor, votes: str | None, name: str | Path) -> Predictor:
    """Return a predictor of fractions as those of a catalogue's votes; by default, its first ones.

    Args:
        predictor: of a model.
        votes: their name.
        name: of the model, for an error.

    Raises:
        BadInput: the model isn't calibrated for such votes.
    """
    if votes is None:
        return predictor
    chosen = require_votes(getattr(predictor, "vote_maps", ()), votes, str(name))
    return replace(changeable(predictor, f"{setting('votes', votes)}: {name}"), vote_maps=[chosen])


def with_scores(predictor: Predictor) -> Predictor:
    """Return the predictor of a file with scores in place of refusals; that of a run unchanged."""
    if getattr(predictor, "reference", None) is None:
        return predictor
    return replace(
        changeable(predictor, f"{setting('outliers')}: the predictor"), on_outliers="score"
    )
