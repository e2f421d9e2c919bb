"""Corruptions of bands of flux in five severities: those of a telescope, which are linear in flux.

Images are in units of each band's softening. To add one, decorate its function with
`flux_corruption`. Geometry and PSFs are those of `corruptions`; noise and light are other ones,
since flux has no white.
"""

from __future__ import annotations

import math
from functools import partial

import torch

from galaxymorph.base import Registry
from galaxymorph.images.corruptions import (
    CORRUPTIONS,
    Apply,
    Corruption,
    Scene,
    convolved,
    corruption,
    gaussian,
    moffat,
    sky_of,
)

FLUX_CORRUPTIONS: Registry[Corruption] = Registry("corruption of flux")
# Of light beside the galaxy: the flux that its peak is compared with is an image's brightest.
RELATIVE = ("dead_columns", "cosmic_rays", "satellite_trail", "bright_star")
UNCHANGED = ("pixelation", "off_centre", "scale", "rotation", "redshift")


# Registers a function as the corruption of flux of its name.
flux_corruption = partial(corruption, registry=FLUX_CORRUPTIONS)


@flux_corruption("depth", "magnitudes shallower", (0.5, 1.0, 1.5, 2.0, 2.5))
def depth(batch: torch.Tensor, magnitudes: float, scene: Scene) -> torch.Tensor:
    """A shorter exposure: the sky's noise, measured at the image's edge, 10^(0.4 m) times as high.

    The noise of sky-limited images is proportional to the flux of their limiting magnitude.
    """
    _, grain = sky_of(batch)
    return batch + grain * math.sqrt(10 ** (0.8 * magnitudes) - 1) * scene.noise(batch)


@flux_corruption("PSF, Gaussian", "sigma, pixels at 224", (0.5, 1.0, 1.5, 2.5, 4.0))
def psf_blur(batch: torch.Tensor, sigma: float, scene: Scene) -> torch.Tensor:
    """Worse seeing or focus: a Gaussian PSF; the sky's noise stays as high."""
    return _with_psf(batch, gaussian(sigma * scene.scale), scene)


@flux_corruption("PSF, Moffat", "FWHM, pixels at 224", (1.2, 2.4, 3.5, 5.9, 9.4))
def moffat_blur(batch: torch.Tensor, fwhm: float, scene: Scene) -> torch.Tensor:
    """Worse seeing with the wings of turbulence: a Moffat PSF; the sky's noise stays as high."""
    return _with_psf(batch, moffat(fwhm * scene.scale), scene)


def _with_psf(batch: torch.Tensor, kernel: torch.Tensor, scene: Scene) -> torch.Tensor:
    """Return images with another PSF and the noise that it takes away from the sky."""
    _, grain = sky_of(batch)
    lost = math.sqrt(max(0.0, 1 - float((kernel**2).sum())))
    return convolved(batch, kernel) + grain * lost * scene.noise(batch)


@flux_corruption("extinction", "factor", (0.9, 0.8, 0.7, 0.5, 0.3))
def extinction(batch: torch.Tensor, factor: float, scene: Scene) -> torch.Tensor:
    """Thin cloud or grey dust: the light of all bands over the sky times a factor."""
    sky, grain = sky_of(batch)
    lost = math.sqrt(1 - factor**2)
    return sky + (batch - sky) * factor + grain * lost * scene.noise(batch)


@flux_corruption("zero points", "sigma, magnitudes", (0.02, 0.05, 0.1, 0.2, 0.4))
def zero_points(batch: torch.Tensor, sigma: float, scene: Scene) -> torch.Tensor:
    """A wrong calibration: the flux of each band times a factor of its own."""
    bands = batch.shape[1]
    errors = scene.draw(lambda rng: rng.standard_normal(bands), batch)
    return batch * (10 ** (-0.4 * sigma * errors))[:, :, None, None]


@flux_corruption("sky level", "sigma of the sky", (0.2, 0.5, 1.0, 2.0, 4.0))
def sky_level(batch: torch.Tensor, sigma: float, scene: Scene) -> torch.Tensor:
    """A sky that is subtracted wrongly: so much too little, or too much in half of the images."""
    _, grain = sky_of(batch)
    sign = scene.draw(lambda rng: rng.choice([-1.0, 1.0]), batch)
    return batch + sigma * grain * sign.view(-1, 1, 1, 1)


@flux_corruption("one band fainter", "fraction of its light", (0.2, 0.4, 0.6, 0.8, 1.0))
def lost_band(batch: torch.Tensor, share: float, scene: Scene) -> torch.Tensor:
    """A band that is partly or, at severity 5, wholly missing: one at random loses its flux."""
    bands = batch.shape[1]
    chosen = scene.draw(lambda rng: rng.permutation(bands) == 0, batch)
    return batch * (1 - share * chosen)[:, :, None, None]


def _relative(apply: Apply) -> Apply:
    def applied(batch: torch.Tensor, strength: float, scene: Scene) -> torch.Tensor:
        brightest = batch.amax(dim=(1, 2, 3), keepdim=True).clamp_min(1.0)
        return apply(batch / brightest, strength, scene) * brightest

    return applied


for name in UNCHANGED:
    FLUX_CORRUPTIONS.register(name, CORRUPTIONS[name])
for name in RELATIVE:
    entry = CORRUPTIONS[name]
    words = entry.strength.replace("fraction of white", "fraction of the brightest flux")
    words = words.replace("in units of white", "in units of the brightest flux")
    FLUX_CORRUPTIONS.register(
        name, Corruption(entry.label, words, entry.strengths, _relative(entry.apply))
    )
