"""Observation of a galaxy by a survey: PSF, pixels, noise, colours, and Galaxy Zoo's cutout."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image
from scipy import fft

from galaxymorph.survey.colours import BANDS, BY_WAVELENGTH
from galaxymorph.survey.field import Field, draw_field, fluxes, paint
from galaxymorph.survey.galaxies import Galaxy, moved
from galaxymorph.survey.light import Light, render
from galaxymorph.survey.surveys import Survey

if TYPE_CHECKING:
    import galsim

SIDE = 424
# Least pixels a side of the rendered scene; a cutout resolves no finer ones.
FINEST = 240
# Effective wavelengths of g, r, i in nm: Fukugita et al. 1996, AJ 111, 1748.
WAVELENGTHS = np.array([477.0, 623.1, 762.5])
# The bands whose shift with redshift u and z share: u - g and i - z of the spectra in `colours.py`
# change by less than 0.3 and 0.05 mag out to a redshift of 0.2.
SHIFTED_AS = {"u": "g", "z": "i"}


@dataclass(frozen=True)
class Flux:
    """The native image before its colours: nanomaggies a pixel, shape (bands, n, n), the top first.

    It isn't turned as the image is. Bands are in the order of wavelength; `noise` (nanomaggies a
    pixel) and `seeing` (FWHM, arcsec) are of each.
    """

    bands: tuple[str, ...]
    values: np.ndarray
    noise: tuple[float, ...]
    seeing: tuple[float, ...]


@dataclass(frozen=True)
class Observation:
    """An image, its galaxy and conditions; `pixel` (arcsec) and `noise` are of the native image.

    `noise` is the background's standard deviation in nanomaggies a pixel, `seeing` the PSF's
    FWHM in arcsec, both in r (or in the survey's one band).
    """

    image: np.ndarray  # uint8, shape (424, 424, 3)
    galaxy: Galaxy  # at the redshift at which it was observed
    light: Light
    field: Field
    pixel: float
    noise: float
    seeing: float
    frame: float  # side, arcsec
    turn: float  # degrees that the image is turned by, counter-clockwise, against the light
    flux: Flux


def observe(
    galaxy: Galaxy,
    survey: Survey,
    field_rng: np.random.Generator,
    rng: np.random.Generator,
    redshift: float | None = None,
    further_rng: np.random.Generator | None = None,
) -> Observation:
    """Return a galaxy's observation by a survey.

    Args:
        galaxy: its parameters.
        survey: the observing conditions.
        field_rng: of the other sources in the frame.
        rng: of seeing, noise and sky.
        redshift: at which it is observed; the default is the galaxy's.
        further_rng: of noise, sky and shifts in the survey's bands besides g, r and i. None if the
            flux needs no such bands.
    """
    further = () if further_rng is None else tuple(survey.further)
    drift = np.zeros(len(BANDS))
    if redshift is not None:
        galaxy, drift = at_redshift(galaxy, redshift)
    # Petrosian radii are measured on noisy images, and deblending sometimes fails.
    wrong = rng.uniform() < 0.03
    measured = rng.lognormal(0, 0.35 if wrong else 0.07)
    frame = SIDE * survey.frame_scale * galaxy.petro_r90 * measured
    side = min(SIDE, max(24, round(frame / survey.pixel)))
    pixel = frame / side
    fine = max(1, round(FINEST / side))
    light = render(galaxy, side * fine, pixel / fine, further)
    if drift.any():
        drift = np.array([drift[BANDS.index(SHIFTED_AS.get(name, name))] for name in light.names])
        light.bands *= (10 ** (-0.4 * drift)).astype(np.float32)[:, None, None]
    limit = min(max(survey.depth), 25.0)
    field = draw_field(field_rng, galaxy, frame, limit, survey.trails)
    sky = light.bands + paint(field, light)
    scatter = rng.lognormal(0, survey.seeing_scatter)
    # The cutout service rotates the camera's frames so that north is up.
    turn = rng.uniform(-35, 35) if survey.stored_quality else 0.0
    shear, exposures = _draw_exposures(light.names, survey, scatter, rng, further_rng)
    bands = _expose(sky, survey, shear, exposures, pixel, pixel / fine, _margin(side, turn))
    _spikes(bands, light.names, field, survey, pixel, rng)
    band = 1 if survey.band is None else survey.band
    noise = survey.noise(band) * pixel / survey.pixel
    return Observation(
        _picture(bands, survey, side, turn),
        galaxy,
        light,
        field,
        pixel,
        noise,
        exposures[band].seeing,
        frame,
        turn,
        _flux(bands, survey, exposures, pixel, side),
    )


def _flux(
    bands: np.ndarray, survey: Survey, exposures: list[_Exposure], pixel: float, side: int
) -> Flux:
    """Return the native image without its margin, by pixels of its own size."""
    used = sorted(
        _used(survey, len(exposures)), key=lambda at: BY_WAVELENGTH.index(exposures[at].band)
    )
    start, scale = (bands.shape[-1] - side) // 2, pixel / survey.pixel
    inner = slice(start, start + side)
    return Flux(
        tuple(exposures[at].band for at in used),
        bands[used, inner, inner] * np.float32(scale**2),
        tuple(survey.noise(exposures[at].band) * scale for at in used),
        tuple(exposures[at].seeing for at in used),
    )


def _used(survey: Survey, number: int) -> list[int]:
    """Return which of the bands, g, r and i and further ones, the survey has."""
    return [at for at in range(number) if at >= len(BANDS) or survey.band in (None, at)]


def at_redshift(galaxy: Galaxy, redshift: float) -> tuple[Galaxy, np.ndarray]:
    """Return a galaxy at another redshift, as FERENGI does (Barden et al. 2008, ApJS 175, 105).

    Its size follows the angular-diameter distance and its brightness the luminosity distance
    (equations 1 and 2 there), with the bands shifted along the galaxy's spectrum.

    Returns:
        The galaxy there, and the K-correction that is added to its magnitudes in g, r and i.
    """
    from astropy.cosmology import Planck18

    here, there = galaxy.redshift, redshift
    angular = Planck18.angular_diameter_distance([here, there]).value
    luminous = Planck18.luminosity_distance([here, there]).value
    dimming = 5 * math.log10(luminous[1] / luminous[0])
    moved_galaxy = moved(galaxy, angular[0] / angular[1], dimming)
    share = galaxy.bulge_fraction
    gr = share * galaxy.bulge_gr + (1 - share) * galaxy.disk_gr
    ri = share * galaxy.bulge_ri + (1 - share) * galaxy.disk_ri
    mags = np.array([gr, 0.0, -ri])
    rest = np.log(WAVELENGTHS * (1 + here) / (1 + there))
    # Blueward of g the spectrum falls 1.5 times as steeply as from r to g, for the 4000 Å break.
    waves = np.log(np.array([WAVELENGTHS[0] / 1.6, *WAVELENGTHS, WAVELENGTHS[-1] * 1.6]))
    steep = (mags[0] - mags[1]) / (waves[2] - waves[1])
    flat = (mags[2] - mags[1]) / (waves[3] - waves[2])
    known = np.array(
        [
            mags[0] + 1.5 * steep * (waves[1] - waves[0]),
            *mags,
            mags[2] + flat * (waves[4] - waves[3]),
        ]
    )
    drift = np.interp(rest, waves, known) - mags
    return replace(moved_galaxy, redshift=redshift), drift


def _margin(side: int, turn: float) -> int:
    """Return by how many pixels a rotated square of `side` extends beyond an upright one."""
    angle = math.radians(abs(turn))
    return math.ceil(side * (math.cos(angle) + math.sin(angle) - 1) / 2) + 2 if turn else 0


@dataclass(frozen=True)
class _Exposure:
    """What is particular to one band of an observation."""

    band: str
    seeing: float  # FWHM, arcsec
    offset: np.ndarray  # against the other bands, arcsec
    sky_error: float  # over the noise of a pixel
    noise: galsim.BaseDeviate


def _draw_exposures(
    names: tuple[str, ...],
    survey: Survey,
    scatter: float,
    rng: np.random.Generator,
    further_rng: np.random.Generator | None,
) -> tuple[galsim.Shear, list[_Exposure]]:
    """Return the shear of the PSF and the exposure in each band: g, r, i, then further ones.

    Seeing, shear and a part of the sky's error are common to all. What is drawn for further bands
    comes from `further_rng`, so that g, r and i are the same without them.
    """
    import galsim

    deviate = galsim.BaseDeviate(int(rng.integers(1, 2**31)))
    shear = galsim.Shear(g=abs(rng.normal(0, 0.02)), beta=rng.uniform(0, 180) * galsim.degrees)
    offsets = rng.normal(0, survey.shift, (len(BANDS), 2))
    errors = rng.normal(0, survey.sky_error, len(BANDS))
    common = rng.normal(0, survey.sky_error)
    deviates = [deviate] * len(BANDS)
    number = len(names) - len(BANDS)
    if further_rng is not None and number:
        offsets = np.concatenate([offsets, further_rng.normal(0, survey.shift, (number, 2))])
        errors = np.concatenate([errors, further_rng.normal(0, survey.sky_error, number)])
        deviates += [galsim.BaseDeviate(int(further_rng.integers(1, 2**31)))] * number
    return shear, [
        _Exposure(name, survey.conditions(name).seeing * scatter, offset, error + common, noise)
        for name, offset, error, noise in zip(names, offsets, errors, deviates, strict=True)
    ]


def _expose(
    sky: np.ndarray,
    survey: Survey,
    shear: galsim.Shear,
    exposures: list[_Exposure],
    pixel: float,
    fine: float,
    margin: int,
) -> np.ndarray:
    """Return the noisy native image: nanomaggies a native pixel of the survey, (bands, n, n).

    The scene is mirrored into the margin, which only the corners of a turned cutout show.
    """
    import galsim

    area = (pixel / survey.pixel) ** 2
    used = _used(survey, len(exposures))
    psfs = [
        galsim.Moffat(beta=survey.moffat, fwhm=exposures[at].seeing)
        .shear(shear)
        .shift(*exposures[at].offset)
        for at in used
    ]
    blurred = _blur(sky[used], psfs, fine, round(pixel / fine))
    blurred = np.pad(blurred, ((0, 0), (margin, margin), (margin, margin)), mode="reflect")
    bands = np.zeros((len(exposures), *blurred.shape[1:]), np.float32)
    for at, light in zip(used, blurred, strict=True):
        band, exposure = exposures[at].band, exposures[at]
        gain = survey.gain(band)
        electrons = galsim.ImageF(np.ascontiguousarray(np.maximum(light, 0) * np.float32(gain)))
        # Poisson noise of hundreds of electrons, those of the sky, is nearly Gaussian.
        variance = galsim.ImageF(
            electrons.array
            + np.float32((survey.sky_flux(band) * gain + survey.read_noise**2) * area)
        )
        electrons.addNoise(galsim.VariableGaussianNoise(exposure.noise, variance))
        bands[at] = electrons.array / gain / area + exposure.sky_error * survey.noise(band)
    return bands


def _blur(sky: np.ndarray, psfs: list, fine: float, times: int) -> np.ndarray:
    """Return a scene on a grid of `fine` arcsec convolved with PSFs, on pixels `times` larger.

    A survey's quoted seeing is measured on its images, so it includes the detector's pixel.
    """
    import galsim

    side = sky.shape[-1]
    # Mirrored beyond its edges, which would darken otherwise.
    reach = 8 * times
    sky = np.pad(sky, ((0, 0), (reach, reach), (reach, reach)), mode="reflect")
    padded = fft.next_fast_len(side + 2 * reach, real=True)
    blurred = np.empty((len(sky), side, side), np.float32)
    for band, psf in enumerate(psfs):
        kernel = galsim.ImageF(padded, padded, scale=fine)
        psf.drawImage(kernel, method="no_pixel", center=2 * [padded // 2 + 1])
        # The kernel is centred on the first pixel, so that the convolution shifts nothing.
        turned = fft.ifftshift(kernel.array)
        product = fft.rfft2(sky[band], s=(padded, padded)) * fft.rfft2(turned)
        blurred[band] = fft.irfft2(product, s=(padded, padded))[
            reach : reach + side, reach : reach + side
        ]
    small = side // times
    return blurred.reshape(len(sky), small, times, small, times).sum(axis=(2, 4))


def _spikes(
    bands: np.ndarray,
    names: tuple[str, ...],
    field: Field,
    survey: Survey,
    pixel: float,
    rng: np.random.Generator,
) -> None:
    """Add the diffraction spikes of bright stars, four at right angles."""
    angle = rng.uniform(0, math.pi / 2)
    bright = field.stars[field.stars[:, 2] < 14.0]
    middle = (bands.shape[-1] - 1) / 2
    line = (np.arange(bands.shape[-1]) - middle) * pixel
    for x, y, mag, gr, ri, *_ in bright:
        flux = fluxes(names, mag, gr, ri, star=True)
        dx, dy = line[None, :] - x, -line[:, None] - y
        for turn in (angle, angle + math.pi / 2):
            along = np.abs(dx * math.cos(turn) + dy * math.sin(turn))
            across = dy * math.cos(turn) - dx * math.sin(turn)
            spike = 0.5 * np.exp(-0.5 * (across / (0.6 * survey.seeing[1])) ** 2) / (1 + along**1.7)
            bands += (2e-3 * flux * survey.pixel**2)[:, None, None] * spike


def _picture(bands: np.ndarray, survey: Survey, side: int, turn: float) -> np.ndarray:
    """Return the colour image, uint8 of shape (424, 424, 3), as the cutout service resamples.

    Lupton et al. 2004: i, r, g as red, green, blue. SDSS's service scales and turns finished JPEG
    images, so noise is clipped at black and loses its detail before it is smoothed.
    """
    from astropy.visualization import make_lupton_rgb

    shown = [1, 1, 1] if survey.band is None else [survey.band] * 3
    order = (2, 1, 0) if survey.band is None else shown
    red, green, blue = (bands[band] * np.float32(survey.scales[band]) for band in order)
    # astropy divides by a black pixel's intensity before it puts 0 there.
    with np.errstate(invalid="ignore", divide="ignore"):
        colours = make_lupton_rgb(
            red, green, blue, minimum=survey.minimum, stretch=survey.stretch, Q=survey.softening
        )
    image = Image.fromarray(colours)
    if survey.stored_quality:
        stored = io.BytesIO()
        image.save(stored, "JPEG", quality=survey.stored_quality)
        image = Image.open(stored)
    if not turn:
        return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BICUBIC))
    cosine, sine = (side / SIDE * f(math.radians(turn)) for f in (math.cos, math.sin))
    middle = image.width / 2
    matrix = (
        *(cosine, -sine, middle - (cosine - sine) * SIDE / 2),
        *(sine, cosine, middle - (sine + cosine) * SIDE / 2),
    )
    return np.asarray(
        image.transform((SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    )
