"""Model images of galaxies before observation: surface brightness in each band, by feature.

Each feature is a separate map on the same grid, from which masks and visibility are computed.
Fluxes are in nanomaggies (an AB magnitude of 22.5) per pixel of the grid.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from scipy import ndimage
from scipy.special import gamma, k1

from galaxymorph.survey.colours import BANDS, over_r
from galaxymorph.survey.galaxies import Galaxy

# Extinction over that in r: Stoughton et al. 2002, AJ 123, 485, table 22.
DUST = {"u": 1.874, "g": 1.379, "r": 1.0, "i": 0.758, "z": 0.538}


@dataclass
class Light:
    """A galaxy's light: `bands` of shape (bands, n, n), `features` maps of shape (n, n) in r.

    The feature `dust` is the absorbed light, `disk` the smooth disk. `names` are of the bands: g, r
    and i come first.
    """

    pixel: float  # arcsec
    bands: np.ndarray
    features: dict[str, np.ndarray] = field(default_factory=dict)
    names: tuple[str, ...] = BANDS

    def add(self, name: str, light: np.ndarray, gr: float, ri: float, star: bool = False) -> None:
        """Add a feature's r-band light of one colour (g - r, r - i in mag); no name: none."""
        for band, mag in zip(self.bands, over_r(self.names, gr, ri, star), strict=True):
            band += np.float32(10 ** (-0.4 * mag)) * light
        if name:
            self.features[name] = self.features.get(name, 0) + light


@dataclass(frozen=True)
class _Plane:
    """Coordinates (arcsec) on the sky and in the disk's plane, each of shape (n, n)."""

    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    angle: np.ndarray


def render(galaxy: Galaxy, side: int, pixel: float, further: tuple[str, ...] = ()) -> Light:
    """Return a galaxy's light on a square grid centred on it.

    Args:
        galaxy: its parameters.
        side: of the grid, in pixels.
        pixel: side of a pixel, in arcsec.
        further: bands besides g, r and i.
    """
    names = (*BANDS, *further)
    light = Light(pixel, np.zeros((len(names), side, side), np.float32), names=names)
    _draw(light, galaxy, 0.0, 0.0)
    if galaxy.companion is not None:
        _draw_companion(light, galaxy, galaxy.companion)
    if galaxy.tail_fraction > 0:
        for ridge, share in _tails(galaxy):
            light.add(
                "tail",
                share * _flux(galaxy) * _along(ridge, galaxy, light),
                galaxy.disk_gr,
                galaxy.disk_ri,
            )
    return light


def _draw_companion(light: Light, galaxy: Galaxy, companion: Galaxy) -> None:
    angle = math.radians(galaxy.companion_angle)
    alone = Light(light.pixel, np.zeros_like(light.bands), names=light.names)
    _draw(
        alone,
        companion,
        galaxy.companion_distance * math.cos(angle),
        galaxy.companion_distance * math.sin(angle),
    )
    light.bands += alone.bands
    light.features["companion"] = alone.bands[1]


def _flux(galaxy: Galaxy) -> float:
    return 10 ** (0.4 * (22.5 - galaxy.mag_r))


def _draw(light: Light, galaxy: Galaxy, x: float, y: float) -> None:
    """Add one galaxy, centred x, y arcsec from the centre of the grid."""
    rng = np.random.default_rng(galaxy.texture)
    plane = _plane(galaxy, light, x, y, rng)
    total = _flux(galaxy)
    extras = galaxy.clump_fraction + galaxy.lens_fraction
    if galaxy.disk_scale == 0:
        bulge = total * (1 - extras) * _spheroid(galaxy, plane, light.pixel)
        star = galaxy.kind == "artifact"
        light.add("", bulge, galaxy.bulge_gr, galaxy.bulge_ri, star)
    else:
        _draw_disk_galaxy(light, galaxy, plane, total * (1 - extras), rng)
    if galaxy.clump_number:
        light.add(
            "clumps",
            total * galaxy.clump_fraction * _clumps(galaxy, plane, rng),
            galaxy.arm_gr,
            galaxy.arm_ri,
        )
    if galaxy.lens_fraction:
        # Lensed galaxies are star-forming and blue, well behind a red lens (SLACS: Bolton et al.
        # 2006, ApJ 638, 703).
        light.add("lens", total * galaxy.lens_fraction * _arc(galaxy, plane), 0.1, 0.05)
    depth = _dust(galaxy, plane)
    if depth is not None:
        before = light.bands[1].copy()
        extinction = np.array([DUST[name] for name in light.names], np.float32)
        light.bands *= np.exp(-extinction[:, None, None] * depth)
        light.features["dust"] = before - light.bands[1]


def _draw_disk_galaxy(
    light: Light, galaxy: Galaxy, plane: _Plane, total: float, rng: np.random.Generator
) -> None:
    texture = _texture(rng)
    disk = (1 - galaxy.bulge_fraction - galaxy.bar_fraction - galaxy.ring_fraction) * total
    edge_on = galaxy.kind == "edge_on"
    arms = disk * galaxy.arm_fraction
    knots = disk * galaxy.knot_fraction
    smooth = _edge_on_disk(galaxy, plane) if edge_on else _face_on_disk(galaxy, plane)
    mottled = smooth * (
        1 + (0.22 if edge_on else 0.12) * _wrapped(texture, plane, galaxy.disk_scale)
    ).clip(0.1)
    light.add(
        "disk", (disk - arms - knots) * light.pixel**2 * mottled, galaxy.disk_gr, galaxy.disk_ri
    )
    seeds = smooth
    if arms > 0:
        pattern = _arms(galaxy, plane, texture)
        light.add("arms", arms * pattern, galaxy.arm_gr, galaxy.arm_ri)
        seeds = pattern
    if knots > 0:
        # HII regions: blue, with H alpha in r or i (Kennicutt 1988, ApJ 334, 144).
        light.add(
            "arms" if arms > 0 else "",
            knots * _knots(galaxy, seeds, light.pixel, rng),
            galaxy.arm_gr - 0.3,
            galaxy.arm_ri - 0.15,
        )
    if galaxy.bar_fraction:
        light.add(
            "bar",
            total * galaxy.bar_fraction * _bar(galaxy, plane),
            0.7 * galaxy.bulge_gr + 0.3 * galaxy.disk_gr,
            0.7 * galaxy.bulge_ri + 0.3 * galaxy.disk_ri,
        )
    if galaxy.ring_fraction:
        light.add(
            "ring",
            total * galaxy.ring_fraction * _ring(galaxy, plane, texture),
            0.5 * (galaxy.arm_gr + galaxy.disk_gr),
            galaxy.arm_ri,
        )
    if galaxy.bulge_fraction:
        light.add(
            "bulge",
            total * galaxy.bulge_fraction * _spheroid(galaxy, plane, light.pixel),
            galaxy.bulge_gr,
            galaxy.bulge_ri,
        )


def _plane(galaxy: Galaxy, light: Light, x: float, y: float, rng: np.random.Generator) -> _Plane:
    """Return coordinates along the galaxy's axes, distorted if it is disturbed."""
    side = light.bands.shape[-1]
    line = ((np.arange(side) - (side - 1) / 2) * light.pixel).astype(np.float32)
    # Rows count downward in an image, so y runs against them.
    dx, dy = line[None, :] - x, -line[:, None] - y
    dx, dy = np.broadcast_arrays(dx, dy)
    if galaxy.disturbance > 0:
        dx, dy = _distorted(galaxy, dx, dy, rng)
    angle = math.radians(galaxy.position_angle)
    along = dx * math.cos(angle) + dy * math.sin(angle)
    across = dy * math.cos(angle) - dx * math.sin(angle)
    cosine = math.cos(math.radians(galaxy.inclination))
    ratio = math.sqrt(cosine**2 + (galaxy.disk_thickness * math.sqrt(1 - cosine**2)) ** 2)
    tilted = across / ratio
    return _Plane(along, across, np.hypot(along, tilted), np.arctan2(tilted, along))


def _distorted(
    galaxy: Galaxy, dx: np.ndarray, dy: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Return smoothly displaced points: the outskirts by `disturbance` Petrosian radii.

    The displacement vanishes at the centre.
    """
    scale = galaxy.petro_r90
    square = (dx**2 + dy**2) / np.float32(scale**2)
    amplitude = np.float32(galaxy.disturbance * scale) * square / (square + np.float32(0.4))
    row, column = dx[0] / scale, dy[:, 0] / scale
    displaced = []
    for part in (dx, dy):
        # cos(kx x + ky y + phase) as an outer product: 2 n exponentials in place of n^2 cosines.
        kx, ky = rng.normal(0, 1.0, (2, 3, 1))
        across = np.exp(1j * (ky * column + rng.uniform(0, 2 * math.pi, (3, 1))))
        along = np.exp(1j * kx * row)
        waves = sum(
            np.multiply.outer(a.real, b.real) - np.multiply.outer(a.imag, b.imag)
            for a, b in zip(across.astype(np.complex64), along.astype(np.complex64), strict=True)
        )
        displaced.append(part + amplitude * waves)
    return displaced[0], displaced[1]


def _spheroid(galaxy: Galaxy, plane: _Plane, pixel: float) -> np.ndarray:
    """Return a Sersic profile of total flux 1 on generalised ellipses.

    Sersic 1968, with b(n) of Ciotti & Bertin 1999 (A&A 352, 447), equation 18; generalised
    ellipses as Athanassoula et al. 1990, MNRAS 245, 130, equation 1.
    """
    n, size, ratio = galaxy.bulge_index, galaxy.bulge_radius, galaxy.bulge_axis_ratio
    b = 2 * n - 1 / 3 + 4 / (405 * n) + 46 / (25515 * n**2)
    across = plane.y / ratio
    if abs(galaxy.bulge_boxiness) > 0.02:
        power = 2 + galaxy.bulge_boxiness
        radius = (np.abs(plane.x) ** power + np.abs(across) ** power) ** np.float32(1 / power)
    else:
        radius = np.hypot(plane.x, across)
    # A pixel averages over the central cusp.
    radius = np.hypot(radius, np.float32(0.35 * pixel))
    total = 2 * math.pi * n * b ** (-2 * n) * gamma(2 * n) * size**2 * ratio
    profile = np.exp(-np.float32(b) * (radius / np.float32(size)) ** np.float32(1 / n))
    profile *= np.float32(pixel**2 / total)
    # Flux within the central pixel isn't sampled; it is added there.
    missing = 1 - float(profile.sum())
    if size < 2 * pixel and missing > 0:
        profile[np.unravel_index(radius.argmin(), radius.shape)] += missing
    return profile


def _face_on_disk(galaxy: Galaxy, plane: _Plane) -> np.ndarray:
    """Return an exponential disk (Freeman 1970) of flux 1, per square arcsec."""
    scale = galaxy.disk_scale
    cosine = max(math.cos(math.radians(galaxy.inclination)), galaxy.disk_thickness)
    peak = 1 / (2 * math.pi * scale**2 * cosine)
    disk = np.float32(peak) * np.exp(plane.radius / np.float32(-scale))
    # Disks end at about four scale lengths (van der Kruit & Searle 1981, A&A 95, 105).
    return disk / (1 + (plane.radius / np.float32(4.5 * scale)) ** 8)


def _edge_on_disk(galaxy: Galaxy, plane: _Plane) -> np.ndarray:
    """Return an edge-on disk of flux 1, per square arcsec.

    (R/h) K1(R/h) sech^2(z/z0): van der Kruit & Searle 1981, equation 5; a tilt thickens it.
    """
    scale = galaxy.disk_scale
    tilt = math.cos(math.radians(galaxy.inclination))
    height = scale * math.hypot(galaxy.disk_thickness, 0.9 * tilt)
    distance = np.maximum(np.abs(plane.x) / scale, 1e-3)
    along = distance * k1(distance).astype(np.float32)
    along /= 1 + (distance / np.float32(4.2)) ** 10
    across = 1 / np.cosh(np.clip(plane.y / height, -20, 20)) ** 2
    # The integrals are pi scale along and 2 height across.
    return (along * across / (math.pi * scale * 2 * height)).astype(np.float32)


def _texture(rng: np.random.Generator) -> np.ndarray:
    """Return a smooth random field of unit variance over (angle, log radius), periodic."""
    noise = rng.standard_normal((96, 48)).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (1.6, 2.4), mode="wrap")
    return smooth / smooth.std()


def _wrapped(
    texture: np.ndarray, plane: _Plane, scale: float, twist: float | np.ndarray = 0.0
) -> np.ndarray:
    """Return the texture at every point, rotated by `twist` (radians, a number or a map)."""
    turns = (plane.angle + twist) * np.float32(texture.shape[0] / (2 * math.pi))
    rings = np.log(plane.radius / np.float32(scale) + 0.15) * np.float32(texture.shape[1] / 4)
    return ndimage.map_coordinates(texture, (turns, rings), order=1, mode="grid-wrap")


def _winding(galaxy: Galaxy, plane: _Plane) -> np.ndarray:
    """Return the azimuth of a logarithmic spiral at each point's radius, in radians.

    phi = ln(R) / tan(pitch): Binney & Tremaine 2008, section 6.1.3.
    """
    rings = np.log(plane.radius / np.float32(galaxy.disk_scale) + 0.05)
    return np.float32(-galaxy.handedness / math.tan(math.radians(galaxy.arm_pitch))) * rings


def _arms(galaxy: Galaxy, plane: _Plane, texture: np.ndarray) -> np.ndarray:
    """Return the arms' light, total 1: logarithmic spirals, made irregular by flocculence."""
    twist = _winding(galaxy, plane)
    ragged = _wrapped(texture, plane, galaxy.disk_scale, twist)
    phase = plane.angle + twist + math.radians(galaxy.arm_phase)
    sharp = 0.5 / galaxy.arm_width**2
    wander = (0.12 + 0.5 * galaxy.flocculence) * np.roll(texture, 17, axis=1)
    shifted = phase + _wrapped(wander, plane, 2 * galaxy.disk_scale, 0.5 * twist) / max(
        1, 0.7 * galaxy.arm_number
    )
    ridge = np.exp(np.float32(sharp) * (np.cos(galaxy.arm_number * shifted) - 1))
    uneven = 1 + min(galaxy.arm_lopsidedness, 1.0) * np.cos(phase)
    flocks = np.exp(np.float32(0.9) * ragged)
    share = galaxy.flocculence
    pattern = uneven * ridge * ((1 - share) + share * flocks) + 0.45 * share**2 * flocks
    scale = np.float32(galaxy.disk_scale)
    start = max(0.5 * galaxy.disk_scale, 0.9 * galaxy.bar_length, 0.8 * galaxy.bulge_radius)
    pattern *= np.exp(-plane.radius / (1.5 * scale))
    pattern /= 1 + np.exp((np.float32(start) - plane.radius) / (0.12 * scale))
    pattern /= 1 + (plane.radius / (3.3 * scale)) ** 7
    return pattern / pattern.sum()


def _knots(galaxy: Galaxy, seeds: np.ndarray, pixel: float, rng: np.random.Generator) -> np.ndarray:
    """Return star-forming regions, total 1, drawn with a map as their density."""
    chance = np.cumsum(np.maximum(seeds, 0).ravel(), dtype=np.float64)
    number = int(rng.integers(15, 60))
    where = np.searchsorted(chance, rng.uniform(0, chance[-1], number))
    knots = np.zeros(seeds.size, np.float32)
    # HII regions' luminosities fall as L^-2 (Kennicutt, Edgar & Hodge 1989, ApJ 337, 761).
    np.add.at(knots, where.clip(0, seeds.size - 1), 1 / (1 - 0.97 * rng.uniform(size=number)))
    size = max(0.035 * galaxy.petro_r90 / pixel, 0.6)
    knots = ndimage.gaussian_filter(knots.reshape(seeds.shape), size, truncate=3)
    return knots / knots.sum()


def _bar(galaxy: Galaxy, plane: _Plane) -> np.ndarray:
    """Return a bar, total 1: a flat boxy ellipse in the disk's plane (Athanassoula 1990)."""
    angle = plane.angle - np.float32(math.radians(galaxy.bar_angle))
    along = np.abs(plane.radius * np.cos(angle)) / galaxy.bar_length
    across = np.abs(plane.radius * np.sin(angle)) / (galaxy.bar_length * galaxy.bar_axis_ratio)
    square = along**2.6 + across**2.6
    bar = np.exp(-1.6 * square ** np.float32(0.8))
    return bar / bar.sum()


def _ring(galaxy: Galaxy, plane: _Plane, texture: np.ndarray) -> np.ndarray:
    distance = (plane.radius - galaxy.ring_radius) / galaxy.ring_width
    ring = np.exp(-0.5 * distance**2)
    ring *= np.clip(1 + 0.3 * _wrapped(texture, plane, galaxy.disk_scale), 0.1, None)
    return ring / ring.sum()


def _arc(galaxy: Galaxy, plane: _Plane) -> np.ndarray:
    """Return a lensed arc and its counter-image, total 1, on the Einstein ring."""
    radius, angle = np.hypot(plane.x, plane.y), np.arctan2(plane.y, plane.x)
    thin = np.exp(-0.5 * ((radius - galaxy.lens_radius) / (0.09 * galaxy.lens_radius)) ** 2)
    span = math.radians(galaxy.lens_span) / 2
    near = np.exp(-((np.abs(angle) / span) ** 4))
    far = 0.5 * np.exp(-(((math.pi - np.abs(angle)) / (0.3 * span)) ** 2))
    arc = thin * (near + far)
    return arc / arc.sum()


def _clumps(galaxy: Galaxy, plane: _Plane, rng: np.random.Generator) -> np.ndarray:
    clumps = np.zeros_like(plane.x)
    for _ in range(galaxy.clump_number):
        cx, cy = rng.normal(0, 0.42, 2) * galaxy.petro_r90
        size = rng.uniform(0.05, 0.18) * galaxy.petro_r90
        square = (plane.x - cx) ** 2 + (plane.y - 0.7 * cy) ** 2
        clumps += rng.uniform(0.2, 1) / size * np.exp(square / np.float32(-2 * size**2))
    return clumps / clumps.sum()


def _dust(galaxy: Galaxy, plane: _Plane) -> np.ndarray | None:
    """Return the optical depth in r: a lane along the major axis, or dust inside the arms."""
    if galaxy.dust_depth < 0.02:
        return None
    if galaxy.arm_number and galaxy.odd != "dust_lane":
        phase = plane.angle + _winding(galaxy, plane) + math.radians(galaxy.arm_phase)
        # Dust lies on the arms' inner side, about 25 degrees of phase (Roberts 1969, ApJ 158, 123).
        lag = galaxy.arm_number * phase + galaxy.handedness * 0.45
        lane = np.exp(6 * (np.cos(lag) - 1)) * np.exp(-plane.radius / (2 * galaxy.disk_scale))
        # There is no dust lane inside the radius where the arms begin.
        lane *= 1 - np.exp(-((plane.radius / (0.8 * galaxy.disk_scale)) ** 2))
        return (galaxy.dust_depth * lane).astype(np.float32)
    length = galaxy.disk_scale * 1.8 if galaxy.disk_scale else 0.55 * galaxy.petro_r90
    height = (0.10 if galaxy.disk_scale else 0.14) * length
    lane = np.exp(-0.5 * ((plane.y - galaxy.dust_offset) / height) ** 2)
    return (galaxy.dust_depth * lane * np.exp(-((np.abs(plane.x) / length) ** 3))).astype(
        np.float32
    )


def _tails(galaxy: Galaxy) -> Iterator[tuple[np.ndarray, float]]:
    """Yield tidal tails as points (arcsec, shape (2, n)) with their share of the light.

    Tails curve and leave on both sides (Toomre & Toomre 1972, ApJ 178, 623).
    """
    rng = np.random.default_rng([galaxy.texture, 1])
    for side, share in ((0.0, 0.65), (math.pi, 0.35)):
        steps = np.linspace(0.12, 1.0, 400)
        turn = math.radians(galaxy.tail_angle) + side
        curve = turn + galaxy.handedness * rng.uniform(0.4, 1.8) * steps
        length = galaxy.tail_length * rng.uniform(0.6, 1.0)
        yield (
            length * steps * np.stack([np.cos(curve), np.sin(curve)]),
            share * (galaxy.tail_fraction),
        )


def _along(points: np.ndarray, galaxy: Galaxy, light: Light) -> np.ndarray:
    """Return light along points, of total 1, or less if the tail leaves the frame."""
    side = light.bands.shape[-1]
    rows = np.round((side - 1) / 2 - points[1] / light.pixel).astype(int)
    columns = np.round((side - 1) / 2 + points[0] / light.pixel).astype(int)
    inside = (rows >= 0) & (rows < side) & (columns >= 0) & (columns < side)
    fade = np.linspace(1.0, 0.15, points.shape[1])
    tail = np.zeros((side, side), np.float32)
    np.add.at(tail, (rows[inside], columns[inside]), fade[inside] / fade.sum())
    return ndimage.gaussian_filter(tail, 0.11 * galaxy.petro_r90 / light.pixel, truncate=3)
