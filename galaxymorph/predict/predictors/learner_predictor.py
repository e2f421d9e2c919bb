"""A learner out of a pickle as a predictor, for those who trust the file."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from fastai.learner import Learner, load_learner
from fastai.vision.core import PILImage

from galaxymorph.base import BadInput
from galaxymorph.images import Fault, Source, galaxy_image
from galaxymorph.learn import Recipe, Run
from galaxymorph.predict.images import Images
from galaxymorph.predict.tables import predicted_table


@dataclass(frozen=True)
class LearnerPredictor:
    """A run's exported learner, with what its outputs mean."""

    learn: Learner
    recipe: Recipe
    classes: list[str]

    def predict(self, images: Images) -> pd.DataFrame:
        """Return what `TorchPredictor.predict` does, by fastai's own means.

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
        """Return what `TorchPredictor.outputs` does, by fastai's own means.

        Raises:
            BadInput: an image can't be used.
        """
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
        with self.learn.no_bar(), self.learn.no_logging():
            found, _ = self.learn.get_preds(dl=loader)
        seen(len(opened))
        return found.numpy()


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
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file", "check the path") from None
    except Exception as error:
        # A pickle of other versions fails with errors of any type.
        raise BadInput(
            f"{path}: doesn't load here ({type(error).__name__}: {error})",
            "load the run, or its model.safetensors",
        ) from None
    return LearnerPredictor(learn, recipe, classes)
