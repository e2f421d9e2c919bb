"""FITS cutouts into RGB pixels: bands found, gaps filled, brightness stretched.

How is a setting of the whole process, as the device is: a recipe's own, see `render_fits_as`.
"""

from __future__ import annotations

import io
import re
import warnings
import zlib
from dataclasses import dataclass

import numpy as np
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.images.content import require_bands

STRETCHES = ("lupton", "asinh", "zscale", "linear")
FITS_ENDINGS = (".fits", ".fit", ".fits.gz", ".fit.gz", ".fits.fz")
# Of a cutout's values, all bands together, and unpacked bytes: as many as of a JPEG's.
MAX_VALUES, MAX_BYTES = 40_000_000, 400_000_000
# The share of pixels that may be white.
WHITE = 99.8
# Where the asinh of `lupton` turns from linear: so many sigma, or this share of white, whichever is
# more.
LINEAR, RANGE = 3.0, 100.0
# A median absolute deviation in standard deviations of a Gaussian.
SIGMA = 1.4826


@dataclass(frozen=True)
class Rendering:
    """How FITS becomes RGB: a stretch of `STRETCHES`, and bands, red first, None for its own."""

    stretch: str = "lupton"
    bands: str | None = None


_rendering = Rendering()


def render_fits_as(stretch: str, bands: str | None) -> None:
    """Render all FITS that this process reads from now on by these settings."""
    global _rendering
    _rendering = Rendering(stretch, bands)


def rendering() -> Rendering:
    """Return the settings by which FITS is rendered now."""
    return _rendering


def is_fits(name: str) -> bool:
    """Tell by its name whether a file is FITS."""
    return name.lower().endswith(FITS_ENDINGS)


def decode_fits(data: bytes, reference: str, how: Rendering | None = None) -> Image.Image:
    """Return a FITS cutout as an RGB image, its first row at the top as in a JPEG.

    One band is grey. Of two the green is their mean; of three, or two, red is the last unless
    `bands` says otherwise, since cubes go from blue to red. NaN and infinite pixels become sky.

    Args:
        data: the file's bytes, gzipped or not.
        reference: its name in errors.
        how: by itself the process's.

    Raises:
        NoContent: a band has no value, or none in half of the middle.
        BadInput: astropy is missing; the file is damaged, too large, or holds no image; a band
            isn't there, or there are more than three and none is chosen.
    """
    how = how or rendering()
    every = _planes(_unpacked(data, reference), reference)
    planes = _chosen(every, how.bands, reference)
    used = {name: plane for name, plane in every.items() if any(plane is each for each in planes)}
    require_bands(used, reference)
    rgb = _stretched(np.stack([_filled(plane) for plane in planes]), how.stretch)
    if len(rgb) == 1:
        rgb = rgb.repeat(3, axis=0)
    # FITS counts its rows from the bottom.
    pixels = (rgb[:, ::-1].transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _unpacked(data: bytes, reference: str) -> bytes:
    if data[:2] != b"\x1f\x8b":
        return data
    gzip = zlib.decompressobj(wbits=31)
    try:
        found = gzip.decompress(data, MAX_BYTES)
    except zlib.error as error:
        raise BadInput(f"{reference}: damaged ({error})", "download it again") from None
    if gzip.unconsumed_tail:
        raise BadInput(f"{reference}: over {MAX_BYTES:,} bytes unpacked", "make a smaller cutout")
    if not gzip.eof:
        raise BadInput(f"{reference}: damaged (it ends early)", "download it again")
    return found


def _planes(data: bytes, reference: str) -> dict[str, np.ndarray]:
    """Return the bands of a file by name, each of shape (height, width), as floats."""
    try:
        from astropy.io import fits
    except ImportError:
        raise BadInput(
            f"{reference}: FITS needs astropy", "pip install 'galaxymorph[fits]'"
        ) from None
    with warnings.catch_warnings():
        # A cut file is only warned of, until its pixels are asked for.
        warnings.simplefilter("ignore")
        try:
            with fits.open(io.BytesIO(data), memmap=False) as opened:
                return _planes_of(opened, reference)
        except BadInput:
            raise
        except Exception as error:
            # Broken headers and data raise errors of many types.
            words = " ".join(str(error).split())[:120]
            raise BadInput(f"{reference}: damaged FITS ({words})", "download it again") from None


def _planes_of(opened, reference: str) -> dict[str, np.ndarray]:
    planes: dict[str, np.ndarray] = {}
    shape = None
    for hdu in opened:
        if not getattr(hdu, "is_image", False) or not hdu.shape:
            continue
        # Axes of length 1 stand for a frequency or a polarisation.
        sides = tuple(side for side in hdu.shape[:-2] if side != 1) + tuple(hdu.shape[-2:])
        if len(sides) not in (2, 3) or (shape is not None and sides[-2:] != shape):
            continue
        if int(np.prod(sides)) > MAX_VALUES:
            raise BadInput(
                f"{reference}: {'x'.join(map(str, sides))} values, over {MAX_VALUES:,}",
                "make a cutout of the galaxy",
            )
        if 0 in sides:
            continue
        shape = sides[-2:]
        values = np.asarray(hdu.data, dtype=np.float64).reshape(sides)
        if len(sides) == 3:
            return dict(zip(_cube_names(hdu.header, sides[0]), values, strict=True))
        planes[_band_name(hdu, len(planes), planes)] = values
    if not planes:
        raise BadInput(f"{reference}: no image in the FITS file", "give a cutout")
    return planes


def _cube_names(header, number: int) -> list[str]:
    """Return a cube's bands: as its header says, as Legacy Surveys' cutouts do, or numbers."""
    said = str(header.get("BANDS", "")).strip()
    names = re.split(r"[,\s]+", said) if re.search(r"[,\s]", said) else list(said)
    if len(set(names)) == number == len(names):
        return names
    return [str(n + 1) for n in range(number)]


def _band_name(hdu, at: int, known: dict) -> str:
    for key in ("FILTER", "BAND", "EXTNAME"):
        name = str(hdu.header.get(key, "")).strip()
        if name and name not in known:
            return name
    return str(at + 1)


def _chosen(planes: dict[str, np.ndarray], bands: str | None, reference: str) -> list[np.ndarray]:
    """Return one plane, or red, green and blue."""
    if bands is not None:
        names = [_known_as(name.strip(), planes) for name in bands.split(",")]
        missing = [name for name in names if name not in planes]
        if missing or len(names) not in (1, 3):
            raise BadInput(
                f"{reference}: --bands {bands}, and the file has {', '.join(planes)}",
                "name one band, or three with the red first",
            )
        return [planes[name] for name in names]
    found = list(planes.values())[::-1]
    if len(found) > 3:
        raise BadInput(
            f"{reference}: {len(found)} bands, {', '.join(planes)}",
            "choose three with --bands, the red first",
        )
    return [found[0], (found[0] + found[1]) / 2, found[1]] if len(found) == 2 else found


def _known_as(name: str, planes: dict[str, np.ndarray]) -> str:
    # In a header's EXTNAME astropy makes every letter a capital.
    alike = [known for known in planes if known.casefold() == name.casefold()]
    return alike[0] if name not in planes and len(alike) == 1 else name


def _filled(plane: np.ndarray) -> np.ndarray:
    finite = np.isfinite(plane)
    # Beyond this a square overflows; nothing that was measured is so bright.
    return np.where(finite, plane, np.median(plane[finite])).clip(-1e30, 1e30)


def _stretched(planes: np.ndarray, stretch: str) -> np.ndarray:
    """Return bands of shape (n, height, width) between 0 and 1, one scale for all."""
    planes = planes - np.median(planes, axis=(1, 2), keepdims=True)
    light = planes.mean(axis=0)
    noise = SIGMA * float(np.median(np.abs(light - np.median(light))))
    white = float(np.percentile(light, WHITE))
    if white <= 0:
        white = max(float(light.max()), np.finfo(float).tiny)
    if stretch == "lupton":
        return _lupton(planes, noise, white)
    if stretch == "zscale":
        from astropy.visualization import ZScaleInterval

        low, high = ZScaleInterval().get_limits(light)
    else:
        low, high = -noise, white
    share = ((planes - low) / max(high - low, np.finfo(float).tiny)).clip(0, 1)
    if stretch == "asinh":
        from astropy.visualization import AsinhStretch

        return AsinhStretch(0.1)(share)
    return share


def _lupton(planes: np.ndarray, noise: float, white: float) -> np.ndarray:
    """Return bands whose colours a bright core keeps, shape (n, height, width), 0 to 1.

    Lupton et al. 2004, PASP 116, 133, equations 1 and 2: R = r f(I) / I, with I the mean of the
    bands and f an asinh that is linear below the noise; where a colour would be over 1, all three
    are divided by it.
    """
    above = (planes + noise).clip(0)
    intensity = above.mean(axis=0)
    linear = max(LINEAR * noise, white / RANGE, np.finfo(float).tiny)
    bright = np.arcsinh(intensity / linear) / np.arcsinh(max(white + noise, linear) / linear)
    rgb = above * np.divide(bright, intensity, out=np.zeros_like(bright), where=intensity > 0)
    return rgb / rgb.max(axis=0).clip(1)
