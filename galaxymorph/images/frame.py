"""Cutting the frame that a model sees out of a galaxy's image."""

from __future__ import annotations

import numpy as np
from PIL import Image


def centre_frame(
    image: Image.Image, crop: float, size: int, without_torch: bool = False
) -> np.ndarray:
    """Return the centred square of an RGB image as uint8 pixels, shape (size, size, 3).

    Args:
        image: any size; Galaxy Zoo's are 424x424 and centred on the galaxy.
        crop: the square's side as a share of the image's shorter side, over 0, up to 1.
        size: the result's side in pixels. Shrinking averages over the pixels (bicubic with
            antialiasing), so no star is lost between two samples.
        without_torch: leave it to Pillow, to within a level in 255 of what PyTorch makes of it.
    """
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    if not without_torch and all(edge.is_integer() for edge in (side, left, top)):
        return _shrink_whole(np.array(image), int(left), int(top), int(side), size)
    box = (left, top, left + side, top + side)
    return np.array(image.resize((size, size), Image.Resampling.BICUBIC, box=box))


def _shrink_whole(pixels: np.ndarray, left: int, top: int, side: int, size: int) -> np.ndarray:
    # Pillow's filter to within a level in 255, in less than half its time; but it knows no box
    # that begins inside a pixel.
    import torch
    import torch.nn.functional as F  # noqa: N812

    square = torch.from_numpy(pixels[top : top + side, left : left + side]).permute(2, 0, 1)[None]
    shrunk = F.interpolate(
        square, (size, size), mode="bicubic", antialias=True, align_corners=False
    )
    return shrunk[0].permute(1, 2, 0).contiguous().numpy()
