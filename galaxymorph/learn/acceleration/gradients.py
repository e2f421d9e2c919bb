"""The weight gradient of a convolution as one matrix product, for training in bfloat16 on a CPU.

PyTorch's kernel takes three times as long as the forward pass; the product of the patches with the
gradient of the outputs takes half of that.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from torch import nn
from torch.nn.grad import conv2d_input


class Convolution(torch.autograd.Function):
    """A convolution without bias, groups or dilation, with the same padding on all sides."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, stride: int, padding: int
    ) -> torch.Tensor:
        """Return outputs of shape (n, channels, height, width), channels-last."""
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding)

    @staticmethod
    def backward(
        ctx: Any, gradient: torch.Tensor
    ) -> tuple[torch.Tensor | None, torch.Tensor | None, None, None]:
        """Return the gradients of x and of the weight."""
        x, weight = ctx.saved_tensors
        x_gradient, weight_gradient = None, None
        if ctx.needs_input_grad[0]:
            x_gradient = conv2d_input(x.shape, weight, gradient, ctx.stride, ctx.padding)
        if ctx.needs_input_grad[1]:
            weight_gradient = _weight_gradient(x, gradient, weight.shape, ctx.stride, ctx.padding)
        return x_gradient, weight_gradient, None, None


@contextmanager
def fast_weight_gradients(model: nn.Module) -> Iterator[None]:
    """Let a model's trained convolutions run in bfloat16 with this gradient within the block.

    Args:
        model: channels-last, and frozen as it will be in training.
    """
    convolutions = [
        module for module in model.modules() if isinstance(module, nn.Conv2d) and _fits(module)
    ]
    try:
        for module in convolutions:
            module.forward = partial(  # type: ignore[method-assign]
                _convolve, module
            )
        yield
    finally:
        for module in convolutions:
            module.__dict__.pop("forward", None)


def _convolve(module: nn.Conv2d, x: torch.Tensor) -> torch.Tensor:
    if not torch.is_grad_enabled():
        # The method of the class: the module's `forward` is this function.
        return nn.Conv2d.forward(module, x)
    x, weight = x.to(torch.bfloat16), module.weight.to(torch.bfloat16)
    return Convolution.apply(x, weight, module.stride[0], module.padding[0])


def _fits(module: nn.Conv2d) -> bool:
    return (
        type(module) is nn.Conv2d
        and module.weight.requires_grad
        and module.bias is None
        and module.groups == 1
        and module.dilation == (1, 1)
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)
        and len({module.padding, module.padding[::-1]}) == 1
        and module.stride[0] == module.stride[1]
    )


def _weight_gradient(
    x: torch.Tensor, gradient: torch.Tensor, shape: torch.Size, stride: int, padding: int
) -> torch.Tensor:
    outputs, inputs, height, width = shape
    pixels = F.pad(x.permute(0, 2, 3, 1), (0, 0, padding, padding, padding, padding))
    of_image, of_row, of_column, of_channel = pixels.stride()
    rows, columns = gradient.shape[2:]
    patches = pixels.as_strided(
        (len(x), rows, columns, height, width, inputs),
        (of_image, of_row * stride, of_column * stride, of_row, of_column, of_channel),
    ).reshape(-1, height * width * inputs)
    by_output = gradient.permute(1, 0, 2, 3).reshape(outputs, -1)
    return (by_output @ patches).view(outputs, height, width, inputs).permute(0, 3, 1, 2)
