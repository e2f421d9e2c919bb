"""A run's pictures as data URIs, within what a page may weigh."""

from __future__ import annotations

import base64
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from PIL import Image

from galaxymorph.base import BadInput, Progress, map_ahead
from galaxymorph.images import Rendering, centre_frame, decode

# Bytes of a page's text: a page is to stay under 5 MB, and the tables take the rest.
THUMBNAILS, FIGURES = 2_800_000, 1_300_000
SIDES = (160, 128, 96, 72)
QUALITY = 72
# Images that tell how heavy the others will be.
TASTED = 24
FIGURE_WIDTH = 1100


def thumbnails(
    references: Sequence[str], crop: float, rendering: Rendering, budget: int = THUMBNAILS
) -> tuple[list[str], int]:
    """Return JPEGs of images as data URIs, as many of the first as a budget holds.

    Args:
        references: of the images, those to be shown before others first.
        crop: the share of the frame that the model sees.
        rendering: of FITS.
        budget: bytes of all data URIs together.

    Returns:
        An URI an image, empty for one that can't be read or is over the budget, and the side in
        pixels: the largest of `SIDES` at which all fit.
    """
    side = _side(references, crop, rendering, budget)
    found, left = [""] * len(references), budget
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress("gallery", len(references), "images") as progress,
    ):
        encoded = map_ahead(
            pool, lambda each: thumbnail(each, crop, side, rendering), references, 64
        )
        for at, uri in enumerate(encoded):
            if len(uri) > left:
                break
            found[at] = uri
            left -= len(uri)
            progress.advance()
    return found, side


def _side(references: Sequence[str], crop: float, rendering: Rendering, budget: int) -> int:
    tasted = references[:: max(1, len(references) // TASTED)]
    for side in SIDES:
        weights = [len(thumbnail(each, crop, side, rendering)) for each in tasted]
        if not weights or np.mean(weights) * len(references) <= budget * 0.95:
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


def figure_uris(paths: Sequence[Path], budget: int = FIGURES) -> tuple[list[dict], list[str]]:
    """Return pictures with `words`, `uri`, `width` and `height`, and the names of those left out.

    Args:
        paths: of PNG files, the most wanted first.
        budget: bytes of all data URIs together.
    """
    shown, left_out = [], []
    for path in paths:
        try:
            image = Image.open(path).convert("RGB")
        except OSError:
            left_out.append(path.name)
            continue
        image.thumbnail((FIGURE_WIDTH, 4 * FIGURE_WIDTH))
        uri = _uri(image, "WEBP", 80)
        if len(uri) > budget:
            left_out.append(path.name)
            continue
        budget -= len(uri)
        words = path.stem.replace("_", " ")
        shown.append({"words": words, "uri": uri, "width": image.width, "height": image.height})
    return shown, left_out


def _uri(image: Image.Image, kind: str, quality: int) -> str:
    stream = io.BytesIO()
    image.save(stream, kind, quality=quality)
    encoded = base64.b64encode(stream.getvalue()).decode("ascii")
    return f"data:image/{kind.lower()};base64,{encoded}"
