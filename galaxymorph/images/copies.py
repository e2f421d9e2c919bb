"""Pictures of one galaxy: saved anew, cropped otherwise, slightly shifted, rotated or mirrored.

Galaxies of one shape look alike, but their field stars, neighbours and the sky's noise differ.
Images are compared by the correlation of such detail, first coarsely at several scales and shifts,
then finely where that is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from galaxymorph.base import Progress
from galaxymorph.images.decoding import as_image
from galaxymorph.images.flux import frame_picture
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.images.workers import map_images

if TYPE_CHECKING:
    import torch

    from galaxymorph.images.cache import Frames

# The version of the comparison, for results that are stored.
COMPARISON = 1
# Side of the thumbnails that are compared, in pixels.
THUMBNAIL = 64
# Sides of the details in cells: of the coarse and of the fine comparison.
COARSE, FINE = 12, 32
# The blur that is subtracted, sigma in cells; a difference of Gaussians keeps what is smaller.
COARSE_BLUR, FINE_BLUR = 1.5, 2.0
# Levels in 255 that are added before the logarithm, so that faint detail counts as bright does, and
# noise doesn't.
OFFSET = 8.0
# The part of a reference's side that is compared, and the largest factor between two scales.
REFERENCE_CROP, LARGEST_FACTOR = 0.75, 1.35
# Steps of the coarse comparison: of the scale, a factor, and of the shift, in sides of the frame.
SCALE_STEP, SHIFT_STEP = 1.15, 0.05
# The coarse comparisons that are refined for each reference, besides one of its rotations and
# mirror images, and the least correlation of those: that of copies with other scales and shifts is
# 0.83 or more for 95 of 100, of other galaxies 0.83 in half. Two find the same copies as four in
# 9,488 pictures of seven real sets. The first refinement has to reach `LEAST_FINE`.
CANDIDATES, LEAST_COARSE, LEAST_FINE = 2, 0.75, 0.4
# Rotations by multiples of 90°, and the same of the mirror image.
SYMMETRIES = 8
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
# Images compared at once.
BLOCK = 4096
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
    from fastai.torch_core import default_device

    result = np.full(len(references), -1)
    if not len(images):
        return result
    with torch.no_grad(), Progress("comparing images", len(references), "images") as progress:
        queries = torch.from_numpy(images).to(default_device())
        for start in range(0, len(references), BLOCK):
            block = torch.from_numpy(references[start : start + BLOCK]).to(default_device())
            stop = start + len(block)
            among = queries[:stop] if earlier else queries
            places, correlations = _best_images(among, block, start if earlier else None)
            copies = torch.where(correlations >= LEAST_CORRELATION, places, -1)
            result[start:stop] = copies.cpu().numpy()
            progress.advance(len(block))
    return result


def _best_images(
    images: torch.Tensor, references: torch.Tensor, first: int | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the position of the image most like each reference, and their correlation, (m,).

    Args:
        images: uint8, shape (n, THUMBNAIL, THUMBNAIL).
        references: likewise.
        first: the position of the first reference among the images, of which each is compared with
            those before it; None compares it with all.
    """
    import torch

    candidates = _candidates(images, references, first)
    m = len(references)
    best = torch.full((m,), -1.0, device=references.device)
    place = torch.zeros(m, dtype=torch.long, device=references.device)
    for values, at, views, symmetries in candidates:
        rows = (values >= LEAST_COARSE).nonzero().flatten()
        if not len(rows):
            continue
        fine = _details(_symmetric(references[rows], symmetries[rows]), _plain_views(rows))
        value = _refined(images[at[rows]], fine, views[rows])
        same_way = symmetries[rows] == 0
        value = torch.where(same_way | (value >= LEAST_SYMMETRIC), value, -1.0)
        better = value > best[rows]
        best[rows] = torch.where(better, value, best[rows])
        place[rows] = torch.where(better, at[rows], place[rows])
    return place, best


def _candidates(
    images: torch.Tensor, references: torch.Tensor, first: int | None
) -> list[tuple[torch.Tensor, ...]]:
    """Return the coarsely best images of each reference, best first, see `_best_images`.

    Each has the correlations, the positions of the images, the views, shape (m, 3), and the
    symmetries of the references, see `_symmetric`.
    """
    import torch

    m, device = len(references), references.device
    starts = range(0, len(images), BLOCK)
    blocks = [(start, _levels(images[start : start + BLOCK])) for start in starts]
    plain = (REFERENCE_CROP, 0.0, 0.0)
    coarse = [
        _coarse_details(_levels(_symmetric(references, torch.full((m,), symmetry))), plain)
        for symmetry in range(SYMMETRIES)
    ]
    # Rotated and mirrored references are compared at the same scale alone, which is cheap.
    views = [(view, 0) for view in _coarse_views()]
    views += [(plain, symmetry) for symmetry in range(1, SYMMETRIES)]
    maxima, places = [], []
    for view, symmetry in views:
        best = torch.full((m,), -1.0, device=device)
        place = torch.zeros(m, dtype=torch.long, device=device)
        for start, levels in blocks:
            values = coarse[symmetry] @ _coarse_details(levels, view).T
            if first is not None and start + len(levels) > first:
                later = start + torch.arange(len(levels), device=device)
                values[later >= first + torch.arange(m, device=device)[:, None]] = -1.0
            value, at = values.max(dim=1)
            better = value > best
            best = torch.where(better, value, best)
            place = torch.where(better, at + start, place)
        maxima.append(best)
        places.append(place)
    values = torch.stack(maxima)
    same_way = len(views) - SYMMETRIES + 1
    order = torch.cat(
        [
            values[:same_way].topk(CANDIDATES, dim=0).indices,
            values[same_way:].argmax(dim=0, keepdim=True) + same_way,
        ]
    )
    values, at = values.gather(0, order), torch.stack(places).gather(0, order)
    tables = torch.tensor([view for view, _ in views]), torch.tensor([each for _, each in views])
    return list(zip(values, at, *(table.to(device)[order] for table in tables), strict=True))


def _symmetric(images: torch.Tensor, symmetries: torch.Tensor) -> torch.Tensor:
    """Return each image rotated by 0° to 270°, symmetries 0 to 3, or mirrored and so, 4 to 7."""
    import torch

    result = torch.empty_like(images)
    for symmetry in symmetries.unique().tolist():
        rows = symmetries == symmetry
        chosen = images[rows].flip(2) if symmetry >= 4 else images[rows]
        result[rows] = torch.rot90(chosen, symmetry % 4, (1, 2))
    return result


def _refined(images: torch.Tensor, fine: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Return the correlation at the best of the views near some, shape (m,), by halved steps.

    It is the smaller of that of the whole view, which is made large, and of its outskirts; after
    steps that reach less than `LEAST_FINE`, it is -1.

    Args:
        images: one for each reference, shape (m, THUMBNAIL, THUMBNAIL).
        fine: details of the references, shape (m, FINE ** 2).
        views: scale and shift along both axes, shape (m, 3).
    """
    import torch

    result = torch.full((len(images),), -1.0, device=images.device)
    rows = torch.arange(len(images), device=images.device)
    best = (_details(images, views) * fine).sum(dim=1)
    for size in (0.5, 0.25, 0.125, 0.0625):
        for axis, sign in ((1, 1), (1, -1), (2, 1), (2, -1), (0, 1), (0, -1)) * 2:
            step = torch.zeros_like(views)
            if axis:
                step[:, axis] = sign * size * SHIFT_STEP
            else:
                step[:, 0] = views[:, 0] * (SCALE_STEP ** (sign * size) - 1)
            value = (_details(images, views + step) * fine).sum(dim=1)
            better = value > best
            best = torch.where(better, value, best)
            views = torch.where(better[:, None], views + step, views)
        near = best >= LEAST_FINE
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


def _coarse_views() -> list[tuple[float, float, float]]:
    """Return the views of images that are compared: parts of the side, and shifts in sides."""
    steps = round(np.log(LARGEST_FACTOR) / np.log(SCALE_STEP))
    scales = [REFERENCE_CROP * SCALE_STEP**step for step in range(-steps, steps + 1)]
    shifts = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    return [
        (scale, x * SHIFT_STEP * scale, y * SHIFT_STEP * scale)
        for scale in scales
        for x, y in shifts
    ]


def _plain_views(references: torch.Tensor) -> torch.Tensor:
    """Return the view of each reference, shape (m, 3)."""
    import torch

    view = torch.tensor([REFERENCE_CROP, 0.0, 0.0], device=references.device)
    return view.expand(len(references), 3)


def _levels(images: torch.Tensor) -> torch.Tensor:
    """Return the logarithms of the levels at half the size, shape (n, THUMBNAIL ** 2 / 4)."""
    import torch.nn.functional as F  # noqa: N812

    return (F.avg_pool2d(images[:, None].float(), 2) + OFFSET).log().flatten(1)


def _coarse_details(levels: torch.Tensor, view: tuple[float, float, float]) -> torch.Tensor:
    """Return the coarse details of a view of each image, of norm 1, shape (n, COARSE ** 2)."""
    import torch.nn.functional as F  # noqa: N812

    return F.normalize(levels @ _coarse_map(view).to(levels), dim=1, eps=0.05)


@lru_cache(maxsize=64)
def _coarse_map(view: tuple[float, float, float]) -> torch.Tensor:
    """Return the matrix from levels to the details of a view, since these are linear in them."""
    import torch

    side = THUMBNAIL // 2
    cells = torch.eye(side**2).view(-1, side, side)
    return _filtered(_sampled(cells, torch.tensor(view).expand(side**2, 3), COARSE), COARSE_BLUR)


def _details(images: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Return the fine details of a view of each image, of norm 1, shape (n, FINE ** 2).

    Args:
        images: uint8, shape (n, THUMBNAIL, THUMBNAIL).
        views: the part of the side, and the shift in sides along both axes, shape (n, 3).
    """
    import torch.nn.functional as F  # noqa: N812

    cells = (_sampled(images.float(), views, FINE) + OFFSET).log()
    return F.normalize(_filtered(cells, FINE_BLUR), dim=1, eps=0.05)


def _sampled(pixels: torch.Tensor, views: torch.Tensor, side: int) -> torch.Tensor:
    """Return a view of each image, shape (n, side, side)."""
    import torch
    import torch.nn.functional as F  # noqa: N812

    n, axis = len(pixels), (2 * torch.arange(side, device=pixels.device) + 1) / side - 1
    places = views[:, None, :1] * axis[:, None] + 2 * views[:, None, 1:]
    x, y = places[:, None, :, 0], places[:, :, None, 1]
    grid = torch.stack([x.expand(n, side, side), y.expand(n, side, side)], dim=3)
    return F.grid_sample(pixels[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


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
