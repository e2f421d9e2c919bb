"""Several predictions of each galaxy, from the sources that uncertainty can be read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import SimpleNamespace

import numpy as np
import torch
from fastai.callback.preds import MCDropoutCallback
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.learn import (
    Run,
    ServingNetwork,
    dihedral,
    image_loader,
    images_of_batch,
    last_layer,
    load_network,
    make_link,
    serving_network,
)

VIEWS = 8
PASSES = 20


class SourceUnavailable(BadInput):
    """A run hasn't the source of uncertainty that is asked for."""


# From a batch to logits, one tensor of shape (n, outputs) a prediction.
Sampler = Callable[[torch.Tensor], list[torch.Tensor]]
# From images to predictions and embeddings: see `open_uncertainty_source`.
Samples = Callable[..., tuple[np.ndarray, np.ndarray]]


def _single(run: Run, models: list[nn.Module]) -> Sampler:
    return lambda batch: [models[0](batch)]


def _views(run: Run, models: list[nn.Module]) -> Sampler:
    # The second half is mirrored.
    views = range(VIEWS if run.recipe.flips else VIEWS // 2)
    return lambda batch: [model(dihedral(batch, view)) for model in models for view in views]


def _dropout(run: Run, models: list[nn.Module]) -> Sampler:
    for model in models:
        if not _drops(model):
            raise SourceUnavailable(
                f"{run.path}: its network drops nothing", "fit with --dropout, or ask for views"
            )
        # What it does to a learner's model while that validates (Gal & Ghahramani 2016).
        callback = MCDropoutCallback()
        callback.learn = SimpleNamespace(model=model)
        callback.before_validate()
    return lambda batch: [logits for model in models for logits in _passes(model, batch)]


def _passes(model: nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    # A trunk that drops nothing gives the same features every time.
    if isinstance(model, ServingNetwork) and not _drops(model.trunk):
        features = model.features(batch)
        return [model.head(features) for _ in range(PASSES)]
    return [model(batch) for _ in range(PASSES)]


def _drops(module: nn.Module) -> bool:
    return any(isinstance(each, nn.Dropout) and each.p > 0 for each in module.modules())


def _ensemble(run: Run, models: list[nn.Module]) -> Sampler:
    if len(models) < 2:
        raise SourceUnavailable(
            f"{run.path}: one model is no ensemble", "fit with --members 5, or ask for views"
        )
    return lambda batch: [model(batch) for model in models]


# From a run's models to several predictions of the same galaxy.
SOURCES: dict[str, Callable[[Run, list[nn.Module]], Sampler]] = {
    "views": _views,
    "dropout": _dropout,
    "ensemble": _ensemble,
    "single": _single,
}


def open_uncertainty_source(run: Run, source: str) -> Samples:
    """Load a run's networks; return what predicts images with them.

    That takes references, and perhaps a function that is called with the number of images after
    each batch, raises BadInput for an image that can't be used, and returns predictions, shape
    (samples, n, outputs), and embeddings, shape (n, features): what reaches the first model's last
    layer on its first prediction of each image.

    Args:
        run: trained.
        source: of `SOURCES`.

    Raises:
        SourceUnavailable: the run hasn't that source.
    """
    models = [serving_network(load_network(member), run.recipe) for member in run.members]
    sampler = SOURCES[source](run, models)
    activate = make_link(run.recipe).inverse_link

    def sample(
        images: Sequence[str], seen: Callable[[int], object] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        kept: list[torch.Tensor] = []
        hook = last_layer(models[0]).register_forward_pre_hook(
            lambda _, inputs: kept.append(inputs[0].float().cpu())
        )
        torch.manual_seed(run.recipe.seed)
        samples, embeddings = [], []
        try:
            with torch.inference_mode():
                for batch in image_loader(images, run.recipe):
                    tensor = images_of_batch(batch)
                    logits = sampler(tensor)
                    samples.append(torch.stack([activate(each).cpu() for each in logits]))
                    embeddings.append(kept[0])
                    kept.clear()
                    if seen:
                        seen(len(tensor))
        finally:
            hook.remove()
        return torch.cat(samples, dim=1).numpy(), torch.cat(embeddings).numpy()

    return sample
