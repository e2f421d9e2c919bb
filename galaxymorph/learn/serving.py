"""A network as it runs when nothing is learnt: folded, and in the form that the hardware likes."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Of the largest output; folding itself moves outputs by a millionth.
FOLDING_TOLERANCE = 1e-3
HALVES = {"bf16": torch.bfloat16, "fp16": torch.float16}


class HalfTrunk(nn.Module):
    """A model with its trunk in a half precision and its head in float32."""

    def __init__(self, model: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.trunk, self.head, self.dtype = model[0].to(dtype), model[1], dtype

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits in float32, shape (n, classes)."""
        return self.head(self.trunk(batch.to(self.dtype)).float())


def serving_network(model: nn.Module, precision: str, side: int) -> nn.Module:
    """Return a copy of a model for inference only, its outputs the same but for rounding.

    Args:
        model: a trunk, then a head.
        precision: fp32, bf16 or fp16: of the trunk; see `resolve_precision`.
        side: of the images that it takes, in pixels.
    """
    serving = fold_batchnorm(model, side).to(memory_format=torch.channels_last)
    return serving if precision == "fp32" else HalfTrunk(serving, HALVES[precision])


def fold_batchnorm(model: nn.Module, side: int) -> nn.Module:
    """Return a copy in evaluation mode with each BatchNorm folded into the convolution before it.

    The copy is tried on an image of noise: where a network runs its layers in another order than
    it lists them, it stays as it is.
    """
    plain = deepcopy(model).eval()
    folded = deepcopy(plain)
    _fold(folded)
    device = next(model.parameters()).device
    noise = torch.rand(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(device)
    with torch.inference_mode():
        expected, found = plain(noise), folded(noise)
    near = (found - expected).abs().max() <= FOLDING_TOLERANCE * expected.abs().max()
    return folded if near else plain


def _fold(module: nn.Module) -> None:
    previous = (None, "")
    for name, child in list(module.named_children()):
        _fold(child)
        convolution, at = previous
        if isinstance(child, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            setattr(module, at, fuse_conv_bn_eval(convolution, child))
            # timm's BatchNorm holds the activation that follows it.
            setattr(module, name, getattr(child, "act", nn.Identity()))
        previous = (child, name)
