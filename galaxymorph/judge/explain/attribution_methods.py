"""Attribution methods by name: captum's, and those of plugins.

Nothing here imports PyTorch, so that a command line lists them at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from galaxymorph.base import Registry

if TYPE_CHECKING:
    import torch
    from torch import nn

BATCH = 16
STEPS = 24
# Of the frame's side: an occluding window, and how far it moves.
WINDOW, STRIDE = 1 / 6, 1 / 12


@dataclass(frozen=True)
class AttributionMethod:
    """An entry of `ATTRIBUTION_METHODS`.

    Args:
        label: in words.
        apply: from a network, its input, the answers' positions and frames of the background level
            to a map, shape (n, side, side).
        differentiates: whether the network must have gradients, or may be one for inference.
        hooks: whether the network is changed while it runs, so that no two threads may share it.
        needs_feature_maps: whether the trunk must end in feature maps.
        limit: galaxies that it is applied to by default, so that all methods take minutes.
        random: of those, how many random weights are tried on.
    """

    label: str
    apply: Callable[[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
    limit: int
    random: int
    differentiates: bool = True
    hooks: bool = False
    needs_feature_maps: bool = False


def _grad_cam(
    network: nn.Module, batch: torch.Tensor, targets: torch.Tensor, skies: torch.Tensor
) -> torch.Tensor:
    """Selvaraju et al. 2017 (ICCV), equations 1 and 2, on the trunk's last feature maps."""
    from captum.attr import LayerGradCam

    from galaxymorph.judge.explain.receptive_fields import cells_of, placed

    trunk = next(network.children())
    maps = LayerGradCam(network, trunk).attribute(batch, target=targets, relu_attributions=True)
    return placed(maps[:, 0], cells_of(trunk, batch), batch.shape[-2:])


def _integrated_gradients(
    network: nn.Module, batch: torch.Tensor, targets: torch.Tensor, skies: torch.Tensor
) -> torch.Tensor:
    """Sundararajan et al. 2017 (ICML), equation 3, from a frame of empty sky."""
    from captum.attr import IntegratedGradients

    by_band = IntegratedGradients(network).attribute(
        batch, skies, target=targets, n_steps=STEPS, internal_batch_size=2 * BATCH
    )
    return by_band.sum(dim=1)


def _occlusion(
    network: nn.Module, batch: torch.Tensor, targets: torch.Tensor, skies: torch.Tensor
) -> torch.Tensor:
    """Zeiler & Fergus 2014 (ECCV), section 4.2: how much a window of sky lowers the logit."""
    from captum.attr import Occlusion

    window, stride = (max(1, round(share * batch.shape[-1])) for share in (WINDOW, STRIDE))
    by_band = Occlusion(network).attribute(
        batch,
        (3, window, window),
        (3, stride, stride),
        skies,
        target=targets,
        perturbations_per_eval=8,
    )
    return by_band[:, 0]


ATTRIBUTION_METHODS: Registry[AttributionMethod] = Registry("attribution method")
ATTRIBUTION_METHODS.register(
    "gradcam",
    AttributionMethod(
        "Grad-CAM", _grad_cam, limit=1000, random=16, hooks=True, needs_feature_maps=True
    ),
)
ATTRIBUTION_METHODS.register(
    "integrated-gradients",
    AttributionMethod("Integrated gradients", _integrated_gradients, limit=64, random=8),
)
ATTRIBUTION_METHODS.register(
    "occlusion",
    AttributionMethod("Occlusion", _occlusion, limit=64, random=6, differentiates=False),
)
