"""Rendering of image files: choice of bands and stretches of FITS, and the filter of resizing.

To add a stretch, here or in a plugin, decorate its function with `stretch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from galaxymorph.base import Registry

# From bands over their sky, shape (n, height, width), the noise (sigma) and the value that is
# shown as white, to shares of white, 0 to 1, in the same shape.
Stretch = Callable[[np.ndarray, float, float], np.ndarray]
STRETCHES: Registry[Stretch] = Registry("stretch")

# The percentile that is shown as white.
WHITE = 99.8
# The asinh of `lupton` is linear up to so many sigma, or 1 / RANGE of white if that is more.
LINEAR, RANGE = 3.0, 100.0
# A median absolute deviation, times this, is sigma where noise is Gaussian.
SIGMA = 1.4826
TINY = float(np.finfo(float).tiny)


@dataclass(frozen=True)
class Rendering:
    """Rendering of image files as RGB frames.

    Args:
        stretch: of FITS, of `STRETCHES`.
        bands: of FITS; the default are the file's.
        interpolation: that resizes any image to its frame, see `centre_frame`.
    """

    stretch: str = "lupton"
    bands: str | None = None
    interpolation: str = "bicubic"

    def changed(self, stretch: str | None = None, bands: str | None = None) -> Rendering:
        """Return the rendering with another stretch or other bands, if given.

        Raises:
            BadInput: the stretch isn't known.
        """
        if stretch is not None:
            STRETCHES.find(stretch, "--stretch")
        return replace(self, stretch=stretch or self.stretch, bands=bands or self.bands)


DEFAULT = Rendering()


def stretch(function: Stretch) -> Stretch:
    """Register a function as the stretch of its name."""
    return STRETCHES.register(function.__name__, function)


def stretched(planes: np.ndarray, name: str) -> np.ndarray:
    """Return bands of shape (n, height, width) between 0 and 1, one scale for all."""
    planes = planes - np.median(planes, axis=(1, 2), keepdims=True)
    light = planes.mean(axis=0)
    noise = SIGMA * float(np.median(np.abs(light - np.median(light))))
    white = float(np.percentile(light, WHITE))
    return STRETCHES[name](planes, noise, white if white > 0 else max(float(light.max()), TINY))


@stretch
def lupton(planes: np.ndarray, noise: float, white: float) -> np.ndarray:
    """Return bands stretched so that bright cores keep their colours.

    Lupton et al. 2004, PASP 116, 133, equations 1 and 2: R = r f(I) / I, with I the mean of the
    bands and f an asinh that is linear below the noise; where a colour would be over 1, all three
    are divided by it.
    """
    above = (planes + noise).clip(0)
    intensity = above.mean(axis=0)
    soft = max(LINEAR * noise, white / RANGE, TINY)
    bright = np.arcsinh(intensity / soft) / np.arcsinh(max(white + noise, soft) / soft)
    rgb = above * np.divide(bright, intensity, out=np.zeros_like(bright), where=intensity > 0)
    return rgb / rgb.max(axis=0).clip(1)


@stretch
def asinh(planes: np.ndarray, noise: float, white: float) -> np.ndarray:
    """Return bands by astropy's asinh stretch, from the noise below the sky to white."""
    from astropy.visualization import AsinhStretch

    return AsinhStretch(0.1)(linear(planes, noise, white))


@stretch
def zscale(planes: np.ndarray, noise: float, white: float) -> np.ndarray:
    """Return bands in linear shares between the limits of IRAF's zscale."""
    from astropy.visualization import ZScaleInterval

    return _shares(planes, *ZScaleInterval().get_limits(planes.mean(axis=0)))


@stretch
def linear(planes: np.ndarray, noise: float, white: float) -> np.ndarray:
    """Return bands in linear shares, from the noise below the sky to white."""
    return _shares(planes, -noise, white)


def _shares(planes: np.ndarray, low: float, high: float) -> np.ndarray:
    return ((planes - low) / max(high - low, TINY)).clip(0, 1)
