"""This process, and others that compute for it."""

from __future__ import annotations

import multiprocessing
import os
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any, TypeVar

Job = TypeVar("Job")
Result = TypeVar("Result")

_own = False


def own_process() -> None:
    """State that nothing but a command of galaxymorph's runs in this process."""
    global _own
    _own = True


def is_own_process() -> bool:
    """Tell whether the process is a command's: in a notebook or script it is the user's."""
    return _own


def map_in_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], workers: int
) -> Iterator[Result]:
    """Yield `work` of each job in order, computed in this process if there is one worker.

    Processes compute on a single thread each, and end with this one.
    """
    workers = min(workers, len(jobs))
    if workers <= 1:
        yield from map(work, jobs)
        return
    # A spawned process inherits no threads, whatever the caller has loaded.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, initializer=_start_worker)
    try:
        with _hidden_script():
            futures = [pool.submit(work, job) for job in jobs]
        for future in futures:
            yield future.result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def _hidden_script() -> Iterator[None]:
    """Hide the script's file from processes that are started, which would run it again."""
    main = sys.modules["__main__"]
    hidden: dict[str, Any] = {
        name: vars(main).pop(name) for name in ("__file__", "__spec__") if name in vars(main)
    }
    main.__spec__ = None
    try:
        yield
    finally:
        vars(main).update(hidden)


def _start_worker() -> None:
    """Compute on one thread, and end when the process that started this one is gone."""
    # As many processes as cores leave no core for threads. Libraries read it when they are loaded.
    os.environ["OMP_NUM_THREADS"] = "1"
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
