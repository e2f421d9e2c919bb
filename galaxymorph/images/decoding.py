"""From a file's bytes to RGB pixels, or one line that says why not."""

from __future__ import annotations

import io
import warnings
from pathlib import PurePosixPath

import numpy as np
from PIL import Image, UnidentifiedImageError

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, read_bytes
from galaxymorph.images.content import require_content
from galaxymorph.images.fits import decode_fits, is_fits

# Galaxy Zoo's cutouts have 0.18 million pixels; 40 million take 120 MB, and no cutout needs them.
MAX_PIXELS = 40_000_000
FORMATS = {".jpg": "JPEG", ".jpeg": "JPEG", ".png": "PNG"}


def decode(reference: str) -> Image.Image:
    """Return the RGB image that a reference points to, fully decoded.

    Raises:
        BadInput: the file is missing, empty, truncated, no image, not what its name says, not
            8-bit RGB, or has more than `MAX_PIXELS` pixels.
    """
    return decode_bytes(read_bytes(reference), reference)


def as_image(source: str | np.ndarray) -> Image.Image:
    """Return the RGB image that a reference points to, or that an array of its pixels holds.

    Raises:
        BadInput: as `decode`; or the array isn't uint8 of shape (height, width, 3).
    """
    if isinstance(source, str):
        return decode(source)
    if source.dtype != np.uint8 or source.ndim != 3 or source.shape[2] != 3 or not source.size:
        raise BadInput(
            f"an array of {source.dtype} of shape {source.shape}",
            "give uint8 of shape (height, width, 3)",
        )
    return Image.fromarray(source)


def galaxy_image(source: str | np.ndarray, crop: float, at: int = 0) -> Image.Image:
    """Return the RGB image of a reference or of pixels, if its frame can hold a galaxy.

    Args:
        source: as for `as_image`.
        crop: as for `require_content`.
        at: the place of pixels, which have no name, in errors.

    Raises:
        BadInput: as `as_image`.
        NoContent: as `require_content`.
    """
    image = as_image(source)
    require_content(image, crop, source if isinstance(source, str) else f"image {at}")
    return image


def decode_bytes(data: bytes, reference: str) -> Image.Image:
    """Return the RGB image in `data`; `reference` is its name in errors, and tells the format.

    Raises:
        BadInput: as `decode`.
    """
    if not data:
        raise BadInput(f"{reference}: the file is empty", "download it again")
    if is_fits(reference):
        return decode_fits(data, reference)
    # Pillow warns of a large image, which is judged here, and of metadata that nobody reads.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data))
            _require_plain_rgb(image, reference)
            image.load()
        except BadInput:
            raise
        except UnidentifiedImageError:
            raise BadInput(f"{reference}: not an image", "download it again") from None
        except Image.DecompressionBombError:
            raise BadInput(f"{reference}: too many pixels", "make a smaller cutout") from None
        except Exception as error:
            # Pillow's plugins answer broken data with errors of many types, SyntaxError included.
            raise BadInput(f"{reference}: damaged ({error})", "download it again") from None
    return image


def _require_plain_rgb(image: Image.Image, reference: str) -> None:
    name = reference.split(REFERENCE_SEPARATOR)[-1]
    expected = FORMATS.get(PurePosixPath(name).suffix.lower())
    if expected and image.format != expected:
        raise BadInput(
            f"{reference}: holds {image.format}, not the {expected} that its name says",
            "rename it",
        )
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(
            f"{reference}: {image.width}x{image.height} pixels, over {MAX_PIXELS:,}",
            "make a cutout of the galaxy",
        )
    # Pillow calls a PNG of 16-bit RGB "RGB" and drops the lower bits without a word.
    deep = image.mode.startswith("I") or any("16" in str(tile[3]) for tile in image.tile)
    if image.mode != "RGB" or deep:
        kind = {"L": "grey", "CMYK": "CMYK", "RGBA": "RGB with transparency"}.get(
            image.mode, "16-bit" if deep else f"of mode {image.mode}"
        )
        raise BadInput(f"{reference}: the image is {kind}, not 8-bit RGB", "convert it to RGB")
