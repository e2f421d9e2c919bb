"""Every image of a catalogue read once: whether it can be used, and a digest of its bytes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from galaxymorph.base import BadInput, Progress, counted, setting, without_warnings
from galaxymorph.images.content import NO_CONTENT, Fault
from galaxymorph.images.copies import first_copies, image_thumbnail
from galaxymorph.images.decoding import holds_fits
from galaxymorph.images.flux import FluxImage
from galaxymorph.images.galaxy_frames import as_picture, open_files, read_galaxy
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.images.workers import map_images
from galaxymorph.zoo import Catalogue, Problem

# Inspections that wait to be taken.
AHEAD = 256


@dataclass(frozen=True)
class Inspection:
    """The result of reading one image.

    Args:
        digest: of its bytes, empty if there are none.
        fault: if any.
        status: of its content.
        thumbnail: see `image_thumbnail`, None of an image that wasn't decoded.
        missing: bands of flux that the image lacks.
        bad: share of its pixels of flux without a measurement.
    """

    digest: str
    fault: str
    status: str = "ok"
    thumbnail: np.ndarray | None = None
    missing: tuple[str, ...] = ()
    bad: float = 0.0


def inspect_images(
    references: Sequence[str],
    decoding: bool = True,
    crop: float = 1.0,
    rendering: Rendering = DEFAULT,
) -> list[Inspection]:
    """Read images in parallel, and decode them; return an `Inspection` each, in order.

    Args:
        references: of the images.
        decoding: whether they are decoded, and frames without a galaxy noticed.
        crop: of those frames, as in `centre_frame`.
        rendering: of FITS.
    """
    label, inspect = "reading", partial(digest_image, rendering=rendering)
    if decoding:
        label, inspect = "checking", partial(inspect_image, crop=crop, rendering=rendering)
    with without_warnings(), Progress(f"{label} images", len(references), "images") as progress:
        inspections = []
        for inspection in map_images(inspect, references, AHEAD):
            inspections.append(inspection)
            progress.advance()
        return inspections


def require_fits(references: Sequence[str], given: Mapping[str, str | None]) -> None:
    """Raise BadInput if options say how to render FITS, and there are no FITS images.

    Args:
        references: of the images.
        given: by option, its value, None where it isn't given.
    """
    options = [setting(name, value) for name, value in given.items() if value is not None]
    if options and not any(map(holds_fits, references)):
        raise BadInput(f"{options[0]}: there are no FITS images", "leave it out")


def image_problems(catalogue: Catalogue, inspections: Sequence[Inspection]) -> list[Problem]:
    """Return a problem for every image of the catalogue that can't be used."""
    return [
        Problem(
            f"{catalogue.source} row {row}",
            inspection.fault,
            galaxy,
            inspection.status not in NO_CONTENT,
        )
        for row, galaxy, inspection in zip(
            catalogue.table["row"], catalogue.table["galaxy"], inspections, strict=True
        )
        if inspection.fault
    ]


def digest_bytes(data: bytes) -> str:
    """Return the first 16 hexadecimal digits of the SHA-256."""
    return hashlib.sha256(data).hexdigest()[:16]


def digest_files(files: Mapping[str, bytes]) -> str:
    """Return the digest of an image's files, one after the other."""
    return digest_bytes(next(iter(files.values())) if len(files) == 1 else b"".join(files.values()))


def inspect_image(reference: str, crop: float = 1.0, rendering: Rendering = DEFAULT) -> Inspection:
    """Return the inspection of one image, decoded, and of its frame."""
    try:
        files = read_galaxy(reference, rendering)
        image = open_files(files, crop, rendering)
    except BadInput as error:
        fault = Fault(error)
        return Inspection("", fault, fault.status)
    thumbnail = image_thumbnail(as_picture(image, rendering), crop)
    if isinstance(image, FluxImage):
        return Inspection(digest_files(files), "", "ok", thumbnail, image.missing, image.bad)
    return Inspection(digest_files(files), "", thumbnail=thumbnail)


def copies_in_words(catalogue: Catalogue, inspections: Sequence[Inspection]) -> list[str]:
    """Return how many images are copies of others, a line each of identical and of alike ones.

    Args:
        catalogue: the galaxies, in the order of the inspections.
        inspections: of their images.
    """
    first: dict[str, int] = {}
    identical, lines = [], []
    for at, inspection in enumerate(inspections):
        if inspection.digest and (earlier := first.setdefault(inspection.digest, at)) != at:
            identical.append((earlier, at))
    if identical:
        verb = "has" if len(identical) == 1 else "have"
        what = f"{counted(len(identical), 'image')} {verb} the content of another"
        lines.append(f"{what} {_pairs_in_words(catalogue, identical)}")
    distinct = list(first.values())
    thumbnails = [pixels for at in distinct if (pixels := inspections[at].thumbnail) is not None]
    if thumbnails and len(thumbnails) == len(distinct):
        copies = first_copies(np.array(thumbnails)).tolist()
        alike = [(distinct[copy], distinct[at]) for at, copy in enumerate(copies) if copy != at]
        if alike:
            verb = "shows" if len(alike) == 1 else "show"
            what = f"{len(alike):,} more {verb} the galaxy of another, such as one saved anew"
            lines.append(f"{what} {_pairs_in_words(catalogue, alike)}")
    return lines


def _pairs_in_words(catalogue: Catalogue, pairs: Sequence[tuple[int, int]]) -> str:
    """Return the first of pairs of copies, and how many have different labels."""
    galaxies = catalogue.table["galaxy"].tolist()

    def named(pair: tuple[int, int]) -> str:
        return f"(the first: {galaxies[pair[1]]} is {galaxies[pair[0]]})"

    together = "a split keeps them together"
    differ = [pair for pair in pairs if catalogue.have_other_labels(*pair)]
    if not differ:
        return f"{named(pairs[0])}: {together}"
    which = "very different votes" if catalogue.tree else "another class"
    example = f" {named(differ[0])}" if differ[0] != pairs[0] else ""
    return f"{named(pairs[0])}, {len(differ):,} of them with {which}{example}: {together}"


def digest_image(reference: str, rendering: Rendering = DEFAULT) -> Inspection:
    """Return the inspection of one image without decoding it."""
    try:
        return Inspection(digest_files(read_galaxy(reference, rendering)), "")
    except BadInput as error:
        fault = Fault(error)
        return Inspection("", fault, fault.status)
