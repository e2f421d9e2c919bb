"""Freed memory that a process keeps for later tensors, and its limit."""

from __future__ import annotations

import ctypes
import gc
import os
from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base.process import is_own_process


def keep_freed_memory(room: int = 2**29, steady: bool = False) -> None:
    """Let the C library keep freed memory for later tensors, until the process ends.

    Otherwise each large tensor is requested from and returned to the kernel, page by page. The
    options are glibc's, see mallopt(3); with other libraries, or in a process that isn't a
    command's, nothing changes.

    Args:
        room: bytes by which the process may grow before unused memory is returned; half a GiB is
            what the activations of a training batch take, and prediction needs less.
        steady: whether all batches need as much memory as the first ones.
    """
    if not is_own_process():
        return
    trim_threshold, mmap_max = -1, -4
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_max, 0)
        mallopt(trim_threshold, 2**31 - 1)
        KEPT.keeps, KEPT.room, KEPT.steady = True, room, steady


@dataclass
class KeptMemory:
    """A limit on the freed memory that is kept, see `keep_freed_memory`.

    Freed memory becomes fragmented, and old reference cycles are seldom collected, so that some
    fits would grow with every batch. When the process has grown by `room` since its first batches,
    unused memory is collected and returned.
    """

    keeps: bool = False
    # Bytes.
    room: int = 2**29
    # Batches after which memory in use is measured: by then it is what a batch needs.
    stride: int = 8
    steady: bool = False
    level: int | None = None
    batches: int = 0

    def settle(self) -> None:
        """Return memory if there is too much of it; to be called between batches."""
        resident = resident_bytes() if self.keeps else 0
        if not resident:
            return
        self.batches += 1
        if self.batches < self.stride:
            return
        if self.batches == self.stride:
            # The lowest level, unless a later stage of a fit may need more than the first.
            self.level = min(resident, self.level or resident) if self.steady else resident
        if self.level is not None and resident > self.level + self.room:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            self.batches = 0


KEPT = KeptMemory()


def resident_bytes() -> int:
    """Return the process's memory in use in bytes, or 0 without Linux's /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")
