"""Where in its input the cells of a network's feature maps are centred.

Cells of a padded, strided convolution are centred on the multiples of its stride; those of one
without padding half a stride further, as patches are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

aten = torch.ops.aten


@dataclass(frozen=True)
class Cells:
    """The receptive fields of a feature map's cells, in pixels of the input, down and across.

    Args:
        count: of the cells.
        low: the first pixel of the first cell's field, which may be outside of the image.
        high: its last pixel.
        step: from each cell to the next.
    """

    count: np.ndarray
    low: np.ndarray
    high: np.ndarray
    step: np.ndarray

    @property
    def first(self) -> np.ndarray:
        """The first cell's centre; that of the image's first pixel is 0."""
        return (self.low + self.high) / 2

    def resized(self, count: Sequence[int] | np.ndarray) -> Cells:
        """Return another number of cells that cover the same, such as cells merged by fours."""
        merged = self.count / np.array(count)
        high = self.high + (merged - 1) * self.step
        return Cells(np.array(count), self.low, high, self.step * merged)

    def joined(self, other: Cells) -> Cells:
        """Return the cells of a sum; where one is of pooled features, the finer ones."""
        if not np.array_equal(self.count, other.count):
            return max(self, other, key=lambda cells: cells.count.prod())
        low, high = np.minimum(self.low, other.low), np.maximum(self.high, other.high)
        return Cells(self.count, low, high, self.step)


def cells_of(trunk: nn.Module, images: torch.Tensor) -> Cells:
    """Return the receptive fields of the cells of a trunk's last feature maps.

    Args:
        trunk: in evaluation mode, from images to feature maps, shape (n, channels, rows, columns).
        images: shape (n, channels, height, width), of which one is passed through it.
    """
    followed = _Followed(images[:1])
    # In inference mode, composite operations wouldn't be taken apart. Autocast would keep the
    # weights that it casts without gradients.
    with torch.no_grad(), _full_precision(images), followed:
        maps = trunk(followed.images)
    return followed.cells[maps].resized(maps.shape[-2:])


def placed(maps: torch.Tensor, cells: Cells, shape: Sequence[int]) -> torch.Tensor:
    """Return maps in an image's pixels: bilinear between the cells' centres, constant beyond.

    Args:
        maps: shape (..., rows, columns).
        cells: of the maps.
        shape: height and width of the image.
    """
    down, across = (
        _weights(*axis).to(maps.device)
        for axis in zip(cells.first, cells.step, cells.count, shape, strict=True)
    )
    with _full_precision(maps):
        return down @ maps.float() @ across.T


def _full_precision(tensor: torch.Tensor) -> torch.autocast:
    return torch.autocast(tensor.device.type, enabled=False)


def _weights(first: float, step: float, count: int, pixels: int) -> torch.Tensor:
    """Return the weight of each cell in each pixel along an axis, shape (pixels, count)."""
    at = (torch.arange(pixels) - first) / step
    return (1 - (at.clamp(0, count - 1)[:, None] - torch.arange(count)).abs()).clamp_min(0)


class _Followed(TorchDispatchMode):
    """Follows the cells of tensors from an image through the operations of a network.

    An operation that isn't in `LAYERS` leaves the cells where they are, also those that a later
    layer finds merged or in another order of axes.
    """

    def __init__(self, images: torch.Tensor):
        super().__init__()
        self.images = images
        self.cells = WeakTensorKeyDictionary()
        pixel = np.zeros(2)
        self.cells[images] = Cells(np.array(images.shape[-2:]), pixel, pixel, np.ones(2))

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        known = [self.cells[each] for each in _tensors((args, kwargs)) if each in self.cells]
        if not known:
            return result
        cells = reduce(Cells.joined, known)
        layer = LAYERS.get(func.overloadpacket)
        outputs = _tensors(result)
        # Convolutions along channels, of fewer axes, aren't of images.
        if layer is not None and args[0].ndim == 4:
            before = cells.resized(args[0].shape[-2:])
            cells = layer(before, np.array(outputs[0].shape[-2:]), *args[1:])
        for each in outputs:
            self.cells[each] = cells
        return result


def _tensors(values: object) -> list[torch.Tensor]:
    return [each for each in tree_leaves(values) if isinstance(each, torch.Tensor)]


def _layer(
    cells: Cells,
    count: np.ndarray,
    kernel: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
) -> Cells:
    """Return the cells after a convolution or a pooling (Araujo et al. 2019, Distill, e21)."""
    before = np.array(padding)
    after = np.array(dilation) * (np.array(kernel) - 1) - before
    return Cells(
        count,
        cells.low - before * cells.step,
        cells.high + after * cells.step,
        cells.step * np.array(stride),
    )


def _convolution(
    cells: Cells,
    count: np.ndarray,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    *others: object,
) -> Cells:
    if transposed:
        return cells.resized(count)
    return _layer(cells, count, weight.shape[2:], stride, padding, dilation)


def _max_pooling(
    cells: Cells,
    count: np.ndarray,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    *others: object,
) -> Cells:
    return _layer(cells, count, kernel, stride or kernel, padding, dilation)


def _mean_pooling(
    cells: Cells,
    count: np.ndarray,
    kernel: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    *others: object,
) -> Cells:
    return _layer(cells, count, kernel, stride or kernel, padding, (1,))


def _padding(cells: Cells, count: np.ndarray, sides: Sequence[int], *others: object) -> Cells:
    # Left and right come first, then top and bottom.
    shift = np.array([sides[2] if len(sides) > 2 else 0, sides[0]]) * cells.step
    return Cells(count, cells.low - shift, cells.high - shift, cells.step)


LAYERS: dict[object, Callable[..., Cells]] = {
    aten.convolution: _convolution,
    aten.max_pool2d_with_indices: _max_pooling,
    aten.avg_pool2d: _mean_pooling,
    aten.constant_pad_nd: _padding,
    aten.reflection_pad2d: _padding,
    aten.replication_pad2d: _padding,
}
