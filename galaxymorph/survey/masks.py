"""Masks of a galaxy's features in its image: one PNG a galaxy, one bit a feature."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from galaxymorph.survey.light import Light
from galaxymorph.survey.observing import SIDE

# The bit of each feature in a pixel's byte.
MASK_BITS = {"arms": 1, "bar": 2, "bulge": 4, "ring": 8, "companion": 16}
# A mask contains the brightest pixels with this fraction of the feature's light; a bulge's is its
# half-light ellipse, because Sersic profiles have no edge.
SHARES = {"arms": 0.7, "bar": 0.8, "bulge": 0.5, "ring": 0.75, "companion": 0.8}


def mask_png(light: Light, turn: float = 0.0) -> bytes:
    """Return a galaxy's masks as the bytes of a PNG, 8 bits of shape (424, 424).

    Args:
        light: its features.
        turn: rotation of its image, degrees counter-clockwise.
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
    """Return a mask of the brightest pixels that contain a fraction of the light."""
    ordered = np.sort(light, axis=None)[::-1]
    cumulative = np.cumsum(ordered, dtype=np.float64)
    if cumulative[-1] <= 0:
        return np.zeros(light.shape, bool)
    return light >= ordered[np.searchsorted(cumulative, share * cumulative[-1])]


def read_masks(path: str | Path) -> dict[str, np.ndarray]:
    """Return masks by feature, boolean, shape (424, 424); all False for an absent one."""
    bits = np.asarray(Image.open(path))
    return {name: (bits & bit).astype(bool) for name, bit in MASK_BITS.items()}
