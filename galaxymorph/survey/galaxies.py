"""A prior over galaxies' structural parameters, and draws from it.

Sizes are in arcseconds and magnitudes are AB, as SDSS would observe the galaxy at its redshift;
`observing.at_redshift` places it at another. Angles are in degrees, counter-clockwise from the
image's x axis. Fractions and ranges are set to the flux-limited sample of Galaxy Zoo 2
(petroMag_r < 17, petroR90_r > 3 arcsec: Willett et al. 2013, section 2).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

# Fractions of the sample, set so that the votes reproduce the Kaggle file's class counts.
KINDS = {
    "elliptical": 0.27,
    "lenticular": 0.21,
    "spiral": 0.37,
    "edge_on": 0.07,
    "irregular": 0.03,
    "merger": 0.04,
    "artifact": 0.01,
}
# Fractions of each kind that are odd, by the answers to question 8.
ODD = {
    "elliptical": {"lens": 0.015, "disturbed": 0.02, "other": 0.03, "dust_lane": 0.02},
    "lenticular": {"ring": 0.035, "disturbed": 0.02, "other": 0.03},
    "spiral": {"ring": 0.03, "disturbed": 0.07, "other": 0.04},
    "edge_on": {"dust_lane": 0.07, "disturbed": 0.03, "other": 0.03},
}
# r magnitudes: the challenge has the larger and brighter galaxies of the sample.
FAINT, BRIGHT = 16.5, 13.0
# Counts of a uniform, Euclidean population rise as 10^(0.6 m).
COUNT_SLOPE = 0.6
# Surface brightness in r within the half-light radius, mean and scatter (mag/arcsec^2): the
# sequences of Shen et al. 2003, MNRAS 343, 978, at the sample's typical luminosities.
BRIGHTNESS = {
    "elliptical": (20.15, 0.5),
    "lenticular": (20.4, 0.5),
    "spiral": (20.95, 0.5),
    "edge_on": (20.6, 0.5),
    "irregular": (21.6, 0.5),
    "merger": (20.8, 0.6),
    "artifact": (20.0, 0.5),
}
# New values of some of a galaxy's parameters.
Changes = dict[str, Any]
HUBBLE_DISTANCE = 4283.0  # Mpc, c/H0 for H0 = 70 km/s/Mpc


@dataclass(frozen=True)
class Galaxy:
    """Parameters of a simulated galaxy; fractions are of its r light."""

    kind: str
    odd: str
    redshift: float
    mag_r: float
    mu50: float  # mag/arcsec^2 within the half-light radius
    petro_r90: float  # arcsec; the cutout's scale
    position_angle: float
    bulge_fraction: float = 1.0
    bulge_radius: float = 0.0  # half-light, arcsec
    bulge_index: float = 4.0  # Sersic
    bulge_axis_ratio: float = 0.8
    bulge_boxiness: float = 0.0  # 0 is an ellipse, above 0 boxy
    disk_scale: float = 0.0  # exponential scale length, arcsec; 0 without a disk
    disk_thickness: float = 0.2  # scale height over scale length
    inclination: float = 0.0  # 0 is face-on
    arm_number: int = 0
    arm_pitch: float = 0.0
    arm_fraction: float = 0.0
    arm_width: float = 0.0  # of an arm over the distance between arms
    arm_phase: float = 0.0
    arm_lopsidedness: float = 0.0
    flocculence: float = 0.0
    handedness: int = 1  # 1 winds out counter-clockwise, -1 clockwise
    knot_fraction: float = 0.0
    bar_fraction: float = 0.0
    bar_length: float = 0.0  # half-length, arcsec
    bar_axis_ratio: float = 0.3
    bar_angle: float = 0.0  # from the line of nodes, in the disk's plane
    ring_fraction: float = 0.0
    ring_radius: float = 0.0
    ring_width: float = 0.0
    lens_fraction: float = 0.0
    lens_radius: float = 0.0
    lens_span: float = 0.0
    clump_number: int = 0
    clump_fraction: float = 0.0
    disturbance: float = 0.0  # displacement of its outskirts over petro_r90
    dust_depth: float = 0.0  # optical depth in r
    dust_offset: float = 0.0  # arcsec across the lane
    tail_fraction: float = 0.0
    tail_length: float = 0.0  # arcsec
    tail_angle: float = 0.0
    bulge_gr: float = 0.0  # colours: g - r and r - i, mag
    bulge_ri: float = 0.0
    disk_gr: float = 0.0
    disk_ri: float = 0.0
    arm_gr: float = 0.0
    arm_ri: float = 0.0
    companion_distance: float = 0.0  # arcsec
    companion_angle: float = 0.0
    texture: int = 0  # seed of its random fields
    companion: Galaxy | None = None

    def row(self) -> dict[str, object]:
        """Return every parameter as a flat row; the companion's with the prefix `companion_`."""
        parameters = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "companion"}
        other = self.companion
        shown = ("kind", "mag_r", "petro_r90", "bulge_fraction", "inclination", "arm_number")
        absent = {"kind": "none", "arm_number": 0}
        return parameters | {
            f"companion_{name}": getattr(other, name) if other else absent.get(name, 0.0)
            for name in shown
        }


def draw_galaxy(rng: np.random.Generator, kind: str | None = None) -> Galaxy:
    """Return a galaxy drawn from the prior, of a given kind of `KINDS` or of any.

    Raises:
        KeyError: the kind is not in `KINDS`.
    """
    kind = kind or _choose(rng, KINDS)
    mag = _magnitude(rng)
    mean, scatter = BRIGHTNESS[kind]
    mu50 = rng.normal(mean, scatter)
    redshift = _redshift(mag, rng.normal(*_LUMINOSITY[kind]))
    odd = _choose(rng, ODD.get(kind, {}))
    galaxy = _featureless(rng, kind, odd, mag, mu50, redshift)
    galaxy = replace(galaxy, **_SHAPES[kind](rng, galaxy))
    galaxy = replace(galaxy, **_ODDITIES[odd](rng, galaxy)) if odd in _ODDITIES else galaxy
    # Galaxy Zoo 2 has no smaller ones; the prior of magnitudes doesn't depend on size.
    if galaxy.petro_r90 >= 3.0:
        return galaxy
    return _scaled(galaxy, 3.0 / galaxy.petro_r90)


_LUMINOSITY = {  # absolute r magnitude, mean and scatter
    "elliptical": (-21.8, 0.8),
    "lenticular": (-21.2, 0.8),
    "spiral": (-21.0, 0.8),
    "edge_on": (-20.4, 0.8),
    "irregular": (-18.8, 1.0),
    "merger": (-21.2, 0.8),
    "artifact": (-21.0, 0.5),
}
_SIZES = (
    *("petro_r90", "bulge_radius", "disk_scale", "bar_length", "ring_radius", "ring_width"),
    *("lens_radius", "dust_offset", "tail_length", "companion_distance"),
)


def _scaled(galaxy: Galaxy, factor: float) -> Galaxy:
    """Return the galaxy enlarged on the sky at the same surface brightness."""
    companion = galaxy.companion and _scaled(galaxy.companion, factor)
    sizes: Changes = {name: getattr(galaxy, name) * factor for name in _SIZES}
    return replace(
        galaxy, mag_r=galaxy.mag_r - 5 * math.log10(factor), companion=companion, **sizes
    )


def moved(galaxy: Galaxy, size: float, magnitude: float) -> Galaxy:
    """Return the galaxy with sizes multiplied by `size`, and `magnitude` added to magnitudes."""
    scaled = _scaled(galaxy, size)
    shift = magnitude + 5 * math.log10(size)
    companion = scaled.companion and replace(scaled.companion, mag_r=scaled.companion.mag_r + shift)
    return replace(scaled, mag_r=scaled.mag_r + shift, companion=companion)


def _choose(rng: np.random.Generator, shares: dict[str, float]) -> str:
    names, weights = list(shares), np.array(list(shares.values()))
    at = int(np.searchsorted(np.cumsum(weights), rng.uniform()))
    if at < len(names):
        return names[at]
    return names[-1] if weights.sum() > 0.999 else "none"


def _magnitude(rng: np.random.Generator) -> float:
    low, high = 10 ** (COUNT_SLOPE * BRIGHT), 10 ** (COUNT_SLOPE * FAINT)
    return math.log10(rng.uniform(low, high)) / COUNT_SLOPE


def _redshift(mag: float, absolute: float) -> float:
    """Return the redshift at which a galaxy has this magnitude.

    Luminosity distance to second order, d = (c/H0) z (1 + (1 - q0) z / 2) with q0 = -0.55
    (Hogg 1999, astro-ph/9905116).
    """
    distance = 10 ** ((mag - absolute - 25) / 5) / HUBBLE_DISTANCE
    z = (math.sqrt(1 + 2 * 1.55 * distance) - 1) / 1.55
    return float(np.clip(z, 0.005, 0.25))


def _featureless(
    rng: np.random.Generator, kind: str, odd: str, mag: float, mu50: float, redshift: float
) -> Galaxy:
    """Return a galaxy without any feature, to which the functions below add a kind's."""
    half_light = math.sqrt(10 ** (0.4 * (mu50 - mag)) / (2 * math.pi))
    # Observed colours of the red sequence redden by about 1.6 z in g - r (Blanton et al. 2003,
    # ApJ 594, 186) out to z = 0.25.
    red = rng.normal(0.72, 0.07) + 1.6 * redshift
    blue = rng.normal(0.40, 0.14) + 0.5 * redshift
    return Galaxy(
        kind=kind,
        odd=odd,
        redshift=redshift,
        mag_r=mag,
        mu50=mu50,
        petro_r90=2.5 * half_light,
        position_angle=rng.uniform(0, 180),
        bulge_radius=half_light,
        handedness=int(rng.choice([-1, 1])),
        disturbance=abs(rng.normal(0, 0.015)),
        bulge_gr=red,
        bulge_ri=0.38 + 0.3 * (red - 0.75) + rng.normal(0, 0.02),
        disk_gr=blue,
        disk_ri=0.45 * blue + rng.normal(0.02, 0.03),
        arm_gr=blue - rng.uniform(0.05, 0.2),
        arm_ri=0.45 * blue - rng.uniform(0.02, 0.1),
        texture=int(rng.integers(2**31)),
    )


def _elliptical(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    # Axis ratios of SDSS early types: broad, mostly rounder than 0.5 (Padilla & Strauss 2008,
    # MNRAS 388, 1321); flatter than 0.3 are disks only (Binney & Merrifield 1998, section 4.3).
    ratio = float(np.clip(1 - abs(rng.normal(0.0, 0.25)), 0.3, 0.99))
    index = float(np.clip(rng.normal(3.9 if ratio > 0.45 else 2.2, 1.1), 0.9, 6.5))
    changes: Changes = {
        "bulge_axis_ratio": ratio,
        "bulge_index": index,
        "bulge_boxiness": rng.normal(0, 0.08),
    }
    if rng.uniform() < 0.16:
        # Dwarf and post-starburst ellipticals: blue, low index.
        changes |= {"bulge_gr": rng.normal(0.4, 0.13), "bulge_index": rng.uniform(0.9, 2.2)}
        changes["bulge_ri"] = 0.45 * changes["bulge_gr"]
    # Petrosian R90/R50 rises with the index: 2.3 at n = 1, 3.3 at n = 4 (Graham et al. 2005,
    # AJ 130, 1535, table 1); circular apertures see a long galaxy's radius smaller.
    concentration = 1.36 + 0.235 * min(changes["bulge_index"], 4.5)
    changes["petro_r90"] = galaxy.bulge_radius * concentration
    changes["bulge_radius"] = galaxy.bulge_radius / math.sqrt(ratio) * (1.0 if ratio > 0.4 else 0.9)
    return changes


def _disk(rng: np.random.Generator, galaxy: Galaxy, bulge: float) -> Changes:
    """Return a disk of the galaxy's half-light radius, with a fraction of the light in a bulge."""
    half_light = galaxy.bulge_radius
    # An exponential disk's half-light radius is 1.68 scale lengths; a bulge pulls it in.
    scale = half_light / 1.68 * (1 + 0.6 * bulge)
    return {
        "disk_scale": scale,
        "petro_r90": 2.58 * scale * rng.normal(1.0, 0.04),
        "bulge_fraction": bulge,
        "bulge_radius": scale * float(np.clip(rng.lognormal(math.log(0.25 + bulge), 0.25), 0.1, 1)),
        "bulge_index": float(np.clip(1.0 + 5 * bulge + rng.normal(0, 0.5), 0.8, 4.5)),
        "bulge_axis_ratio": rng.uniform(0.75, 1.0),
        "disk_thickness": rng.uniform(0.12, 0.25),
    }


def _lenticular(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    changes = _disk(rng, galaxy, rng.uniform(0.15, 0.7))
    inclination = math.degrees(math.acos(rng.uniform(0.08, 1.0)))
    changes |= {"inclination": inclination, "disk_thickness": 0.25}
    changes["bulge_axis_ratio"] = 1 - 0.4 * (1 - math.cos(math.radians(inclination)))
    grey = rng.normal(0.72, 0.08) + 1.3 * galaxy.redshift
    changes |= {"disk_gr": grey, "disk_ri": 0.36 + 0.3 * (grey - 0.72)}
    if rng.uniform() < 0.25:
        changes |= _bar(rng, changes)
    changes["petro_r90"] *= 0.6 + 0.4 * math.cos(math.radians(inclination))
    return changes


def _spiral(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    bulge = float(np.clip(rng.beta(1.3, 4.5), 0.0, 0.7))
    changes = _disk(rng, galaxy, bulge)
    inclination = math.degrees(math.acos(rng.uniform(0.22, 1.0)))
    # Pitch angle and bulge are loosely correlated: early types are tight (Davis et al. 2019, ApJ
    # 871, 194, and references there); most pitch angles lie within 5 to 40 degrees.
    pitch = float(np.clip(rng.normal(23 - 18 * bulge, 7), 6, 42))
    number = int(rng.choice([1, 2, 3, 4, 5, 6], p=[0.05, 0.56, 0.17, 0.09, 0.07, 0.06]))
    # Early types are redder throughout (Fukugita et al. 1995, PASP 107, 945, table 3).
    early = 0.45 * bulge
    changes |= {
        "inclination": inclination,
        "arm_number": number,
        "arm_pitch": pitch,
        "arm_fraction": float(np.clip(rng.beta(2.6, 2.9), 0.05, 0.85)),
        "arm_width": rng.uniform(0.25, 0.6),
        "arm_phase": rng.uniform(0, 360),
        "arm_lopsidedness": abs(rng.normal(0, 0.25)),
        "flocculence": float(rng.beta(1.4, 1.8)),
        "knot_fraction": float(np.clip(rng.exponential(0.035) * (1 - bulge), 0, 0.2)),
        "dust_depth": rng.uniform(0.0, 0.7),
        "disk_gr": galaxy.disk_gr + early + 0.08,
        "disk_ri": galaxy.disk_ri + 0.4 * early + 0.04,
        "arm_gr": galaxy.arm_gr + early,
        "arm_ri": galaxy.arm_ri + 0.4 * early,
        "bulge_axis_ratio": 1 - 0.35 * (1 - math.cos(math.radians(inclination))),
    }
    if rng.uniform() < 0.4:
        changes |= _bar(rng, changes)
    if rng.uniform() < 0.12:
        changes |= _ring(rng, changes, strength=0.12)
    changes["petro_r90"] *= 1.12 * (0.65 + 0.35 * math.cos(math.radians(inclination)))
    return changes


def _edge_on(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    shape = rng.uniform()
    bulge = 0.0 if shape < 0.32 else rng.uniform(0.06, 0.4)
    changes = _disk(rng, galaxy, bulge)
    # Edge-on, the same disk has a higher surface brightness, and a circular aperture a smaller
    # radius.
    scale = changes["disk_scale"] * 1.35
    # Dust reddens an edge-on disk, and early types have more of it.
    reddening = rng.uniform(0.1, 0.4) + 0.5 * bulge
    changes |= {
        "disk_scale": scale,
        "petro_r90": 2.5 * scale * rng.normal(1.0, 0.06),
        "inclination": math.degrees(math.acos(rng.uniform(0.0, 0.28))),
        "disk_thickness": rng.uniform(0.13, 0.28),
        "disturbance": abs(rng.normal(0, 0.045)),
        "bulge_radius": scale * rng.uniform(0.15, 0.4),
        "bulge_axis_ratio": rng.uniform(0.55, 0.9),
        "bulge_index": rng.uniform(1.0, 2.5),
        "bulge_boxiness": rng.uniform(0.5, 1.2) if shape > 0.85 else 0.0,
        "dust_depth": float(np.clip(rng.exponential(0.45), 0, 1.6)),
        "dust_offset": rng.normal(0, 0.06) * scale,
        "knot_fraction": rng.uniform(0.0, 0.05) * (1 - bulge),
        "disk_gr": galaxy.disk_gr + reddening,
        "disk_ri": galaxy.disk_ri + 0.4 * reddening,
        "bulge_gr": galaxy.bulge_gr + 0.5 * reddening,
        "bulge_ri": galaxy.bulge_ri + 0.2 * reddening,
    }
    return changes


def _irregular(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    changes = _disk(rng, galaxy, rng.uniform(0.0, 0.08))
    blue = rng.normal(0.35, 0.1)
    return changes | {
        "odd": "irregular",
        "petro_r90": 0.92 * changes["petro_r90"],
        "inclination": math.degrees(math.acos(rng.uniform(0.3, 0.95))),
        "disturbance": rng.uniform(0.06, 0.18),
        "clump_number": int(rng.integers(4, 16)),
        "clump_fraction": rng.uniform(0.2, 0.55),
        "knot_fraction": rng.uniform(0.03, 0.15),
        "bulge_gr": blue + 0.15,
        "bulge_ri": 0.5 * blue,
        "disk_gr": blue,
        "disk_ri": 0.4 * blue,
        "arm_gr": blue - 0.15,
        "arm_ri": 0.4 * blue - 0.08,
    }


def _merger(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    """Return a galaxy with a close companion."""
    shape = str(rng.choice(["spiral", "lenticular", "elliptical"], p=[0.6, 0.2, 0.2]))
    changes = _SHAPES[shape](rng, galaxy)
    other_kind = str(rng.choice(["spiral", "lenticular", "elliptical"], p=[0.5, 0.25, 0.25]))
    ratio = rng.uniform(0.15, 1.0)
    other = _featureless(
        rng,
        other_kind,
        "none",
        galaxy.mag_r - 2.5 * math.log10(ratio),
        galaxy.mu50 + rng.normal(-0.2, 0.4),
        galaxy.redshift,
    )
    other = replace(other, **_SHAPES[other_kind](rng, other), disturbance=rng.uniform(0.02, 0.12))
    close = rng.uniform(0.35, 1.5) * changes["petro_r90"]
    return changes | {
        "odd": "merger",
        "disturbance": rng.uniform(0.03, 0.14),
        "companion": other,
        "companion_distance": close,
        "companion_angle": rng.uniform(0, 360),
        "tail_fraction": float(rng.choice([0.0, rng.uniform(0.05, 0.2)], p=[0.35, 0.65])),
        "tail_length": rng.uniform(1.2, 3.0) * changes["petro_r90"],
        "tail_angle": rng.uniform(0, 360),
        # SDSS deblends some pairs as one galaxy, whose cutout is wider.
        "petro_r90": changes["petro_r90"] * rng.uniform(0.75, 1.2),
    }


def _artifact(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    """Return a star that SDSS classified as a galaxy: a point source."""
    return {
        "bulge_radius": 0.05,
        "bulge_index": 1.0,
        "bulge_axis_ratio": 0.99,
        "mag_r": rng.uniform(11.5, 16.0),
        "petro_r90": rng.uniform(3.0, 6.0),
        "bulge_gr": rng.uniform(0.2, 1.5),
        "bulge_ri": rng.uniform(0.1, 0.9),
        "disturbance": 0.0,
    }


def _bar(rng: np.random.Generator, changes: Changes) -> Changes:
    bar = rng.uniform(0.06, 0.28)
    return {
        "bar_fraction": bar,
        "bar_length": changes["disk_scale"] * rng.uniform(0.7, 1.5),
        "bar_axis_ratio": rng.uniform(0.2, 0.4),
        "bar_angle": rng.uniform(0, 180),
        "bulge_fraction": changes["bulge_fraction"] * (1 - bar),
    }


def _ring(rng: np.random.Generator, changes: Changes, strength: float) -> Changes:
    return {
        "ring_fraction": strength * rng.uniform(0.7, 1.5),
        "ring_radius": changes["disk_scale"] * rng.uniform(1.2, 2.6),
        "ring_width": changes["disk_scale"] * rng.uniform(0.12, 0.35),
    }


def _odd_ring(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    ring = _ring(rng, {"disk_scale": galaxy.disk_scale}, strength=0.35)
    return ring | {
        "inclination": min(galaxy.inclination, rng.uniform(10, 60)),
        "bulge_fraction": max(galaxy.bulge_fraction, 0.15),
        "arm_fraction": 0.3 * galaxy.arm_fraction,
    }


def _lens(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    return {
        "lens_fraction": rng.uniform(0.03, 0.1),
        "lens_radius": galaxy.petro_r90 * rng.uniform(0.6, 1.2),
        "lens_span": rng.uniform(40, 140),
    }


def _disturbed(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    return {
        "disturbance": rng.uniform(0.06, 0.2),
        "arm_lopsidedness": rng.uniform(0.4, 1.0),
        "tail_fraction": rng.uniform(0.02, 0.15),
        "tail_length": galaxy.petro_r90 * rng.uniform(1.0, 2.2),
        "tail_angle": rng.uniform(0, 360),
    }


def _dust_lane(rng: np.random.Generator, galaxy: Galaxy) -> Changes:
    return {
        "dust_depth": rng.uniform(1.2, 2.8),
        "dust_offset": rng.normal(0, 0.05) * galaxy.petro_r90,
    }


_SHAPES = {
    "elliptical": _elliptical,
    "lenticular": _lenticular,
    "spiral": _spiral,
    "edge_on": _edge_on,
    "irregular": _irregular,
    "merger": _merger,
    "artifact": _artifact,
}
# `other` is a star in front of the galaxy, which `field.py` adds.
_ODDITIES = {"ring": _odd_ring, "lens": _lens, "disturbed": _disturbed, "dust_lane": _dust_lane}
