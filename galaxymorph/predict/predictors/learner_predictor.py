"""A learner out of a pickle as a predictor, for those who trust the file."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fastai.learner import Learner, load_learner
from fastai.vision.core import PILImage

from galaxymorph.base import BadInput
from galaxymorph.images import Fault, Source, galaxy_image
from galaxymorph.learn import Run, make_link
from galaxymorph.predict.predictors.base import BasePredictor
from galaxymorph.predict.predictors.protocol import Faults, OnProgress


@dataclass(frozen=True, kw_only=True)
class LearnerPredictor(BasePredictor):
    """A run's exported learner, whose `get_preds` averages over the recipe's views."""

    learn: Learner

    def outputs_of_each(
        self,
        images: Sequence[Source],
        on_progress: OnProgress | None = None,
        faults: Faults | None = None,
    ) -> np.ndarray:
        """Return the learner's outputs, shape (1, n, outputs); see `Predictor.outputs_of_each`."""
        opened = []
        for at, source in enumerate(images):
            try:
                image = galaxy_image(source, self.recipe.crop, self.recipe.rendering, at)
                opened.append(PILImage(image))
            except BadInput as error:
                if faults is None:
                    raise
                faults[at] = Fault(error)
                opened.append(PILImage.create(np.zeros((64, 64, 3), np.uint8)))
        # The images are opened, so the steps that find and open them are left out.
        steps = len(self.learn.dls.tfms[0].fs)
        loader = self.learn.dls.test_dl(opened, rm_type_tfms=steps, num_workers=0)
        mean_and_square = make_link(self.recipe).mean_and_square
        with self.learn.no_bar(), self.learn.no_logging():
            outputs, _ = self.learn.get_preds(dl=loader, act=mean_and_square)
        if on_progress:
            on_progress(len(opened))
        return outputs.numpy()[None]


def load_pickled(path: Path) -> LearnerPredictor:
    """Load a run's `model.pkl`, which runs whatever code is in it.

    Raises:
        BadInput: it isn't there, doesn't load, or its run's `recipe.json` isn't beside it.
    """
    run = Run(path.parent)
    recipe, classes = run.recipe, run.classes
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            learn = load_learner(path)
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file", "check the path") from error
    except Exception as error:
        # A pickle of other versions fails with errors of any type.
        raise BadInput(
            f"{path}: doesn't load here ({type(error).__name__}: {error})",
            "load the run, or its model.safetensors",
        ) from error
    return LearnerPredictor(learn=learn, recipe=recipe, classes=classes)
