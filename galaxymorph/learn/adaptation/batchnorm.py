"""Networks made ready for images that they weren't trained on, without a label."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from galaxymorph.base import BadInput

# How many images' worth the training statistics count beside the target's (Schneider et al. 2020,
# NeurIPS, eq. 3, where 16 does well whatever the number of target images).
PRIOR = 16
# More images move no statistic by as much as matters.
ADAPTING_IMAGES = 1024


def adapt_batchnorm(
    model: nn.Module, batches: Iterable[torch.Tensor], seen: Callable[[int], object] | None = None
) -> nn.Module:
    """Return a copy of a network with BatchNorm statistics of unlabelled images.

    Means and variances become (N s + n t) / (N + n), of the training images' s, counted as `PRIOR`
    images, and the n new images' t (Schneider et al. 2020, eq. 3). The first `ADAPTING_IMAGES` are
    enough.

    Args:
        model: unfused, as it was trained.
        batches: the model's inputs, shape (n, 3, side, side) each.
        seen: called with the number of images after each batch.

    Raises:
        BadInput: the network has no BatchNorm, or there are fewer than `PRIOR` images.
    """
    adapted = deepcopy(model).eval()
    layers = [layer for layer in adapted.modules() if isinstance(layer, _BatchNorm)]
    if not layers:
        raise BadInput("--adapt: the network has no BatchNorm", "leave it out")
    before = [tuple(values.clone() for values in _statistics(layer)) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        # None: the mean over all batches, rather than one that forgets.
        layer.momentum = None
    images = 0
    with torch.no_grad():
        for batch in batches:
            # One image has no variance behind the pooling.
            if images >= ADAPTING_IMAGES or len(batch) < 2:
                break
            adapted(batch)
            images += len(batch)
            if seen:
                seen(len(batch))
    if images < PRIOR:
        raise BadInput(f"--adapt: {images} images tell no statistics", f"give {PRIOR} or more")
    share = PRIOR / (PRIOR + images)
    for layer, (mean, variance) in zip(layers, before, strict=True):
        new_mean, new_variance = _statistics(layer)
        new_mean.lerp_(mean, share)
        new_variance.lerp_(variance, share)
    return adapted.eval()


def _statistics(layer: _BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the running mean and variance of a layer that tracks them."""
    if layer.running_mean is None or layer.running_var is None:
        raise BadInput("--adapt: a BatchNorm of the network has no statistics", "leave it out")
    return layer.running_mean, layer.running_var
