"""Sets of observing conditions.

To add one, here or in a plugin, call `SURVEYS.register`: every number with its source.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from galaxymorph.base import BadInput, Registry
from galaxymorph.survey.colours import BANDS, FURTHER


@dataclass(frozen=True)
class Band:
    """Observing conditions in one band."""

    seeing: float  # FWHM, arcsec
    sky: float  # mag/arcsec^2
    depth: float  # magnitude of a point source at 5 sigma


@dataclass(frozen=True)
class Survey:
    """Observing conditions; triples are for g, r and i, `further` for u and z by name.

    Pictures show g, r and i alone; FITS files have the further bands as well.

    `depth` is the magnitude of a point source at 5 sigma. `scales`, `stretch`, `softening` (Q)
    and `minimum` are parameters of `astropy.visualization.make_lupton_rgb`, for nanomaggies a
    native pixel. `frame_scale` times the Petrosian R90 is the cutout's pixel in arcsec.
    """

    about: str
    pixel: float  # arcsec
    seeing: tuple[float, float, float]  # FWHM, arcsec
    seeing_scatter: float  # of its logarithm, from exposure to exposure
    moffat: float  # the PSF's beta
    sky: tuple[float, float, float]  # mag/arcsec^2
    depth: tuple[float, float, float]  # mag
    read_noise: float  # electrons a pixel, all exposures together
    sky_error: float  # of the background's subtraction, over the noise of a pixel
    shift: float  # between bands, arcsec
    scales: tuple[float, float, float]
    stretch: float
    softening: float
    minimum: float = 0.0
    band: int | None = None  # of a survey in a single band, shown in grey
    frame_scale: float = 0.02
    quality: int = 75  # of the cutout's JPEG
    trails: float = 0.0  # share of images with a satellite's trail in one colour
    stored_quality: int | None = None  # of the JPEG that the service turns and scales
    further: dict[str, Band] = field(default_factory=dict)

    def __post_init__(self) -> None:
        unknown = set(self.further).difference(FURTHER)
        if unknown:
            raise BadInput(
                f"survey {self.about!r}: {min(unknown)!r} is no further band",
                f"name {' or '.join(FURTHER)}",
            )

    def conditions(self, band: int | str) -> Band:
        """Return the conditions in a band: by name, or 0, 1 or 2 for g, r or i."""
        if isinstance(band, str) and band in self.further:
            return self.further[band]
        at = BANDS.index(band) if isinstance(band, str) else band
        return Band(self.seeing[at], self.sky[at], self.depth[at])

    def sky_flux(self, band: int | str) -> float:
        """Return the sky in nanomaggies a native pixel."""
        return 10 ** (0.4 * (22.5 - self.conditions(band).sky)) * self.pixel**2

    def gain(self, band: int | str) -> float:
        """Return electrons a nanomaggy, all exposures together, from the depth.

        A point source's effective area is 4 pi sigma^2 for a Gaussian PSF (King 1983, PASP 95,
        163); the noise there is that of sky and read noise.
        """
        conditions = self.conditions(band)
        faintest = 10 ** (0.4 * (22.5 - conditions.depth)) / 5
        area = 4 * math.pi * (conditions.seeing / 2.355 / self.pixel) ** 2
        sky = area * self.sky_flux(band)
        root = math.sqrt(sky**2 + 4 * faintest**2 * area * self.read_noise**2)
        return (sky + root) / (2 * faintest**2)

    def noise(self, band: int | str) -> float:
        """Return the background's standard deviation, nanomaggies a native pixel."""
        gain = self.gain(band)
        return math.sqrt(self.sky_flux(band) * gain + self.read_noise**2) / gain


SURVEYS: Registry[Survey] = Registry("survey")

# Pixel, drift scan: Gunn et al. 1998, AJ 116, 3040. Seeing 1.32 arcsec in r: Abazajian et
# al. 2009, ApJS 182, 543. Depths and sky: sdss.org, "Imaging scope"; in z, the sky has a dark sky's
# i - z of 0.9 (Ivezic et al. 2019, ApJ 873, 111, table 2). Scales: as the survey's own images weigh
# i, r, g (Lupton et al. 2004, PASP 116, 133). Stretch, softening and black point: such that the
# Galaxy Zoo 2 cutouts have their noise at every brightness, their area above 30 of 255, and their
# background.
SURVEYS.register(
    "sdss",
    Survey(
        "Sloan Digital Sky Survey, as Galaxy Zoo 2 saw it",
        pixel=0.396,
        seeing=(1.44, 1.32, 1.26),
        seeing_scatter=0.10,
        moffat=3.2,
        sky=(21.84, 20.86, 20.2),
        depth=(23.13, 22.55, 22.20),
        read_noise=5.0,
        sky_error=0.12,
        shift=0.03,
        scales=(1.46, 1.0, 0.84),
        stretch=0.56,
        softening=7.0,
        minimum=0.008,
        stored_quality=82,
        trails=0.005,
        further={"u": Band(1.53, 22.01, 22.15), "z": Band(1.29, 19.3, 20.71)},
    ),
)

# Pixel, seeing and depths (at least two visits): Dey et al. 2019, AJ 157, 168, sections 4
# and 7; z stands in i's place. Stretch: pale and on a grey sky, as Galaxy Zoo DECaLS's
# images are (Walmsley et al. 2022, MNRAS 509, 3966, section 2), by eye.
SURVEYS.register(
    "decals",
    Survey(
        "DECam Legacy Survey, as Galaxy Zoo DECaLS saw it",
        pixel=0.262,
        seeing=(1.29, 1.18, 1.11),
        seeing_scatter=0.08,
        moffat=3.0,
        sky=(22.0, 21.0, 18.9),
        depth=(24.7, 23.9, 23.0),
        read_noise=10.0,
        sky_error=0.1,
        shift=0.02,
        scales=(1.75, 1.0, 0.78),
        stretch=0.3,
        softening=5.0,
        minimum=-0.018,
        quality=90,
    ),
)

# Seeing and depths of the Wide layer: Aihara et al. 2018, PASJ 70, S8, table 2; the sky in z as
# SDSS's. There is no u.
SURVEYS.register(
    "hsc",
    Survey(
        "Hyper Suprime-Cam, Wide layer",
        pixel=0.168,
        seeing=(0.72, 0.67, 0.56),
        seeing_scatter=0.08,
        moffat=3.0,
        sky=(22.0, 21.2, 20.3),
        depth=(26.5, 26.1, 25.9),
        read_noise=9.0,
        sky_error=0.1,
        shift=0.01,
        scales=(1.6, 1.0, 0.75),
        stretch=0.05,
        softening=10.0,
        minimum=-0.004,
        quality=90,
        further={"z": Band(0.63, 19.4, 25.1)},
    ),
)

# VIS: 0.1 arcsec pixels, FWHM 0.16 arcsec, 26.2 mag for points: Euclid Collaboration:
# Scaramella et al. 2022, A&A 662, A112; Cropper et al. 2016, SPIE 9904. One wide band (r,
# i and z together); r stands for it.
SURVEYS.register(
    "euclid",
    Survey(
        "Euclid VIS, one band",
        pixel=0.1,
        seeing=(0.16, 0.16, 0.16),
        seeing_scatter=0.02,
        moffat=2.6,
        sky=(22.35, 22.35, 22.35),
        depth=(26.2, 26.2, 26.2),
        read_noise=9.0,
        sky_error=0.05,
        shift=0.0,
        scales=(1.0, 1.0, 1.0),
        stretch=0.04,
        softening=10.0,
        minimum=-0.003,
        band=1,
        quality=90,
    ),
)

# ACS in F475W, F606W, F775W, and F850LP as z: pixel and PSF from the ACS handbook; depths of
# GOODS: Giavalisco et al. 2004, ApJ 600, L93, table 1, taken to 5 sigma. The sky is sunlight,
# whose i - z is 0.03 (Willmer 2018, ApJS 236, 47). There is no u.
SURVEYS.register(
    "hst",
    Survey(
        "Hubble Space Telescope, ACS, as deep as GOODS",
        pixel=0.05,
        seeing=(0.10, 0.10, 0.10),
        seeing_scatter=0.02,
        moffat=2.5,
        sky=(22.6, 22.3, 22.2),
        depth=(28.5, 28.5, 27.8),
        read_noise=10.0,
        sky_error=0.05,
        shift=0.005,
        scales=(1.6, 1.0, 0.8),
        stretch=0.008,
        softening=10.0,
        minimum=-0.0008,
        quality=90,
        further={"z": Band(0.10, 22.2, 27.3)},
    ),
)
