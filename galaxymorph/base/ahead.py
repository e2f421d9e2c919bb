"""A parallel map that works ahead of its reader."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor


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
