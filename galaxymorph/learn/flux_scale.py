"""The transform of flux, learnt from training galaxies: unit, softening and normalisation.

All of it becomes settings of the recipe, so that every predictor of a run applies the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np

from galaxymorph.base import BadInput, Progress, say, setting, warn
from galaxymorph.images import (
    FLUX_UNITS,
    STORED,
    FluxImage,
    FluxInput,
    Rendering,
    compressed,
    flux_square,
    map_images,
    open_galaxy,
)
from galaxymorph.learn.galaxies import Labelled, training_images
from galaxymorph.learn.normalisation import spell_normalisation
from galaxymorph.learn.recipe import Recipe, item_frame

# Training galaxies, evenly from all, from which the transform is learnt.
SAMPLE = 256
AHEAD = 64
# The softening in units of the sky's noise, as the stretch `lupton` is linear up to.
NOISES = 3.0
# A median absolute deviation, times this, is sigma where noise is Gaussian.
SIGMA = 1.4826
# The share of the brightest flux that stands for the noise where images have none.
NOISELESS, BRIGHT = 0.01, 99.8
# Pixels at a frame's edge that are taken for sky.
EDGE = 3
# The sky's level, in units of its noise, from which it is likely not to be subtracted.
HIGH_SKY = 5.0


def learn_flux_scale(recipe: Recipe, labelled: Labelled) -> Recipe:
    """Return a recipe of flux with its unit, softening and normalisation; others unchanged.

    What the user gave stays. Images that can't be used are passed over: decoding them reports them.

    Args:
        recipe: complete but for these.
        labelled: the galaxies, of which only those that train are looked at.

    Raises:
        BadInput: some headers give a calibration and others don't, or no image can be used.
    """
    if recipe.pixels != "flux" or (recipe.flux and recipe.softening and recipe.normalise):
        return recipe
    references = training_images(labelled, recipe)
    references = references[:: -(-len(references) // SAMPLE)]
    if recipe.flux is None:
        recipe = replace(recipe, flux=_unit(references, recipe))
    images = _read(references, recipe)
    if not images:
        raise BadInput(
            f"{labelled.catalogue.source}: no image has flux in {', '.join(recipe.flux_bands)}",
            _first_fault(references, recipe),
        )
    crop, side = item_frame(recipe)
    interpolation = recipe.rendering.interpolation
    squares = np.stack([flux_square(image, crop, side, interpolation) for image in images])
    # A missing band says nothing of its scale.
    squares[_absent(images, recipe)] = np.nan
    learnt = recipe.softening is None
    if learnt:
        noise = sky_noise(squares)
        softening = ",".join(f"{NOISES * value:.4g}" for value in noise)
        recipe = replace(recipe, softening=softening)
        _warn_of_sky(squares, noise, recipe)
    if recipe.normalise is None:
        recipe = replace(recipe, normalise=_normalisation(squares, recipe))
    _say(recipe, len(images), learnt)
    return recipe


def sky_noise(squares: np.ndarray) -> np.ndarray:
    """Return the noise (sigma) of the sky in each band, the median over images, shape (bands,).

    It is 1.4826 times the median absolute deviation along an image's edge; where that is 0, as of
    images without noise, a hundredth of the flux that 0.2 % of the pixels exceed.

    Args:
        squares: flux, shape (n, bands, side, side), NaN where a band is missing.
    """
    edges = _edges(squares)
    with np.errstate(invalid="ignore"):
        level = np.median(edges, axis=2, keepdims=True)
        noise = SIGMA * np.nanmedian(np.median(np.abs(edges - level), axis=2), axis=0)
        bright = np.nanpercentile(squares, BRIGHT, axis=(0, 2, 3))
    noise = np.where(noise > 0, noise, NOISELESS * bright)
    return np.where(np.isfinite(noise) & (noise > 0), noise, 1.0)


def _edges(squares: np.ndarray) -> np.ndarray:
    """Return the pixels along the edges, shape (n, bands, pixels)."""
    parts = (
        squares[..., :EDGE, :],
        squares[..., -EDGE:, :],
        squares[..., EDGE:-EDGE, :EDGE],
        squares[..., EDGE:-EDGE, -EDGE:],
    )
    return np.concatenate([part.reshape(*squares.shape[:2], -1) for part in parts], axis=2)


def _normalisation(squares: np.ndarray, recipe: Recipe) -> str:
    """Return mean and standard deviation of the network's input in each band as a setting."""
    flux = recipe.rendering.flux
    assert flux is not None
    start = (squares.shape[-1] - recipe.size) // 2
    inner = slice(start, start + recipe.size)
    softening = np.array(flux.softening, np.float32)[:, None, None]
    values = compressed(squares[..., inner, inner] / softening)
    mean, std = (
        [float(f"{value:.4g}") for value in statistic(values, axis=(0, 2, 3))]
        for statistic in (np.nanmean, np.nanstd)
    )
    std = [value if value > 0 else 1.0 for value in std]
    numbers = np.nan_to_num(mean).tolist(), np.nan_to_num(std, nan=1.0).tolist()
    return spell_normalisation(*numbers, recipe.image_channels)


def _unit(references: Sequence[str], recipe: Recipe) -> str:
    """Return the first unit that all headers give.

    Raises:
        BadInput: some give a unit, and others don't.
    """
    numbers: dict[str, int] = {}
    for unit in FLUX_UNITS:
        numbers[unit] = len(_read(references, replace(recipe, flux=unit)))
        if numbers[unit] == len(references):
            # Less demanding units give no more.
            break
    total = max(numbers.values())
    for unit, following in pairwise(FLUX_UNITS):
        if 0 < numbers.get(unit, total) < total:
            raise BadInput(
                f"{total - numbers[unit]:,} of {total:,} images have no flux as {unit}: "
                f"{_first_fault(references, replace(recipe, flux=unit))}",
                f"give {setting('flux', following)}, or {setting('flux', unit)} with "
                f"{setting('skip_bad')}",
            )
    # If none can be read, the fault is that of values as stored.
    return next((unit for unit, number in numbers.items() if number), STORED)


def _read(references: Sequence[str], recipe: Recipe) -> list[FluxImage]:
    jobs = [(reference, recipe.crop, recipe.rendering) for reference in references]
    with Progress("measuring the flux", len(jobs), "images") as progress:
        images = []
        for image in map_images(_opened, jobs, AHEAD):
            progress.advance()
            if isinstance(image, FluxImage):
                images.append(image)
    return images


def _opened(job: tuple[str, float, Rendering]) -> FluxImage | BadInput:
    reference, crop, rendering = job
    try:
        image = open_galaxy(reference, crop, rendering)
    except BadInput as error:
        return error
    assert isinstance(image, FluxImage)
    return image


def _first_fault(references: Sequence[str], recipe: Recipe) -> str:
    results = (_opened((name, recipe.crop, recipe.rendering)) for name in references)
    return next((str(each).split(";")[0] for each in results if isinstance(each, BadInput)), "")


def _absent(images: Sequence[FluxImage], recipe: Recipe) -> np.ndarray:
    return np.array([[band in image.missing for band in recipe.flux_bands] for image in images])


def _warn_of_sky(squares: np.ndarray, noise: np.ndarray, recipe: Recipe) -> None:
    level = np.nanmedian(_edges(squares), axis=(0, 2)) / noise
    if (np.abs(level) > HIGH_SKY).any():
        at = int(np.nanargmax(np.abs(level)))
        warn(
            f"flux in {recipe.flux_bands[at]} has a median of {level[at]:.1f} sigma along the "
            "images' edges: subtract the sky first, if it is still in them"
        )


def _say(recipe: Recipe, number: int, learnt: bool) -> None:
    unit = FLUX_UNITS[recipe.flux or FluxInput.unit]
    pairs = zip(recipe.flux_bands, (recipe.softening or "").split(","), strict=True)
    values = ", ".join(f"{band} {value}" for band, value in pairs)
    origin = f" ({NOISES:g} times the sky's noise in {number:,} training images)" if learnt else ""
    say(f"flux in {len(recipe.flux_bands)} bands, {unit}; softening {values}{origin}")
