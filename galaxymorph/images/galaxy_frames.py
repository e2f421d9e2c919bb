"""The frame of a galaxy as a model takes it: RGB in 8 bits, or bands of flux."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from galaxymorph.base import read_bytes
from galaxymorph.images.content import require_content
from galaxymorph.images.decoding import Source, as_image, decode_bytes, unpacked
from galaxymorph.images.flux import (
    FluxImage,
    decode_flux,
    flux_frame,
    flux_of_array,
    flux_preview,
    read_flux_files,
)
from galaxymorph.images.frame import centre_frame
from galaxymorph.images.rendering import DEFAULT, FluxInput, Rendering


@dataclass(frozen=True)
class Cut:
    """How a model's frame is cut out of an image.

    Args:
        crop: share of the image's shorter side in the frame, as in `centre_frame`.
        side: of the frame, in pixels.
        model_crop: share of the side that the model uses; `crop`, which has a margin, by default.
        kernel: of `centre_frame`.
    """

    crop: float
    side: int
    model_crop: float | None = None
    kernel: str = "torch"


def galaxy_frame(
    source: Source, cut: Cut, rendering: Rendering = DEFAULT, at: int = 0
) -> np.ndarray:
    """Return the frame of an image that can hold a galaxy, shape (side, side, channels).

    It is uint8 of RGB, or float16 of flux in units of each band's softening.

    Args:
        source: as for `as_image`; for flux a FITS file by path or bytes, an array of floats of
            shape (bands, height, width), or a mapping from bands to arrays.
        cut: of the frame.
        rendering: of the model.
        at: the place of pixels, which have no name, in errors.

    Raises:
        BadInput: as `as_image` or `decode_flux`.
        NoContent: as `require_content` or `decode_flux`.
    """
    return framed(open_galaxy(source, cut.model_crop or cut.crop, rendering, at), cut, rendering)


def open_galaxy(
    source: Source, crop: float, rendering: Rendering = DEFAULT, at: int = 0
) -> Image.Image | FluxImage:
    """Return the image that a source holds, if its frame can hold a galaxy; see `galaxy_frame`."""
    if rendering.flux is not None:
        return open_flux(source, rendering.flux)
    image = as_image(source, rendering)
    require_content(image, crop, str(source) if isinstance(source, str | Path) else f"image {at}")
    return image


def open_flux(source: Source, flux: FluxInput) -> FluxImage:
    """Return the bands of flux that a source holds, see `galaxy_frame`."""
    if isinstance(source, str | Path):
        files = read_flux_files(str(source), flux)
    elif isinstance(source, bytes | bytearray | memoryview):
        files = {"image": bytes(source)}
    else:
        return flux_of_array(source, flux)
    return flux_of_files(files, flux)


def flux_of_files(files: Mapping[str, bytes], flux: FluxInput) -> FluxImage:
    """Return the bands of flux in a galaxy's files, which may be packed; see `decode_flux`."""
    return decode_flux({name: unpacked(data, name) for name, data in files.items()}, flux)


def framed(image: Image.Image | FluxImage, cut: Cut, rendering: Rendering) -> np.ndarray:
    """Return the frame of an opened image."""
    if isinstance(image, FluxImage):
        assert rendering.flux is not None
        return flux_frame(image, cut.crop, cut.side, rendering.flux, rendering.interpolation)
    return centre_frame(image, cut.crop, cut.side, cut.kernel, rendering.interpolation)


def as_picture(image: Image.Image | FluxImage, rendering: Rendering) -> Image.Image:
    """Return an opened image as RGB; of flux a preview."""
    if isinstance(image, FluxImage):
        assert rendering.flux is not None
        return flux_preview(image, rendering.flux)
    return image


def blank_frame(side: int, rendering: Rendering) -> np.ndarray:
    """Return the frame in place of an image that can't be used: black, or no flux."""
    kind = np.uint8 if rendering.flux is None else np.float16
    return np.zeros((side, side, rendering.channels), kind)


def read_galaxy(reference: str, rendering: Rendering) -> dict[str, bytes]:
    """Return the bytes of an image's files by reference: one, or of flux those of its bands.

    Raises:
        BadInput: a file is missing or can't be read.
    """
    if rendering.flux is not None:
        return read_flux_files(reference, rendering.flux)
    return {reference: read_bytes(reference)}


def open_files(
    files: Mapping[str, bytes], crop: float, rendering: Rendering
) -> Image.Image | FluxImage:
    """Return the image in the files of `read_galaxy`, if its frame can hold a galaxy."""
    if rendering.flux is not None:
        return flux_of_files(files, rendering.flux)
    ((reference, data),) = files.items()
    image = decode_bytes(data, reference, rendering)
    require_content(image, crop, reference)
    return image
