"""Colours of light in u and z, which follow from g - r and r - i.

Nothing is drawn: components of the same g - r have the same u - g, and those of the same r - i the
same i - z.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

BANDS = ("g", "r", "i")
# Bands that a survey may have besides, and all of them, by wavelength.
FURTHER = ("u", "z")
BY_WAVELENGTH = ("u", "g", "r", "i", "z")

# Galaxies' g - r and u - g: the spectra of types Im, Scd, Sbc and E by Coleman, Wu & Weedman 1980,
# ApJS 43, 393 (as GalSim has them) through SDSS's response (Doi et al. 2010, AJ 139, 1628, table
# 4). Out to z = 0.1, a type departs from the curve by at most 0.13 mag, ellipticals by 0.01: their
# g - r reddens, their u - g does not. The first point continues the line through Scd and Im.
GALAXY_GR = (-0.6, 0.184, 0.388, 0.513, 0.825)
GALAXY_UG = (-0.61, 0.630, 0.953, 1.130, 1.782)
# i - z over r - i: the line through the same spectra at redshifts of 0, 0.05 and 0.1, from which
# they scatter by 0.03 mag.
GALAXY_IZ, GALAXY_IZ_SLOPE = 0.064, 0.645
# Median colours of stars by g - i: Covey et al. 2007, AJ 134, 2398, table 1.
STAR_GI = (0.2, 0.4, 0.6, 0.8, 1.0, 1.2, 1.4, 1.6, 1.8, 2.0, 2.4, 2.8, 3.2)
STAR_UG = (1.06, 1.07, 1.25, 1.56, 1.90, 2.17, 2.38, 2.53, 2.61, 2.61, 2.59, 2.62, 2.64)
STAR_IZ = (-0.02, 0.01, 0.04, 0.08, 0.12, 0.16, 0.20, 0.24, 0.29, 0.35, 0.52, 0.72, 0.90)


def over_r(bands: Iterable[str], gr: float, ri: float, star: bool = False) -> list[float]:
    """Return the magnitudes in bands minus that in r, of stars or of light of galaxies.

    Args:
        bands: of `BY_WAVELENGTH`.
        gr: g - r, mag.
        ri: r - i, mag.
        star: whether it is one.
    """
    known = {"g": gr, "r": 0.0, "i": -ri}
    return [known[band] if band in known else _further(band, gr, ri, star) for band in bands]


def _further(band: str, gr: float, ri: float, star: bool) -> float:
    if band == "u":
        curve = (gr + ri, STAR_GI, STAR_UG) if star else (gr, GALAXY_GR, GALAXY_UG)
        return gr + float(np.interp(*curve))
    if star:
        return -ri - float(np.interp(gr + ri, STAR_GI, STAR_IZ))
    return -ri - (GALAXY_IZ + GALAXY_IZ_SLOPE * ri)
