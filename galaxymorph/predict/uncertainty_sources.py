"""Sources of uncertainty: several predictions of each galaxy by the models of one run.

PyTorch is imported where predictions are made, since commands list the sources.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput, Registry, setting

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import nn

    from galaxymorph.learn import Run

    # From a batch to logits, one tensor of shape (n, outputs) a prediction.
    Sampler = Callable[[torch.Tensor], list[torch.Tensor]]
    # From images, and perhaps a callback, to predictions and embeddings: see
    # `open_uncertainty_source`.
    Sample = Callable[..., tuple[np.ndarray, np.ndarray]]

VIEWS = 8
PASSES = 20


class SourceUnavailable(BadInput):
    """A run hasn't a source of uncertainty."""


@dataclass(frozen=True)
class UncertaintySource:
    """A way to several predictions of each galaxy, from which uncertainty is computed.

    Args:
        words: a few, for help: "eight flips and rotations".
        sampler: from a run and its networks to what makes the logits of a batch; raises
            SourceUnavailable where the run hasn't the source.
        of_ensemble: whether it takes the models of a deep ensemble, rather than one.
    """

    words: str
    sampler: Callable[[Run, Sequence[nn.Module]], Sampler]
    of_ensemble: bool = False


def _single(run: Run, models: Sequence[nn.Module]) -> Sampler:
    return lambda batch: [models[0](batch)]


def _views(run: Run, models: Sequence[nn.Module]) -> Sampler:
    from galaxymorph.learn import dihedral

    # The second half is mirrored.
    views = range(VIEWS if run.recipe.flips else VIEWS // 2)
    return lambda batch: [model(dihedral(batch, view)) for model in models for view in views]


def _dropout(run: Run, models: Sequence[nn.Module]) -> Sampler:
    from fastai.callback.preds import MCDropoutCallback

    for model in models:
        if not _drops(model):
            raise SourceUnavailable(
                f"{run.path}: its network has no dropout",
                f"fit with {setting('dropout')}, or use another source",
            )
        # What it does to a learner's model while that validates (Gal & Ghahramani 2016).
        callback = MCDropoutCallback()
        callback.learn = SimpleNamespace(model=model)
        callback.before_validate()
    return lambda batch: [logits for model in models for logits in _passes(model, batch)]


def _passes(model: nn.Module, batch: torch.Tensor) -> list[torch.Tensor]:
    from galaxymorph.learn import ServingNetwork

    # A trunk that drops nothing gives the same features every time.
    if isinstance(model, ServingNetwork) and not _drops(model.trunk):
        features = model.features(batch)
        return [model.head(features) for _ in range(PASSES)]
    return [model(batch) for _ in range(PASSES)]


def _drops(module: nn.Module) -> bool:
    from torch.nn import Dropout

    return any(isinstance(layer, Dropout) and layer.p > 0 for layer in module.modules())


def _ensemble(run: Run, models: Sequence[nn.Module]) -> Sampler:
    if len(models) < 2:
        raise SourceUnavailable(
            f"{run.path}: one model is no ensemble",
            f"fit with {setting('members', 5)}, or ask for views",
        )
    return lambda batch: [model(batch) for model in models]


# In the order of their cost.
UNCERTAINTY_SOURCES: Registry[UncertaintySource] = Registry(
    "uncertainty source",
    {
        "single": UncertaintySource("one model's entropy", _single),
        "views": UncertaintySource("eight flips and rotations", _views),
        "dropout": UncertaintySource(f"{PASSES} passes with dropout", _dropout),
        "ensemble": UncertaintySource(
            "the models of a run with members or folds", _ensemble, of_ensemble=True
        ),
    },
)


def open_uncertainty_source(run: Run, source: str) -> Sample:
    """Load a run's networks; return the function that predicts images with them.

    It takes references and, optionally, a function that is called with the number of images after
    each batch. It returns predictions, shape (samples, n, outputs), and embeddings, shape
    (n, features): the input of the first model's last layer on its first prediction of each image.
    It raises BadInput for an image that can't be used.

    Args:
        run: trained.
        source: of `UNCERTAINTY_SOURCES`.

    Raises:
        BadInput: the source is unknown.
        SourceUnavailable: the run hasn't that source.
    """
    import torch

    from galaxymorph.learn import (
        image_loader,
        images_of_batch,
        last_layer,
        load_network,
        make_link,
        serving_network,
    )

    entry = UNCERTAINTY_SOURCES.find(source, setting("source"))
    models = [serving_network(load_network(member), run.recipe) for member in run.members]
    sampler = entry.sampler(run, models)
    inverse_link = make_link(run.recipe).inverse_link

    def sample(
        images: Sequence[str], on_progress: Callable[[int], object] | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        inputs: list[torch.Tensor] = []
        hook = last_layer(models[0]).register_forward_pre_hook(
            lambda _, given: inputs.append(given[0].float().cpu())
        )
        torch.manual_seed(run.recipe.seed)
        samples, embeddings = [], []
        try:
            with torch.inference_mode():
                for batch in map(images_of_batch, image_loader(images, run.recipe)):
                    logits = sampler(batch)
                    samples.append(torch.stack([inverse_link(tensor).cpu() for tensor in logits]))
                    embeddings.append(inputs[0])
                    inputs.clear()
                    if on_progress:
                        on_progress(len(batch))
        finally:
            hook.remove()
        return torch.cat(samples, dim=1).numpy(), torch.cat(embeddings).numpy()

    return sample
