"""Decoding files, or pixels in memory, into RGB images.

Formats are recognised by content, since names are often wrong.
"""

from __future__ import annotations

import bz2
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sized
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Union

import numpy as np
from PIL import Image, UnidentifiedImageError

from galaxymorph.base import (
    FORMAT_ERRORS,
    HEAD,
    BadInput,
    read_bytes,
    read_head,
    sniff,
    without_warnings,
)
from galaxymorph.images.fits import MAGIC, decode_fits, is_fits
from galaxymorph.images.flux import (
    FluxImage,
    decode_flux,
    flux_of_array,
    flux_preview,
    read_flux_files,
)
from galaxymorph.images.rendering import DEFAULT, FluxInput, Rendering
from galaxymorph.zoo.image_files import IMAGE_ENDINGS, UNKNOWN_ENDING

if TYPE_CHECKING:
    import torch

# Galaxy Zoo's cutouts have 0.18 million pixels; 40 million take 120 MB, and no cutout needs them.
MAX_PIXELS = 40_000_000
# Of a packed file once it is unpacked.
MAX_BYTES = 400_000_000
# A picture of fewer pixels on a side shows no galaxy.
LEAST_SIDE = 8
# Pillow's readers for pictures. Others call programs, or read formats of no camera or survey.
FORMATS = ("JPEG", "MPO", "PNG", "TIFF", "WEBP", "BMP", "GIF", "JPEG2000", "PPM", "AVIF")
PACKED: dict[bytes, Callable[[io.BytesIO], io.BufferedIOBase]] = {
    b"\x1f\x8b": lambda stream: gzip.GzipFile(fileobj=stream),
    b"BZh": bz2.BZ2File,
}
# What an image may be given as. A tensor has shape (3, height, width), an array (height, width, 3);
# of flux both have shape (bands, height, width), or there is an array by band.
Source = Union[
    "str | Path | bytes | np.ndarray | Image.Image | FluxImage | Mapping[str, np.ndarray]",
    "torch.Tensor",
]


def require_some(images: Sized) -> None:
    """Raise BadInput if there is no image, as of a pattern that matches no file."""
    if not len(images):
        raise BadInput("no images are given", "check the list, or the pattern that fills it")


def decode(reference: str, rendering: Rendering = DEFAULT) -> Image.Image:
    """Return the RGB image that a reference points to, fully decoded; of flux a preview.

    Raises:
        BadInput: the file is missing, empty, truncated, no image, deeper than 8 bits, partly
            transparent, or has more than `MAX_PIXELS` pixels or next to none; or as `decode_fits`.
    """
    if rendering.flux is not None:
        return _preview(read_flux_files(reference, rendering.flux), rendering.flux)
    return decode_bytes(read_bytes(reference), reference, rendering)


def as_image(source: Source, rendering: Rendering = DEFAULT) -> Image.Image:
    """Return the RGB image that a source holds: a file by path or bytes, an image, or pixels.

    Pixels are uint8, or floats from 0 to 1, grey or colour.

    Raises:
        BadInput: as `decode`; or an array or tensor holds no picture.
    """
    if isinstance(source, str | Path):
        return decode(str(source), rendering)
    if isinstance(source, bytes | bytearray | memoryview):
        return decode_bytes(bytes(source), "image", rendering)
    if rendering.flux is not None:
        return flux_preview(flux_of_array(source, rendering.flux), rendering.flux)
    if isinstance(source, Image.Image):
        image = _as_rgb(source, "image")
        # fastai changes the class of an image in place.
        return image.copy() if image is source else image
    if hasattr(source, "detach"):
        # A tensor, without importing PyTorch; fastai's aren't converted by NumPy.
        source = np.asarray(source.detach().cpu().numpy())
        source = source.transpose(1, 2, 0) if source.ndim == 3 and len(source) <= 4 else source
    if not isinstance(source, np.ndarray):
        raise BadInput(
            f"an image can't be of type {type(source).__name__}",
            "give a path, an image or its pixels",
        )
    return _as_rgb(Image.fromarray(_levels(source)), "image")


def decode_bytes(data: bytes, reference: str, rendering: Rendering = DEFAULT) -> Image.Image:
    """Return the RGB image in `data`; `reference` is its name in errors.

    Raises:
        BadInput: as `decode`.
    """
    if rendering.flux is not None:
        return _preview({reference: data}, rendering.flux)
    data = unpacked(data, reference)
    if data.startswith(MAGIC):
        return decode_fits(data, reference, rendering)
    with _pillow(reference):
        image = Image.open(io.BytesIO(data), formats=_formats())
        frames = getattr(image, "n_frames", 1)
    _require_picture(image, frames, reference)
    with _pillow(reference):
        image.load()
    return _as_rgb(image, reference)


def _preview(files: Mapping[str, bytes], flux: FluxInput) -> Image.Image:
    """Return the picture of a galaxy's bands of flux, see `flux_preview`."""
    image = decode_flux({name: unpacked(data, name) for name, data in files.items()}, flux)
    return flux_preview(image, flux)


@contextmanager
def _pillow(reference: str) -> Iterator[None]:
    """Raise BadInput for exceptions of Pillow; for its calls only."""
    # Pillow warns of large images, whose size is checked here, and of unused metadata.
    with without_warnings():
        try:
            yield
        except UnidentifiedImageError as error:
            ending = UNKNOWN_ENDING.search(reference)
            if ending and not reference.lower().endswith((*IMAGE_ENDINGS, ".zip", ".gz", ".bz2")):
                raise BadInput(
                    f"{reference}: a {ending[0]} file, not an image",
                    "give images, a folder or a zip of them",
                ) from error
            what = "not a FITS image" if is_fits(reference) else "not an image"
            raise BadInput(f"{reference}: {what}", "download it again") from error
        except Image.DecompressionBombError as error:
            raise BadInput(f"{reference}: too many pixels", "make a smaller cutout") from error
        except Exception as error:
            # Pillow's plugins raise errors of many types for broken data, including SyntaxError.
            raise BadInput(f"{reference}: damaged ({error})", "download it again") from error


def holds_fits(reference: str) -> bool:
    """Tell by its name, or else by its content, whether a file is FITS."""
    if is_fits(reference):
        return True
    try:
        return sniff(read_head(reference, HEAD)) == "FITS"
    except BadInput:
        return False


@lru_cache(maxsize=1)
def _formats() -> list[str]:
    """Return those of `FORMATS` that this Pillow has."""
    Image.init()
    return [name for name in FORMATS if name in Image.OPEN]


def unpacked(data: bytes, reference: str) -> bytes:
    """Return a file's bytes, those of a gzip or bzip2 unpacked.

    Raises:
        BadInput: it is empty, damaged or too large.
    """
    if not data:
        raise BadInput(f"{reference}: the file is empty", "download it again")
    opener = next((unpack for magic, unpack in PACKED.items() if data.startswith(magic)), None)
    if opener is None:
        return data
    try:
        with opener(io.BytesIO(data)) as packed:
            unpacked = packed.read(MAX_BYTES + 1)
    except EOFError as error:
        raise BadInput(f"{reference}: damaged (it ends early)", "download it again") from error
    except FORMAT_ERRORS as error:
        raise BadInput(f"{reference}: damaged ({error})", "download it again") from error
    if len(unpacked) > MAX_BYTES:
        raise BadInput(f"{reference}: over {MAX_BYTES:,} bytes unpacked", "make a smaller cutout")
    return unpacked


def _levels(array: np.ndarray) -> np.ndarray:
    """Return pixels as uint8, shape (height, width) or (height, width, 3 or 4)."""
    levels = array
    if levels.ndim == 3 and len(levels) in (1, 3) and levels.shape[2] not in (1, 3, 4):
        levels = levels.transpose(1, 2, 0)
    if levels.ndim == 3 and levels.shape[2] == 1:
        levels = levels[..., 0]
    if np.issubdtype(levels.dtype, np.floating) and levels.size:
        low, high = float(levels.min()), float(levels.max())
        if not (low >= 0 and high <= 1):
            raise BadInput(
                f"an array of floats from {low:g} to {high:g}",
                "give uint8, or floats from 0 to 1, or a FITS file, which is stretched",
            )
        levels = (levels * 255).round().astype(np.uint8)
    shape_fits = levels.ndim == 2 or (levels.ndim == 3 and levels.shape[2] in (3, 4))
    if levels.dtype != np.uint8 or not shape_fits or not levels.size:
        raise BadInput(
            f"an array of {array.dtype} of shape {array.shape}",
            "give uint8 of shape (height, width, 3) or (height, width)",
        )
    return np.ascontiguousarray(levels)


def _require_picture(image: Image.Image, frames: int, reference: str) -> None:
    """Raise BadInput, before a pixel is decoded, if its header shows that it can't be used."""
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(
            f"{reference}: {image.width}x{image.height} pixels, over {MAX_PIXELS:,}",
            "make a cutout of the galaxy",
        )
    if frames > 1 and image.format != "MPO":
        raise BadInput(f"{reference}: {frames} frames", "save one of them")
    # Pillow calls 16-bit RGB "RGB" and drops the lower bits without a word.
    if any(";16" in str(tile[3]) or "65535" in str(tile[3]) for tile in getattr(image, "tile", ())):
        _refuse_deep(reference, "16-bit")


def _refuse_deep(reference: str, what: str) -> None:
    raise BadInput(
        f"{reference}: the image is {what}, and its white level is unknown",
        "save it with 8 bits, or as FITS, which is stretched",
    )


def _as_rgb(image: Image.Image, reference: str) -> Image.Image:
    """Return an image of any usual mode in 8-bit RGB: grey thrice, a palette looked up.

    Raises:
        BadInput: it is of another depth, partly transparent, of inks or without colours, or tiny.
    """
    if image.mode.startswith(("I", "F")):
        _refuse_deep(reference, "16-bit" if "16" in image.mode else "of more than 8 bits")
    if min(image.size) < LEAST_SIDE:
        raise BadInput(
            f"{reference}: {image.width}x{image.height} pixels, too few to show a galaxy",
            "make a larger cutout",
        )
    if image.mode == "P" and "transparency" in image.info:
        image = image.convert("RGBA")
    if image.mode in ("RGBA", "LA", "PA"):
        if np.asarray(image.getchannel("A")).min() < 255:
            raise BadInput(f"{reference}: partly transparent", "flatten it onto black")
        image = image.convert("RGBA").convert("RGB")
    if image.mode not in ("RGB", "L", "P", "YCbCr"):
        kind = {"1": "black and white only", "CMYK": "CMYK"}.get(
            image.mode, f"of mode {image.mode}"
        )
        raise BadInput(
            f"{reference}: the image is {kind}, not 8-bit RGB or grey", "convert it to RGB"
        )
    return image if image.mode == "RGB" else image.convert("RGB")
