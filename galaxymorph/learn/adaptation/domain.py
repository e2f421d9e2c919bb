"""Training for another survey from its unlabelled images: Deep CORAL."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from fastai.callback.core import Callback
from fastai.torch_core import TensorImage, default_device
from torch import nn

from galaxymorph.base import BadInput, say
from galaxymorph.images import Frames, cached_frames
from galaxymorph.learn.acceleration.loaders import as_images
from galaxymorph.learn.backbones.architectures import pixel_stats
from galaxymorph.learn.embeddings import last_layer
from galaxymorph.learn.recipe import Recipe, item_frame
from galaxymorph.learn.views import RandomView
from galaxymorph.zoo import list_image_files

MIN_IMAGES = 16


@dataclass(frozen=True)
class TargetImages:
    """The unlabelled images of a target survey as an endless supply of training batches."""

    frames: Frames
    recipe: Recipe

    def batch(self, n: int) -> torch.Tensor:
        """Return n of them, drawn by torch's generator, as the model's input while training."""
        frames = self.frames.pixels
        rows = torch.randint(len(self.frames.rows), (n,)).numpy()
        images = as_images(frames.read(rows)).float() / 255
        views = RandomView(self.recipe).encodes(TensorImage(images)).as_subclass(torch.Tensor)
        mean, std = (torch.tensor(s).view(1, -1, 1, 1) for s in pixel_stats(self.recipe.arch))
        return ((views - mean) / std).to(default_device())


def target_images(recipe: Recipe) -> TargetImages | None:
    """Return the images that a recipe adapts to, decoded, or None if it doesn't.

    Raises:
        BadInput: the folder isn't there, has too few images, or one that can't be used.
    """
    if recipe.adapt == "none" or recipe.target_data is None:
        return None
    files = list_image_files(recipe.target_data)
    for note in files.notes():
        say(f"--target-data {recipe.target_data}: {note}")
    references = [file.reference for file in files.images]
    if len(references) < MIN_IMAGES:
        raise BadInput(
            f"--target-data {recipe.target_data}: {len(references)} images",
            f"give {MIN_IMAGES} or more",
        )
    frames, inspections = cached_frames(references, *item_frame(recipe), recipe.rendering)
    for inspection in inspections:
        if inspection.fault:
            raise BadInput(inspection.fault, "take it out of the folder")
    return TargetImages(frames, recipe)


class Coral(Callback):
    """Deep CORAL: add `coral` of the embeddings of a batch and of target images to the loss.

    In training, BatchNorm normalises the batches of the two surveys separately, and its running
    statistics become those of both.
    """

    # After the loss, before mixed precision ends and before the checkpoint of the epoch.
    order = -10

    def __init__(self, images: TargetImages, weight: float):
        self.images, self.weight = images, weight

    def before_fit(self) -> None:
        self.hook = last_layer(self.learn.model).register_forward_pre_hook(self._store)

    def after_loss(self) -> None:
        if not self.training:
            return
        source = self.embeddings
        self.learn.model(self.images.batch(len(source)))
        penalty = coral(source.float(), self.embeddings.float())
        # The reported loss is that of the labels.
        self.learn.loss_grad = self.learn.loss_grad + self.weight * penalty

    def after_fit(self) -> None:
        self.hook.remove()

    def _store(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.embeddings = inputs[0]


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the CORAL loss: |C_S - C_T|^2 / (4 d^2), of covariances (Sun & Saenko 2016, eq. 1)."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def adaptation_callbacks(recipe: Recipe, images: TargetImages | None) -> list[Callback]:
    """Return the callbacks of a recipe's adaptation, for fine-tuning; see `target_images`."""
    return [] if images is None else [Coral(images, recipe.adapt_weight)]
