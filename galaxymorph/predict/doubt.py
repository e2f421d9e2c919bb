"""Several predictions of each galaxy, from the sources that doubt can be read from."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.learn import Run, dihedral, image_loader, infer_each, load_network, make_link

VIEWS = 8
PASSES = 20

Networks = list[Callable[[torch.Tensor], torch.Tensor]]


def _single(run: Run, models: list[nn.Module]) -> Networks:
    return models[:1]


def _views(run: Run, models: list[nn.Module]) -> Networks:
    return [
        lambda batch, model=model, view=view: model(dihedral(batch, view))
        for model in models
        for view in range(VIEWS)
    ]


def _dropout(run: Run, models: list[nn.Module]) -> Networks:
    for model in models:
        found = [m for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0]
        if not found:
            raise BadInput(
                f"{run.path}: its network drops nothing", "fit with --dropout, or ask for views"
            )
        # As fastai's MCDropoutCallback does while it validates (Gal & Ghahramani 2016).
        for module in found:
            module.train()
    return models * PASSES


def _ensemble(run: Run, models: list[nn.Module]) -> Networks:
    if len(models) < 2:
        raise BadInput(
            f"{run.path}: one model is no ensemble", "fit with --members 5, or ask for views"
        )
    return models


# From a run's models to networks that each give a prediction of the same galaxy.
SOURCES: dict[str, Callable[[Run, list[nn.Module]], Networks]] = {
    "views": _views,
    "dropout": _dropout,
    "ensemble": _ensemble,
    "single": _single,
}


def sample_predictions(
    run: Run, images: Sequence[str], source: str, seen: Callable[[int], object] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return a run's predictions of images, shape (samples, n, outputs), and embeddings.

    The embeddings, shape (n, features), are what reaches the first model's last layer on its first
    prediction of each image.

    Args:
        run: trained.
        images: references.
        source: of `SOURCES`.
        seen: called with the number of images after each batch.

    Raises:
        BadInput: the run has no such source, or an image can't be used.
    """
    models = [load_network(member) for member in run.members]
    networks = SOURCES[source](run, models)
    last = [module for module in models[0].modules() if isinstance(module, nn.Linear)][-1]
    kept: list[torch.Tensor] = []

    def first(batch: torch.Tensor) -> torch.Tensor:
        hook = last.register_forward_pre_hook(lambda _, inputs: kept.append(inputs[0].cpu()))
        try:
            return networks[0](batch)
        finally:
            hook.remove()

    torch.manual_seed(run.recipe.seed)
    batches, link = image_loader(images, run.recipe), make_link(run.recipe)
    samples = infer_each([first, *networks[1:]], batches, 1, link.activate, seen)
    return samples, torch.cat(kept).numpy()
