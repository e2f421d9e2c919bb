"""Which pixels of an image are the galaxy's own, which are other sources', and the sky's colour."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image
from scipy import ndimage

# Half of Galaxy Zoo's 424: its cutouts are enlarged, and no detail is finer.
SIDE = 212
# The frame's edge that counts as sky, in those pixels.
EDGE = 20
# A source: this many connected pixels, each this many sigmas over the sky after smoothing.
SMOOTHING, SIGMAS, LEAST = 1.5, 2.0, 20
# The galaxy is the source nearest to the centre, which it may miss by this many pixels.
OFF_CENTRE = 10


@dataclass(frozen=True)
class Segments:
    """Boolean masks of shape (SIDE, SIDE); `sky` is red, green, blue from 0 to 1."""

    own: np.ndarray
    others: np.ndarray
    sky: np.ndarray
    grey: np.ndarray

    @property
    def found(self) -> bool:
        """Whether there is a source at the centre."""
        return bool(self.own.any())


def segment(image: Image.Image) -> Segments:
    """Return the sources of an RGB image, found over its sky.

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
    name = np.bincount(central).argmax() if len(central) else -1
    return Segments(labels == name, (labels > 0) & (labels != name), sky, grey)
