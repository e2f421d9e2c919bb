"""FITS cutouts into RGB pixels: planes chosen, gaps filled, brightness stretched."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from PIL import Image

from galaxymorph.base import FITS_ENDINGS, BadInput, library_errors, reading, without_warnings
from galaxymorph.images.content import require_bands
from galaxymorph.images.planes import Plane, Unit, choose_planes
from galaxymorph.images.rendering import DEFAULT, Rendering, stretched

# How a FITS file begins.
MAGIC = b"SIMPLE  ="
# The standard deviation in pixels of the Gaussian that fills gaps; it reaches four of them.
GAP = 1.0


def is_fits(name: str) -> bool:
    """Tell by its name whether a file is FITS."""
    return name.lower().endswith(FITS_ENDINGS)


def decode_fits(data: bytes, reference: str, rendering: Rendering = DEFAULT) -> Image.Image:
    """Return a FITS cutout as an RGB image, its first row at the top as in a JPEG.

    One band is grey. Of two the green is their mean. Red is the longest wavelength where the bands'
    are known, else the file's last band, since cubes go from blue to red. NaN and infinite pixels
    become sky. A picture of 8 bits is shown as it is.

    Args:
        data: the file's bytes, unpacked.
        reference: its name in errors.
        rendering: the stretch, and bands in place of the file's own.

    Raises:
        NoContent: a band has no value, or none in half of the middle.
        BadInput: astropy is missing; the file is damaged, too large, or holds no image; or its
            bands can't be chosen, see `choose_planes`.
    """
    planes, values = _read(data, reference, rendering.bands)
    require_bands(
        {plane.name: pixels for plane, pixels in zip(planes, values, strict=True)}, reference
    )
    if all(plane.picture for plane in planes):
        shares = np.stack(values) / 255
    else:
        filled = [fill_gaps(plane) for plane in values]
        if len(filled) == 2:
            filled.insert(1, (filled[0] + filled[1]) / 2)
        shares = stretched(np.stack(filled), rendering.stretch)
    if len(shares) == 1:
        shares = shares.repeat(3, axis=0)
    # FITS counts its rows from the bottom by default.
    rows = shares if planes[0].top_down else shares[:, ::-1]
    pixels = (rows.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def _read(data: bytes, reference: str, bands: str | None) -> tuple[list[Plane], list[np.ndarray]]:
    """Return the planes to be shown, red first, and their values."""
    with opened_fits(data, reference) as units:
        planes = choose_planes(units, bands, reference)
        values = [plane.values() for plane in planes]
    if bands is None and len(planes) == 1 and planes[0].is_integer:
        _refuse_mask(values[0], reference)
    return planes, values


@contextmanager
def opened_fits(data: bytes, reference: str) -> Iterator[list[Unit]]:
    """Yield the units of a FITS file, whose pixels can be read in the block.

    Raises:
        BadInput: the file is damaged, or the block finds it so.
    """
    from astropy.io import fits

    with without_warnings(), reading(reference, "download it again", "damaged FITS"):
        # A cut file is only warned of, until its pixels are read.
        with library_errors():
            opened = list(fits.open(io.BytesIO(data), memmap=False))
        yield [Unit(hdu) for hdu in opened]


def _refuse_mask(plane: np.ndarray, reference: str) -> None:
    """Raise BadInput if whole numbers are those of a mask: two and no more."""
    levels = np.unique(plane)
    if len(levels) == 2:
        raise BadInput(
            f"{reference}: a mask (it has only the values {levels[0]:g} and {levels[1]:g})",
            "give the science image",
        )


def fill_gaps(plane: np.ndarray) -> np.ndarray:
    """Return a band whose missing pixels are like those around them, and sky in wider gaps."""
    finite = np.isfinite(plane)
    # Beyond this a square overflows; nothing that was measured is so bright.
    plane = np.where(finite, plane, np.nan).clip(-1e30, 1e30)
    if finite.all():
        return plane
    from astropy.convolution import Gaussian2DKernel, interpolate_replace_nans

    with without_warnings():
        # Of gaps wider than the kernel.
        near = interpolate_replace_nans(plane, Gaussian2DKernel(GAP))
    return np.where(np.isfinite(near), near, np.median(plane[finite]))
