"""Work ahead of its reader: a parallel map, and a function in the background."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Thread
from typing import TypeVar

Result = TypeVar("Result")


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


def in_background(function: Callable[[], Result]) -> Future[Result]:
    """Return the future result of a function, which a thread calls that ends with the process."""
    future: Future[Result] = Future()

    def fill() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            # Raised where the result is taken.
            future.set_exception(error)

    Thread(target=fill, daemon=True).start()
    return future
