"""Calibration of FITS pixels by their header: nanomaggies of a unit of their values.

A nanomaggy is the flux of an AB magnitude of 22.5, 3.631 microjansky.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from galaxymorph.base import without_warnings
from galaxymorph.images.bands import Header

# AB's zero point in jansky (Oke & Gunn 1983, ApJ 266, 713).
AB_JANSKY = 3631.0
# The AB magnitude of a nanomaggy.
NANOMAGGY = 22.5
# Zero points of the values as they are: of KiDS and ESO's products (MAGZP, PHOTZP), NOIRLab
# (MAGZERO), MegaPipe (PHOTZP), SWarp (SEXMGZPT).
ZERO_POINTS = ("MAGZERO", "MAGZP", "PHOTZP", "ZP", "ZP_AB", "ABZP", "ZPAB", "MAG0", "SEXMGZPT")
# Zero points of values per second of exposure: of CASU (UKIRT, VISTA) and Pan-STARRS.
ZERO_POINTS_PER_SECOND = ("MAGZPT", "FPA.ZP")
EXPOSURE = ("EXPTIME", "TEXPTIME", "EXPOSURE", "EXP_TIME")
# The flux of magnitude 0: of HSC and LSST.
FLUX_OF_ZERO = "FLUXMAG0"
# Zero point of PHOTFLAM = 1, in erg / cm2 / s / angstrom per count a second, at a pivot of 1
# angstrom: ZP = -2.5 log10(PHOTFLAM) - 5 log10(PHOTPLAM) - 2.408 (ACS Data Handbook, 5.1.1).
# PHOTZPT = -21.1 in the same headers is that of STMAG, for all filters.
PIVOT_ZERO = -2.408
# Names of units that astropy doesn't know; nanomaggy and maggy it knows.
ALIASES = {
    **dict.fromkeys(("nanomaggies", "nanomaggie", "nanomaggys", "nmaggy", "nmgys"), "nmgy"),
    **dict.fromkeys(("maggies", "maggie", "maggys"), "mgy"),
}
# Counts, and counts a second.
COUNTS = ("adu", "count", "counts", "ct", "dn", "e", "e-", "electron", "electrons", "photons")
PER_SECOND = ("/s", "/sec", "/second", " s-1", "*s-1", ".s-1", "s**-1", " s^-1")
RATES = ("cps", "eps")
# The Legacy Surveys' cutouts name no unit, and are in nanomaggies
# (https://www.legacysurvey.org/dr10/description, "Image stacks").
IN_NANOMAGGIES = ("legacysurvey", "decals", "mzls", "bass", "decaps")
# Their service interpolates to any scale and keeps the values, which are a pixel's of the survey
# (arcsec): the noise of a cutout of DR3 at 0.1 arcsec, 0.007, 0.013 and 0.021 nanomaggies in g, r
# and z, is that of its depth (Dey et al. 2019, AJ 157, 168, table 4) in such pixels.
LEGACY_PIXEL = 0.262


def nanomaggies_per_unit(
    headers: tuple[Header, ...], band: str = "", number: int = 0
) -> float | None:
    """Return the nanomaggies of a pixel's unit, or None where the header doesn't say.

    Args:
        headers: of the plane, then of the file.
        band: of the plane, whose own keywords (`MAGZERO_R`) come before those of all bands.
        number: of the plane in its cube, from 1 (`MAGZERO1`); 0 without.
    """

    def value(*keys: str) -> float | None:
        return _number(headers, list(_of_band(keys, band, number)))

    unit = _text(headers, "BUNIT")
    if (factor := _by_unit(unit, headers)) is not None:
        return factor
    # Both of PHOTFLAM and CASU's zero points are of values a second.
    exposure = value(*EXPOSURE)
    seconds = 1.0 if _is_rate(unit) else exposure
    photflam, pivot = value("PHOTFLAM"), value("PHOTPLAM")
    if photflam and pivot and photflam > 0 and pivot > 0:
        if unit and not _is_rate(unit) and not exposure:
            return None
        zero = -2.5 * math.log10(photflam) - 5 * math.log10(pivot) + PIVOT_ZERO
        return _of_zero_point(zero) / (seconds if unit and seconds else 1.0)
    if (zero_point := value(*ZERO_POINTS)) is not None:
        return _of_zero_point(zero_point)
    if (per_second := value(*ZERO_POINTS_PER_SECOND)) is not None:
        return _of_zero_point(per_second) / seconds if seconds else None
    if (flux := value(FLUX_OF_ZERO)) is not None and flux > 0:
        return _of_zero_point(2.5 * math.log10(flux))
    return 1.0 if _is_legacy(headers) else None


def _is_legacy(headers: tuple[Header, ...]) -> bool:
    """Tell whether an image is a cutout of the Legacy Surveys, which names no unit."""
    survey = _text(headers, "SURVEY").replace(" ", "").casefold()
    return survey.startswith(IN_NANOMAGGIES) and not _text(headers, "BUNIT")


def _of_zero_point(magnitude: float) -> float:
    return 10 ** (0.4 * (NANOMAGGY - magnitude))


def _of_band(keys: tuple[str, ...], band: str, number: int) -> Iterator[str]:
    for key in keys:
        if band:
            yield f"{key}_{band.upper()}"
            yield f"{key}{band.upper()}"
        if number:
            yield f"{key}{number}"
            yield f"{key}_{number}"
    yield from keys


def _number(headers: tuple[Header, ...], keys: list[str]) -> float | None:
    for key in keys:
        for header in headers:
            value = header.get(key, None)
            if isinstance(value, str):
                try:
                    value = float(value)
                except ValueError:
                    continue
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if is_number and math.isfinite(value):
                return float(value)
    return None


def _text(headers: tuple[Header, ...], key: str) -> str:
    texts = (str(header.get(key, "") or "").strip() for header in headers)
    return next(filter(None, texts), "")


def _is_rate(unit: str) -> bool:
    lower = unit.casefold()
    return lower in RATES or any(ending in lower for ending in PER_SECOND)


def _by_unit(text: str, headers: tuple[Header, ...]) -> float | None:
    """Return the nanomaggies of a unit of flux, None if it is none."""
    text = text.strip().strip("[]")
    plain = text.casefold().replace(" ", "")
    for ending in ("/pixel", "/pix", "perpixel"):
        plain = plain.removesuffix(ending)
    if not plain or plain.split("/")[0] in COUNTS:
        return None
    from astropy import units

    unit = _quiet(lambda: units.Unit(ALIASES.get(plain, ALIASES.get(text.casefold(), text))))
    if unit is None:
        return None
    for part in (units.pix, units.beam):
        unit = unit * part if part in unit.bases and -1 in unit.powers else unit
    zero = units.zero_point_flux(AB_JANSKY * units.Jy)
    if units.sr in unit.bases or units.arcsec in unit.bases:
        if (area := pixel_area(headers)) is None:
            return None
        unit = units.Unit(unit * area * units.arcsec**2)
    flux = _quiet(lambda: (1 * unit).to(units.nmgy, zero))
    return None if flux is None else float(flux.value)


def _quiet(work: Callable[[], Any]) -> Any:
    """Return the result, None where astropy can't parse or convert a unit."""
    from astropy import units

    with without_warnings():
        try:
            return work()
        except (ValueError, TypeError, units.UnitConversionError):
            return None


def pixel_area(headers: tuple[Header, ...]) -> float | None:
    """Return the area that a pixel's flux is of, in square arcseconds, or None.

    It is that of the WCS or JWST's PIXAR_A2, and of the survey's pixels for the Legacy Surveys.
    """
    if _is_legacy(headers):
        return LEGACY_PIXEL**2
    if (area := _number(headers, ["PIXAR_A2"])) is not None:
        return area
    area = _determinant(headers, "CD")
    if area is None:
        steps = [_number(headers, [f"CDELT{axis}"]) for axis in (1, 2)]
        if None in steps or not _text(headers, "CTYPE1"):
            return None
        rotation = _determinant(headers, "PC")
        area = (steps[0] or 0.0) * (steps[1] or 0.0) * (1.0 if rotation is None else rotation)
    return abs(area) * 3600**2 or None


def _determinant(headers: tuple[Header, ...], name: str) -> float | None:
    """Return the determinant of a WCS's matrix, CD or PC, None if the header has none."""
    matrix = [_number(headers, [f"{name}{row}_{column}"]) for row in (1, 2) for column in (1, 2)]
    if matrix[0] is None and matrix[1] is None:
        return None
    a, b, c, d = (value or 0.0 for value in matrix)
    return a * d - b * c
