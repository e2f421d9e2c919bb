"""Pictures of one galaxy in two sets of images: saved anew, cropped otherwise, or slightly shifted.

Galaxies of one shape look alike, but their field stars, neighbours and the sky's noise differ.
Images are compared by the correlation of such detail, first coarsely at several scales and shifts,
then finely where that is best.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from galaxymorph.images.workers import map_images

if TYPE_CHECKING:
    import torch

    from galaxymorph.images.cache import Frames

# Side of the thumbnails that are compared, in pixels.
THUMBNAIL = 64
# Sides of the details in cells: of the coarse and of the fine comparison.
COARSE, FINE = 16, 32
# The blur that is subtracted, sigma in cells; a difference of Gaussians keeps what is smaller.
BLUR = 2.0
# Levels in 255 that are added before the logarithm, so that faint detail counts as bright does, and
# noise doesn't.
OFFSET = 8.0
# The part of a reference's side that is compared, and the largest factor between two scales.
REFERENCE_CROP, LARGEST_FACTOR = 0.75, 1.35
# Steps of the coarse comparison: of the scale, a factor, and of the shift, in sides of the frame.
SCALE_STEP, SHIFT_STEP = 1.07, 0.03
# The coarse comparisons that are refined for each reference, and the least correlation of those:
# that of copies with other scales and shifts is 0.83 or more, of other galaxies 0.8 in half.
CANDIDATES, LEAST_COARSE = 2, 0.75
# Smooth galaxies of one shape have much in common near the centre, so the outskirts are compared
# too: cells that are farther from the centre than this part of the way to the edge.
OUTSKIRTS = 0.5
# Correlation of both from which two pictures are of one galaxy. Of 800 pictures the one that is
# most like any of 400 of other galaxies has 0.59; of 100 simulated ones 0.65. Of 120 pictures that
# were cropped by up to a quarter of the side, shifted by up to 2 % of it, made brighter or darker
# by up to a tenth and saved as JPEG of quality 60 to 95, the least has 0.91; simulated ones 0.79.
LEAST_CORRELATION = 0.75
# Images compared at once.
BLOCK = 4096
AHEAD = 256


def image_thumbnail(image: Image.Image) -> np.ndarray:
    """Return a square image in grey, uint8, shape (THUMBNAIL, THUMBNAIL)."""
    return np.asarray(image.convert("L").resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX))


def frame_thumbnails(frames: Frames, rows: Sequence[int]) -> np.ndarray:
    """Return decoded frames in grey, uint8, shape (n, THUMBNAIL, THUMBNAIL)."""

    def read(row: int) -> np.ndarray:
        return image_thumbnail(Image.fromarray(frames.pixels.read([row])[0]))

    thumbnails = list(map_images(read, list(rows), AHEAD))
    return np.array(thumbnails, np.uint8).reshape(len(rows), THUMBNAIL, THUMBNAIL)


def find_copies(images: np.ndarray, references: np.ndarray) -> np.ndarray:
    """Return the position of the image that shows the galaxy of each reference, -1 if none does.

    Args:
        images: thumbnails of one scale, shape (n, THUMBNAIL, THUMBNAIL).
        references: likewise, of the same scale up to `LARGEST_FACTOR` and centred on the galaxy up
            to a few hundredths of the side, shape (m, THUMBNAIL, THUMBNAIL).
    """
    import torch
    from fastai.torch_core import default_device

    result = np.full(len(references), -1)
    if not len(images):
        return result
    with torch.no_grad():
        queries = torch.from_numpy(images).to(default_device())
        for start in range(0, len(references), BLOCK):
            block = torch.from_numpy(references[start : start + BLOCK]).to(default_device())
            places, correlations = _best_images(queries, block)
            found = torch.where(correlations >= LEAST_CORRELATION, places, -1)
            result[start : start + BLOCK] = found.cpu().numpy()
    return result


def _best_images(
    images: torch.Tensor, references: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the position of the image most like each reference, and their correlation, (m,)."""
    import torch

    reference_views = _views(len(references), REFERENCE_CROP, device=references.device)
    coarse = _details(references, reference_views, COARSE)
    views, maxima, places = [], [], []
    for scale in _scales():
        for x, y in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1)):
            view = (scale, x * SHIFT_STEP * scale, y * SHIFT_STEP * scale)
            best = torch.full((len(references),), -1.0, device=references.device)
            place = torch.zeros(len(references), dtype=torch.long, device=references.device)
            for start in range(0, len(images), BLOCK):
                block = images[start : start + BLOCK]
                details = _details(block, _views(len(block), *view, device=block.device), COARSE)
                value, at = (coarse @ details.T).max(dim=1)
                better = value > best
                best = torch.where(better, value, best)
                place = torch.where(better, at + start, place)
            views.append(view)
            maxima.append(best)
            places.append(place)
    order = torch.stack(maxima).topk(min(CANDIDATES, len(views)), dim=0).indices
    fine = _details(references, reference_views, FINE)
    starts = torch.tensor(views, device=references.device)
    best, place = torch.full_like(maxima[0], -1.0), torch.zeros_like(places[0])
    for candidate in order:
        coarse_value = torch.stack(maxima).gather(0, candidate[None])[0]
        rows = (coarse_value >= LEAST_COARSE).nonzero().flatten()
        at = torch.stack(places).gather(0, candidate[None])[0][rows]
        value = _refined(images[at], fine[rows], starts[candidate[rows]])
        better = value > best[rows]
        best[rows] = torch.where(better, value, best[rows])
        place[rows] = torch.where(better, at, place[rows])
    return place, best


def _refined(images: torch.Tensor, fine: torch.Tensor, views: torch.Tensor) -> torch.Tensor:
    """Return the correlation at the best of the views near some, shape (m,), by halved steps.

    It is the smaller of that of the whole view, which is made large, and of its outskirts.

    Args:
        images: one for each reference, shape (m, THUMBNAIL, THUMBNAIL).
        fine: details of the references, shape (m, FINE ** 2).
        views: scale and shift along both axes, shape (m, 3).
    """
    import torch

    best = (_details(images, views, FINE) * fine).sum(dim=1)
    for size in (0.5, 0.25, 0.125):
        for axis, sign in ((1, 1), (1, -1), (2, 1), (2, -1), (0, 1), (0, -1)) * 2:
            step = torch.zeros_like(views)
            if axis:
                step[:, axis] = sign * size * SHIFT_STEP
            else:
                step[:, 0] = views[:, 0] * (SCALE_STEP ** (sign * size) - 1)
            value = (_details(images, views + step, FINE) * fine).sum(dim=1)
            better = value > best
            best = torch.where(better, value, best)
            views = torch.where(better[:, None], views + step, views)
    outskirts = _outskirts(FINE).to(fine)
    details = _centred(_details(images, views, FINE), outskirts)
    return torch.minimum(best, torch.cosine_similarity(details, _centred(fine, outskirts), dim=1))


def _outskirts(side: int) -> torch.Tensor:
    """Return 1 for the cells of the outskirts and 0 for others, shape (side ** 2,)."""
    import torch

    at = torch.arange(side) + 0.5 - side / 2
    return (torch.hypot(at[:, None], at) > OUTSKIRTS * side / 2).float().flatten()


def _centred(values: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return values of mean 0 where the mask is 1, and 0 elsewhere, shape (n, cells)."""
    means = (values * mask).sum(dim=1, keepdim=True) / mask.sum()
    return (values - means) * mask


def _scales() -> list[float]:
    """Return the parts of an image's side that are compared with a reference's."""
    steps = int(np.log(LARGEST_FACTOR) / np.log(SCALE_STEP))
    return [REFERENCE_CROP * SCALE_STEP**step for step in range(-steps - 1, steps + 1)]


def _views(
    n: int, scale: float, x: float = 0.0, y: float = 0.0, *, device: torch.device
) -> torch.Tensor:
    import torch

    return torch.tensor([scale, x, y], device=device).expand(n, 3)


def _details(images: torch.Tensor, views: torch.Tensor, side: int) -> torch.Tensor:
    """Return the details of a view of each image, of norm 1, shape (n, side ** 2).

    Args:
        images: uint8, shape (n, THUMBNAIL, THUMBNAIL).
        views: the part of the side, and the shift in sides along both axes, shape (n, 3).
        side: of the details in cells.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    n = len(images)
    pixels = images[:, None].float()
    if side <= THUMBNAIL // 4:
        pixels = F.avg_pool2d(pixels, 2)
    maps = torch.zeros(n, 2, 3, device=images.device)
    maps[:, 0, 0] = maps[:, 1, 1] = views[:, 0]
    maps[:, :, 2] = 2 * views[:, 1:]
    grid = F.affine_grid(maps, [n, 1, side, side], align_corners=False)
    cells = F.grid_sample(pixels, grid, padding_mode="border", align_corners=False)[:, 0]
    cells = (cells + OFFSET).log()
    blur = _blur(side).to(cells)
    cells = (cells - blur @ cells @ blur.T).flatten(1)
    return F.normalize(cells - cells.mean(dim=1, keepdim=True), dim=1, eps=0.05)


def _blur(side: int) -> torch.Tensor:
    """Return the matrix that blurs along an axis, edge cells repeated, shape (side, side)."""
    import torch

    at = np.arange(side)
    reach = np.arange(-3 * int(BLUR), 3 * int(BLUR) + 1)
    weights = np.exp(-0.5 * (reach / BLUR) ** 2)
    matrix = np.zeros((side, side))
    for offset, weight in zip(reach, weights / weights.sum(), strict=True):
        np.add.at(matrix, (at, (at + offset).clip(0, side - 1)), weight)
    return torch.from_numpy(matrix).float()
