"""Attribution: which pixels speak for a network's answer, by captum's methods.

A map is the positive part: the evidence for the answer. What is taken away is replaced by the
colour of the image's own sky, because black is no absence of light in a picture of the sky.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import torch
from fastai.torch_core import default_device
from torch import autocast, nn

from galaxymorph.base import BadInput, Progress
from galaxymorph.judge.explain.attribution_methods import ATTRIBUTION_METHODS, BATCH
from galaxymorph.judge.explain.explained_model import ExplainedModel, normalised
from galaxymorph.learn import resolve_precision, serving_network, side_by_side


def require_feature_maps(subject: ExplainedModel) -> None:
    """Raise BadInput if a network has no feature maps for Grad-CAM to weigh."""
    trunk = next(subject.network.children())
    with torch.no_grad():
        shape = trunk(normalised(subject.pixels([0]), subject.run.recipe.arch)).shape
    if len(shape) != 4:
        raise BadInput(
            f"--method gradcam: {subject.run.recipe.arch} has no feature maps at its end",
            "use --method occlusion or integrated-gradients",
        )


def chosen_rows(subject: ExplainedModel, limit: int) -> np.ndarray:
    """Return which galaxies are looked at: at most `limit`, drawn at random by the seed."""
    n = len(subject.table)
    rng = np.random.default_rng(subject.seed)
    return np.sort(rng.permutation(n)[:limit])


def attribute(
    subject: ExplainedModel,
    method: str,
    rows: np.ndarray,
    network: nn.Module | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Return the evidence for the network's answers: at least 0, shape (n, size, size).

    Args:
        subject: whose answers are explained.
        method: of `ATTRIBUTION_METHODS`.
        rows: which galaxies.
        network: in place of the subject's own, for its answers all the same.
        quiet: show no progress.
    """
    how, recipe = ATTRIBUTION_METHODS[method], subject.run.recipe
    if how.differentiates:
        explained = network or subject.network
    else:
        explained = subject.serving if network is None else serving_network(network, recipe)
    in_bf16 = how.differentiates and resolve_precision(recipe.precision, explained) == "bf16"
    shown = nullcontext() if quiet else Progress(how.label, len(rows), "galaxies")
    batches = [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)]
    with shown as progress:

        def maps(some: np.ndarray) -> np.ndarray:
            # Autocast is a thread's own.
            with autocast(default_device().type, torch.bfloat16, enabled=in_bf16):
                found = how.apply(explained, *_inputs(subject, some))
            if progress:
                progress.advance(len(some))
            return found.detach().float().relu().cpu().numpy()

        return np.concatenate(
            list(map(maps, batches)) if how.hooks else side_by_side(maps, batches)
        )


def _inputs(
    subject: ExplainedModel, rows: np.ndarray
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the network's input, the answers' positions and the input without the galaxy."""
    pixels, arch = subject.pixels(rows), subject.run.recipe.arch
    skies = subject.sky[rows][:, :, None, None].expand_as(pixels)
    targets = subject.targets(rows).to(default_device())
    return normalised(pixels, arch), targets, normalised(skies, arch).contiguous()
