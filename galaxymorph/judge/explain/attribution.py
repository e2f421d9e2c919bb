"""Attribution: which pixels speak for a network's answer, by captum's methods.

A map is the positive part: the evidence for the answer. What is taken away is replaced by the
colour of the image's own sky, because black is no absence of light in a picture of the sky.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass

import numpy as np
import torch
from fastai.torch_core import default_device
from torch import autocast, nn

from galaxymorph.base import BadInput, Progress
from galaxymorph.judge.explain.explained_model import Subject, normalised
from galaxymorph.learn import resolve_precision, serving_network, side_by_side

BATCH = 16
STEPS = 24
# Of the frame's side: an occluding window, and how far it moves.
WINDOW, STRIDE = 1 / 6, 1 / 12


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    Args:
        title: in words.
        apply: from a network, its input, the answers' positions and the input without the galaxy
            to a map, shape (n, side, side).
        differentiates: whether the network must have gradients, or may be one for inference.
        hooks: whether the network is changed while it runs, so that no two threads may share it.
        limit: galaxies that it is applied to by itself, so that all methods take minutes.
        random: of those, how many random weights are tried on.
    """

    title: str
    apply: Callable[..., torch.Tensor]
    limit: int
    random: int
    differentiates: bool = True
    hooks: bool = False


def _grad_cam(network: nn.Module, batch, targets, skies) -> torch.Tensor:
    """Selvaraju et al. 2017 (ICCV), equations 1 and 2, on the trunk's last feature maps."""
    from captum.attr import LayerAttribution, LayerGradCam

    found = LayerGradCam(network, network[0]).attribute(
        batch, target=targets, relu_attributions=True
    )
    return LayerAttribution.interpolate(found, tuple(batch.shape[-2:]), "bilinear")[:, 0]


def _integrated_gradients(network: nn.Module, batch, targets, skies) -> torch.Tensor:
    """Sundararajan et al. 2017 (ICML), equation 3, from a frame of empty sky."""
    from captum.attr import IntegratedGradients

    found = IntegratedGradients(network).attribute(
        batch, skies, target=targets, n_steps=STEPS, internal_batch_size=2 * BATCH
    )
    return found.sum(dim=1)


def _occlusion(network: nn.Module, batch, targets, skies) -> torch.Tensor:
    """Zeiler & Fergus 2014 (ECCV), section 4.2: how much a window of sky lowers the logit."""
    from captum.attr import Occlusion

    window, stride = (max(1, round(share * batch.shape[-1])) for share in (WINDOW, STRIDE))
    found = Occlusion(network).attribute(
        batch,
        (3, window, window),
        (3, stride, stride),
        skies,
        target=targets,
        perturbations_per_eval=8,
    )
    return found[:, 0]


METHODS: dict[str, Method] = {
    "gradcam": Method("Grad-CAM", _grad_cam, 1000, 16, hooks=True),
    "integrated-gradients": Method("Integrated gradients", _integrated_gradients, 64, 8),
    "occlusion": Method("Occlusion", _occlusion, 64, 6, differentiates=False),
}


def require_captum() -> None:
    """Raise BadInput if captum is missing."""
    if importlib.util.find_spec("captum") is None:
        raise BadInput("attribution needs captum", "pip install 'galaxymorph[explain]'")


def require_feature_maps(subject: Subject) -> None:
    """Raise BadInput if a network has no feature maps for Grad-CAM to weigh."""
    with torch.no_grad():
        shape = subject.network[0](normalised(subject.pixels([0]), subject.run.recipe.arch)).shape
    if len(shape) != 4:
        raise BadInput(
            f"--method gradcam: {subject.run.recipe.arch} has no feature maps at its end",
            "use --method occlusion or integrated-gradients",
        )


def chosen_rows(subject: Subject, limit: int) -> np.ndarray:
    """Return which galaxies are looked at: at most `limit`, drawn at random by the seed."""
    n = len(subject.table)
    rng = np.random.default_rng(subject.seed)
    return np.sort(rng.permutation(n)[:limit])


def attribute(
    subject: Subject,
    method: str,
    rows: np.ndarray,
    network: nn.Module | None = None,
    quiet: bool = False,
) -> np.ndarray:
    """Return the evidence for the network's answers: at least 0, shape (n, size, size).

    Args:
        subject: whose answers are explained.
        method: of `METHODS`.
        rows: which galaxies.
        network: in place of the subject's own, for its answers all the same.
        quiet: show no progress.
    """
    require_captum()
    how, recipe = METHODS[method], subject.run.recipe
    if how.differentiates:
        explained = network or subject.network
    else:
        explained = subject.serving if network is None else serving_network(network, recipe)
    in_bf16 = how.differentiates and resolve_precision(recipe.precision, explained) == "bf16"
    shown = nullcontext() if quiet else Progress(how.title, len(rows), "galaxies")
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


def _inputs(subject: Subject, rows: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return the network's input, the answers' positions and the input without the galaxy."""
    pixels, arch = subject.pixels(rows), subject.run.recipe.arch
    skies = subject.sky[rows][:, :, None, None].expand_as(pixels)
    targets = subject.targets(rows).to(default_device())
    return normalised(pixels, arch), targets, normalised(skies, arch).contiguous()
