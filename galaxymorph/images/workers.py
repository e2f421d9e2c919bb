"""Workers that decode images: a thread a core, or a process a core for many images."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, TypeVar, cast

from galaxymorph.base import map_ahead

Job = TypeVar("Job")
Result = TypeVar("Result")

# Decoding is many short steps, between which threads hand Python's lock to one another: on 16
# cores they decode 830 images a second (docs/gpu.md). Processes take a second to start.
LEAST_CORES, LEAST_JOBS = 4, 2000
# Jobs that a process does at once, and such batches that wait for each of them.
BATCH, WAITING = 16, 4


def map_images(work: Callable[[Job], Result], jobs: Sequence[Job], ahead: int) -> Iterator[Result]:
    """Yield `work` of each job in order, done ahead of time.

    Args:
        work: decodes an image; it returns a fault rather than raising it.
        jobs: its arguments, one an image.
        ahead: number of results that may wait.
    """
    cores = os.cpu_count() or 1
    # A daemonic process, such as a cluster's worker, can't start processes.
    may = sys.platform == "linux" and not multiprocessing.current_process().daemon
    if may and cores >= LEAST_CORES and len(jobs) >= LEAST_JOBS:
        yield from _by_processes(work, jobs, cores)
        return
    with core_threads() as pool:
        yield from map_ahead(pool, work, jobs, ahead)


@contextmanager
def core_threads() -> Iterator[ThreadPoolExecutor]:
    """Yield a pool of a thread a core, in which PyTorch uses a single thread.

    Otherwise, each of them would start as many threads as there are cores; and where other programs
    use the cores, the threads of one small operation wait for each other most of the time.
    """
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else 0
    try:
        with ThreadPoolExecutor(os.cpu_count(), initializer=_work_alone) as pool:
            yield pool
    finally:
        if torch:
            # The number is of each thread, but also of threads that start later.
            torch.set_num_threads(threads)


def _work_alone() -> None:
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(1)


@dataclass(frozen=True)
class _Jobs(Generic[Job, Result]):
    """Jobs as PyTorch's loader takes them."""

    work: Callable[[Job], Result]
    jobs: Sequence[Job]

    def __len__(self) -> int:
        return len(self.jobs)

    def __getitem__(self, at: int) -> Result:
        return self.work(self.jobs[at])


def _by_processes(
    work: Callable[[Job], Result], jobs: Sequence[Job], processes: int
) -> Iterator[Result]:
    import torch
    from torch.utils.data import DataLoader, Dataset

    loader: DataLoader[Result] = DataLoader(
        cast("Dataset[Result]", _Jobs(work, jobs)),
        BATCH,
        num_workers=processes,
        prefetch_factor=WAITING,
        # Arrays stay arrays, and no seed is drawn from the generator of everything else.
        collate_fn=list,
        generator=torch.Generator(),
        # Started otherwise, processes would run a user's script again from its first line.
        multiprocessing_context="fork",
    )
    for batch in loader:
        yield from batch
