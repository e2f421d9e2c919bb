"""Cutting the frame that a model sees out of a galaxy's image."""

from __future__ import annotations

from PIL import Image


def centre_frame(image: Image.Image, crop: float, size: int) -> Image.Image:
    """Return the centred square of the image at `size` x `size` pixels.

    Args:
        image: any size; Galaxy Zoo's are 424x424 and centred on the galaxy.
        crop: the square's side as a share of the image's shorter side, over 0, up to 1.
        size: the result's side in pixels. Shrinking averages over the pixels (bicubic with
            antialiasing), so no star is lost between two samples.
    """
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    return image.resize(
        (size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side)
    )
