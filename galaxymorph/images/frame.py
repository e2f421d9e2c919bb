"""Cutting the frame that a model sees out of a galaxy's image."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
from PIL import Image

# How `centre_frame` shrinks: with PyTorch; to the same bits without it, in four times the time; or
# with Pillow, without PyTorch too and as fast, to within a level in 255.
KERNELS = ("torch", "exact", "pillow")
# The steepness of bicubic interpolation (Keys 1981, IEEE Trans. ASSP 29, 1153, equation 15 with
# a = -0.5).
STEEPNESS = -0.5
# PyTorch holds the weights of 8-bit images in 16 bits, see ATen/native/cpu/UpSampleKernel.cpp.
LARGEST_WEIGHT, MOST_BITS = 2**15, 22


def centre_frame(
    image: Image.Image,
    crop: float,
    size: int,
    kernel: str = "torch",
    interpolation: str = "bicubic",
) -> np.ndarray:
    """Return the centred square of an RGB image as uint8 pixels, shape (size, size, 3).

    Args:
        image: any size; Galaxy Zoo's are 424x424 and centred on the galaxy.
        crop: the square's side as a share of the image's shorter side, over 0, up to 1.
        size: the result's side in pixels. Shrinking averages over the pixels (antialiasing), so no
            star is lost between two samples.
        kernel: one of `KERNELS`.
        interpolation: one of `INTERPOLATIONS`.
    """
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    if kernel != "pillow" and all(edge.is_integer() for edge in (side, left, top)):
        shrink = _shrink_whole if kernel == "torch" else _shrink_exactly
        return shrink(np.array(image), int(left), int(top), int(side), size, interpolation)
    box = (left, top, left + side, top + side)
    return np.array(image.resize((size, size), Image.Resampling[interpolation.upper()], box=box))


def _shrink_whole(
    pixels: np.ndarray, left: int, top: int, side: int, size: int, interpolation: str
) -> np.ndarray:
    # Pillow's filter to within a level in 255, in less than half its time; but it knows no box
    # that begins inside a pixel.
    import torch
    import torch.nn.functional as F  # noqa: N812

    square = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)[None]
    shrunk = F.interpolate(
        square, (size, size), mode=interpolation, antialias=True, align_corners=False
    )
    return shrunk[0].permute(1, 2, 0).contiguous().numpy()


def _shrink_exactly(
    pixels: np.ndarray, left: int, top: int, side: int, size: int, interpolation: str
) -> np.ndarray:
    """Return what `_shrink_whole` does, to the bit.

    Its sums of 8-bit pixels and whole weights stay below 2^32, so double precision holds them
    exactly, in whatever order they are added; single precision does where little is shrunk.
    """
    weights, bits = _weights(side, size, interpolation)
    square = pixels[top : top + side, left : left + side].astype(np.float64)
    by_channel = square.transpose(0, 2, 1).reshape(side * 3, side)
    rows = _to_levels(by_channel @ weights.T, bits).reshape(side, 3 * size)
    shrunk = _to_levels(weights @ rows, bits).astype(np.uint8)
    return np.ascontiguousarray(shrunk.reshape(size, 3, size).transpose(0, 2, 1))


def _to_levels(sums: np.ndarray, bits: int) -> np.ndarray:
    return np.floor((sums + 2.0 ** (bits - 1)) * 2.0**-bits).clip(0, 255)


@lru_cache(maxsize=8)
def _weights(side: int, size: int, interpolation: str) -> tuple[np.ndarray, int]:
    """Return the weights of `side` pixels in each of `size`, whole numbers, and their bits."""
    kernel, reach = INTERPOLATIONS[interpolation]
    scale = side / size
    wide = max(scale, 1.0)
    centres = (np.arange(size)[:, None] + 0.5) * scale
    low = np.maximum((centres - reach * wide + 0.5).astype(int), 0)
    high = np.minimum((centres + reach * wide + 0.5).astype(int), side)
    places = np.arange(side)[None]
    weights = np.where(
        (places >= low) & (places < high), kernel((places - centres + 0.5) / wide), 0.0
    )
    weights /= weights.sum(axis=1, keepdims=True)
    bits = 0
    while bits < MOST_BITS and int(0.5 + weights.max() * 2 ** (bits + 1)) < LARGEST_WEIGHT:
        bits += 1
    return np.trunc(weights * 2**bits + np.copysign(0.5, weights)), bits


def _cubic(distance: np.ndarray) -> np.ndarray:
    x, a = np.abs(distance), STEEPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < 2, far, 0.0))


def _triangle(distance: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(distance), 0.0)


# The weight of a pixel by its distance, and the pixels that it reaches on either side.
INTERPOLATIONS: dict[str, tuple[Callable[[np.ndarray], np.ndarray], float]] = {
    "bicubic": (_cubic, 2.0),
    "bilinear": (_triangle, 1.0),
}
