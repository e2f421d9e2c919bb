"""Views of galaxies as the model's input: the central one, and random ones for training.

Galaxies have no preferred orientation, so views are rotated by any angle and mirrored. Items have
a margin around the frame, if the image has, so that rotated views contain sky instead of padding.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812
from fastai.torch_core import TensorImage
from fastai.vision.core import PILImage
from fasttransform import DisplayedTransform, Transform
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.images import (
    ARCSINH_OF_WHITE,
    Cut,
    Frames,
    Rendering,
    blank_frame,
    centre_frame,
    galaxy_frame,
    holds_fits,
    open_galaxy,
)
from galaxymorph.learn.recipe import Recipe

# Fraction of training views without some bands, if images may lack them.
WITHOUT_BANDS = 0.2


class FramedGalaxy(PILImage):
    """An image that is cut to its frame."""


class OpenGalaxy(Transform):
    """Open an image: its decoded frame, if there is one, or the file.

    A file is decoded strictly, see `galaxymorph.images.as_image`, FITS by the rendering that the
    model is trained on, and refused if its frame shows no galaxy, see `require_content`. An
    exported learner keeps the rendering, but no frames.
    """

    # The types from which fastai can start a prediction.
    input_types = (str, Path, bytes, Image.Image, np.ndarray, torch.Tensor)
    # Early exported learners have none.
    rendering: Rendering | None = None
    # Of early exported learners.
    crop = 1.0
    cut: Cut | None = None

    def __init__(
        self,
        rendering: Rendering,
        frames: Frames | None = None,
        rows: dict[str, int] | None = None,
        crop: float = 1.0,
        cut: Cut | None = None,
    ):
        self.rendering, self.frames, self.rows, self.crop = rendering, frames, rows or {}, crop
        # Of flux, which is framed at once.
        self.cut = cut

    def encodes(self, source: Any) -> PILImage | TensorImage:
        row = self.rows.get(str(source)) if isinstance(source, Path) else None
        if row is not None and self.frames is not None:
            frame = self.frames.pixels.read([row])[0]
            if self.rendering is not None and self.rendering.flux is not None:
                return as_flux(frame)
            return FramedGalaxy(Image.fromarray(frame))
        if isinstance(source, FramedGalaxy | TensorImage):
            return source
        return self.opened(source)

    def opened(self, source: Any) -> PILImage | TensorImage:
        """Return the picture of a source, or its frame of flux."""
        rendering = self._rendering_of(source)
        if rendering.flux is None:
            return PILImage(open_galaxy(source, self.crop, rendering))
        assert self.cut is not None
        return as_flux(galaxy_frame(source, self.cut, rendering))

    def _rendering_of(self, source: object) -> Rendering:
        """Return the rendering; raise BadInput if an early learner has none for FITS."""
        if self.rendering is not None:
            return self.rendering
        if isinstance(source, str | Path) and holds_fits(str(source)):
            raise BadInput(
                f"{source}: this learner was exported without settings for FITS images",
                "use galaxymorph.load_predictor(RUN)",
            )
        return Rendering()

    def __getstate__(self) -> dict:
        return {**self.__dict__, "frames": None, "rows": {}}


class OpenOrBlank(OpenGalaxy):
    """Open an image as `OpenGalaxy`; an unusable one is black."""

    def encodes(self, source: Any) -> PILImage | TensorImage:
        try:
            return self.opened(source)
        except BadInput:
            if self.cut is not None and self.rendering is not None:
                return as_flux(blank_frame(self.cut.side, self.rendering))
            return PILImage(Image.new("RGB", (64, 64)))


def as_flux(frame: np.ndarray) -> TensorImage:
    """Return a frame of flux, channels last, as an item of shape (channels, side, side)."""
    return TensorImage(torch.from_numpy(frame).permute(2, 0, 1).contiguous())


def light_of(frames: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return stored frames as floats: RGB from 0 to 1, or flux in units of the softening."""
    return frames.float() if recipe.pixels == "flux" else frames.float() / 255


def network_values(light: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return light as the network's values before normalisation, RGB from 0 to 1."""
    return light.asinh() / ARCSINH_OF_WHITE if recipe.pixels == "flux" else light.clamp(0, 1)


def light_of_values(values: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return the light of a network's values, the inverse of `network_values`."""
    return (values * ARCSINH_OF_WHITE).sinh() if recipe.pixels == "flux" else values


class FluxToFloat(DisplayedTransform):
    """Turn flux as it is stored into float32."""

    # As IntToFloatTensor.
    order = 10

    def encodes(self, batch: TensorImage) -> TensorImage:
        return batch.float()


class Compress(DisplayedTransform):
    """Turn flux, in units of the softening, into the network's input before normalisation."""

    # After views, which are of flux, and before Normalize (99).
    order = 30

    def encodes(self, batch: TensorImage) -> TensorImage:
        return batch.asinh() / ARCSINH_OF_WHITE


def as_path(reference: str) -> Path:
    """Return text as a path: fastai starts a prediction at any type that a transform returns."""
    return Path(reference)


class Frame(DisplayedTransform):
    """Cut the centred frame with its margin and resize it to the model's scale."""

    # Before ToTensor (5), which TransformBlock puts first.
    order = 1
    # Of early exported learners.
    interpolation = "bicubic"

    def __init__(self, crop: float, side: int, interpolation: str):
        self.crop, self.side, self.interpolation = crop, side, interpolation

    def encodes(self, image: PILImage) -> PILImage:
        if isinstance(image, FramedGalaxy):
            return image
        frame = centre_frame(image, self.crop, self.side, interpolation=self.interpolation)
        return PILImage(Image.fromarray(frame))


class CentralView(DisplayedTransform):
    """Cut off the margin, for validation and prediction."""

    order, split_idx = 20, 1

    def __init__(self, size: int):
        self.size = size

    def encodes(self, batch: TensorImage) -> TensorImage:
        start = (batch.shape[-1] - self.size) // 2
        return batch[..., start : start + self.size, start : start + self.size].contiguous()


class RandomView(DisplayedTransform):
    """Rotate, mirror, zoom, shift and re-expose galaxies at random, in one resampling.

    Only while training. Every random number is torch's, so a seed repeats the views.
    """

    order, split_idx = 20, 0

    def __init__(self, recipe: Recipe):
        self.recipe = recipe

    def encodes(self, batch: TensorImage) -> TensorImage:
        recipe = self.recipe
        grid = F.affine_grid(
            random_affines(len(batch), recipe, batch.shape[-1]).to(batch.device),
            [len(batch), batch.shape[1], recipe.size, recipe.size],
            align_corners=False,
        )
        viewed = F.grid_sample(
            batch.as_subclass(torch.Tensor), grid, padding_mode="reflection", align_corners=False
        )
        return TensorImage(degraded(viewed, recipe))


def random_affines(n: int, recipe: Recipe, side: int) -> torch.Tensor:
    """Return random maps from the model's frame to an item's, shape (n, 2, 3), for `affine_grid`.

    Args:
        n: how many.
        recipe: the ranges: `rotate`, `flips`, `zoom`, `shift`.
        side: the items' side in pixels, which the frame is `size` of.
    """
    angle = _symmetric(n) * math.radians(recipe.rotate)
    scale = (recipe.size / side) * torch.exp(_symmetric(n) * math.log(recipe.zoom))
    mirror = 1.0 - 2.0 * (torch.rand(n) < (0.5 if recipe.flips else 0.0)).float()
    maps = torch.zeros(n, 2, 3)
    maps[:, 0, 0] = scale * angle.cos() * mirror
    maps[:, 0, 1] = -scale * angle.sin()
    maps[:, 1, 0] = scale * angle.sin() * mirror
    maps[:, 1, 1] = scale * angle.cos()
    # The grid's range is -1 to 1, twice the frame's side.
    maps[:, :, 2] = (
        2 * recipe.shift * (recipe.size / side) * torch.stack([_symmetric(n), _symmetric(n)], dim=1)
    )
    return maps


def degraded(batch: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return images with random blur, brightness, contrast, colours and noise.

    The order is physical: the atmosphere blurs, exposure and filters scale, the detector is noisy.

    Args:
        batch: shape (n, 3, height, width), values 0 to 1; may be changed in place.
        recipe: the ranges: `blur`, `brightness`, `contrast`, `colour`, `noise`, and `degraded`,
            the share of images with blur, and of those with noise.
    """
    if recipe.blur:
        batch = blurred(batch, recipe.blur * _strengths(len(batch), recipe), recipe.blur)
    if recipe.pixels == "flux":
        return _degraded_flux(batch, recipe)
    batch = re_expose(batch, recipe.brightness, recipe.contrast, recipe.colour)
    if recipe.noise:
        sigma = (recipe.noise * _strengths(len(batch), recipe)).view(-1, 1, 1, 1).to(batch)
        batch.addcmul_(sigma, torch.randn(batch.shape).to(batch)).clamp_(0, 1)
    return batch


def _degraded_flux(batch: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return flux with random calibration, noise and missing bands.

    Brightness scales all bands, and colour each by itself, as an error of its zero point does; the
    noise is the sky's, in units of the softening.
    """
    n, bands = batch.shape[:2]
    factor = 1 + recipe.brightness * _symmetric(n).view(-1, 1, 1, 1)
    if recipe.colour:
        factor = factor * (1 + recipe.colour * (torch.rand(n, bands, 1, 1) * 2 - 1))
    batch = batch * factor.to(batch)
    if recipe.noise:
        sigma = (recipe.noise * _strengths(n, recipe)).view(-1, 1, 1, 1).to(batch)
        batch.addcmul_(sigma, torch.randn(batch.shape).to(batch))
    if recipe.missing_bands:
        # Up to so many bands, each band equally often.
        places = torch.rand(n, bands).argsort(dim=1).argsort(dim=1)
        number = torch.randint(1, recipe.missing_bands + 1, (n, 1))
        absent = (places < number) & (torch.rand(n, 1) < WITHOUT_BANDS)
        batch = batch.masked_fill(absent[:, :, None, None].to(batch.device), 0.0)
    return batch


def blurred(batch: torch.Tensor, sigma: torch.Tensor, largest: float) -> torch.Tensor:
    """Blur each image by a Gaussian.

    Args:
        batch: shape (n, channels, height, width).
        sigma: shape (n,), pixels.
        largest: possible sigma, which determines the size of the kernels.
    """
    n, channels, height, width = batch.shape
    reach = min(math.ceil(3 * largest), height - 1, width - 1)
    at = torch.arange(-reach, reach + 1.0)
    kernels = torch.exp(-0.5 * (at / sigma[:, None].clamp(min=1e-3)) ** 2)
    kernels = (kernels / kernels.sum(dim=1, keepdim=True)).repeat_interleave(channels, 0).to(batch)
    # One convolution with a group for each image and channel.
    stack = batch.reshape(1, n * channels, height, width)
    stack = F.pad(stack, (reach, reach, reach, reach), "reflect")
    stack = F.conv2d(stack, kernels[:, None, None, :], groups=n * channels)
    stack = F.conv2d(stack, kernels[:, None, :, None], groups=n * channels)
    return stack.reshape(batch.shape)


def re_expose(
    batch: torch.Tensor, brightness: float, contrast: float, colour: float = 0.0
) -> torch.Tensor:
    """Scale each image, its channels, and its contrast about its mean by random factors.

    Args:
        batch: shape (n, 3, height, width), values 0 to 1; the result is clipped to them.
        brightness: a factor's largest distance from 1.
        contrast: likewise.
        colour: likewise, for each channel separately.
    """
    shape = (len(batch), 1, 1, 1)
    if colour:
        batch = batch * (1 + colour * (torch.rand(len(batch), 3, 1, 1) * 2 - 1)).to(batch)
    bright, sharp = (
        (1 + share * _symmetric(len(batch))).view(shape).to(batch)
        for share in (brightness, contrast)
    )
    # Both in one pass and in place, for speed.
    mean = batch.mean(dim=(1, 2, 3), keepdim=True)
    return (batch * (bright * sharp)).add_(bright * mean * (1 - sharp)).clamp_(0, 1)


def dihedral(batch: torch.Tensor, view: int) -> torch.Tensor:
    """Return one of the eight flips and 90° rotations, 0 to 7; 0 to 3 are rotations."""
    rotated = torch.rot90(batch, view % 4, dims=(-2, -1))
    return rotated.flip(-1) if view >= 4 else rotated


def _strengths(n: int, recipe: Recipe) -> torch.Tensor:
    """Return random strengths, 0 to 1, shape (n,); 0 for images that aren't degraded."""
    return torch.rand(n) * (torch.rand(n) < recipe.degraded)


def _symmetric(n: int) -> torch.Tensor:
    return torch.rand(n) * 2 - 1
