"""Attribution: which pixels support a network's answer, by captum's methods.

A map is the positive part of an attribution. Removed pixels are replaced by the background level of
the image, since black is not the absence of light in it.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from fastai.torch_core import default_device
from torch import autocast, nn

from galaxymorph.base import BadInput, Progress, setting
from galaxymorph.judge.explain.attribution_methods import ATTRIBUTION_METHODS, BATCH
from galaxymorph.judge.explain.explained_model import ExplainedModel, normalised
from galaxymorph.learn import input_channels, map_on_cores, resolve_precision, serving_network


def has_feature_maps(network: nn.Module, size: int) -> bool:
    """Return whether a network's trunk ends in feature maps, for images of `size` pixels a side."""
    trunk, device = next(network.children()), next(network.parameters()).device
    with torch.inference_mode():
        shape = (1, input_channels(network), size, size)
        return trunk(torch.zeros(*shape, device=device)).ndim == 4


def require_feature_maps(model: ExplainedModel) -> None:
    """Raise BadInput if a network has no feature maps for Grad-CAM to weight."""
    if not has_feature_maps(model.network, model.size):
        raise BadInput(
            f"{setting('method', 'gradcam')}: {model.run.recipe.arch} has no feature maps at its "
            "end",
            f"use {setting('method', 'occlusion')} or integrated-gradients",
        )


def chosen_rows(model: ExplainedModel, limit: int) -> np.ndarray:
    """Return the rows of at most `limit` galaxies, drawn at random by the seed."""
    n = len(model.table)
    rng = np.random.default_rng(model.seed)
    return np.sort(rng.permutation(n)[:limit])


def attribute(
    model: ExplainedModel,
    method: str,
    rows: np.ndarray,
    network: nn.Module | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Return the attribution maps of the network's answers: at least 0, shape (n, size, size).

    Args:
        model: whose answers are explained.
        method: of `ATTRIBUTION_METHODS`.
        rows: of the galaxies.
        network: in place of the model's, for the model's answers.
        quiet: show no progress.
    """
    entry, recipe = ATTRIBUTION_METHODS[method], model.run.recipe
    if entry.differentiates:
        explained = network or model.network
    else:
        explained = model.serving if network is None else serving_network(network, recipe)
    in_bf16 = entry.differentiates and resolve_precision(recipe.precision, explained) == "bf16"
    shown = nullcontext() if quiet else Progress(entry.label, len(rows), "galaxies")
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    with shown as progress:

        def maps(some: np.ndarray) -> np.ndarray:
            # Autocast is set for each thread.
            with autocast(default_device().type, torch.bfloat16, enabled=in_bf16):
                attribution = entry.apply(explained, *_inputs(model, some))
            if progress:
                progress.advance(len(some))
            return attribution.detach().float().relu().cpu().numpy()

        return np.concatenate(
            list(map(maps, batches)) if entry.hooks else map_on_cores(maps, batches)
        )


def _inputs(
    model: ExplainedModel, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the network's input, the answers' positions, and frames of the background level."""
    pixels, recipe = model.pixels(rows), model.run.recipe
    skies = model.sky[rows][:, :, None, None].expand_as(pixels)
    targets = model.targets(rows).to(default_device())
    return normalised(pixels, recipe), targets, normalised(skies, recipe).contiguous()
