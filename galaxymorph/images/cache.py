"""Decoded frames on disk: each image is decoded once for all epochs and fits.

What is computed from them may be stored likewise, see `cached_array`.

A cache folder contains the frames of a set of images, uint8 of RGB or float16 of flux. Its name is
a digest of the images' contents and of the frame, so that changed data or another frame have
another folder.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from galaxymorph.base import (
    BadInput,
    Progress,
    Rows,
    cache_folder,
    file_lock,
    make_folder,
    read_json,
    remove_leftovers,
    replace_folder,
    replacing,
    setting,
    without_warnings,
)
from galaxymorph.images.flux import FluxImage
from galaxymorph.images.galaxy_frames import Cut, blank_frame, framed, open_files, read_galaxy
from galaxymorph.images.inspection import Inspection, digest_files, inspect_image, inspect_images
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.images.workers import map_images

# Frames that wait to be written.
AHEAD = 256
# 3: FITS planes are chosen by their headers, and frames without a galaxy are excluded.
FORMAT = 3
# Of frames of flux: missing bands and bad pixels by digest.
NOTES = "notes.json"


@dataclass(frozen=True)
class Frames:
    """Decoded frames, see `galaxy_frame`, and the row of each image's digest."""

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
    inspections = inspect_images(references, decoding=False, rendering=rendering)
    by_digest = {
        inspection.digest: reference
        for inspection, reference in zip(inspections, references, strict=True)
        if inspection.digest
    }
    settings = [FORMAT, crop, side, rendering.as_dict(), sorted(by_digest)]
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
    if rendering.flux is not None:
        checked = _with_notes(checked, read_json(folder / NOTES, f"delete {folder}"))
    blank = blank_frame(side, rendering)
    return Frames(Rows(folder / "pixels.bin", blank.shape, blank.dtype), rows), checked


def cached_array(kind: str, key: object, compute: Callable[[], np.ndarray]) -> np.ndarray:
    """Return an array from the cache, where it is stored once it is computed.

    Args:
        kind: name of the folder of such arrays.
        key: all that the array depends on, as JSON.
        compute: returns the array.
    """
    name = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:24]
    path = cache_folder() / kind / f"{name}.npy"
    try:
        return np.load(path)
    except (OSError, ValueError, EOFError):
        # It isn't there, or damaged and made anew.
        array = compute()
    make_folder(path.parent)
    with replacing(path) as temporary, temporary.open("wb") as file:
        np.save(file, array)
    return array


def _with_notes(inspections: list[Inspection], notes: dict[str, Any]) -> list[Inspection]:
    """Return the inspections with the missing bands and the bad pixels of flux."""
    return [
        replace(each, missing=tuple(note["missing"]), bad=note["bad"])
        if not each.fault and (note := notes.get(each.digest))
        else each
        for each in inspections
    ]


def _build(folder: Path, by_digest: dict[str, str], frame: tuple[float, int, Rendering]) -> None:
    _, side, rendering = frame
    need = len(by_digest) * blank_frame(side, rendering).nbytes
    free = shutil.disk_usage(folder.parent).free
    if need > 0.9 * free:
        raise BadInput(
            f"{folder.parent}: the decoded images need {need / 1e9:.1f} GB, but only "
            f"{free / 1e9:.1f} GB are free",
            "free disk space, set GALAXYMORPH_CACHE to another folder, or use "
            f"{setting('cache', False)}",
        )
    digests = sorted(by_digest)
    rows: dict[str, int] = {}
    notes: dict[str, object] = {}
    with (
        replace_folder(folder) as temporary,
        without_warnings(),
        Progress("decoding images", len(digests), "images") as progress,
        (temporary / "pixels.bin").open("wb") as pixels,
    ):
        jobs = [(by_digest[digest], digest, *frame) for digest in digests]
        for digest, frame_of in zip(digests, map_images(_frame, jobs, AHEAD), strict=True):
            if frame_of is not None:
                array, missing, bad = frame_of
                rows[digest] = len(rows)
                pixels.write(array.data)
                if missing or bad:
                    notes[digest] = {"missing": missing, "bad": bad}
            progress.advance()
        (temporary / "rows.json").write_text(json.dumps(rows), encoding="utf-8")
        if rendering.flux is not None:
            (temporary / NOTES).write_text(json.dumps(notes), encoding="utf-8")


def _frame(
    job: tuple[str, str, float, int, Rendering],
) -> tuple[np.ndarray, tuple[str, ...], float] | None:
    """Return an image's frame, missing bands and share of bad pixels.

    None stands for an image that can't be used or has changed.
    """
    reference, digest, crop, side, rendering = job
    try:
        files = read_galaxy(reference, rendering)
        if digest_files(files) != digest:
            return None
        image = open_files(files, crop, rendering)
    except BadInput:
        return None
    frame = framed(image, Cut(crop, side), rendering)
    return (frame, image.missing, image.bad) if isinstance(image, FluxImage) else (frame, (), 0.0)
