"""Which columns of a table are a galaxy's coordinates, by their UCDs or by their names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np

# Unified content descriptors of the Virtual Observatory, those of version 1 too, in lower case.
UCDS = (
    ("pos.eq.ra;meta.main", "pos.eq.dec;meta.main"),
    ("pos_eq_ra_main", "pos_eq_dec_main"),
    ("pos.eq.ra", "pos.eq.dec"),
    ("pos_eq_ra", "pos_eq_dec"),
)
# Names in the order of preference, in lower case.
NAMES = (
    ("ra", "dec"),
    ("ra_icrs", "de_icrs"),
    ("ra_icrs", "dec_icrs"),
    ("raj2000", "dej2000"),
    ("raj2000", "decj2000"),
    ("ra_j2000", "dec_j2000"),
    ("_raj2000", "_dej2000"),
    ("_ra", "_de"),
    ("_ra", "_dec"),
    ("radeg", "decdeg"),
    ("ra_deg", "dec_deg"),
    ("radeg", "dedeg"),
    ("ramean", "decmean"),
    ("ra_2000", "dec_2000"),
    ("alpha_j2000", "delta_j2000"),
    ("right_ascension", "declination"),
    ("ra_1", "dec_1"),
)
# Of right ascensions as hours, minutes and seconds, and such words as 12h34m56s.
_SEXAGESIMAL = re.compile(r"\d\s*[:hd\s]\s*\d")


def find_coordinates(
    columns: Sequence[str], ucds: Mapping[str, str] | None = None
) -> tuple[str, str] | None:
    """Return the columns of right ascension and declination, None if there are none.

    Args:
        columns: of the table.
        ucds: of those columns that have one, which come before names.
    """
    described = {ucd.lower().replace(" ", ""): name for name, ucd in (ucds or {}).items()}
    named: dict[str, str] = {}
    for name in columns:
        named.setdefault(name.lower().strip(), name)
    for pairs, known in ((UCDS, described), (NAMES, named)):
        for ra, dec in pairs:
            if ra in known and dec in known:
                return known[ra], known[dec]
    return None


def as_degrees(ra: Sequence[object], dec: Sequence[object]) -> tuple[np.ndarray, np.ndarray]:
    """Return coordinates in degrees, NaN where a cell is empty, none, or outside of the sky.

    Args:
        ra: right ascensions: degrees, or hours, minutes and seconds, `12:34:56.7` or `12h34m56.7s`.
        dec: declinations: degrees, or degrees, minutes and seconds.
    """
    pairs = [_pair(str(a), str(d)) for a, d in zip(ra, dec, strict=True)]
    both = np.array(pairs, float).reshape(-1, 2)
    known = (both[:, 0] >= 0) & (both[:, 0] <= 360) & (np.abs(both[:, 1]) <= 90)
    both[~known] = np.nan
    return both[:, 0], both[:, 1]


def _pair(ra: str, dec: str) -> tuple[float, float]:
    return _degrees(ra, 15.0), _degrees(dec, 1.0)


def _degrees(text: str, factor: float) -> float:
    text = text.strip()
    if text.count(",") == 1 and "." not in text:
        # The decimal comma of some languages.
        text = text.replace(",", ".")
    if not _SEXAGESIMAL.search(text):
        try:
            return float(text)
        except ValueError:
            return float("nan")
    parts = re.findall(r"\d+(?:\.\d+)?", text)
    rest = re.sub(r"[\d.:\shdm\'\"°′″+-]|s$", "", text)
    if not 2 <= len(parts) <= 3 or rest or any(float(part) >= 60 for part in parts[1:]):
        return float("nan")
    value = sum(float(part) / 60**at for at, part in enumerate(parts))
    # A declination such as 12d34m is in degrees, and so is a right ascension like it.
    factor = 1.0 if "d" in text or "°" in text else factor
    return (-value if text.startswith("-") else value) * factor
