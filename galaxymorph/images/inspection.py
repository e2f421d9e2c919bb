"""Decode every image of a catalogue once: what is broken, and a digest of what was read."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from galaxymorph.base import BadInput, Progress, read_bytes
from galaxymorph.images.decoding import decode_bytes
from galaxymorph.zoo import Catalogue, Problem


@dataclass(frozen=True)
class Inspection:
    """What one image's bytes are: a digest, its size in pixels, and its fault, if any."""

    digest: str
    size: tuple[int, int]
    fault: str


def inspect_images(references: Sequence[str]) -> list[Inspection]:
    """Read and decode images, in parallel; return an `Inspection` each, in order."""
    # Threads share the warning filters, so only a filter around all of them holds throughout.
    with (
        warnings.catch_warnings(),
        Progress("checking images", len(references), "images") as progress,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        warnings.simplefilter("ignore")
        found = []
        for inspection in pool.map(_inspect, references):
            found.append(inspection)
            progress.advance()
        return found


def image_problems(catalogue: Catalogue, found: Sequence[Inspection]) -> list[Problem]:
    """Return a problem for every image of the catalogue that can't be used."""
    return [
        Problem(f"{catalogue.source} row {row}", inspection.fault, galaxy)
        for row, galaxy, inspection in zip(
            catalogue.table["row"], catalogue.table["galaxy"], found, strict=True
        )
        if inspection.fault
    ]


def digest_bytes(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256, plenty to notice a changed file."""
    return hashlib.sha256(data).hexdigest()[:16]


def _inspect(reference: str) -> Inspection:
    try:
        data = read_bytes(reference)
        image = decode_bytes(data, reference)
    except BadInput as error:
        return Inspection("", (0, 0), str(error))
    return Inspection(digest_bytes(data), image.size, "")
