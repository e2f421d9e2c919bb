"""Names of bands, as the headers of surveys and telescopes write them, and their wavelengths."""

from __future__ import annotations

import re
from typing import Any, Protocol


class Header(Protocol):
    """A FITS header's values by keyword."""

    def get(self, key: str, default: Any = "") -> Any:
        """Return the value of a keyword."""


# Where a header names its band. Wheels of several filters have a number each.
BAND_KEYS = (
    *("FILTER", "BAND", "FILTER1", "FILTER2", "FILTER3", "FILTNAM1", "FILTNAM2", "FILTNAM"),
    *("FILTNAME", "FILTERID", "FILTER_ID", "FILT", "FILTERS", "BANDNAME", "BANDPASS", "PHOTBAND"),
    *("WAVEBAND", "INSFILTE", "FPA.FILTERID", "FPA.FILTER", "ESO INS FILT1 NAME"),
    "ESO INS FILT NAME",
)
# Values of a filter wheel's empty position.
NO_FILTER = re.compile(
    r"(clear[a-z0-9]*|none|open|empty|n/?a|unknown|undefined|null|air|hole|blank|0*)", re.I
)
# Mean wavelengths in nm, to put colours in order: SDSS (Fukugita et al. 1996, AJ 111, 1748),
# Johnson and Cousins (Bessell 2005, ARA&A 43, 293), 2MASS (Cohen et al. 2003, AJ 126, 1090), GALEX,
# WISE, IRAC and Euclid's VIS. A letter's two cases differ by less than the distance to its
# neighbours.
WAVELENGTHS = {
    **{"u": 355, "b": 445, "g": 475, "v": 551, "r": 622, "i": 763, "z": 905, "y": 1000},
    **{"j": 1235, "h": 1662, "k": 2159, "ks": 2159, "fuv": 153, "nuv": 231, "vis": 715},
    **{"w1": 3353, "w2": 4603, "w3": 11561, "w4": 22088},
    **{"ch1": 3550, "ch2": 4493, "ch3": 5731, "ch4": 7872},
    **{"blue": 450, "green": 550, "red": 650},
}
# Filters named by wavelength: F606W in nm, and F160W of HST's infrared camera, as all of JWST's and
# Roman's, in tens of nm. No filter of HST that is named in nm has a smaller number.
BY_NUMBER = re.compile(r"f(\d{3,4})(?:w2?|lp|x|m|n)?", re.I)
LEAST_NM = 214
# Of JWST, in tens of nm, where the header doesn't name the telescope; HST has no such filters.
JWST = {"f277w", "f322w2", "f356w", "f444w", "f560w", "f770w"}
# MaNGA's images through a filter: GIMG. With a version, or a prime: HSC's R2, g'.
LETTER = re.compile(r"([ugrizybvjhk]|ks)(?:img|band|2|')?", re.I)


def short_name(name: str) -> str:
    """Return the band's name within a header's value.

    "r" of "r DECam SDSS c0002 6415.0 1480.0", "I" of "HSC-I2", "F814W" of "SCI_F814W"; the name
    itself where it isn't known.
    """
    for word in re.findall(r"[A-Za-z0-9']+", name):
        if (letter := LETTER.fullmatch(word)) is not None:
            return letter[1]
        if word.casefold() in WAVELENGTHS or BY_NUMBER.fullmatch(word):
            return word
    return name


def wavelength(name: str, telescope: str = "") -> float | None:
    """Return the wavelength of a `short_name` in nm, or None if it isn't known.

    Args:
        name: of the band.
        telescope: the header's TELESCOP: numbers of JWST's filters mean tens of nm.
    """
    known = name.casefold()
    if known in WAVELENGTHS:
        return WAVELENGTHS[known]
    if (named := BY_NUMBER.fullmatch(known)) is None:
        return None
    number = int(named[1])
    in_tens = number < LEAST_NM or number >= 1000 or known in JWST
    return 10.0 * number if in_tens or telescope.casefold() in ("jwst", "roman") else float(number)


def named_band(header: Header) -> str:
    """Return the band that a header names, by its `short_name`, or nothing."""
    for key in BAND_KEYS:
        name = str(header.get(key, "")).strip()
        if name and not NO_FILTER.fullmatch(name):
            return short_name(name)
    return ""


def cube_bands(header: Header, number: int) -> list[str] | None:
    """Return the names of a cube's bands, as BANDS or a key each has them; None without names."""
    text = str(header.get("BANDS", "")).strip()
    words = re.findall(r"[\w.'+-]+", text)
    names = list(words[0]) if len(words) == 1 and len(words[0]) == number else words
    if len({name.casefold() for name in names}) == number == len(names):
        return names
    for key in ("BAND", "FILTER", "FILT"):
        for first in (0, 1):
            names = [str(header.get(f"{key}{first + n}", "")).strip() for n in range(number)]
            if all(names) and len(set(names)) == number:
                return [short_name(name) for name in names]
    return None
