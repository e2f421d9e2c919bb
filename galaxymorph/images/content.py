"""Frames without a galaxy in them: blank, saturated, or outside of a survey's coverage.

Cutout services return zeros, NaN or white off the footprint, and a network classifies those too.
The frame that the model sees is judged. Thresholds keep away from every real image at hand, see the
comments and docs/data.md.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from galaxymorph.base import BadInput, setting

# Levels of 255 that compression may add to a constant picture. Of 4,120 real images of ten sets the
# narrowest range of a colour in the middle half is 30.
LEVELS = 10
# The share of pixels that may differ in a blank frame: hot pixels. A point source in a cutout of
# 424 pixels has more.
HOT = 1e-4
# A pixel is white from this level on, and a frame saturated from this share of white pixels on.
# The same images have up to 0.03 in the middle half.
WHITE_LEVEL, WHITE_SHARE = 250, 0.9
# The level to which pixels without coverage are alike, and the share of the frame and of its middle
# half that they take at least: a little under the half, for an edge through the centre.
SAME_LEVEL, UNCOVERED = 1, 0.43
# Pixels a side of the first, quick check of a frame, and of the second.
COARSE_GRID, GRID = 64, 128
# Of the grid's rim: how much of it a covered part takes at least, and how much of that part may
# look uncovered, as faint sky does.
COVERED_RIM, FAINT_RIM = 0.02, 0.5
# The share of a middle half with nothing in it.
EMPTY_MIDDLE = 0.98
COLOURS = ("red", "green", "blue")


class NoContent(BadInput):
    """A frame shows no galaxy, so that it has no class; `status` is one of `NO_CONTENT`."""

    def __init__(self, fault: object, remedy: str = "", status: str = "blank"):
        super().__init__(fault, remedy)
        self.fault, self.status = fault, status


# Statuses of a frame without content.
NO_CONTENT = ("blank", "saturated", "no coverage")


class Fault(str):
    """The reason why an image can't be used, in one line.

    `status` is one of `NO_CONTENT`, `missing` or `unreadable`; `error` the exception.
    """

    error: BadInput
    status: str

    def __new__(cls, error: BadInput) -> Fault:
        """Make the line of an error."""
        fault = super().__new__(cls, error)
        fault.error, fault.status = error, getattr(error, "status", "unreadable")
        return fault


def require_content(image: Image.Image, crop: float, name: str) -> None:
    """Raise NoContent unless an image's frame can hold a galaxy.

    Args:
        image: RGB.
        crop: the share of the image's shorter side that the model sees, as in `centre_frame`.
        name: of the image, for the error.
    """
    if _passes_all_checks(_sampled(image, crop, COARSE_GRID)):
        return
    side = max(1, round(crop * min(image.size)))
    pixels = np.asarray(_sampled(image, crop, side))
    _require_below_white(pixels, name)
    _require_range(pixels, name)
    _require_coverage(np.asarray(_sampled(image, crop, min(GRID, side))), name)


def _sampled(image: Image.Image, crop: float, number: int) -> Image.Image:
    """Return pixels of the frame, `number` a side, without interpolation."""
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    return image.resize((number, number), Image.Resampling.NEAREST, box=box)


def _passes_all_checks(coarse: Image.Image) -> bool:
    """Return whether no check can fail, in 1 % of the time of decoding.

    Of 99 % of real frames none can: each band has many levels, few pixels are white, and neither a
    corner nor the centre is flat.
    """
    counts, few = coarse.histogram(), coarse.width * coarse.height // 100
    for plane in range(0, 768, 256):
        levels = counts[plane : plane + 256]
        low = next(level for level, count in enumerate(levels) if count)
        if sum(levels[low + 2 * LEVELS :]) <= few:
            return False
    if sum(counts[WHITE_LEVEL:256]) > coarse.width * coarse.height // 2:
        return False
    width = coarse.width // 16
    ends, middle = (0, coarse.width - width), (coarse.width - width) // 2
    places = [*((left, top) for left in ends for top in ends), (middle, middle)]
    pixels = np.asarray(coarse, np.int16)
    patches = (pixels[y : y + width, x : x + width] for x, y in places)
    return not any(map(_is_flat, patches))


def _patches(pixels: np.ndarray) -> list[np.ndarray]:
    """Return the four corners, of which every half of a frame has one, and the centre."""
    width = max(2, len(pixels) // 16)
    middle = slice((len(pixels) - width) // 2, (len(pixels) + width) // 2)
    ends = (slice(None, width), slice(-width, None))
    return [*(pixels[rows, columns] for rows in ends for columns in ends), pixels[middle, middle]]


def _is_flat(patch: np.ndarray) -> bool:
    return int(np.ptp(patch, axis=(0, 1)).max()) <= 2 * SAME_LEVEL


def _require_range(pixels: np.ndarray, name: str) -> None:
    flat = [_is_constant(pixels[..., plane]) for plane in range(3)]
    if all(flat):
        raise NoContent(
            f"{name}: every pixel has the same value: no image there", "make another cutout"
        )
    if any(flat):
        empty = " and ".join(word for word, is_flat in zip(COLOURS, flat, strict=True) if is_flat)
        raise NoContent(
            f"{name}: every pixel has the same value in {empty}: no coverage in that band",
            "make another cutout",
            "no coverage",
        )


def _is_constant(plane: np.ndarray) -> bool:
    level = np.median(plane)
    return float((np.abs(plane - level) > LEVELS).mean()) <= HOT


def _require_below_white(pixels: np.ndarray, name: str) -> None:
    share = float((pixels.min(axis=2) >= WHITE_LEVEL).mean())
    if share >= WHITE_SHARE:
        raise NoContent(
            f"{name}: {share:.0%} of the pixels are white: saturated",
            "make another cutout, or another stretch",
            "saturated",
        )


def _require_coverage(grid: np.ndarray, name: str) -> None:
    """Refuse a frame that a survey's edge runs through, the middle outside.

    Pixels without coverage have one value, exactly. Those of a black sky around a galaxy have too:
    but they surround it, and a survey's edge divides the frame's rim in two.
    """
    for patch in filter(_is_flat, _patches(grid)):
        value = np.median(patch, axis=(0, 1))
        uncovered = (np.abs(grid - value) <= SAME_LEVEL).all(axis=2)
        share = float(uncovered.mean())
        hollow = _middle(uncovered).mean() >= EMPTY_MIDDLE and value.max() < WHITE_LEVEL
        if hollow and _rim(uncovered).mean() < EMPTY_MIDDLE:
            break
        if min(share, _middle(uncovered).mean()) >= UNCOVERED and _is_divided(_rim(uncovered)):
            break
    else:
        return
    raise NoContent(
        f"{name}: {share:.0%} of the frame has one and the same value: no coverage there",
        "make a cutout inside the survey's footprint",
        "no coverage",
    )


def _middle(grid: np.ndarray) -> np.ndarray:
    """Return the middle half of a square."""
    quarter = len(grid) // 4
    return grid[quarter : len(grid) - quarter, quarter : len(grid) - quarter]


def _rim(grid: np.ndarray) -> np.ndarray:
    """Return a square's outermost pixels, once around."""
    return np.concatenate([grid[0, :-1], grid[:-1, -1], grid[-1, :0:-1], grid[:0:-1, 0]])


def _is_divided(uncovered: np.ndarray) -> bool:
    """Return whether a rim consists of two parts, without coverage and with."""
    number = len(uncovered)
    # Starting with a covered pixel, so that no run crosses the end.
    if uncovered.all() or not uncovered.any():
        return False
    turned = np.roll(uncovered, -int(np.argmin(uncovered)))
    changes = np.flatnonzero(np.diff(np.concatenate([[False], turned, [False]])))
    longest = int((changes[1::2] - changes[::2]).max())
    others = number - longest
    faint = (int(uncovered.sum()) - longest) / others
    return others >= COVERED_RIM * number and longest >= 0.4 * number and faint <= FAINT_RIM


def require_bands(planes: Mapping[str, np.ndarray], name: str, empty_sky: bool = True) -> None:
    """Raise NoContent where a band of a FITS cutout has no value, or none in half of the middle.

    A file that is constant in all bands passes: it renders black, which `require_content` notices.

    Args:
        planes: bands by name, each of shape (height, width); NaN where there is no value.
        name: of the image, for the error.
        empty_sky: whether pixels that are 0 in all bands may be sky; measured flux has noise.
    """
    empty = [band for band, plane in planes.items() if _has_one_value(plane)]
    if len(empty) == len(planes):
        if any(np.isfinite(plane).any() for plane in planes.values()):
            return
        raise NoContent(f"{name}: no pixel has a value", "make another cutout")
    if empty:
        raise NoContent(
            f"{name}: no pixel has a value of its own in {_listed(empty)}: no coverage there",
            f"make another cutout, or choose other bands with {setting('bands')}",
            "no coverage",
        )
    lacking = [band for band, share in _lacking(planes, empty_sky).items() if share >= UNCOVERED]
    if lacking:
        raise NoContent(
            f"{name}: half of the middle has no value in {_listed(lacking)}: no coverage there",
            "make a cutout inside the survey's footprint",
            "no coverage",
        )


def _has_one_value(plane: np.ndarray) -> bool:
    finite = plane[np.isfinite(plane)]
    return not len(finite) or finite.min() == finite.max()


def _lacking(planes: Mapping[str, np.ndarray], empty_sky: bool) -> dict[str, float]:
    """Return by band the share of the middle half without a value.

    NaN is none; nor is a zero, unless all bands are zero there and an empty sky may be.
    """
    middles = {band: _middle_of(plane) for band, plane in planes.items()}
    filled = np.any([np.isfinite(m) & (m != 0) for m in middles.values()], axis=0) | (not empty_sky)
    return {
        band: float((~np.isfinite(m) | ((m == 0) & filled)).mean()) for band, m in middles.items()
    }


def _middle_of(plane: np.ndarray) -> np.ndarray:
    height, width = (length // 4 for length in plane.shape)
    return plane[height : plane.shape[0] - height, width : plane.shape[1] - width]


def _listed(bands: list[str]) -> str:
    return f"band{'s' * (len(bands) > 1)} {', '.join(bands)}"
