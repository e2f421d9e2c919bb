"""Pictures of one galaxy: saved anew, cropped otherwise, slightly shifted, rotated or mirrored.

Galaxies of one shape look alike, but their field stars, neighbours and the sky's noise differ.
Images are compared by the correlation of such detail where their features are similar, see
`copy_candidates`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from galaxymorph.base import Progress
from galaxymorph.images.copy_candidates import (
    OFFSET,
    REFERENCE_CROP,
    SCALE_STEP,
    SHIFT_STEP,
    THUMBNAIL,
    Candidates,
    likely_copies,
    sampled,
    symmetric,
)
from galaxymorph.images.decoding import as_image
from galaxymorph.images.flux import frame_picture
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.images.workers import core_threads, map_images

if TYPE_CHECKING:
    import torch

    from galaxymorph.images.cache import Frames

# The version of the comparison, for results that are stored.
COMPARISON = 2
# Side of the compared details in cells, and the blur that is subtracted, sigma in cells; a
# difference of Gaussians keeps what is smaller.
FINE, FINE_BLUR = 32, 2.0
# The candidates of the same orientation, besides a rotated or mirrored one, and the least
# similarity of those that are compared: of 1,735 copies, the best candidate had 0.745 or more, of
# other galaxies 0.72 in half.
CANDIDATES, LEAST_SIMILARITY = 2, 0.7
# Refinement of a candidate's view, round by round: the step, as a part of `SCALE_STEP` and of
# `SHIFT_STEP`, and the correlation that a copy has afterwards. Of 1,735 copies, all had 0.40 after
# the first round and 0.73 after the second; of other galaxies, half had 0.41 after the first and
# 97 % less than 0.63 after the second.
REFINEMENT = ((0.25, 0.35), (0.25, 0.65), (0.125, 0.7), (0.125, 0.75), (0.0625, 0.75))
# Smooth galaxies of one shape have much in common near the centre, so the outskirts are compared
# too: cells that are farther from the centre than this part of the way to the edge.
OUTSKIRTS = 0.5
# Correlation of both from which two pictures are of one galaxy. Of 11,698 pictures in eight real
# sets, 68 million pairs, 53 have more, all of one galaxy; of others, two large ellipticals, 0.745
# at most. Of 300 pictures that were cropped by up to a quarter of the side, shifted by up to 2 % of
# it, made brighter or darker by up to a tenth and saved as JPEG of quality 60 to 95, all have more.
LEAST_CORRELATION = 0.77
# Of rotated and mirrored ones, which have the same scale, more is asked.
LEAST_SYMMETRIC = 0.9
# Images compared at once: their cells stay in a processor's cache.
BLOCK = 256
AHEAD = 256


def image_thumbnail(image: Image.Image, crop: float = 1.0) -> np.ndarray:
    """Return the central square of an image in grey, uint8, shape (THUMBNAIL, THUMBNAIL).

    Args:
        image: of any size.
        crop: the square's side as a share of the shorter side.
    """
    side = crop * min(image.size)
    left, top = ((length - side) / 2 for length in image.size)
    box = (left, top, left + side, top + side)
    small = image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX, box)
    return np.asarray(small)


def frame_thumbnails(frames: Frames, rows: Sequence[int]) -> np.ndarray:
    """Return decoded frames in grey, uint8, shape (n, THUMBNAIL, THUMBNAIL)."""

    def read(row: int) -> np.ndarray:
        return image_thumbnail(frame_picture(frames.pixels.read([row])[0]))

    thumbnails = list(map_images(read, list(rows), AHEAD))
    return np.array(thumbnails, np.uint8).reshape(len(rows), THUMBNAIL, THUMBNAIL)


def decoded_thumbnails(
    references: Sequence[str], crop: float = 1.0, rendering: Rendering = DEFAULT
) -> np.ndarray:
    """Return images that can be decoded in grey, uint8, shape (n, THUMBNAIL, THUMBNAIL).

    Args:
        references: of the images.
        crop: see `image_thumbnail`.
        rendering: of FITS.
    """

    def read(reference: str) -> np.ndarray:
        return image_thumbnail(as_image(reference, rendering), crop)

    thumbnails = list(map_images(read, list(references), AHEAD))
    return np.array(thumbnails, np.uint8).reshape(-1, THUMBNAIL, THUMBNAIL)


def find_copies(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the position of the image that shows the galaxy of each reference, -1 if none does.

    Args:
        images: thumbnails of one scale, shape (n, THUMBNAIL, THUMBNAIL).
        references: likewise, of the same scale up to `LARGEST_FACTOR` and centred on the galaxy up
            to a few hundredths of the side, shape (m, THUMBNAIL, THUMBNAIL). Of those that are
            mirrored or rotated by a multiple of 90°, the scale is the same up to a few hundredths.
    """
    return _find(images, references, earlier=False)


def first_copies(images: np.ndarray) -> np.ndarray:
    """Return the position of the first image that shows the galaxy of each, shape (n,).

    Args:
        images: thumbnails, see `find_copies`; a uniform one is a copy of none.
    """
    copies = _find(images, images, earlier=True)
    first = np.where(copies >= 0, copies, np.arange(len(images)))
    # Copies of copies have the first of the chain.
    while (first[first] != first).any():
        first = first[first]
    return first


def _find(images: np.ndarray, references: np.ndarray, earlier: bool) -> np.ndarray:
    """Return what `find_copies` does; with `earlier`, among the images before each reference."""
    import torch

    result = np.full(len(references), -1)
    if not len(images) or not len(references):
        return result
    best = np.full(len(references), LEAST_CORRELATION, np.float32)
    with torch.no_grad():
        candidates = likely_copies(images, references, earlier, CANDIDATES)
        blocks = [
            (each, rows)
            for each in candidates
            for rows in (each.similarity >= LEAST_SIMILARITY).nonzero().flatten().split(BLOCK)
        ]
        number = sum(len(rows) for _, rows in blocks)
        with Progress("confirming copies", number, "pairs") as progress, core_threads() as pool:
            correlations = pool.map(lambda block: _correlations(images, references, *block), blocks)
            for (each, rows), correlation in zip(blocks, correlations, strict=True):
                at, place = rows.cpu().numpy(), each.place[rows].cpu().numpy()
                better = correlation >= best[at]
                best[at[better]] = correlation[better]
                result[at[better]] = place[better]
                progress.advance(len(rows))
    return result


def _correlations(
    images: np.ndarray, references: np.ndarray, candidates: Candidates, rows: torch.Tensor
) -> np.ndarray:
    """Return the correlation of references with their candidates, -1 where it can't be a copy.

    Args:
        images: see `find_copies`.
        references: likewise.
        candidates: of all references.
        rows: positions of the references, shape (k,).
    """
    import torch

    def pixels(thumbnails: np.ndarray, at: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(thumbnails[at.cpu().numpy()]).to(rows.device).float()

    turned = candidates.symmetry[rows]
    plain = torch.tensor([REFERENCE_CROP, 0.0, 0.0], device=rows.device).expand(len(rows), 3)
    fine = _details(pixels(references, rows), plain)
    shown = symmetric(pixels(images, candidates.place[rows]), turned)
    value = _refined(shown, fine, candidates.view[rows])
    value = torch.where((turned == 0) | (value >= LEAST_SYMMETRIC), value, -1.0)
    result: np.ndarray = value.cpu().numpy()
    return result


def _refined(images: torch.Tensor, fine: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Return the correlation at the best of the views near some, shape (m,).

    It is the smaller of that of the whole view, which is made large, and of its outskirts; -1
    where `REFINEMENT` isn't reached.

    Args:
        images: floats, one for each reference, shape (m, THUMBNAIL, THUMBNAIL).
        fine: details of the references, shape (m, FINE ** 2).
        views: scale and shift along both axes, shape (m, 3).
    """
    import torch

    result = torch.full((len(images),), -1.0, device=images.device)
    rows = torch.arange(len(images), device=images.device)
    best = (_details(images, views) * fine).sum(dim=1)
    for size, least in REFINEMENT:
        for axis, sign in ((1, 1), (1, -1), (2, 1), (2, -1), (0, 1), (0, -1)):
            step = torch.zeros_like(views)
            if axis:
                step[:, axis] = sign * size * SHIFT_STEP
            else:
                step[:, 0] = views[:, 0] * (SCALE_STEP ** (sign * size) - 1)
            value = (_details(images, views + step) * fine).sum(dim=1)
            better = value > best
            best = torch.where(better, value, best)
            views = torch.where(better[:, None], views + step, views)
        near = best >= least
        images, fine, views, rows, best = (part[near] for part in (images, fine, views, rows, best))
        if not len(rows):
            return result
    outskirts = _outskirts(FINE).to(fine)
    details = _centred(_details(images, views), outskirts)
    of_outskirts = torch.cosine_similarity(details, _centred(fine, outskirts), dim=1)
    result[rows] = torch.minimum(best, of_outskirts)
    return result


def _outskirts(side: int) -> torch.Tensor:
    """Return 1 for the cells of the outskirts and 0 for others, shape (side ** 2,)."""
    import torch

    at = torch.arange(side) + 0.5 - side / 2
    return (torch.hypot(at[:, None], at) > OUTSKIRTS * side / 2).float().flatten()


def _centred(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return values of mean 0 where the mask is 1, and 0 elsewhere, shape (n, cells)."""
    means = (values * mask).sum(dim=1, keepdim=True) / mask.sum()
    return (values - means) * mask


def _details(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Return the fine details of a view of each image, of norm 1, shape (n, FINE ** 2).

    Args:
        images: floats, shape (n, THUMBNAIL, THUMBNAIL).
        views: the part of the side, and the shift in sides along both axes, shape (n, 3).
    """
    import torch.nn.functional as F  # noqa: N812

    cells = (sampled(images, views, FINE) + OFFSET).log()
    return F.normalize(_filtered(cells, FINE_BLUR), dim=1, eps=0.05)


def _filtered(cells: torch.Tensor, sigma: float) -> torch.Tensor:
    """Return the details of cells, shape (n, side, side), of mean 0, shape (n, side ** 2)."""
    blur = _blur(cells.shape[1], sigma).to(cells)
    details = (cells - blur @ cells @ blur.T).flatten(1)
    return details - details.mean(dim=1, keepdim=True)


@lru_cache
def _blur(side: int, sigma: float) -> torch.Tensor:
    """Return the matrix that blurs along an axis, edge cells repeated, shape (side, side)."""
    import torch

    at = np.arange(side)
    reach = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
    weights = np.exp(-0.5 * (reach / sigma) ** 2)
    matrix = np.zeros((side, side))
    for offset, weight in zip(reach, weights / weights.sum(), strict=True):
        np.add.at(matrix, (at, (at + offset).clip(0, side - 1)), weight)
    return torch.from_numpy(matrix).float()
