"""Rendering of image files: choice of bands and stretches of FITS, and the filter of resizing.

To add a stretch, here or in a plugin, decorate its function with `stretch`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from galaxymorph.base import BadInput, Registry, setting

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
SURFACE_BRIGHTNESS, CALIBRATED, STORED = "surface-brightness", "calibrated", "stored"
# Units of flux in words, the most demanding first.
FLUX_UNITS = {
    SURFACE_BRIGHTNESS: "nanomaggies a square arcsecond, by the headers",
    CALIBRATED: "nanomaggies a pixel, by the headers",
    STORED: "values as stored",
}


@dataclass(frozen=True)
class FluxInput:
    """The bands of flux that a model takes as channels.

    Args:
        bands: their names, in the order of the channels.
        unit: of the values, of `FLUX_UNITS`.
        softening: the flux of each band that is 1 in a frame; without, 1 each.
        missing: number of bands that an image may lack; they are sky.
    """

    bands: tuple[str, ...]
    unit: str = CALIBRATED
    softening: tuple[float, ...] = ()
    missing: int = 0

    @property
    def words(self) -> str:
        """The bands, comma separated."""
        return ",".join(self.bands)


@dataclass(frozen=True)
class Rendering:
    """Rendering of image files as frames, in RGB or in bands of flux.

    Args:
        stretch: of FITS, of `STRETCHES`.
        bands: of FITS; the default are the file's.
        interpolation: that resizes any image to its frame, see `centre_frame`.
        flux: of a model that takes bands of flux; its pictures are previews.
    """

    stretch: str = "lupton"
    bands: str | None = None
    interpolation: str = "bicubic"
    flux: FluxInput | None = None

    @property
    def channels(self) -> int:
        """The number of a frame's channels."""
        return len(self.flux.bands) if self.flux else 3

    def as_dict(self) -> dict[str, Any]:
        """Return the settings for a digest; those of RGB don't name flux."""
        settings = asdict(self)
        if self.flux is None:
            del settings["flux"]
        return settings

    def changed(self, stretch: str | None = None, bands: str | None = None) -> Rendering:
        """Return the rendering with another stretch or other bands, if given.

        Raises:
            BadInput: the stretch isn't known; or the model takes bands of flux, and others.
        """
        if self.flux is not None:
            self._require_same_flux(stretch, bands)
            return self
        if stretch is not None:
            STRETCHES.find(stretch, setting("stretch"))
        return replace(self, stretch=stretch or self.stretch, bands=bands or self.bands)

    def _require_same_flux(self, stretch: str | None, bands: str | None) -> None:
        assert self.flux is not None
        takes = f"the model takes flux in the bands {self.flux.words}"
        if stretch is not None:
            raise BadInput(
                f"{setting('stretch', stretch)}: {takes}, which isn't stretched", "leave it out"
            )
        if bands is not None and tuple(map(str.strip, bands.split(","))) != self.flux.bands:
            raise BadInput(f"{setting('bands', bands)}: {takes}, in this order", "leave it out")


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
