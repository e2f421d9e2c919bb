"""Decoded frames on disk: each image is decoded once for all epochs and fits.

A cache folder contains the frames of a set of images, as uint8 pixels. Its name is a digest of the
images' contents and of the frame, so that changed data or another frame have another folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from galaxymorph.base import (
    BadInput,
    Progress,
    Rows,
    cache_folder,
    file_lock,
    make_folder,
    read_bytes,
    read_json,
    remove_leftovers,
    replace_folder,
)
from galaxymorph.images.content import require_content
from galaxymorph.images.decoding import decode_bytes
from galaxymorph.images.frame import centre_frame
from galaxymorph.images.inspection import (
    Inspection,
    digest_bytes,
    inspect_image,
    inspect_images,
    quiet_decoding,
)
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.images.workers import map_images

# Frames that wait to be written.
AHEAD = 256
# 3: FITS planes are chosen by their headers, and frames without a galaxy are excluded.
FORMAT = 3


@dataclass(frozen=True)
class Frames:
    """Decoded frames, uint8 of shape (side, side, 3), and the row of each image's digest."""

    pixels: Rows
    rows: dict[str, int]


def cached_frames(
    references: Sequence[str], crop: float, side: int, rendering: Rendering = DEFAULT
) -> tuple[Frames, list[Inspection]]:
    """Return the frames of all images that can be used, and an `Inspection` of each, in order.

    Only images that aren't cached are decoded; every file is read, to detect changes.

    Args:
        references: to the images.
        crop: as in `centre_frame`.
        side: of the frames, in pixels.
        rendering: of the images.

    Raises:
        BadInput: the disk has no room for the frames.
    """
    inspections = inspect_images(references, decoding=False)
    by_digest = {
        inspection.digest: reference
        for inspection, reference in zip(inspections, references, strict=True)
        if inspection.digest
    }
    settings = [FORMAT, crop, side, asdict(rendering), sorted(by_digest)]
    key = hashlib.sha256(json.dumps(settings).encode()).hexdigest()
    folder = cache_folder() / "frames" / key[:24]
    make_folder(folder.parent)
    with file_lock(folder.with_suffix(".lock")):
        if not folder.exists():
            remove_leftovers(folder.parent, folder.name)
            _build(folder, by_digest, (crop, side, rendering))
    rows = read_json(folder / "rows.json", f"delete {folder}")
    # Images without a row can't be used: they are read again for the fault.
    checked = [
        inspect_image(reference, crop, rendering) if inspection.digest not in rows else inspection
        for inspection, reference in zip(inspections, references, strict=True)
    ]
    pixels = Rows(folder / "pixels.bin", (side, side, 3), np.dtype("uint8"))
    return Frames(pixels, rows), checked


def _build(folder: Path, by_digest: dict[str, str], frame: tuple[float, int, Rendering]) -> None:
    side = frame[1]
    need = len(by_digest) * side * side * 3
    free = shutil.disk_usage(folder.parent).free
    if need > 0.9 * free:
        raise BadInput(
            f"{folder.parent}: the decoded images need {need / 1e9:.1f} GB, but only "
            f"{free / 1e9:.1f} GB are free",
            "free disk space, set GALAXYMORPH_CACHE to another folder, or use --no-cache",
        )
    digests = sorted(by_digest)
    rows: dict[str, int] = {}
    with (
        replace_folder(folder) as temporary,
        quiet_decoding(),
        Progress("decoding images", len(digests), "images") as progress,
        (temporary / "pixels.bin").open("wb") as pixels,
    ):
        jobs = [(by_digest[digest], digest, *frame) for digest in digests]
        for digest, array in zip(digests, map_images(_frame, jobs, AHEAD), strict=True):
            if array is not None:
                rows[digest] = len(rows)
                pixels.write(array.data)
            progress.advance()
        (temporary / "rows.json").write_text(json.dumps(rows), encoding="utf-8")


def _frame(job: tuple[str, str, float, int, Rendering]) -> np.ndarray | None:
    """Return an image's frame, or None if it can't be used or has changed."""
    reference, digest, crop, side, rendering = job
    try:
        data = read_bytes(reference)
        if digest_bytes(data) != digest:
            return None
        image = decode_bytes(data, reference, rendering)
        require_content(image, crop, reference)
        return centre_frame(image, crop, side, interpolation=rendering.interpolation)
    except BadInput:
        return None
