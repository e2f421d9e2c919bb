"""A run's pictures as data URIs, within the size limit of a page."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from galaxymorph.base import BadInput, Progress, map_ahead
from galaxymorph.images import Rendering, centre_frame, decode
from galaxymorph.report.figures.style import DPI, PAGE

# Bytes of a page, of its thumbnails at most, and of its text and tables; figures have the rest.
LIMIT, THUMBNAILS, TEXT = 4_950_000, 2_300_000, 350_000
SIDES = (160, 128, 96, 72)
QUALITY = 72
# Images from which the size of all is estimated.
SAMPLED = 24
# Pixels that a figure of a journal's page width has on a page at most, and of those at least.
WIDEST, NARROWEST = round(PAGE * DPI), 700
# Of the page's layout, an inch of a figure.
INCH = 150


def thumbnails(
    references: Sequence[str], crop: float, rendering: Rendering, budget: int = THUMBNAILS
) -> tuple[list[str], int]:
    """Return JPEGs of images as data URIs, as many of the first as a budget holds.

    Args:
        references: of the images, in the order of preference.
        crop: fraction of the image's side that the model uses.
        rendering: of FITS.
        budget: bytes of all data URIs together.

    Returns:
        An URI an image, empty for one that can't be read or is over the budget, and the side in
        pixels: the largest of `SIDES` at which all fit.
    """
    side = _side(references, crop, rendering, budget)
    uris, left = [""] * len(references), budget
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress("gallery", len(references), "images") as progress,
    ):
        encoded = map_ahead(
            pool, lambda reference: thumbnail(reference, crop, side, rendering), references, 64
        )
        for at, uri in enumerate(encoded):
            if len(uri) > left:
                break
            uris[at] = uri
            left -= len(uri)
            progress.advance()
    return uris, side


def _side(references: Sequence[str], crop: float, rendering: Rendering, budget: int) -> int:
    sample = references[:: max(1, len(references) // SAMPLED)]
    for side in SIDES:
        sizes = [len(thumbnail(reference, crop, side, rendering)) for reference in sample]
        if not sizes or np.mean(sizes) * len(references) <= budget * 0.95:
            return side
    return SIDES[-1]


def thumbnail(reference: str, crop: float, side: int, rendering: Rendering) -> str:
    """Return an image's frame as a JPEG in a data URI, empty if it can't be read."""
    try:
        return frame_uri(decode(reference, rendering), crop, side)
    except (BadInput, OSError):
        return ""


def frame_uri(image: Image.Image, crop: float, side: int) -> str:
    """Return an image's frame as a JPEG in a data URI."""
    return _uri(Image.fromarray(centre_frame(image, crop, side)), "JPEG", QUALITY)


@dataclass
class Picture:
    """A figure's file, caption, size on the page in pixels, and data URI once it is encoded."""

    path: Path
    caption: str
    width: int
    height: int
    uri: str = ""


def read_picture(path: Path) -> Picture | None:
    """Return a picture, not yet encoded; None if the file is no image.

    Its caption is that in its metadata, by `style.write_figure`, or its name in words.
    """
    try:
        with Image.open(path) as image:
            caption, (width, height) = image.info.get("Description"), image.size
    except OSError:
        return None
    scale = INCH / DPI if caption else min(1, PAGE * INCH / width)
    words = path.stem.replace("_", " ").replace("/", " ")
    caption = caption or f"{words[:1].upper()}{words[1:]}."
    return Picture(path, caption, round(width * scale), round(height * scale))


def encode_pictures(pictures: Sequence[Picture], budget: int) -> None:
    """Set the pictures' data URIs, as large as a budget allows; the last may remain without.

    Args:
        pictures: in the order of preference.
        budget: bytes of all data URIs together.
    """
    uris = _encoded(pictures, WIDEST)
    if (total := sum(map(len, uris))) > budget:
        uris = _encoded(pictures, max(NARROWEST, int(0.9 * WIDEST * (budget / total) ** 0.5)))
    for picture, uri in zip(pictures, uris, strict=True):
        if len(uri) <= budget:
            picture.uri = uri
            budget -= len(uri)


def _encoded(pictures: Sequence[Picture], widest: int) -> list[str]:
    """Return figures as data URIs, one of the width of a journal's page `widest` pixels wide."""

    def encode(picture: Picture) -> str:
        with Image.open(picture.path) as image:
            opened = image.convert("RGB")
        width = max(1, min(opened.width, round(widest * picture.width / (PAGE * INCH))))
        return _uri(
            opened.resize((width, max(1, round(width * opened.height / opened.width)))), "WEBP", 80
        )

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(encode, pictures))


def _uri(image: Image.Image, kind: str, quality: int) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, quality=quality)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"
