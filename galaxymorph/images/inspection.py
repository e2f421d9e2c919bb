"""Decode every image of a catalogue once: what is broken, and a digest of what was read."""

from __future__ import annotations

import hashlib
import os
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from galaxymorph.base import BadInput, Progress, read_bytes
from galaxymorph.images.decoding import decode_bytes
from galaxymorph.zoo import Catalogue, Problem


@dataclass(frozen=True)
class Inspection:
    """A digest of one image's bytes, empty if there are none, and its fault, if any."""

    digest: str
    fault: str


def inspect_images(references: Sequence[str], decoding: bool = True) -> list[Inspection]:
    """Read images in parallel, and decode them; return an `Inspection` each, in order."""
    label, inspect = ("checking", inspect_image) if decoding else ("reading", digest_image)
    with (
        quiet_decoding(),
        Progress(f"{label} images", len(references), "images") as progress,
        ThreadPoolExecutor(os.cpu_count()) as pool,
    ):
        found = []
        for inspection in pool.map(inspect, references):
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


def inspect_image(reference: str) -> Inspection:
    """Read and decode one image."""
    try:
        data = read_bytes(reference)
        decode_bytes(data, reference)
    except BadInput as error:
        return Inspection("", str(error))
    return Inspection(digest_bytes(data), "")


def digest_image(reference: str) -> Inspection:
    """Read one image without decoding it."""
    try:
        return Inspection(digest_bytes(read_bytes(reference)), "")
    except BadInput as error:
        return Inspection("", str(error))


@contextmanager
def quiet_decoding() -> Iterator[None]:
    """Silence Pillow's warnings; threads share the filters, so this goes around all of them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
