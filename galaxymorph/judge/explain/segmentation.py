"""Segmentation of an image: the galaxy, other sources, and the background level."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

# Half of Galaxy Zoo's 424: its cutouts are enlarged, and no detail is finer.
SIDE = 212
# The frame's edge that counts as sky, in those pixels.
EDGE = 20
# A source: connected pixels above so many sigmas of the sky after smoothing, at least so many.
SMOOTHING, SIGMAS, LEAST = 1.5, 2.0, 20
# The galaxy is the source nearest to the centre, which it may miss by this many pixels.
OFF_CENTRE = 10


@dataclass(frozen=True)
class Segments:
    """Sources of an image.

    Args:
        galaxy: mask of the source at the centre, boolean, shape (SIDE, SIDE); none if empty.
        others: mask of the other sources.
        sky: background level, shape (3,), 0 to 1.
        grey: the image's light above it, mean over the bands, shape (SIDE, SIDE).
    """

    galaxy: np.ndarray
    others: np.ndarray
    sky: np.ndarray
    grey: np.ndarray


def segment(image: Image.Image) -> Segments:
    """Return the sources of an RGB image, detected above its background level.

    Sources that touch count as one: a companion that overlaps the galaxy is part of it.
    """
    small = np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX), np.float32) / 255
    rim = np.ones((SIDE, SIDE), bool)
    rim[EDGE:-EDGE, EDGE:-EDGE] = False
    sky = np.median(small[rim], axis=0)
    grey = (small - sky).mean(axis=2)
    # The scale of a normal distribution from its median absolute deviation; 8-bit images have no
    # less noise than a fraction of a level.
    noise = max(1.4826 * float(np.median(np.abs(grey[rim]))), 1 / 255)
    labels, count = ndimage.label(ndimage.gaussian_filter(grey, SMOOTHING) > SIGMAS * noise)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)
    labels[sizes[labels] < LEAST] = 0
    middle = slice(SIDE // 2 - OFF_CENTRE, SIDE // 2 + OFF_CENTRE)
    central = labels[middle, middle]
    central = central[central > 0]
    label = np.bincount(central).argmax() if len(central) else -1
    return Segments(labels == label, (labels > 0) & (labels != label), sky, grey)
