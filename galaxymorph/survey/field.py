"""Other sources in a cutout: field stars, galaxies, and a satellite's trail.

Positions are arcsec from the centre, x to the right and y upward; magnitudes and colours AB.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from galaxymorph.survey.colours import over_r
from galaxymorph.survey.galaxies import Galaxy
from galaxymorph.survey.light import Light

# Per square arcminute brighter than r = 20 at high galactic latitude, and how the numbers rise
# with magnitude: stars after Robin et al. 2003 (A&A 409, 523), galaxies after Yasuda et al.
# 2001 (AJ 122, 1104).
STARS_AT_20, STAR_SLOPE = 1.1, 0.16
GALAXIES_AT_20, GALAXY_SLOPE = 0.8, 0.38
BRIGHTEST = 12.0


@dataclass(frozen=True)
class Field:
    """Sources as columns: x, y, r magnitude, g - r, r - i, half-light radius (0: a star), axis
    ratio and angle; shape (n, 8). `trail` is (band, offset arcsec, angle, brightness) or None.
    """

    sources: np.ndarray
    trail: tuple[int, float, float, float] | None = None

    @property
    def stars(self) -> np.ndarray:
        """The point sources."""
        return self.sources[self.sources[:, 5] == 0]


def draw_field(
    rng: np.random.Generator, galaxy: Galaxy, side: float, limit: float, trails: float
) -> Field:
    """Return other sources in a cutout, drawn at random.

    Args:
        rng: of the draws.
        galaxy: the central one; if its oddity is `other`, a star is in front of it.
        side: of the cutout, arcsec.
        limit: the faintest r magnitude to draw.
        trails: the share of cutouts with a satellite's trail.
    """
    area = (side / 60) ** 2
    # Star counts vary by a factor of several with galactic latitude, galaxies cluster.
    stars = _stars(rng, area * rng.lognormal(-0.2, 0.75), side, limit)
    galaxies = _galaxies(rng, area * rng.lognormal(-0.2, 0.9), side, limit)
    sources = [stars, galaxies]
    if galaxy.odd == "other":
        sources.append(_star_on(rng, galaxy))
    trail = None
    if rng.uniform() < trails:
        # SDSS exposes its filters minutes apart, so that a trail has one colour.
        trail = (
            int(rng.integers(3)),
            rng.uniform(-0.45, 0.45) * side,
            rng.uniform(0, math.pi),
            rng.lognormal(-1.2, 0.6),
        )
    return Field(np.concatenate(sources), trail)


def _magnitudes(
    rng: np.random.Generator, at_20: float, slope: float, area: float, limit: float
) -> np.ndarray:
    number = rng.poisson(at_20 * 10 ** (slope * (limit - 20)) * area)
    low, high = 10 ** (slope * BRIGHTEST), 10 ** (slope * limit)
    return np.log10(rng.uniform(low, high, number)) / slope


def _positions(rng: np.random.Generator, number: int, side: float) -> np.ndarray:
    return rng.uniform(-0.52, 0.52, (number, 2)) * side


def _stars(rng: np.random.Generator, area: float, side: float, limit: float) -> np.ndarray:
    mags = _magnitudes(rng, STARS_AT_20, STAR_SLOPE, area, limit)
    n = len(mags)
    # The stellar locus: turn-off stars and M dwarfs, which take over where it is faint (Ivezic
    # et al. 2008, ApJ 684, 287; Covey et al. 2007, AJ 134, 2398).
    dwarf = rng.uniform(size=n) < np.clip(0.1 + 0.09 * (mags - 15), 0.1, 0.65)
    gr = np.where(dwarf, rng.normal(1.42, 0.08, n), rng.gamma(6, 0.09, n))
    ri = np.where(dwarf, 0.5 + rng.gamma(1.6, 0.22, n), 0.45 * gr - 0.08 + rng.normal(0, 0.02, n))
    zero = np.zeros(n)
    return np.column_stack([_positions(rng, n, side), mags, gr, ri, zero, zero + 1, zero])


def _galaxies(rng: np.random.Generator, area: float, side: float, limit: float) -> np.ndarray:
    mags = _magnitudes(rng, GALAXIES_AT_20, GALAXY_SLOPE, area, limit)
    n = len(mags)
    gr = np.where(rng.uniform(size=n) < 0.45, rng.normal(1.15, 0.25, n), rng.normal(0.6, 0.2, n))
    size = 10 ** (0.2 * (rng.normal(21.6, 0.7, n) - mags)) / math.sqrt(2 * math.pi)
    return np.column_stack(
        [
            _positions(rng, n, side),
            mags,
            gr,
            0.42 * gr + rng.normal(0, 0.06, n),
            np.maximum(size, 0.15),
            rng.uniform(0.25, 1.0, n),
            rng.uniform(0, 180, n),
        ]
    )


def _star_on(rng: np.random.Generator, galaxy: Galaxy) -> np.ndarray:
    distance, angle = rng.uniform(0.2, 0.8) * galaxy.petro_r90, rng.uniform(0, 2 * math.pi)
    gr = rng.uniform(0.2, 1.4)
    mag = galaxy.mag_r + rng.uniform(-0.3, 2.0)
    return np.array(
        [[distance * math.cos(angle), distance * math.sin(angle), mag, gr, 0.45 * gr, 0, 1, 0]]
    )


def paint(field: Field, light: Light) -> np.ndarray:
    """Return the light of a field on the grid and in the bands of a galaxy's, in nanomaggies."""
    bands = np.zeros_like(light.bands)
    middle = (light.bands.shape[-1] - 1) / 2
    for x, y, mag, gr, ri, size, ratio, angle in field.sources:
        flux = fluxes(light.names, mag, gr, ri, size == 0)
        column, row = middle + x / light.pixel, middle - y / light.pixel
        if size == 0:
            _point(bands, row, column, flux)
        else:
            _smooth(bands, row, column, flux, size / light.pixel, ratio, math.radians(angle))
    if field.trail:
        _trail(bands, field.trail, light.pixel)
    return bands


def fluxes(bands: tuple[str, ...], mag: float, gr: float, ri: float, star: bool) -> np.ndarray:
    """Return the flux of a source in each band, nanomaggies, from its r magnitude and colours."""
    return 10 ** (0.4 * (22.5 - mag)) * 10 ** (-0.4 * np.array(over_r(bands, gr, ri, star)))


def _point(bands: np.ndarray, row: float, column: float, flux: np.ndarray) -> None:
    """Add a point source by bilinear weights of the four pixels around it."""
    side = bands.shape[-1]
    top, left = math.floor(row), math.floor(column)
    for y, x in ((0, 0), (0, 1), (1, 0), (1, 1)):
        share = (1 - abs(row - top - y)) * (1 - abs(column - left - x))
        if 0 <= top + y < side and 0 <= left + x < side:
            bands[:, top + y, left + x] += share * flux


def _smooth(
    bands: np.ndarray,
    row: float,
    column: float,
    flux: np.ndarray,
    size: float,
    ratio: float,
    angle: float,
) -> None:
    """Add an exponential disk, on the pixels around it."""
    side, scale = bands.shape[-1], size / 1.68 / math.sqrt(ratio)
    reach = math.ceil(7 * scale) + 2
    rows = np.arange(max(0, int(row) - reach), min(side, int(row) + reach + 1))
    columns = np.arange(max(0, int(column) - reach), min(side, int(column) + reach + 1))
    if not (len(rows) and len(columns)):
        return
    dy, dx = row - rows[:, None], columns[None, :] - column
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = (dy * math.cos(angle) - dx * math.sin(angle)) / ratio
    profile = np.exp(-np.sqrt(along**2 + across**2 + 0.12) / scale)
    profile /= max(2 * math.pi * scale**2 * ratio, profile.sum())
    bands[:, rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] += (
        flux[:, None, None] * profile
    ).astype(np.float32)


def _trail(bands: np.ndarray, trail: tuple[int, float, float, float], pixel: float) -> None:
    band, offset, angle, brightness = trail
    middle = (bands.shape[-1] - 1) / 2
    line = (np.arange(bands.shape[-1]) - middle) * pixel
    away = line[None, :] * math.cos(angle) - line[:, None] * math.sin(angle) - offset
    # A surface brightness of 22.5 mag/arcsec^2 is one nanomaggy a square arcsec.
    bands[band] += (brightness * pixel**2 * 4 * np.exp(-0.5 * (away / 0.3) ** 2)).astype(np.float32)
