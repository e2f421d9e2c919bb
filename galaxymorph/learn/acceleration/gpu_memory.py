"""Frames, stored features and losses kept in GPU memory through a fit, where there is room.

Reading them from files would take longer than training on them. The numbers are the same.
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

# Of the free memory, for data; weights, activations and their gradients take the rest.
DATA_SHARE = 0.4
# Frames read and copied to the GPU at once.
CHUNK = 512


def fits_on_gpu(nbytes: int) -> bool:
    """Tell whether the device is a CUDA GPU with room for so many bytes of data."""
    device = default_device()
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return nbytes <= DATA_SHARE * free


@dataclass(frozen=True)
class FramesOnGPU:
    """The items of a loader: stored frames, shape (n, channels, side, side), and targets."""

    frames: torch.Tensor
    targets: torch.Tensor

    def batch(self, items: list[int]) -> tuple[TensorImage, torch.Tensor]:
        """Return the collated items, on the GPU."""
        at = torch.tensor(items, device=self.frames.device)
        return TensorImage(self.frames[at]), self.targets[at]


def frames_on_gpu(pixels: Rows, rows: np.ndarray, targets: torch.Tensor) -> FramesOnGPU:
    """Copy rows of a file of frames, and their targets, to the GPU."""
    device = default_device()
    height, width, channels = pixels.shape
    kind = torch.from_numpy(np.empty(0, pixels.dtype)).dtype
    frames = torch.empty((len(rows), channels, height, width), dtype=kind, device=device)
    for start in range(0, len(rows), CHUNK):
        chunk = torch.from_numpy(pixels.read(rows[start : start + CHUNK])).to(device)
        frames[start : start + len(chunk)] = chunk.permute(0, 3, 1, 2)
    return FramesOnGPU(frames, targets.to(device))


@dataclass(frozen=True)
class RowsOnGPU:
    """Arrays of one shape, read by number as `Rows` of a file are."""

    values: torch.Tensor

    def __len__(self) -> int:
        return len(self.values)

    def read(self, rows: Iterable[int]) -> torch.Tensor:
        """Return some rows, shape (n, *shape), in the given order."""
        return self.values[torch.tensor(list(rows), device=self.values.device)]


class LossOnGPU(Callback):
    """Average the training loss on the GPU: fastai's Recorder copies it to the CPU each batch.

    The copy waits for the GPU, which is then idle until the next batch is prepared.
    """

    def before_fit(self) -> None:
        self.learn.recorder.smooth_loss = _SmoothLossOnGPU()


class _SmoothLossOnGPU(AvgSmoothLoss):
    def reset(self) -> None:
        self.count, self.val = 0, torch.zeros((), device=default_device())

    def accumulate(self, learn: Learner) -> None:
        self.count += 1
        self.val = torch.lerp(learn.loss.detach().mean().float(), self.val, self.beta)
