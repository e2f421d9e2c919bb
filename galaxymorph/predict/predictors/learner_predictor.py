"""A learner from a trusted pickle as a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from fastai.learner import Learner, load_learner
from fastai.torch_core import TensorImage
from fastai.vision.core import PILImage
from PIL import Image

from galaxymorph.base import outside_code, without_warnings
from galaxymorph.images import Source, blank_frame, framed, require_some
from galaxymorph.learn import Run, as_flux, item_cut, make_link
from galaxymorph.predict.predictors.base import BasePredictor, Faults, OnProgress


@dataclass(frozen=True, kw_only=True, repr=False)
class LearnerPredictor(BasePredictor):
    """A run's exported learner, whose `get_preds` averages over the recipe's views."""

    learn: Learner

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return the learner's outputs, shape (1, n, outputs); see `Predictor.outputs_of_each`."""
        require_some(images)
        opened = [self._item(source, at, faults) for at, source in enumerate(images)]
        # The images are open already, so that the steps that open them are skipped.
        steps = len(self.learn.dls.tfms[0].fs)
        loader = self.learn.dls.test_dl(opened, rm_type_tfms=steps, num_workers=0)
        mean_and_square = make_link(self.recipe).mean_and_square
        with self.learn.no_bar(), self.learn.no_logging():
            outputs, _ = self.learn.get_preds(dl=loader, act=mean_and_square)
        if on_progress:
            on_progress(len(opened))
        return outputs.numpy()[None]

    def _item(self, source: Source, at: int, faults: Faults) -> PILImage | TensorImage:
        """Return what the learner's transforms of items take; black where it can't be used."""
        image, rendering = self.opened(source, at, faults), self.recipe.rendering
        if rendering.flux is None:
            return PILImage(image or Image.new("RGB", (64, 64)))
        cut = item_cut(self.recipe)
        if image is None:
            return as_flux(blank_frame(cut.side, rendering))
        return as_flux(framed(image, cut, rendering))


def load_pickled(path: Path) -> LearnerPredictor:
    """Load a run's `model.pkl`, which runs whatever code is in it.

    Raises:
        BadInput: it or the run's `recipe.json` beside it is missing, or it doesn't load.
    """
    run = Run(path.parent)
    recipe, classes = run.recipe, run.classes
    remedy = "load the run, or its model.safetensors"
    with outside_code(path, "doesn't load here", remedy), without_warnings():
        learn = load_learner(path)
    return LearnerPredictor(learn=learn, recipe=recipe, classes=classes)
