"""Images that may show a galaxy of another image: the nearest of many, by features.

The features are linear discriminants (Fisher 1936, Annals of Eugenics 7, 179; Fukunaga 1990,
Introduction to Statistical Pattern Recognition, section 10.2): of the logarithms of an image's
levels, those combinations that differ most among images, in units of their difference between two
frames of one image. What most galaxies have in common, as the bright centre, counts little in them.

The nearest are searched in an inverted file (Sivic & Zisserman 2003, ICCV; Jégou et al. 2011, IEEE
TPAMI 33, 117): images are kept in lists by the nearest of some centres, and only the lists of the
centres nearest to a reference are searched.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING, Any

import numpy as np

from galaxymorph.base import Progress
from galaxymorph.images.workers import core_threads

if TYPE_CHECKING:
    import torch

# Side of the thumbnails that are compared, in pixels.
THUMBNAIL = 64
# Levels in 255 that are added before the logarithm, so that faint detail counts as bright does, and
# noise doesn't.
OFFSET = 8.0
# Side of the compared views in cells, and the number of features.
CELLS, FEATURES = 16, 64
# The part of a reference's side that is compared, and the largest factor between two scales.
REFERENCE_CROP, LARGEST_FACTOR = 0.75, 1.35
# Steps of the views of images: of the scale, a factor, and of the shift, in sides of the frame.
SCALE_STEP, SHIFT_STEP = 1.15, 0.05
# Rotations by multiples of 90°, and the same of the mirror image.
SYMMETRIES = 8
# Images whose features are compared for the discriminants.
SAMPLE = 2048
# The noise that is added to the variance between two frames of an image, as a part of the mean
# variance among images; and the number of images that the sample is enlarged by, as it were, which
# differ in all cells alike: few images don't show how others differ.
NOISE, PRIOR = 0.01, 32
# Centres for each root of the number of images, and how many nearest ones of each reference are
# searched.
CENTRES, PROBES = 2, 16
# Images whose features are computed at once.
BLOCK = 16384


@dataclass(frozen=True)
class Candidates:
    """An image for each reference, all tensors of the first axis m.

    Attributes:
        similarity: of the features, the cosine of the angle between them; 0 without an image.
        place: position of the image.
        view: its part of the side, and the shift in sides along both axes, shape (m, 3).
        symmetry: see `symmetric`.
    """

    similarity: torch.Tensor
    place: torch.Tensor
    view: torch.Tensor
    symmetry: torch.Tensor


def likely_copies(
    images: np.ndarray, references: np.ndarray, earlier: bool, same_way: int
) -> list[Candidates]:
    """Return the images most like each reference, those of its orientation first.

    Args:
        images: thumbnails, uint8, shape (n, THUMBNAIL, THUMBNAIL).
        references: likewise, shape (m, THUMBNAIL, THUMBNAIL).
        earlier: the references are the images, and each is compared with those before it.
        same_way: how many candidates have the orientation of the reference; one more is rotated or
            mirrored.
    """
    import torch

    levels = _levels(images)
    shown = [levels] if earlier else [levels, _levels(_spread(references, SAMPLE))]
    discriminants = _discriminants(_spread(torch.cat(shown), SAMPLE))
    plain = (REFERENCE_CROP, 0.0, 0.0)
    centres = _features(
        _spread(levels, round(CENTRES * len(images) ** 0.5)), plain, 0, discriminants
    )
    features = [
        _features(_levels(references[start : start + BLOCK]), plain, 0, discriminants)
        for start in range(0, len(references), BLOCK)
    ]
    index = _indexed(torch.cat(features), centres, earlier)
    # Rotated and mirrored images are compared at the same scale alone.
    views = [(view, 0) for view in _views()]
    views += [(plain, symmetry) for symmetry in range(1, SYMMETRIES)]

    def nearest(shown: tuple[tuple[float, float, float], int]) -> tuple[torch.Tensor, torch.Tensor]:
        return _nearest(index, _features(levels, *shown, discriminants))

    best = []
    with Progress("comparing images", len(views), "views") as progress, core_threads() as pool:
        for found in pool.map(nearest, views):
            best.append(found)
            progress.advance()
    similarity, place = (torch.stack(each) for each in zip(*best, strict=True))
    split = len(views) - SYMMETRIES + 1
    order = torch.cat(
        [
            similarity[:split].topk(same_way, dim=0).indices,
            similarity[split:].argmax(dim=0, keepdim=True) + split,
        ]
    )
    tables = [torch.tensor(each).to(order.device)[order] for each in zip(*views, strict=True)]
    chosen = similarity.gather(0, order), place.gather(0, order), *tables
    return [Candidates(*each) for each in zip(*chosen, strict=True)]


def symmetric(images: torch.Tensor, symmetries: torch.Tensor) -> torch.Tensor:
    """Return each image rotated by 0° to 270°, symmetries 0 to 3, or mirrored and so, 4 to 7."""
    import torch

    result = torch.empty_like(images)
    for symmetry in symmetries.unique().tolist():
        rows = symmetries == symmetry
        chosen = images[rows].flip(2) if symmetry >= 4 else images[rows]
        result[rows] = torch.rot90(chosen, symmetry % 4, (1, 2))
    return result


def sampled(pixels: torch.Tensor, views: torch.Tensor, side: int) -> torch.Tensor:
    """Return a view of each image, shape (n, side, side).

    Args:
        pixels: of square images, shape (n, any side, the same side).
        views: the part of the side, and the shift in sides along both axes, shape (n, 3).
        side: of the views.
    """
    import torch
    import torch.nn.functional as F  # noqa: N812

    n, axis = len(pixels), (2 * torch.arange(side, device=pixels.device) + 1) / side - 1
    places = views[:, None, :1] * axis[:, None] + 2 * views[:, None, 1:]
    x, y = places[:, None, :, 0], places[:, :, None, 1]
    grid = torch.stack([x.expand(n, side, side), y.expand(n, side, side)], dim=3)
    return F.grid_sample(pixels[:, None], grid, padding_mode="border", align_corners=False)[:, 0]


@dataclass(frozen=True)
class _Index:
    """References by the centres that are nearest to them.

    Attributes:
        features: of the references, shape (m, FEATURES).
        centres: shape (c, FEATURES).
        references: of each centre, the positions of those that have it among the `PROBES` nearest.
        earlier: see `likely_copies`.
    """

    features: torch.Tensor
    centres: torch.Tensor
    references: list[torch.Tensor]
    earlier: bool


def _indexed(features: torch.Tensor, centres: torch.Tensor, earlier: bool) -> _Index:
    import torch

    probes = min(PROBES, len(centres))
    nearest = [(block @ centres.T).topk(probes).indices for block in features.split(BLOCK)]
    places = _by_centre(torch.cat(nearest).flatten(), len(centres))
    return _Index(features, centres, [each // probes for each in places], earlier)


def _by_centre(nearest: torch.Tensor, number: int) -> list[torch.Tensor]:
    """Return the positions at which each of a number of centres is, in order."""
    order = nearest.argsort(stable=True)
    return list(order.split(nearest.bincount(minlength=number).tolist()))


def _nearest(index: _Index, features: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the similarity and the position of the image most like each reference, shape (m,).

    Args:
        index: of the references.
        features: of the images, shape (n, FEATURES).
    """
    import torch

    of_images = [(block @ index.centres.T).argmax(dim=1) for block in features.split(BLOCK)]
    lists = _by_centre(torch.cat(of_images), len(index.centres))
    similarity = features.new_zeros(len(index.features))
    place = torch.zeros_like(similarity, dtype=torch.long)
    for images, references in zip(lists, index.references, strict=True):
        if not len(images) or not len(references):
            continue
        values = features[images] @ index.features.index_select(0, references).T
        if index.earlier:
            # Later images get 0 or less; a mask would take three times as long.
            later = images.float()[:, None] - references.float() + 1
            values -= later.clamp_(0, 1)
        better = (values.amax(dim=0) > similarity[references]).nonzero().flatten()
        value, at = values.index_select(1, better).max(dim=0)
        similarity[references[better]] = value
        place[references[better]] = images[at]
    return similarity, place


def _spread(values: Any, number: int) -> Any:
    """Return a number of rows of an array or a tensor, evenly spaced, or all if it has fewer."""
    number = min(number, len(values))
    return values[np.arange(number) * len(values) // max(number, 1)]


def _levels(images: np.ndarray) -> torch.Tensor:
    """Return the logarithms of the levels at half the size, shape (n, THUMBNAIL ** 2 / 4)."""
    import torch
    import torch.nn.functional as F  # noqa: N812
    from fastai.torch_core import default_device

    result = torch.empty((len(images), (THUMBNAIL // 2) ** 2), device=default_device())
    # Few at once: whole copies of all images as numbers of 32 bits would take gigabytes.
    for start in range(0, len(images), 1024):
        block = torch.from_numpy(images[start : start + 1024]).to(result)
        result[start : start + 1024] = (F.avg_pool2d(block, 2) + OFFSET).log().flatten(1)
    return result


def _features(
    levels: torch.Tensor,
    view: tuple[float, float, float],
    symmetry: int,
    discriminants: torch.Tensor,
) -> torch.Tensor:
    """Return the features of a view of each image, of norm 1, shape (n, FEATURES).

    Args:
        levels: see `_levels`.
        view: see `Candidates`.
        symmetry: of the images, see `symmetric`.
        discriminants: see `_discriminants`.
    """
    import torch.nn.functional as F  # noqa: N812

    return F.normalize(levels @ (_view_matrix(view, symmetry).to(levels) @ discriminants), dim=1)


@lru_cache(maxsize=64)
def _view_matrix(view: tuple[float, float, float], symmetry: int = 0) -> torch.Tensor:
    """Return the matrix from levels to the cells of a view less their mean."""
    import torch

    side = THUMBNAIL // 2
    units = torch.eye(side**2).view(-1, side, side)
    turned = symmetric(units, torch.full((side**2,), symmetry))
    cells = sampled(turned, torch.tensor(view).expand(side**2, 3), CELLS).flatten(1)
    return cells - cells.mean(dim=1, keepdim=True)


def _discriminants(levels: torch.Tensor) -> torch.Tensor:
    """Return the matrix from the cells of a view to the features, shape (CELLS ** 2, FEATURES).

    A feature has the variance 1 within an image and `ratio` among images. Divided by their sum, it
    is white noise for different images; it is then weighted by the share that is among images.

    Args:
        levels: of a sample of the images, see `_levels`.
    """
    import torch
    from scipy.linalg import eigh

    plain = (REFERENCE_CROP, 0.0, 0.0)
    cells = levels @ _view_matrix(plain).to(levels)
    # Each image counts the same, whatever its contrast.
    norm = cells.norm(dim=1, keepdim=True).clamp(min=0.05)
    cells = cells / norm
    within = cells.new_zeros(CELLS**2, CELLS**2)
    corners = list(product((-0.5, 0.5), repeat=3))
    for scale, x, y in corners:
        shift = SHIFT_STEP * REFERENCE_CROP
        view = (REFERENCE_CROP * SCALE_STEP**scale, x * shift, y * shift)
        difference = levels @ _view_matrix(view).to(levels) / norm - cells
        # Of errors between two steps, uniform up to the corners, the variance is a third of theirs.
        within += difference.T @ difference / (3 * len(corners))
    among = cells.T @ cells
    even = (among.trace() / len(among) + 1e-6) * torch.eye(len(among)).to(among)
    within += NOISE * even
    among += PRIOR / len(levels) * even
    ratio, vectors = eigh(among.double().cpu().numpy(), within.double().cpu().numpy())
    ratio, vectors = ratio[-FEATURES:].clip(0), vectors[:, -FEATURES:]
    return torch.from_numpy(vectors * (np.sqrt(ratio) / (ratio + 1))).to(levels)


def _views() -> list[tuple[float, float, float]]:
    """Return the views of images that are compared: parts of the side, and shifts in sides."""
    steps = round(np.log(LARGEST_FACTOR) / np.log(SCALE_STEP))
    scales = [REFERENCE_CROP * SCALE_STEP**step for step in range(-steps, steps + 1)]
    shifts = ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))
    return [
        (scale, x * SHIFT_STEP * scale, y * SHIFT_STEP * scale)
        for scale in scales
        for x, y in shifts
    ]
