"""A loader that prepares batches in threads while the network works on the one before."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from fastai.data.core import TfmdDL
from fastai.torch_core import TensorImage, default_device

from galaxymorph.base import BadInput, Rows, map_ahead
from galaxymorph.images import (
    Cut,
    Fault,
    Rendering,
    Source,
    blank_frame,
    core_threads,
    galaxy_frame,
    map_images,
)
from galaxymorph.learn.acceleration.gpu_memory import FramesOnGPU
from galaxymorph.learn.acceleration.kept_memory import KEPT

# Batches prepared in advance: one for the network to take next, one in preparation.
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class StoredItems:
    """The items of a loader as rows of a file of frames, and their targets."""

    pixels: Rows
    rows: np.ndarray
    targets: torch.Tensor

    def batch(self, items: list[int]) -> tuple[TensorImage, torch.Tensor]:
        """Return the collated items."""
        frames = self.pixels.read(self.rows[items])
        return as_images(frames), self.targets[items]


@dataclass(frozen=True)
class FileItems:
    """The items of a loader as image files or pixels, from which frames are cut.

    Args:
        references: to the images.
        cut: of a frame.
        rendering: of FITS.
        faults: filled with the faults of unusable images by position, if given; their frames are
            black.
    """

    references: Sequence[Source]
    cut: Cut
    rendering: Rendering
    faults: dict[int, Fault] | None = None

    def frame(self, item: int) -> tuple[int, np.ndarray | Fault]:
        """Return an item and its frame, see `galaxy_frame`, or its fault."""
        try:
            return item, galaxy_frame(self.references[item], self.cut, self.rendering, item)
        except BadInput as error:
            return item, Fault(error)

    def batch(self, frames: list[tuple[int, np.ndarray | Fault]]) -> TensorImage:
        """Return the collated items of these frames.

        Raises:
            BadInput: an image can't be used, and `faults` isn't given.
        """
        return as_images(np.stack([self._pixels(item, frame) for item, frame in frames]))

    def _pixels(self, item: int, frame: np.ndarray | Fault) -> np.ndarray:
        if not isinstance(frame, Fault):
            return frame
        if self.faults is None:
            raise frame.error
        self.faults[item] = frame
        return blank_frame(self.cut.side, self.rendering)


def as_images(frames: np.ndarray) -> TensorImage:
    """Return frames, channels last, as a batch of shape (n, channels, side, side)."""
    images = torch.from_numpy(frames).permute(0, 3, 1, 2)
    # A GPU reorders them faster, or needs them in this order.
    return TensorImage(images if default_device().type == "cuda" else images.contiguous())


class ThreadedDL(TfmdDL):
    """A `TfmdDL` whose items are made in threads: decoding and resizing release Python's lock.

    Unlike worker processes, threads start at once and copy nothing. The order and the random
    numbers are the same, since no transform of an item draws any. With `source`, whole batches are
    read without fastai's steps for each item, with equal values.
    """

    source: StoredItems | FramesOnGPU | FileItems | None = None

    def new(self, dataset: Any = None, cls: Any = None, **kwargs: Any) -> ThreadedDL:
        fresh = super().new(dataset, cls, **kwargs)
        if fresh.dataset is self.dataset:
            fresh.source = self.source
        return fresh

    def create_batches(self, samps: Iterable[int]) -> Iterator:
        for batch in self._batches(samps):
            yield batch
            # A transform without a method for a target leaves an exception in a reference cycle
            # with the batch's tensors. Collecting young objects is fast; old ones would stay, and
            # amount to gigabytes.
            del batch
            gc.collect(1)
            KEPT.settle()

    def _batches(self, samps: Iterable[int]) -> Iterator:
        source = self.source
        if isinstance(source, FramesOnGPU):
            yield from map(source.batch, self.chunkify(samps))
            return
        if isinstance(source, StoredItems):
            # Read in advance, so that a GPU doesn't wait.
            with ThreadPoolExecutor(1) as pool:
                yield from map_ahead(pool, source.batch, self.chunkify(samps), BATCHES_AHEAD)
            return
        if isinstance(source, FileItems):
            frames = map_images(source.frame, list(samps), BATCHES_AHEAD * self.bs)
            yield from map(source.batch, self.chunkify(frames))
            return
        with core_threads() as pool:
            items = map_ahead(pool, self.do_item, samps, BATCHES_AHEAD * self.bs)
            yield from map(self.do_batch, self.chunkify(items))
