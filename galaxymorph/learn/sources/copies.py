"""Galaxies of several sources that are one: found by their pictures, since names differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import say, setting
from galaxymorph.images import (
    COMPARISON,
    THUMBNAIL,
    Frames,
    cached_array,
    decoded_thumbnails,
    find_copies,
    frame_thumbnails,
)
from galaxymorph.learn.recipe import Recipe, item_frame, read_sources


def without_copies(
    main: pd.DataFrame, further: Sequence[pd.DataFrame], recipe: Recipe, frames: Frames | None
) -> pd.DataFrame:
    """Return the galaxies of further sources whose picture no earlier catalogue has, in one table.

    A galaxy of the main catalogue would otherwise be trained on under another name while it is in
    the validation, calibration or test part. Of a galaxy in several sources the first counts.

    Args:
        main: the main catalogue's galaxies, with `digest`.
        further: those of each source, likewise.
        recipe: with these sources.
        frames: decoded, used in place of the files.

    Copies are files of the same bytes and those of `find_copies`.
    """
    tables = [main, *further]
    number = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
    digests = [table["digest"].tolist() for table in tables]

    def compare() -> np.ndarray:
        images = pd.concat([table["image"] for table in tables], ignore_index=True)
        flat = [digest for each in digests for digest in each]
        return _first_of_sources(number, flat, thumbnails(frames, flat, images, recipe))

    first = stored_comparison(frames, digests, recipe, compare)
    known = number[first] < number
    for at, source in enumerate(read_sources(recipe), 1):
        here = number == at
        in_main = (known & here & (number[first] == 0)).sum()
        others = (known & here).sum() - in_main
        if in_main:
            say(
                f"{setting('also', source.path)}: {in_main:,} of {here.sum():,} galaxies are in "
                "the main catalogue too (by their pictures) and don't train a second time"
            )
        if others:
            say(f"{setting('also', source.path)}: {others:,} galaxies are in an earlier source too")
    everything = pd.concat(further, ignore_index=True)
    return everything[~known[len(main) :]].reset_index(drop=True)


def _first_of_sources(
    number: np.ndarray, digests: Sequence[str], pictures: np.ndarray
) -> np.ndarray:
    """Return the position of the first image of each galaxy in several tables, shape (n,).

    Args:
        number: of the table of each image, ascending.
        digests: of the images.
        pictures: their thumbnails.
    """
    earliest = {digest: at for at, digest in reversed(list(enumerate(digests)))}
    first = np.array([earliest[digest] for digest in digests])
    for at in range(1, number.max() + 1):
        here = np.flatnonzero((number == at) & (number[first] == at))
        copies = find_copies(pictures[number < at], pictures[here])
        first[here] = np.where(copies >= 0, first[copies], first[here])
    return first


def stored_comparison(
    frames: Frames | None, digests: object, recipe: Recipe, compare: Callable[[], np.ndarray]
) -> np.ndarray:
    """Return the result of a comparison of a fit's images, from the cache if frames are cached.

    Args:
        frames: decoded, see `thumbnails`.
        digests: of the images, in order, and in a list of each table if there are several.
        recipe: its crop, size and rendering frame the images.
        compare: returns the result.
    """
    if frames is None:
        return compare()
    key = [COMPARISON, *item_frame(recipe), recipe.rendering.as_dict(), digests]
    return cached_array("copies", key, compare)


def thumbnails(
    frames: Frames | None, digests: Iterable[str], images: Iterable[str], recipe: Recipe
) -> np.ndarray:
    """Return the thumbnails of a fit's images, see `find_copies`.

    Args:
        frames: decoded; without them, or where they are too small, the images are decoded.
        digests: of the images.
        images: references.
        recipe: its crop and rendering frame them.
    """
    if frames is not None and frames.pixels.shape[0] >= THUMBNAIL:
        return frame_thumbnails(frames, [frames.rows[digest] for digest in digests])
    return decoded_thumbnails(list(images), recipe.crop, recipe.rendering)
