"""Where a galaxy's features are in its image: one PNG a galaxy, a bit a feature."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from galaxymorph.survey.light import Light
from galaxymorph.survey.observing import SIDE

# Which bit of the PNG's byte stands for which feature.
MASK_BITS = {"arms": 1, "bar": 2, "bulge": 4, "ring": 8, "companion": 16}
# A mask holds the brightest pixels that make up this share of the feature's light; a bulge's is
# its half-light ellipse, because Sersic wings go on for ever.
SHARES = {"arms": 0.7, "bar": 0.8, "bulge": 0.5, "ring": 0.75, "companion": 0.8}


def mask_png(light: Light, turn: float = 0.0) -> bytes:
    """Return a galaxy's masks as the bytes of a PNG, 8 bits of shape (424, 424).

    Args:
        light: its features.
        turn: degrees that its image is turned by, counter-clockwise.
    """
    masks = np.zeros((SIDE, SIDE), np.uint8)
    for name, bit in MASK_BITS.items():
        if name not in light.features:
            continue
        feature = Image.fromarray(light.features[name]).rotate(turn, Image.Resampling.BILINEAR)
        enlarged = np.asarray(feature.resize((SIDE, SIDE), Image.Resampling.BILINEAR))
        masks |= np.where(brightest(enlarged, SHARES[name]), bit, 0).astype(np.uint8)
    stream = io.BytesIO()
    Image.fromarray(masks).save(stream, "PNG")
    return stream.getvalue()


def brightest(light: np.ndarray, share: float) -> np.ndarray:
    """Return which pixels are the brightest that hold a share of the light: boolean."""
    ordered = np.sort(light, axis=None)[::-1]
    held = np.cumsum(ordered, dtype=np.float64)
    if held[-1] <= 0:
        return np.zeros(light.shape, bool)
    return light >= ordered[np.searchsorted(held, share * held[-1])]


def read_masks(path: str | Path) -> dict[str, np.ndarray]:
    """Return masks by feature: boolean, shape (424, 424), all False for one it lacks."""
    bits = np.asarray(Image.open(path))
    return {name: (bits & bit).astype(bool) for name, bit in MASK_BITS.items()}
