"""A loader that makes items in threads, ahead of the network."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor

from fastai.data.core import TfmdDL

# Items made ahead, in batches: one for the network to take, one in the making.
BATCHES_AHEAD = 2


class ThreadedDL(TfmdDL):
    """A `TfmdDL` whose items are made in threads: decoding and resizing let go of Python's lock.

    Unlike worker processes, threads start at once, copy nothing, and leave the order and every
    random number as they are, since no transform of an item draws one.
    """

    def create_batches(self, samps: Iterable[int]) -> Iterator:
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
