"""A loader that reads batches of decoded frames, or makes items in threads, ahead of a network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from fastai.data.core import TfmdDL
from fastai.torch_core import TensorCategory, TensorImage

from galaxymorph.base import Rows
from galaxymorph.images import centre_frame, decode

# Items made ahead, in batches: one for the network to take, one in the making.
BATCHES_AHEAD = 2


@dataclass(frozen=True)
class StoredItems:
    """What a loader's items are, without opening one: rows of a file of frames, and labels."""

    pixels: Rows
    rows: np.ndarray
    labels: torch.Tensor

    def batches(self, chunks: Iterable[list[int]]) -> Iterator[tuple[TensorImage, TensorCategory]]:
        """Yield what collating the items of each chunk would give."""
        for items in chunks:
            frames = self.pixels.read(self.rows[items])
            yield as_images(frames), TensorCategory(self.labels[items])


@dataclass(frozen=True)
class FileItems:
    """What a loader's items are: files, of which frames are cut."""

    references: Sequence[str]
    crop: float
    side: int

    def batches(self, chunks: Iterable[list[int]]) -> Iterator[TensorImage]:
        """Yield the images of each chunk, made in threads ahead of the one that is asked for."""
        waiting: deque = deque()
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            for items in chunks:
                waiting.append([pool.submit(self._frame, item) for item in items])
                if len(waiting) > BATCHES_AHEAD:
                    yield _images_of(waiting.popleft())
            while waiting:
                yield _images_of(waiting.popleft())

    def _frame(self, item: int) -> np.ndarray:
        return centre_frame(decode(self.references[item]), self.crop, self.side)


def as_images(frames: np.ndarray) -> TensorImage:
    """Return frames, uint8 of shape (n, side, side, 3), as a batch of shape (n, 3, side, side)."""
    return TensorImage(torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous())


def _images_of(futures: Sequence[Future]) -> TensorImage:
    return as_images(np.stack([future.result() for future in futures]))


class ThreadedDL(TfmdDL):
    """A `TfmdDL` whose items are made in threads: decoding and resizing let go of Python's lock.

    Unlike worker processes, threads start at once, copy nothing, and leave the order and every
    random number as they are, since no transform of an item draws one. With `source`, batches are
    made without fastai's steps for each item, the same to the bit.
    """

    source: StoredItems | FileItems | None = None

    def new(self, dataset=None, cls=None, **kwargs) -> ThreadedDL:
        fresh = super().new(dataset, cls, **kwargs)
        if fresh.dataset is self.dataset:
            fresh.source = self.source
        return fresh

    def create_batches(self, samps: Iterable[int]) -> Iterator:
        if self.source:
            yield from self.source.batches(self.chunkify(samps))
            return
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            items = map_ahead(pool, self.do_item, samps, BATCHES_AHEAD * self.bs)
            yield from map(self.do_batch, self.chunkify(items))


def map_ahead(
    pool: ThreadPoolExecutor, function: Callable, values: Iterable, ahead: int
) -> Iterator:
    """Yield `function` of each value in order, working on at most `ahead` of them at once."""
    waiting: deque = deque()
    for value in values:
        waiting.append(pool.submit(function, value))
        if len(waiting) >= ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
