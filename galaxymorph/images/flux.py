"""Bands of flux as a model's channels: read from FITS, calibrated, and framed.

A frame holds flux in units of each band's softening, float16. The network's input is `compressed`:
y = arcsinh(flux / softening) / 10, of Lupton, Gunn & Szalay (1999, AJ 118, 1406), linear below
the softening and logarithmic above; y is 1 at 11,013 times the softening.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image

from galaxymorph.base import BadInput, MissingFile, listed, read_bytes, setting
from galaxymorph.images.bands import wavelength
from galaxymorph.images.content import NoContent, require_bands
from galaxymorph.images.fits import MAGIC, fill_gaps, opened_fits
from galaxymorph.images.frame import INTERPOLATIONS
from galaxymorph.images.planes import (
    Plane,
    Unit,
    plane_called,
    planes_of_one_image,
    read_planes,
    require_sizes,
)
from galaxymorph.images.rendering import CALIBRATED, STORED, FluxInput, stretched
from galaxymorph.images.zero_points import nanomaggies_per_unit, pixel_area
from galaxymorph.zoo.band_files import band_of_file, file_of_band

# The value of arcsinh(flux / softening) that is 1 in the network's input.
ARCSINH_OF_WHITE = 10.0
# The largest value of a frame, a little below that of float16.
LARGEST = 60_000.0
# The ratio of wavelengths of filters that a file's name may call by one letter: F160W and H.
SIMILAR = (0.8, 1.25)
WEIGHT, MASK = "a weight", "a mask"
# Bits that make a pixel unusable, where others don't: JWST's and Roman's DO_NOT_USE; of the Legacy
# Surveys' maskbits SATUR_* and ALLMASK_* (https://www.legacysurvey.org/dr10/bitmasks).
DO_NOT_USE, MASKBITS = 0b1, 0b1111_1100
# Of LSST's and HSC's masks, whose headers name the bits as MP_NAME: others mark what is detected.
BAD_FLAGS = ("BAD", "NO_DATA", "SAT")


@dataclass(frozen=True)
class FluxImage:
    """A galaxy's bands, float32 of shape (bands, height, width), its first row at the top.

    Args:
        values: in the model's unit; bad pixels are filled.
        missing: the bands that the files lack, which are 0.
        bad: share of the pixels, over all bands, that were bad.
    """

    values: np.ndarray
    missing: tuple[str, ...] = ()
    bad: float = 0.0


def compressed(flux: np.ndarray) -> np.ndarray:
    """Return a frame's flux, in units of the softening, as the network's input before it is
    normalised."""
    return np.arcsinh(flux) / np.float32(ARCSINH_OF_WHITE)


def expanded(values: np.ndarray) -> np.ndarray:
    """Return the flux of a network's input, the inverse of `compressed`."""
    return np.sinh(values * np.float32(ARCSINH_OF_WHITE))


def read_flux_files(reference: str, flux: FluxInput) -> dict[str, bytes]:
    """Return the bytes of a galaxy's files by reference, the one named first.

    Raises:
        BadInput: that one is missing, or a file can't be read.
    """
    files = {reference: read_bytes(reference)}
    if band_of_file(reference, flux.bands):
        for band in flux.bands:
            other = file_of_band(reference, flux.bands, band)
            if other not in files:
                with suppress(MissingFile):
                    files[other] = read_bytes(other)
    return files


def decode_flux(files: Mapping[str, bytes], flux: FluxInput) -> FluxImage:
    """Return a galaxy's bands.

    Args:
        files: FITS by reference, unpacked; the first one names the galaxy in errors.
        flux: the bands.

    Raises:
        NoContent: a band has no value, or none in half of the middle, or all of them are constant.
        BadInput: a file is no FITS or damaged; too many bands are missing; a band has no
            calibration that is needed; or bands differ in size.
    """
    reference = next(iter(files))
    present: dict[str, np.ndarray] = {}
    offered: list[str] = []
    for name, data in files.items():
        if not data.startswith(MAGIC):
            raise BadInput(
                f"{name}: not FITS, and the model takes flux in {flux.words}",
                "give FITS images of these bands, or use a model of pictures",
            )
        with opened_fits(data, name) as units:
            found = _bands_of_file(units, name, flux)
            for band, plane in found.planes.items():
                if band not in present:
                    present[band] = _read_band(band, plane, found, name, flux)
            offered += found.others
    missing = tuple(band for band in flux.bands if band not in present)
    _require_enough(missing, [*present, *offered], reference, flux)
    return _flux_image(present, reference, flux)


def flux_of_array(source: Any, flux: FluxInput) -> FluxImage:
    """Return bands given as an array in memory, in the model's unit.

    Args:
        source: of shape (bands, height, width), floats; or a mapping from band to (height, width).
        flux: the bands.

    Raises:
        NoContent: as `decode_flux`.
        BadInput: it has another number of bands or another type, too many bands are missing from a
            mapping, or bands differ in size.
    """
    if isinstance(source, FluxImage):
        return source
    if isinstance(source, Image.Image):
        raise BadInput(
            f"a picture of mode {source.mode}, and the model takes flux in {flux.words}",
            "give FITS images of these bands, or an array of floats",
        )
    if isinstance(source, Mapping):
        planes = {band: _plane_in_memory(source[band], flux, 2) for band in source}
        missing = tuple(band for band in flux.bands if band not in planes)
        _require_enough(missing, list(planes), "an image", flux)
        present = {band: planes[band] for band in flux.bands if band in planes}
    else:
        present = dict(zip(flux.bands, _plane_in_memory(source, flux, 3), strict=True))
    return _flux_image(present, "an image", flux)


def _plane_in_memory(source: Any, flux: FluxInput, axes: int) -> np.ndarray:
    """Return a band, or with three axes all bands, in float64.

    Raises:
        BadInput: it has another shape, or isn't of floats.
    """
    if hasattr(source, "detach"):
        source = source.detach().cpu().numpy()
    values = np.asarray(source)
    right = values.ndim == axes and (axes == 2 or len(values) == len(flux.bands))
    if not right or not np.issubdtype(values.dtype, np.floating):
        shape = "(height, width) a band" if axes == 2 else f"({len(flux.bands)}, height, width)"
        raise BadInput(
            f"an array of {values.dtype} of shape {values.shape}, and the model takes flux in "
            f"{flux.words}",
            f"give floats of shape {shape}",
        )
    return values.astype(np.float64)


def _flux_image(present: Mapping[str, np.ndarray], name: str, flux: FluxInput) -> FluxImage:
    """Return bands as an image; those that aren't present are 0.

    Raises:
        NoContent: a band has no value, or none in half of the middle, or all of them are constant.
        BadInput: bands differ in size.
    """
    shapes = {band: values.shape for band, values in present.items()}
    if len(set(shapes.values())) > 1:
        sizes = ", ".join(f"{band} of {w}x{h}" for band, (h, w) in shapes.items())
        raise BadInput(f"{name}: bands of different sizes, {sizes}", "align them")
    require_bands(present, name, empty_sky=False)
    finite = np.stack([np.isfinite(values) for values in present.values()])
    if all(np.ptp(v[f]) == 0 for v, f in zip(present.values(), finite, strict=True)):
        raise NoContent(f"{name}: every pixel has the same value", "make another cutout")
    values = np.zeros((len(flux.bands), *finite.shape[1:]), np.float32)
    for at, band in enumerate(flux.bands):
        if band in present:
            values[at] = fill_gaps(present[band])
    missing = tuple(band for band in flux.bands if band not in present)
    return FluxImage(values, missing, float(1 - finite.mean()))


def flux_frame(
    image: FluxImage, crop: float, size: int, flux: FluxInput, interpolation: str = "bicubic"
) -> np.ndarray:
    """Return the centred square of a galaxy's bands, float16 of shape (size, size, bands).

    Values are those of `flux_square` in units of the softening.
    """
    square = flux_square(image, crop, size, interpolation)
    values = square / softening_of(flux)[:, None, None]
    frame = np.clip(values, -LARGEST, LARGEST).transpose(1, 2, 0)
    return np.ascontiguousarray(frame, dtype=np.float16)


def softening_of(flux: FluxInput) -> np.ndarray:
    """Return the softening of each band, float32."""
    return np.array(flux.softening or [1.0] * len(flux.bands), np.float32)


def flux_square(
    image: FluxImage, crop: float, size: int, interpolation: str = "bicubic"
) -> np.ndarray:
    """Return the centred square of a galaxy's bands, float32 of shape (bands, size, size).

    Values are averaged over pixels where the square shrinks, so that they stay those of a pixel of
    the file.

    Args:
        image: any size.
        crop: the square's side as a share of the image's shorter side.
        size: the result's side in pixels.
        interpolation: of `INTERPOLATIONS`.
    """
    height, width = image.values.shape[1:]
    side = crop * min(height, width)
    rows, columns = (
        _weights(length, (length - side) / 2, side, size, interpolation)
        for length in (height, width)
    )
    return rows @ image.values @ columns.T


def flux_preview(image: FluxImage, flux: FluxInput) -> Image.Image:
    """Return bands of flux as an RGB picture, in Lupton's stretch.

    Red is the longest wavelength that isn't missing, blue the shortest, green the one between; a
    band alone is grey. Bands of unknown wavelength are in order.
    """
    present = [at for at, band in enumerate(flux.bands) if band not in image.missing]
    lengths = [wavelength(flux.bands[at]) for at in present]
    if None not in lengths:
        present = [present[at] for at in np.argsort(np.array(lengths, float), kind="stable")]
    planes = image.values[[present[-1], present[(len(present) - 1) // 2], present[0]]]
    if len(present) == 2:
        planes[1] = (planes[0] + planes[2]) / 2
    shares = stretched(planes.astype(np.float64), "lupton")
    pixels = (shares.transpose(1, 2, 0) * 255).round().astype(np.uint8)
    return Image.fromarray(np.ascontiguousarray(pixels))


def frame_picture(frame: np.ndarray, bands: Sequence[str] = ()) -> Image.Image:
    """Return a frame as an RGB picture; of flux see `flux_preview`.

    Args:
        frame: shape (side, side, channels), see `galaxy_frame`.
        bands: of flux; without, they are in order.
    """
    if frame.dtype == np.uint8:
        return Image.fromarray(frame)
    names = tuple(bands) or tuple(map(str, range(frame.shape[2])))
    values = np.ascontiguousarray(frame.transpose(2, 0, 1), np.float32)
    return flux_preview(FluxImage(values), FluxInput(names))


@dataclass(frozen=True)
class _File:
    """The planes of a file that are bands of the model, and the file's other planes."""

    planes: dict[str, Plane]
    others: list[str]
    every: list[Plane]
    primary: Unit


def _bands_of_file(units: Sequence[Unit], name: str, flux: FluxInput) -> _File:
    every = read_planes(units, name)
    science = [plane for plane in every if not plane.kind]
    if not science:
        raise BadInput(f"{name}: no science plane, only {listed(every)}", "give the science image")
    planes: dict[str, Plane] = {}
    for band in flux.bands:
        named = [p for p in science if p.band.casefold() == band.casefold()]
        plane = plane_called(band, named or science)
        if plane is not None:
            planes[band] = plane
        elif named:
            planes[band] = max(named, key=lambda plane: (plane.rank, np.prod(plane.shape)))
    by_name = band_of_file(name, flux.bands) or (flux.bands[0] if len(flux.bands) == 1 else "")
    if not planes and by_name:
        certain = planes_of_one_image(science, every, name)
        if len(certain) == 1 and _may_be(certain[0], by_name, name, flux):
            planes[by_name] = certain[0]
    if planes:
        require_sizes(list(planes.values()), name)
    others = [plane.band or plane.name for plane in science if plane not in planes.values()]
    return _File(planes, others, every, units[0])


def _may_be(plane: Plane, band: str, name: str, flux: FluxInput) -> bool:
    """Return whether a file's only plane is a band: its header names none, or a similar one."""
    if not plane.band:
        return True
    length, other = wavelength(band), plane.length
    similar = length is None or other is None or SIMILAR[0] < length / other < SIMILAR[1]
    return bool(band_of_file(name, flux.bands)) and similar


def _read_band(band: str, plane: Plane, file: _File, name: str, flux: FluxInput) -> np.ndarray:
    values = plane.values()
    values[_bad_pixels(plane, file)] = np.nan
    if flux.unit != STORED:
        values = values * _factor(band, plane, file, name, flux)
    return values if plane.top_down else values[::-1]


def _factor(band: str, plane: Plane, file: _File, name: str, flux: FluxInput) -> float:
    """Return the factor from a plane's values to the model's unit.

    Raises:
        BadInput: the headers don't have it.
    """
    headers = (plane.hdu, file.primary)
    at = 1 + next((n for n in plane.index if isinstance(n, int)), -1)
    factor = nanomaggies_per_unit(headers, band, at)
    if factor is None:
        raise BadInput(
            f"{name}: band {band} has no calibration in its header (BUNIT, MAGZERO, PHOTFLAM)",
            f"add it; or fit with {setting('flux', STORED)}, if all galaxies are in one unit",
        )
    if flux.unit == CALIBRATED:
        return factor
    area = pixel_area(headers)
    if area is None:
        raise BadInput(
            f"{name}: band {band} has no pixel scale in its header (CD1_1, CDELT1, PIXAR_A2)",
            f"add it, or fit with {setting('flux', CALIBRATED)}",
        )
    return factor / area


def _bad_pixels(plane: Plane, file: _File) -> np.ndarray:
    """Return the pixels without a measurement by the file's masks and weights."""
    bad = np.zeros(plane.shape, bool)
    science = [other for other in file.every if not other.kind and other.shape == plane.shape]
    for kind in (WEIGHT, MASK):
        of_kind = [p for p in file.every if p.kind == kind and p.shape == plane.shape]
        other = _partner(plane, science, of_kind)
        if other is None:
            continue
        values = np.array(other.hdu.data()[other.index]).reshape(other.shape)
        if kind == WEIGHT:
            bad |= ~(values > 0)
        else:
            bad |= _flagged(values, other, file.primary)
    # A mask of everything is of something else.
    return bad if not bad.all() else np.zeros(plane.shape, bool)


def _partner(plane: Plane, science: list[Plane], others: list[Plane]) -> Plane | None:
    """Return the mask or weight of a plane: of its band, the only one, or the one in its place."""
    same = [p for p in others if p.band and p.band.casefold() == plane.band.casefold()]
    if len(same) == 1:
        return same[0]
    if len(others) == 1:
        return others[0]
    return others[science.index(plane)] if len(others) == len(science) else None


def _flagged(values: np.ndarray, mask: Plane, primary: Unit) -> np.ndarray:
    if not np.issubdtype(values.dtype, np.integer):
        return ~(values == 0)
    telescope = str(mask.hdu.get("TELESCOP") or primary.get("TELESCOP")).casefold()
    named = [mask.hdu.get(f"MP_{flag}", None) for flag in BAD_FLAGS]
    if any(isinstance(bit, int) for bit in named):
        bits = sum(1 << bit for bit in named if isinstance(bit, int))
    elif telescope in ("jwst", "roman"):
        bits = DO_NOT_USE
    elif mask.name.casefold().startswith("maskbits"):
        bits = MASKBITS
    else:
        return values != 0
    return (values & bits) != 0


def _require_enough(
    missing: tuple[str, ...], offered: Sequence[str], name: str, flux: FluxInput
) -> None:
    if len(missing) <= flux.missing and len(missing) < len(flux.bands):
        return
    words = f"band{'s' * (len(missing) > 1)} {', '.join(missing)}"
    # A model without some bands is of no use to an image without all.
    fewer = f", or fit with {setting('missing_bands')}" if len(missing) < len(flux.bands) else ""
    raise BadInput(
        f"{name}: no {words}, only {', '.join(offered) or 'none'}, and the model takes flux in "
        f"{flux.words}",
        f"give FITS images of these bands{fewer}",
    )


@lru_cache(maxsize=32)
def _weights(length: int, start: float, side: float, size: int, interpolation: str) -> np.ndarray:
    """Return the weights of an axis's pixels in those of a frame, shape (size, length).

    They are those of `centre_frame`, in floats, and may begin inside a pixel.
    """
    kernel, reach = INTERPOLATIONS[interpolation]
    scale = side / size
    wide = max(scale, 1.0)
    centres = start + (np.arange(size)[:, None] + 0.5) * scale
    distance = (np.arange(length)[None] + 0.5 - centres) / wide
    weights = np.where(np.abs(distance) < reach, kernel(distance), 0.0)
    return (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
