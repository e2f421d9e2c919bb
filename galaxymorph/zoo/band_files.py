"""A galaxy's bands in a file each: `ID-g.fits`, `ID_r.fits`, or `g/ID.fits`.

A catalogue names one of the files, and the others are those of the other bands' names beside it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from galaxymorph.base import REFERENCE_SEPARATOR

# What parts the words of a file's name.
SEPARATORS = "-_."
WORD = re.compile(r"[^-_.]+")
FOLDER = re.compile(r"(?:^|[/:])([^/:]+)/$")


def band_of_file(name: str, bands: Sequence[str]) -> str:
    """Return the band that a file's name or its folder's has, empty if it has none of these."""
    place = _place_of_band(name, bands)
    return _canonical(name[place], bands) if place else ""


def file_of_band(name: str, bands: Sequence[str], band: str) -> str:
    """Return the name of the file in another band, which is written in the same case."""
    place = _place_of_band(name, bands)
    assert place is not None
    written = name[place]
    if written != _canonical(written, bands):
        band = band.upper() if written.isupper() else band.lower()
    return name[: place.start] + band + name[place.stop :]


def without_band(name: str, bands: Sequence[str]) -> str:
    """Return an image's name without its band at the end: ID of ID-g."""
    galaxy, _, band = name.rpartition(next((c for c in reversed(name) if c in SEPARATORS), "-"))
    known = {each.casefold() for each in bands}
    return galaxy if galaxy and band.casefold() in known else name


def one_file_a_galaxy(references: Iterable[str], bands: Sequence[str]) -> list[str]:
    """Return the references without those of a galaxy's further bands, in order."""
    known: set[str] = set()
    listed = []
    for reference in references:
        # A name given twice, without a band, stays.
        if band_of_file(reference, bands):
            galaxy = file_of_band(reference, bands, bands[0])
            if galaxy in known:
                continue
            known.add(galaxy)
        listed.append(reference)
    return listed


def _place_of_band(name: str, bands: Sequence[str]) -> slice | None:
    """Return where a band stands in a file's name, behind a separator, or as its folder's name."""
    known = {band.casefold() for band in bands}
    first = max(name.rfind("/"), name.rfind(REFERENCE_SEPARATOR) + 1) + 1
    words = list(WORD.finditer(name, first))
    for word in reversed(words[1:]):
        if word[0].casefold() in known:
            return slice(*word.span())
    folder = FOLDER.search(name, 0, first)
    return slice(*folder.span(1)) if folder and folder[1].casefold() in known else None


def _canonical(written: str, bands: Sequence[str]) -> str:
    return next((b for b in bands if b.casefold() == written.casefold()), written)
