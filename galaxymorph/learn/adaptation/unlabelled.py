"""Unlabelled images as an endless supply of training batches."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.torch_core import TensorImage, default_device

from galaxymorph.base import BadInput, say, setting
from galaxymorph.images import Frames, cached_frames, find_copies, frame_thumbnails
from galaxymorph.learn.acceleration.gpu_memory import fits_on_gpu, frames_on_gpu
from galaxymorph.learn.acceleration.loaders import as_images
from galaxymorph.learn.backbones.architectures import pixel_stats
from galaxymorph.learn.galaxies import Galaxies
from galaxymorph.learn.recipe import Recipe, item_frame
from galaxymorph.learn.views import RandomView, light_of, network_values
from galaxymorph.zoo import list_image_files
from galaxymorph.zoo.band_files import one_file_a_galaxy

MIN_IMAGES = 16


@dataclass(frozen=True)
class UnlabelledImages:
    """Decoded unlabelled images.

    Args:
        frames: decoded.
        rows: of the frames, shape (n,).
        references: to the images, in the order of the rows.
        recipe: of the random views.
        on_gpu: the frames in GPU memory, uint8, shape (n, 3, side, side), if there is room.
    """

    frames: Frames
    rows: np.ndarray
    references: list[str]
    recipe: Recipe
    on_gpu: torch.Tensor | None = None

    def draw(self, n: int) -> torch.Tensor:
        """Return n frames, drawn by torch's generator: light, shape (n, channels, side, side)."""
        at = torch.randint(len(self.rows), (n,))
        if self.on_gpu is not None:
            return light_of(self.on_gpu[at.to(self.on_gpu.device)], self.recipe)
        return light_of(as_images(self.frames.pixels.read(self.rows[at.numpy()])), self.recipe)

    def view(self, frames: torch.Tensor) -> torch.Tensor:
        """Return a random view of each frame as the model's input while training."""
        views = RandomView(self.recipe).encodes(TensorImage(frames)).as_subclass(torch.Tensor)
        if self.recipe.pixels == "flux":
            views = network_values(views, self.recipe)
        stats = pixel_stats(self.recipe)
        mean, std = (torch.tensor(values).view(1, -1, 1, 1).to(views) for values in stats)
        return ((views - mean) / std).to(default_device())


class UnlabelledLoss(Callback):
    """A loss of unlabelled images, which subclasses add to that of each batch's labels.

    Args:
        images: unlabelled.
        weight: in the loss of training.

    `total` is the sum of the batches' losses in an epoch, weights left out.
    """

    # After the loss, before mixed precision ends and before the checkpoint of the epoch.
    order = -10

    def __init__(self, images: UnlabelledImages, weight: float):
        self.images, self.weight = images, weight

    def before_train(self) -> None:
        self.total = torch.zeros(())

    def add(self, loss: torch.Tensor, weight: float) -> None:
        """Add a batch's loss to the one that is minimised; the reported one is of the labels."""
        self.total = self.total.to(loss.device) + loss.detach()
        self.learn.loss_grad = self.learn.loss_grad + weight * loss


def unlabelled_images(recipe: Recipe, galaxies: Galaxies | None = None) -> UnlabelledImages | None:
    """Return the unlabelled images of a recipe, decoded, or None if it has none.

    Args:
        recipe: with the images' folders or zips.
        galaxies: of the fit. For consistency training, images of these galaxies are left out, since
            they may be in the test part.

    Raises:
        BadInput: a folder isn't there, there are too few images, or one can't be used.
    """
    if not recipe.unlabelled:
        return None
    references = []
    for path in recipe.unlabelled:
        files = list_image_files(path)
        for note in files.notes():
            say(f"{setting('unlabelled', path)}: {note}")
        references += [file.reference for file in files.images]
    references = one_file_a_galaxy(references, recipe.flux_bands)
    words = f"{setting('unlabelled')} {' '.join(recipe.unlabelled)}"
    _require_enough(references, words)
    frames, inspections = cached_frames(references, *item_frame(recipe), recipe.rendering)
    for inspection in inspections:
        if inspection.fault:
            raise BadInput(inspection.fault, "take it out of the folder")
    rows = np.arange(len(frames.rows))
    if galaxies is not None and recipe.adapt == "mean-teacher":
        rows = _new_to(galaxies, frames, rows)
        if left_out := len(frames.rows) - len(rows):
            say(f"{words}: {left_out:,} images are of the catalogue's galaxies and are left out")
        _require_enough(rows, f"{words}, without the catalogue's galaxies")
    on_gpu = None
    if fits_on_gpu(len(rows) * frames.pixels.nbytes):
        on_gpu = frames_on_gpu(frames.pixels, rows, torch.empty(0)).frames
    by_row = {
        frames.rows[inspection.digest]: reference
        for inspection, reference in zip(inspections, references, strict=True)
    }
    return UnlabelledImages(frames, rows, [by_row[row] for row in rows.tolist()], recipe, on_gpu)


def _require_enough(images: list[str] | np.ndarray, words: str) -> None:
    if len(images) < MIN_IMAGES:
        raise BadInput(f"{words}: {len(images)} images", f"give {MIN_IMAGES} or more")


def _new_to(galaxies: Galaxies, frames: Frames, rows: np.ndarray) -> np.ndarray:
    """Return the rows of frames that show none of the main catalogue's galaxies."""
    digests = set(galaxies.table["digest"])
    known = np.zeros(len(rows), bool)
    known[[row for digest, row in frames.rows.items() if digest in digests]] = True
    if galaxies.frames is not None:
        catalogued = [galaxies.frames.rows[digest] for digest in galaxies.table["digest"]]
        thumbnails = frame_thumbnails(galaxies.frames, catalogued)
        known |= find_copies(thumbnails, frame_thumbnails(frames, rows.tolist())) >= 0
    return rows[~known]
