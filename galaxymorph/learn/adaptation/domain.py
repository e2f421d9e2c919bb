"""Learning for another survey from its images alone: penalties on how far embeddings differ."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812
from fastai.callback.core import Callback
from fastai.torch_core import TensorImage, default_device
from torch import nn

from galaxymorph.base import BadInput, say
from galaxymorph.images import Frames, cached_frames
from galaxymorph.learn.acceleration.loaders import as_images
from galaxymorph.learn.backbones.architectures import pixel_stats
from galaxymorph.learn.callbacks import load_tensors, save_tensors
from galaxymorph.learn.embeddings import last_layer
from galaxymorph.learn.recipe import Recipe, item_frame
from galaxymorph.learn.views import RandomView
from galaxymorph.zoo import list_image_files

LEAST = 16
# Units between the embedding and the domain in Ganin et al.'s (2016) classifier of domains.
HIDDEN = 100
# How fast the reversed gradient grows (Ganin et al. 2016, JMLR 17(59), section 5.2.2: gamma).
GROWTH = 10


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
    found = list_image_files(recipe.target_data)
    for note in found.notes():
        say(f"--target-data {recipe.target_data}: {note}")
    references = [file.reference for file in found.images]
    if len(references) < LEAST:
        raise BadInput(
            f"--target-data {recipe.target_data}: {len(references)} images", f"give {LEAST} or more"
        )
    frames, inspections = cached_frames(references, *item_frame(recipe), recipe.rendering)
    for inspection in inspections:
        if inspection.fault:
            raise BadInput(inspection.fault, "take it out of the folder")
    return TargetImages(frames, recipe)


class DomainAdaptation(Callback):
    """Add to the loss how far the embeddings of target images differ from the batch's.

    BatchNorm that learns sees each domain's batches by themselves, and its running statistics
    become those of both.
    """

    # Before mixed precision is left, after the loss, and before the journal says an epoch is done.
    order = -10

    def __init__(self, images: TargetImages, weight: float):
        self.images, self.weight = images, weight

    def before_fit(self) -> None:
        self.embedding: torch.Tensor | None = None
        self.hook = last_layer(self.learn.model).register_forward_pre_hook(self._keep)

    def after_loss(self) -> None:
        if not self.training:
            return
        source = self._embedding()
        self.learn.model(self.images.batch(len(source)))
        gap = self.penalty(source.float(), self._embedding().float())
        # What is reported stays the loss on labels.
        self.learn.loss_grad = self.learn.loss_grad + self.weight * gap

    def after_fit(self) -> None:
        self.hook.remove()

    def penalty(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return how far embeddings differ, each of shape (n, features)."""
        raise NotImplementedError

    def _embedding(self) -> torch.Tensor:
        """Return the inputs of the last layer in the latest forward pass."""
        if self.embedding is None:
            raise RuntimeError("no forward pass yet")
        return self.embedding

    def _keep(self, _: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        self.embedding = inputs[0]


class Coral(DomainAdaptation):
    """Deep CORAL: the covariances of source and target embeddings drawn together."""

    def penalty(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return coral(source, target)


class Dann(DomainAdaptation):
    """Domain-adversarial training: embeddings by which a classifier can't tell the domains apart.

    Args:
        images: as in `DomainAdaptation`.
        weight: likewise.
        lr: the classifier's learning rate.
        path: where its state is kept after every epoch, for a fit that goes on.
        first: the epoch that this fit begins at.
    """

    def __init__(self, images: TargetImages, weight: float, lr: float, path: Path, first: int = 0):
        super().__init__(images, weight)
        self.lr, self.path, self.first = lr, path, first

    def before_fit(self) -> None:
        super().before_fit()
        features = last_layer(self.learn.model).in_features
        self.classifier = nn.Sequential(
            nn.Linear(features, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 1)
        ).to(default_device())
        self.optimizer = torch.optim.AdamW(self.classifier.parameters(), lr=self.lr)
        self.states: dict[int, dict] = {}
        if self.first:
            self.states = load_tensors(self.path)
            state = self.states[self.first]
            self.classifier.load_state_dict(state["classifier"])
            self.optimizer.load_state_dict(state["optimizer"])

    def penalty(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        both = Reversed.apply(torch.cat([source, target]), reversal(float(self.pct_train)))
        domain = torch.arange(len(both), device=both.device) >= len(source)
        return F.binary_cross_entropy_with_logits(self.classifier(both)[:, 0], domain.float())

    def after_step(self) -> None:
        self.optimizer.step()
        self.optimizer.zero_grad()

    def after_epoch(self) -> None:
        if self.epoch < self.first:
            return
        # A fit killed between this file and the journal's goes on from the epoch before.
        done = self.epoch + 1
        kept = {at: state for at, state in self.states.items() if at == done - 1}
        state = {
            "classifier": {k: v.clone() for k, v in self.classifier.state_dict().items()},
            "optimizer": _copied(self.optimizer.state_dict()),
        }
        self.states = {**kept, done: state}
        save_tensors(self.path, self.states)


class Reversed(torch.autograd.Function):
    """The identity, whose gradient is turned round and scaled (Ganin et al. 2016, eq. 16, 17)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, strength: float) -> torch.Tensor:
        """Return x."""
        ctx.strength = strength
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
        """Return the gradient times minus the strength."""
        return -ctx.strength * gradient, None


def coral(source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the CORAL loss: |C_S - C_T|^2 / (4 d^2), of covariances (Sun & Saenko 2016, eq. 1)."""
    difference = torch.cov(source.T) - torch.cov(target.T)
    return difference.square().sum() / (4 * source.shape[1] ** 2)


def reversal(progress: float) -> float:
    """Return the strength of the reversed gradient at a share of training (section 5.2.2)."""
    return 2 / (1 + math.exp(-GROWTH * progress)) - 1


def adaptation_callbacks(
    recipe: Recipe, images: TargetImages | None, folder: Path, first: int
) -> list[Callback]:
    """Return what a recipe's adaptation adds to fine-tuning.

    Args:
        recipe: of the fit.
        images: see `target_images`.
        folder: of checkpoints.
        first: the epoch that the stage begins at.
    """
    if images is None:
        return []
    return [ADAPTATIONS[recipe.adapt](recipe, images, folder, first)]


ADAPTATIONS: dict[str, Callable[[Recipe, TargetImages, Path, int], Callback]] = {
    "coral": lambda recipe, images, folder, first: Coral(images, recipe.adapt_weight),
    "dann": lambda recipe, images, folder, first: Dann(
        images, recipe.adapt_weight, recipe.lr, folder / "domain.pt", first
    ),
}


def _copied(state: dict) -> dict:
    return {
        "state": {
            at: {name: value.clone() for name, value in each.items()}
            for at, each in state["state"].items()
        },
        "param_groups": state["param_groups"],
    }
