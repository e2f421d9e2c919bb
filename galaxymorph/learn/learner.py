"""The fastai loaders and `Learner` of a recipe, for notebooks and for `fit`.

fastai's methods and classes work with them: `fit_one_cycle`, `lr_find`, `show_results`,
`get_preds`, `tta`, `predict`, `ClassificationInterpretation` and callbacks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

# Both give Learner methods: fit_one_cycle, lr_find, no_bar and the like.
import fastai.callback.progress  # noqa: F401
import fastai.callback.schedule  # noqa: F401
import pandas as pd
import torch
from fastai.callback.core import Callback
from fastai.data.core import DataLoaders
from fastai.learner import Learner
from fastai.optimizer import OptimWrapper
from fastai.torch_core import set_seed

from galaxymorph.learn.acceleration.imports import without_compiler
from galaxymorph.learn.backbones.encoders import resolve_encoder, warn_of_inputs
from galaxymorph.learn.backbones.initial_weights import vision_learner_of
from galaxymorph.learn.callbacks import FrozenInEval
from galaxymorph.learn.data import galaxy_loaders, sample_images
from galaxymorph.learn.flux_scale import learn_flux_scale
from galaxymorph.learn.galaxies import (
    decode_galaxies,
    draw_split,
    mark_pictures,
    read_labels,
    training_table,
)
from galaxymorph.learn.inference import AverageViews
from galaxymorph.learn.presets import make_recipe
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.targets.loss import make_link, make_loss_and_metrics


def galaxy_dataloaders(
    data: str | Path,
    recipe: str | Recipe = "quick",
    skip_bad: bool = False,
    cache: bool = True,
    **settings: Any,
) -> DataLoaders:
    """Return fastai's loaders of the training and validation galaxies of a catalogue.

    They have the attributes `recipe`, `classes` and `split`, a table of all galaxies and their
    parts.

    Args:
        data: folder, zip or table of galaxies, see `zoo.read_catalogue`.
        recipe: a preset's name, a recipe's file, or a `Recipe`.
        skip_bad: leave out bad rows and images instead of stopping.
        cache: keep decoded frames on disk.
        settings: in place of the recipe's, such as `size=64`, `labels_column="kind"`.

    Raises:
        BadInput: a setting, a row or an image can't be used, or the galaxies can't be split.

    Example:
        >>> import galaxymorph as gm
        >>> dls = gm.galaxy_dataloaders("sky", "quick", size=64, batch=16)
        >>> images, labels = dls.one_batch()
        >>> tuple(images.shape)
        (16, 3, 64, 64)
    """
    if isinstance(recipe, str):
        # `learn.tta()` averages several views; with `views` given, every prediction does.
        recipe = make_recipe(recipe, {"views": 1, **settings})
    elif settings:
        recipe = replace(recipe, **settings)
    encoder = resolve_encoder(recipe, settings)
    recipe = encoder.recipe
    labelled = read_labels(data, recipe, skip_bad)
    recipe = learn_flux_scale(recipe, labelled)
    galaxies = decode_galaxies(labelled, recipe, skip_bad, cache)
    if encoder.unsure:
        warn_of_inputs(encoder, sample_images(list(galaxies.table["image"]), recipe))
    split = draw_split(mark_pictures(galaxies, recipe), recipe)
    split = training_table(split, galaxies)
    set_seed(recipe.seed, reproducible=True)
    loaders = galaxy_loaders(split, recipe, galaxies.classes, galaxies.frames)
    loaders.recipe, loaders.classes, loaders.split = recipe, galaxies.classes, split
    return loaders


def galaxy_learner(
    dls: DataLoaders, cbs: Sequence[Callback] = (), **learner_arguments: Any
) -> Learner:
    """Return a fastai `Learner` on the galaxies of `galaxy_dataloaders`.

    As with `vision_learner`, a pretrained trunk is frozen until `learn.unfreeze()` or
    `learn.fine_tune(…)`.

    Args:
        dls: of `galaxy_dataloaders`; their recipe determines network, loss and metrics.
        cbs: callbacks in addition to those of the recipe.
        learner_arguments: for `vision_learner`, in place of the recipe's.

    Raises:
        BadInput: the architecture is unknown or the weights are unavailable.

    Example:
        >>> import galaxymorph as gm
        >>> dls = gm.galaxy_dataloaders("sky", "quick", size=64)
        >>> learn = gm.galaxy_learner(dls)
        >>> with learn.no_bar(), learn.no_logging():
        ...     learn.fit_one_cycle(1, 2e-3)
        ...     probabilities, labels = learn.get_preds()
    """
    recipe = dls.recipe
    learn = learner_on(
        dls, recipe, dls.split, dls.classes, [FrozenInEval(), *cbs], **learner_arguments
    )
    if recipe.weights != "none":
        learn.freeze()
    return learn


def learner_on(
    loaders: DataLoaders,
    recipe: Recipe,
    split: pd.DataFrame,
    classes: Sequence[str],
    cbs: Sequence[Callback] = (),
    **learner_arguments: Any,
) -> Learner:
    """Return the learner of a recipe, unfrozen, with a head drawn by the recipe's seed."""
    # The head's initial weights depend on the seed only.
    set_seed(recipe.seed, reproducible=True)
    loss, metrics = make_loss_and_metrics(recipe, split, classes)
    usual: dict[str, Any] = {
        "loss_func": loss,
        "metrics": metrics,
        # The published settings are for PyTorch's AdamW; fused, it reads the weights only once.
        "opt_func": partial(OptimWrapper, opt=torch.optim.AdamW, fused=True),
        "wd": recipe.weight_decay,
    }
    views = AverageViews(recipe.views, make_link(recipe))
    with without_compiler():
        return vision_learner_of(
            loaders, recipe, cbs=[views, *cbs], **{**usual, **learner_arguments}
        )
