"""Simulated galaxies as FITS: the bands of the native image, calibrated."""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from galaxymorph.survey.observing import Observation


def flux_file(observation: Observation, survey: str) -> bytes:
    """Return a cube of the bands of an observation, blue first, as FITS, float32.

    Values are nanomaggies a pixel over a subtracted sky. The header has the bands (BANDS), unit and
    zero point (BUNIT, MAGZERO), a WCS whose north is up in the picture of the same galaxy (its
    place on the sky is made up), and of each band the sky's noise (NOISE_G, nanomaggies a pixel)
    and the PSF (FWHM_G, arcsec).

    Args:
        observation: of a galaxy.
        survey: its name.
    """
    from astropy.io import fits

    flux, side = observation.flux, observation.flux.values.shape[-1]
    # FITS counts rows from the bottom.
    hdu = fits.PrimaryHDU(flux.values[:, ::-1])
    header = hdu.header
    header["BUNIT"] = ("nanomaggy", "a pixel, sky subtracted")
    header["MAGZERO"] = (22.5, "AB magnitude of 1")
    header["SURVEY"] = (survey, "observing conditions of a simulation")
    header["BANDS"] = "".join(flux.bands)
    pairs = zip(flux.bands, flux.noise, flux.seeing, strict=True)
    for at, (band, noise, seeing) in enumerate(pairs):
        header[f"BAND{at}"] = band
        header[f"NOISE_{band.upper()}"] = (noise, "sigma of the sky, nanomaggies a pixel")
        header[f"FWHM_{band.upper()}"] = (seeing, "FWHM of the PSF, arcsec")
    for axis, kind in ((1, "RA---TAN"), (2, "DEC--TAN")):
        header[f"CTYPE{axis}"] = kind
        header[f"CUNIT{axis}"] = "deg"
        header[f"CRPIX{axis}"] = (side + 1) / 2
        header[f"CRVAL{axis}"] = 0.0
    scale = observation.pixel / 3600
    cosine, sine = (scale * f(math.radians(observation.turn)) for f in (math.cos, math.sin))
    # The picture is turned counter-clockwise, so that here north is clockwise from up.
    header["CD1_1"], header["CD1_2"] = -cosine, sine
    header["CD2_1"], header["CD2_2"] = sine, cosine
    stream = io.BytesIO()
    hdu.writeto(stream)
    return stream.getvalue()
