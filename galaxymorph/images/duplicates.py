"""Near-duplicate images, by a perceptual hash that compression and scaling hardly change."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

# Whether each cell of a grid is brighter than the mean of its neighbours: the sign of a Laplacian,
# after Marr & Hildreth 1980 (image hashes: Zauner 2010, thesis, section 3.2.4). A difference hash
# of fewer cells mistakes smooth galaxies for copies; here the noise of the sky distinguishes them.
SIDE, NEIGHBOURS = 32, 3
# Bits of 1,024 up to which two images are copies of one. The two most alike of 500 of Kaggle's
# images differ in 414, of 400 of EFIGI's in 408; one saved again at quality 60 differs from the
# original in 294 at most (95 %: 269), at quality 85 or halved in size in 193.
MOST_BITS = 307
# Least bits that are set; noise sets half. With fewer, the sky has no noise.
LEAST_BITS = 256
# Rows of the table of distances that are made at once.
BLOCK = 2048


def perceptual_hash(image: Image.Image) -> np.ndarray:
    """Return the perceptual hash of an image, boolean, shape (SIDE ** 2,)."""
    from scipy.ndimage import uniform_filter

    small = image.convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    cells = np.asarray(small, float)
    return (cells > uniform_filter(cells, NEIGHBOURS, mode="nearest")).ravel()


def near_duplicates(hashes: Sequence[np.ndarray]) -> np.ndarray:
    """Return the position of the first image that each is a copy of, or its own, shape (n,).

    Args:
        hashes: see `perceptual_hash`; a uniform image is a copy of none.
    """
    bits = np.asarray(hashes, np.float32).reshape(len(hashes), SIDE**2)
    ones, first = bits.sum(axis=1), np.arange(len(bits))
    noisy = ones >= LEAST_BITS
    for start in range(0, len(bits), BLOCK):
        rows = slice(start, start + BLOCK)
        # The number of bits that are set in one of the two.
        apart = ones[rows, None] + ones - 2 * bits[rows] @ bits.T
        alike = (apart <= MOST_BITS) & noisy[rows, None] & noisy
        alike[np.arange(len(alike)), np.arange(start, start + len(alike))] = True
        first[rows] = alike.argmax(axis=1)
    # Copies of copies have the first of the chain.
    return first[first]
