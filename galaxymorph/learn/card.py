"""What stays on a GPU through a fit, where it fits: decoded frames, stored features, losses.

A network on a card is faster than what brings its batches to it. Each part is removable: without
it the same numbers come from files, batch by batch.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.learner import AvgSmoothLoss, Learner
from fastai.torch_core import TensorImage, default_device

from galaxymorph.base import Rows

# Of the card's free memory, for data; weights, activations and their gradients take the rest.
SHARE = 0.4
# Frames read and copied to the card at once.
CHUNK = 512


def fits_on_card(nbytes: int) -> bool:
    """Tell whether the device is a CUDA card with room for so many bytes of data."""
    device = default_device()
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return nbytes <= SHARE * free


@dataclass(frozen=True)
class FramesOnCard:
    """The items of a loader on the card: uint8 frames, shape (n, 3, side, side), and targets."""

    frames: torch.Tensor
    targets: torch.Tensor

    def batch(self, items: list[int]) -> tuple[TensorImage, torch.Tensor]:
        """Return what collating these items would, on the card."""
        at = torch.tensor(items, device=self.frames.device)
        return TensorImage(self.frames[at]), self.targets[at]


def frames_on_card(pixels: Rows, rows: np.ndarray, targets: torch.Tensor) -> FramesOnCard:
    """Copy rows of a file of frames, and their targets, to the card."""
    device = default_device()
    frames = torch.empty((len(rows), 3, *pixels.shape[:2]), dtype=torch.uint8, device=device)
    for start in range(0, len(rows), CHUNK):
        chunk = torch.from_numpy(pixels.read(rows[start : start + CHUNK])).to(device)
        frames[start : start + len(chunk)] = chunk.permute(0, 3, 1, 2)
    return FramesOnCard(frames, targets.to(device))


@dataclass(frozen=True)
class RowsOnCard:
    """Arrays of one shape on the card, read by number as `Rows` of a file are."""

    values: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows: Iterable[int]) -> torch.Tensor:
        """Return some rows, shape (n, *shape), in the given order."""
        return self.values[torch.tensor(list(rows), device=self.values.device)]


class LossOnCard(Callback):
    """Average the training loss on the card: fastai's Recorder copies it to the CPU each batch.

    Such a copy waits for all that the card still has to do, and leaves it idle until the next
    batch has been prepared.
    """

    def before_fit(self) -> None:
        self.learn.recorder.smooth_loss = _SmoothLossOnCard()


class _SmoothLossOnCard(AvgSmoothLoss):
    def reset(self) -> None:
        self.count, self.val = 0, torch.zeros((), device=default_device())

    def accumulate(self, learn: Learner) -> None:
        self.count += 1
        self.val = torch.lerp(learn.loss.detach().mean().float(), self.val, self.beta)
