"""BatchNorm statistics of a network re-estimated on unlabelled images of another survey."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import deepcopy

import torch
from torch import nn

from galaxymorph.base import BadInput, setting

BatchNorm = nn.BatchNorm1d | nn.BatchNorm2d | nn.BatchNorm3d | nn.SyncBatchNorm
LAYERS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
# N: the number of images that the training statistics count as (Schneider et al. 2020, NeurIPS,
# eq. 3, where 16 does well for any number of target images).
PRIOR = 16
# More images change the statistics by too little to matter.
ADAPTING_IMAGES = 1024


def adapt_batchnorm(
    model: nn.Module,
    batches: Iterable[torch.Tensor],
    on_progress: Callable[[int], object] | None = None,
) -> nn.Module:
    """Return a copy of a network with BatchNorm statistics of unlabelled images.

    A mean or variance becomes (N s + n t) / (N + n), with N = `PRIOR`, s that of the training
    images and t that of n new images, of which the first `ADAPTING_IMAGES` are used (Schneider et
    al. 2020, eq. 3).

    Args:
        model: as trained, BatchNorm not folded.
        batches: the model's inputs, shape (n, 3, side, side) each.
        on_progress: called with the number of images after each batch.

    Raises:
        BadInput: the network has no BatchNorm, or there are fewer than `PRIOR` images.
    """
    adapted = deepcopy(model).eval()
    layers = [layer for layer in adapted.modules() if isinstance(layer, LAYERS)]
    if not layers:
        raise BadInput(f"{setting('adapt')}: the network has no BatchNorm", "leave it out")
    before = [tuple(values.clone() for values in _statistics(layer)) for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        # None: the mean over all batches instead of an exponential average.
        layer.momentum = None
    images = 0
    with torch.no_grad():
        for batch in batches:
            # After pooling, one image has no variance.
            if images >= ADAPTING_IMAGES or len(batch) < 2:
                break
            adapted(batch)
            images += len(batch)
            if on_progress:
                on_progress(len(batch))
    if images < PRIOR:
        raise BadInput(f"{setting('adapt')}: {images} images are too few", f"give {PRIOR} or more")
    share = PRIOR / (PRIOR + images)
    for layer, (mean, variance) in zip(layers, before, strict=True):
        new_mean, new_variance = _statistics(layer)
        new_mean.lerp_(mean, share)
        new_variance.lerp_(variance, share)
    return adapted.eval()


def _statistics(layer: BatchNorm) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the running mean and variance of a layer that tracks them."""
    if layer.running_mean is None or layer.running_var is None:
        raise BadInput(
            f"{setting('adapt')}: a BatchNorm of the network has no statistics", "leave it out"
        )
    return layer.running_mean, layer.running_var
