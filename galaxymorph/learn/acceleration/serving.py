"""A network for inference: BatchNorm folded, in a memory and number format for the hardware."""

from __future__ import annotations

from copy import deepcopy

import torch
from fastai.torch_core import default_device
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from galaxymorph.learn.acceleration.fusion import fused
from galaxymorph.learn.acceleration.hardware import memory_format, resolve_precision
from galaxymorph.learn.backbones.architectures import input_channels
from galaxymorph.learn.recipe import Recipe

# Relative to the largest output; folding changes outputs by a millionth.
FOLDING_TOLERANCE = 1e-3
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
# Images that pass through the network at once on a CPU, so that early outputs stay in its cache.
CPU_CHUNK = 16


class ServingNetwork(nn.Module):
    """A model for inference: its trunk in a given precision, its head in float32."""

    def __init__(self, trunk: nn.Module, head: nn.Module, dtype: torch.dtype):
        super().__init__()
        self.trunk, self.head, self.dtype = trunk, head, dtype
        self.layout = memory_format(trunk)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        """Return logits in float32, shape (n, classes)."""
        return self.head(self.features(batch))

    def features(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the trunk's outputs, in float32."""
        return torch.cat(
            [self.trunk(part) for part in in_chunks(batch, self.dtype, self.layout)]
        ).float()


def in_chunks(
    batch: torch.Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> tuple[torch.Tensor, ...]:
    """Return a batch in the type and memory format for inference, in parts on a CPU."""
    batch = batch.to(dtype, memory_format=layout)
    return batch.split(CPU_CHUNK) if batch.device.type == "cpu" else (batch,)


def serving_network(model: nn.Module, recipe: Recipe, precision: str | None = None) -> nn.Module:
    """Return a copy of a model for inference, with equal outputs up to rounding.

    In the plain pipeline it is the model itself.

    Args:
        model: a trunk, then a head.
        recipe: that it was trained by.
        precision: of the trunk, in place of the recipe's; see `resolve_precision`.

    Raises:
        BadInput: the device doesn't have that precision.
    """
    resolved = resolve_precision(precision or recipe.precision, model)
    if recipe.pipeline == "plain" and resolved == "fp32":
        return model.eval().to(default_device())
    trunk, head = serving_parts(model, recipe, resolved)
    return ServingNetwork(trunk, head, DTYPES[resolved]).eval()


def serving_parts(model: nn.Module, recipe: Recipe, precision: str) -> tuple[nn.Module, nn.Module]:
    """Return copies of a model's trunk and head for inference.

    The trunk is folded, in the device's memory format, in a resolved precision and, on a CPU,
    fused; its stages keep their names. The head is in float32.
    """
    folded = fold_batchnorm(model, recipe.size).to(memory_format=memory_format(model))
    trunk, head = folded.get_submodule("0"), folded.get_submodule("1")
    if default_device().type != "cpu":
        folded.to(default_device())
        return trunk.to(DTYPES[precision]), head
    return fused(trunk.cpu(), DTYPES[precision], recipe.size), head.cpu()


def fold_batchnorm(model: nn.Module, side: int) -> nn.Module:
    """Return a copy in evaluation mode with each BatchNorm folded into the preceding convolution.

    It is left unfolded if its outputs on an image of noise differ: a network may run its layers in
    another order than it lists them.
    """
    folded = deepcopy(model).eval()
    device = next(model.parameters()).device
    shape = (1, input_channels(folded), side, side)
    noise = torch.rand(*shape, generator=torch.Generator().manual_seed(0)).to(device)

    def outputs_of_noise() -> torch.Tensor:
        # cuDNN would use TensorFloat-32 for float32, which rounds to a thousandth.
        exact = torch.backends.cudnn.flags(enabled=True, deterministic=True, allow_tf32=False)
        with torch.inference_mode(), exact:
            return folded(noise)

    expected = outputs_of_noise()
    _fold(folded)
    outputs = outputs_of_noise()
    near = (outputs - expected).abs().max() <= FOLDING_TOLERANCE * expected.abs().max()
    return folded if near else deepcopy(model).eval()


def _fold(module: nn.Module) -> None:
    previous: tuple[nn.Module | None, str] = (None, "")
    for name, child in list(module.named_children()):
        _fold(child)
        convolution, at = previous
        if isinstance(child, nn.BatchNorm2d) and isinstance(convolution, nn.Conv2d):
            setattr(module, at, fuse_conv_bn_eval(convolution, child))
            # timm's BatchNorm holds the activation that follows it.
            setattr(module, name, getattr(child, "act", nn.Identity()))
        previous = (child, name)
