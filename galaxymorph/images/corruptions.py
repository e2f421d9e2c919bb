"""Corruptions of images in five severities, as in ImageNet-C.

As in Hendrycks & Dietterich (2019, ICLR), each has severities 1 to 5; these corruptions are of
telescopes. To add one, here or in a plugin, decorate its function with `corruption`: suites, tables
and the battery of tests use the registry `CORRUPTIONS`.

Lengths are given for a galaxy's whole frame at 224 pixels, so that a severity is the same on the
sky for any input of a model; noise and other values are fractions of white, per pixel of the input.
Galaxy Zoo's images are stretched (Lupton et al. 2004), so that nothing here is linear in flux.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from numpy.typing import ArrayLike
from PIL import Image

from galaxymorph.base import Registry

SEVERITIES = (1, 2, 3, 4, 5)
# The frame that lengths are given for: the whole image at the published size.
FRAME = 224
# Of a Moffat profile, as measured at good sites (Trujillo et al. 2001, MNRAS 328, 977: 2.5 to 4.5);
# the smaller, the wider the wings.
BETA = 2.5
# Matter density of a flat universe, and the assumed redshift of galaxies as they are.
MATTER, NEAR = 0.3, 0.05


@dataclass(frozen=True)
class Scene:
    """A random generator for each image of a batch, and the scale.

    `scale` is the number of the images' pixels per pixel of the whole frame at 224.
    """

    rngs: list[np.random.Generator]
    scale: float

    def draw(
        self, draw: Callable[[np.random.Generator], ArrayLike], like: torch.Tensor
    ) -> torch.Tensor:
        """Return a draw from each generator, stacked, on the images' device."""
        return torch.from_numpy(np.stack([np.asarray(draw(rng)) for rng in self.rngs])).to(like)

    def noise(self, batch: torch.Tensor) -> torch.Tensor:
        """Return standard normal noise of the images' shape."""
        shape = tuple(batch.shape[1:])
        return self.draw(lambda rng: rng.standard_normal(shape, dtype=np.float32), batch)


Apply = Callable[[torch.Tensor, float, Scene], torch.Tensor]


@dataclass(frozen=True)
class Corruption:
    """An entry of the registry.

    Args:
        label: its name in words.
        strength: the quantity of the strengths, with its unit.
        strengths: of severities 1 to 5.
        apply: from images of shape (n, 3, height, width), values 0 to 1, a strength and a scene to
            corrupted images, which may leave the range; the argument isn't changed.
    """

    label: str
    strength: str
    strengths: tuple[float, float, float, float, float]
    apply: Apply


CORRUPTIONS: Registry[Corruption] = Registry("corruption")


def corruption(
    label: str,
    strength: str,
    strengths: tuple[float, float, float, float, float],
    registry: Registry[Corruption] = CORRUPTIONS,
) -> Callable[[Apply], Apply]:
    """Return a decorator that registers a function as the corruption of its name."""

    def register(apply: Apply) -> Apply:
        registry.register(apply.__name__, Corruption(label, strength, strengths, apply))
        return apply

    return register


def corrupt(
    batch: torch.Tensor,
    name: str,
    severity: int,
    galaxies: Sequence[str],
    scale: float = 1.0,
    seed: int = 42,
    flux: bool = False,
) -> torch.Tensor:
    """Return corrupted images; severity 0 returns them unchanged.

    Random choices depend on the galaxy's name, so that an image is corrupted equally in any batch,
    and its severities differ by strength only.

    Args:
        batch: shape (n, 3, height, width), values 0 to 1; or flux, shape (n, bands, height, width).
        name: in `corruptions_of`.
        severity: 0 to 5.
        galaxies: their names, in order.
        scale: pixels per pixel of the whole frame at 224, see `frame_scale`.
        seed: for other random choices.
        flux: whether the images are of flux.
    """
    if severity == 0:
        return batch
    entry = corruptions_of(flux)[name]
    scene = Scene([_generator(seed, name, galaxy) for galaxy in galaxies], scale)
    corrupted = entry.apply(batch, entry.strengths[severity - 1], scene)
    return corrupted if flux else corrupted.clamp(0, 1)


def corruptions_of(flux: bool) -> Registry[Corruption]:
    """Return the corruptions of bands of flux, or of pictures."""
    if not flux:
        return CORRUPTIONS
    # These are made of those here.
    from galaxymorph.images.flux_corruptions import FLUX_CORRUPTIONS

    return FLUX_CORRUPTIONS


def frame_scale(size: int, crop: float) -> float:
    """Return `corrupt`'s scale for a model's input: side in pixels, fraction of the frame."""
    return size / (crop * FRAME)


def _generator(seed: int, name: str, galaxy: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}|{name}|{galaxy}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@corruption("Gaussian noise", "sigma, fraction of white", (0.02, 0.05, 0.08, 0.12, 0.18))
def gaussian_noise(batch: torch.Tensor, sigma: float, scene: Scene) -> torch.Tensor:
    """Detector noise: independent in each pixel and colour, and of the light.

    Severity 3, sigma 0.08 of white, is the published one.
    """
    return batch + sigma * scene.noise(batch)


# Brightness of the sky that was subtracted, as a fraction of white.
SKY = 0.1


@corruption("Poisson sky noise", "electrons at white", (1000, 300, 100, 40, 15))
def sky_noise(batch: torch.Tensor, electrons: float, scene: Scene) -> torch.Tensor:
    """Photon noise of a short exposure: Poisson counts of galaxy and sky, the sky subtracted.

    White is so many electrons, and the sky has a tenth of white.
    """
    counts = (batch + SKY).cpu().numpy() * electrons
    drawn = np.stack([rng.poisson(image) for rng, image in zip(scene.rngs, counts, strict=True)])
    return torch.from_numpy(drawn.astype(np.float32)).to(batch) / electrons - SKY


@corruption("PSF blur, Gaussian", "sigma, pixels at 224", (0.5, 1.0, 1.5, 2.5, 4.0))
def psf_blur(batch: torch.Tensor, sigma: float, scene: Scene) -> torch.Tensor:
    """Worse seeing or focus: a Gaussian point spread function.

    Severity 3, sigma 1.5 pixels of the whole frame at 224 (Pillow calls it radius), is the
    published one.
    """
    return convolved(batch, gaussian(sigma * scene.scale))


@corruption("PSF blur, Moffat", "FWHM, pixels at 224", (1.2, 2.4, 3.5, 5.9, 9.4))
def moffat_blur(batch: torch.Tensor, fwhm: float, scene: Scene) -> torch.Tensor:
    """Worse seeing with the wings of turbulence: a Moffat profile, beta 2.5.

    Moffat (1969, A&A 3, 455): I ~ (1 + r^2/a^2)^-beta, FWHM = 2 a sqrt(2^(1/beta) - 1).
    """
    return convolved(batch, moffat(fwhm * scene.scale))


@corruption("brightness", "factor", (0.9, 0.8, 0.7, 0.5, 0.3))
def brightness(batch: torch.Tensor, factor: float, scene: Scene) -> torch.Tensor:
    """Thin cloud or another stretch: every value times a factor; severity 3, 0.7, is published."""
    return batch * factor


@corruption("contrast", "factor", (0.85, 0.7, 0.55, 0.4, 0.25))
def contrast(batch: torch.Tensor, factor: float, scene: Scene) -> torch.Tensor:
    """Stray light or a flat stretch: deviations from the image's mean times a factor."""
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    return mean + (batch - mean) * factor


@corruption("colour shift", "fraction, red against blue", (0.1, 0.2, 0.3, 0.45, 0.6))
def colour_shift(batch: torch.Tensor, share: float, scene: Scene) -> torch.Tensor:
    """Another camera's filters: red up and blue down by a share, or, for half of them, reversed."""
    sign = scene.draw(lambda rng: rng.choice([-1.0, 1.0]), batch)
    none = torch.zeros_like(sign)
    return batch * (1 + share * torch.stack([sign, none, -sign], dim=1))[:, :, None, None]


@corruption("single band", "fraction of the way to one band", (0.2, 0.4, 0.6, 0.8, 1.0))
def single_band(batch: torch.Tensor, share: float, scene: Scene) -> torch.Tensor:
    """Fewer filters: all colours moved towards the middle band, the only one at severity 5."""
    return batch + share * (batch[:, 1:2] - batch)


@corruption("JPEG compression", "quality", (70, 45, 25, 12, 5))
def jpeg(batch: torch.Tensor, quality: float, scene: Scene) -> torch.Tensor:
    """Images from the web: JPEG compression at a quality of Pillow's."""
    pixels = (batch.clamp(0, 1) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).cpu().numpy()
    corrupted = np.stack([_through_jpeg(image, int(quality)) for image in pixels])
    return torch.from_numpy(corrupted).permute(0, 3, 1, 2).to(batch) / 255


def _through_jpeg(pixels: np.ndarray, quality: int) -> np.ndarray:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=quality)
    return np.array(Image.open(stream))


@corruption("pixelation", "pixel's side, pixels at 224", (1.5, 2.5, 3.5, 5.0, 8.0))
def pixelation(batch: torch.Tensor, side: float, scene: Scene) -> torch.Tensor:
    """Larger pixels: light averaged over squares of a side in pixels of the frame at 224."""
    height, width = batch.shape[-2:]
    small = [max(1, round(length / (side * scene.scale))) for length in (height, width)]
    # The input is coarser than these pixels.
    if small[0] >= height:
        return batch
    return F.interpolate(
        F.interpolate(batch, small, mode="area"), (height, width), mode="nearest-exact"
    )


@corruption("dead columns", "fraction of columns", (0.01, 0.02, 0.04, 0.06, 0.10))
def dead_columns(batch: torch.Tensor, share: float, scene: Scene) -> torch.Tensor:
    """Defects of the detector: a share of columns, at least one, without signal or saturated."""
    corrupted, width = batch.clone(), batch.shape[-1]
    for image, rng in zip(corrupted, scene.rngs, strict=True):
        order, hot = rng.permutation(width), rng.random(width) < 0.5
        for column in order[: max(1, round(share * width))]:
            image[..., column] = float(hot[column])
    return corrupted


@corruption("cosmic rays", "tracks in a whole frame", (4, 10, 25, 60, 120))
def cosmic_rays(batch: torch.Tensor, hits: float, scene: Scene) -> torch.Tensor:
    """Particles through the detector: so many sharp white tracks in a frame, 1 to 12 pixels long.

    Number and length are for the whole frame at 224; an input of a part of it has fewer.
    """
    height, width = batch.shape[-2:]
    expected = hits * height * width / (FRAME * scene.scale) ** 2
    corrupted = batch.clone()
    for image, rng in zip(corrupted, scene.rngs, strict=True):
        for row, column, angle, length in rng.random((max(1, round(expected)), 4)):
            at = np.arange(0, (1 + 11 * length) * scene.scale, 0.5)
            rows = np.floor(row * height + at * math.sin(math.pi * angle)).astype(int)
            columns = np.floor(column * width + at * math.cos(math.pi * angle)).astype(int)
            inside = (rows >= 0) & (rows < height) & (columns >= 0) & (columns < width)
            image[:, torch.from_numpy(rows[inside]), torch.from_numpy(columns[inside])] = 1.0
    return corrupted


@corruption("satellite trail", "peak, fraction of white", (0.1, 0.2, 0.4, 0.7, 1.0))
def satellite_trail(batch: torch.Tensor, peak: float, scene: Scene) -> torch.Tensor:
    """A satellite in low orbit: a straight trail through the inner half, 3 pixels wide at 224."""
    down, across = _coordinates(batch)
    angle, offset = (scene.draw(lambda rng: rng.random(), batch) for _ in range(2))
    angle, offset = (value.view(-1, 1, 1) for value in (angle * math.pi, offset - 0.5))
    half = min(batch.shape[-2:]) / 2
    distance = across * angle.sin() - down * angle.cos() - offset * half
    profile = torch.exp(-0.5 * (distance / (1.27 * scene.scale)) ** 2)
    return batch + peak * profile[:, None]


@corruption("bright star", "peak, in units of white", (0.5, 1.0, 4.0, 15.0, 50.0))
def bright_star(batch: torch.Tensor, peak: float, scene: Scene) -> torch.Tensor:
    """A star of our galaxy beside it: Moffat profile, FWHM 4 pixels at 224, saturated where over 1.

    Its distance from the centre is 25 to 60 pixels of the whole frame at 224; `peak` is in units of
    white.
    """
    down, across = _coordinates(batch)
    angle, far = (scene.draw(lambda rng: rng.random(), batch).view(-1, 1, 1) for _ in range(2))
    radius = (25 + 35 * far) * scene.scale
    star = _moffat_profile(
        (down - radius * (2 * math.pi * angle).sin()) ** 2
        + (across - radius * (2 * math.pi * angle).cos()) ** 2,
        4 * scene.scale,
    )
    return batch + peak * star[:, None]


@corruption("off centre", "fraction of the frame", (0.02, 0.04, 0.07, 0.11, 0.16))
def off_centre(batch: torch.Tensor, share: float, scene: Scene) -> torch.Tensor:
    """Poor astrometry: the cutout's centre off by a share of the whole frame, in any direction."""
    angle = 2 * math.pi * scene.draw(lambda rng: rng.random(), batch)
    maps = _identities(batch)
    reach = 2 * share * FRAME * scene.scale / batch.shape[-1]
    maps[:, :, 2] = reach * torch.stack([angle.cos(), angle.sin()], dim=1)
    return _warped(batch, maps, scene)


@corruption("scale", "factor", (1.1, 1.2, 1.35, 1.55, 1.8))
def scale(batch: torch.Tensor, factor: float, scene: Scene) -> torch.Tensor:
    """A wrong radius: the galaxy larger, or for half of them smaller, by a factor."""
    power = scene.draw(lambda rng: rng.choice([-1.0, 1.0]), batch)
    return _warped(batch, _identities(batch) * (factor**power).view(-1, 1, 1), scene)


@corruption("rotation", "degrees", (9, 18, 27, 36, 45))
def rotation(batch: torch.Tensor, degrees: float, scene: Scene) -> torch.Tensor:
    """Another orientation: rotated either way; 45 degrees is farthest from 90° rotations."""
    angle = scene.draw(lambda rng: rng.choice([-1.0, 1.0]), batch) * math.radians(degrees)
    maps = _identities(batch)
    maps[:, 0, 0], maps[:, 0, 1] = angle.cos(), -angle.sin()
    maps[:, 1, 0], maps[:, 1, 1] = angle.sin(), angle.cos()
    return _warped(batch, maps, scene)


# Sigma in pixels at 224 of the images' own PSF: 1.3 arcsec FWHM, the SDSS's in r, in cutouts whose
# 424 pixels are 0.02 Petrosian radii (R90) each (Willett et al. 2013, section 2), of 10 arcsec.
IMAGE_PSF = 1.4


@corruption("redshift", "z, from 0.05", (0.06, 0.075, 0.1, 0.14, 0.2))
def redshift(batch: torch.Tensor, z: float, scene: Scene) -> torch.Tensor:
    """The same galaxy farther away, from redshift 0.05 to `z`: smaller, smoother, dimmer, noisier.

    Its side shrinks by the ratio of angular-diameter distances in a flat universe of matter density
    0.3 (Hogg 1999, astro-ph/9905116, eq. 14 to 18), its surface brightness over the sky falls by
    (1 + z)^4 (Tolman 1930, PNAS 16, 511); the PSF and the sky's noise don't change. The spectrum
    isn't shifted.
    """
    shrink = relative_size(z)
    dimming = ((1 + NEAR) / (1 + z)) ** 4
    sky, grain = sky_of(batch)
    height, width = batch.shape[-2:]
    small = [max(4, round(length * shrink)) for length in (height, width)]
    light = F.interpolate(batch - sky, small, mode="bilinear", antialias=True, align_corners=False)
    top, left = ((length - part) // 2 for length, part in zip((height, width), small, strict=True))
    far = torch.zeros_like(batch)
    far[..., top : top + small[0], left : left + small[1]] = light * dimming
    far = convolved(far, gaussian(IMAGE_PSF * math.sqrt(1 - shrink**2) * scene.scale))
    return sky + far + grain * scene.noise(batch)


@cache
def relative_size(z: float) -> float:
    """Return the angular size of a galaxy at redshift `z`, relative to that at `NEAR`."""
    from astropy.cosmology import FlatLambdaCDM

    near, distant = FlatLambdaCDM(70, MATTER).angular_diameter_distance([NEAR, z]).value
    return float(near / distant)


def gaussian(sigma: float) -> torch.Tensor:
    """Return a Gaussian kernel that sums to 1, to four sigma."""
    down, across = _grid(math.ceil(4 * sigma))
    return _normalised(torch.exp(-0.5 * (down**2 + across**2) / max(sigma, 1e-3) ** 2))


def moffat(fwhm: float) -> torch.Tensor:
    """Return a Moffat kernel of `BETA` that sums to 1, to four times its FWHM."""
    down, across = _grid(math.ceil(4 * fwhm))
    return _normalised(_moffat_profile(down**2 + across**2, fwhm))


def convolved(batch: torch.Tensor, kernel: torch.Tensor) -> torch.Tensor:
    """Return images convolved with a kernel of odd sides, mirrored at their edges."""
    height, width = batch.shape[-2:]
    # Reflection is limited to the image's size; only far wings of the kernel are cut off.
    reach = min(len(kernel) // 2, height - 1, width - 1)
    cut = len(kernel) // 2 - reach
    kernel = _normalised(kernel[cut : len(kernel) - cut, cut : len(kernel) - cut]).to(batch)
    padded = F.pad(batch, (reach, reach, reach, reach), "reflect")
    sides = padded.shape[-2:]
    # In Fourier space, where a wide kernel takes no more time than a narrow one.
    corrupted = torch.fft.irfft2(
        torch.fft.rfft2(padded) * torch.fft.rfft2(kernel, s=sides), s=sides
    )
    return corrupted[..., 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width]


def _moffat_profile(squared_radius: torch.Tensor, fwhm: float) -> torch.Tensor:
    core = fwhm / (2 * math.sqrt(2 ** (1 / BETA) - 1))
    return (1 + squared_radius / core**2) ** -BETA


def _grid(reach: int) -> tuple[torch.Tensor, torch.Tensor]:
    at = torch.arange(-reach, reach + 1.0)
    return at[:, None], at[None, :]


def _normalised(kernel: torch.Tensor) -> torch.Tensor:
    return kernel / kernel.sum()


def _coordinates(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return rows and columns from the centre, in pixels, to be broadcast over the images."""
    rows, columns = (
        torch.arange(length, device=batch.device) - (length - 1) / 2 for length in batch.shape[-2:]
    )
    return rows[None, :, None], columns[None, None, :]


def _identities(batch: torch.Tensor) -> torch.Tensor:
    return torch.eye(2, 3, device=batch.device).repeat(len(batch), 1, 1)


def _warped(batch: torch.Tensor, maps: torch.Tensor, scene: Scene) -> torch.Tensor:
    """Return images transformed by affine maps, with sky outside of them.

    Mirrored edges would add a second galaxy where an image shrinks.
    """
    sky, grain = sky_of(batch)
    grid = F.affine_grid(maps.to(batch), list(batch.shape), align_corners=False)
    inside = F.grid_sample(torch.ones_like(batch[:, :1]), grid, align_corners=False)
    corrupted = F.grid_sample(batch - sky, grid, align_corners=False)
    return sky + corrupted + (1 - inside) * grain * scene.noise(batch)


def sky_of(batch: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return level and noise of each image's sky by colour, shape (n, 3, 1, 1).

    That is the median along the edge, and 1.4826 times the median deviation from it, which for
    Gaussian noise is sigma.
    """
    edge = torch.cat(
        [
            batch[..., :2, :].flatten(2),
            batch[..., -2:, :].flatten(2),
            batch[..., :2].flatten(2),
            batch[..., -2:].flatten(2),
        ],
        dim=2,
    )
    level = edge.median(dim=2, keepdim=True).values
    deviation = (edge - level).abs().median(dim=2, keepdim=True).values
    return level[..., None], 1.4826 * deviation[..., None]
