"""Threads that decode images: one a core, none of which starts threads of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def decoding_threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of a thread a core for decoding and framing images.

    PyTorch, which resizes, would otherwise start as many threads as there are cores in each of
    them, and with 16 cores they wait for each other more than they work.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    with ThreadPoolExecutor(os.cpu_count(), initializer=_work_alone) as pool:
        yield pool
    if torch:
        # The number is each thread's own, but also that of threads that start later.
        torch.set_num_threads(threads)


def _work_alone() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)
