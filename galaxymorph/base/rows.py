"""Arrays of one shape in a file, written one after the other and read by number."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np


@dataclass(frozen=True)
class Rows:
    """A file of arrays, all of one shape and type.

    They are read rather than mapped into memory, since mapped pages count as the process's memory.
    """

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype

    @cached_property
    def _file(self) -> int:
        return os.open(self.path, os.O_RDONLY)

    @property
    def nbytes(self) -> int:
        """The bytes of one row."""
        return math.prod(self.shape) * self.dtype.itemsize

    def __len__(self) -> int:
        return self.path.stat().st_size // self.nbytes

    def read(self, rows: Iterable[int]) -> np.ndarray:
        """Return some rows, shape (n, *shape), in the order given."""
        rows = list(rows)
        arrays = np.empty((len(rows), *self.shape), self.dtype)
        for row, array in zip(rows, arrays, strict=True):
            # A read at an offset shares no position with other threads or processes.
            data = os.pread(self._file, self.nbytes, row * self.nbytes)
            if len(data) != self.nbytes:
                raise OSError(f"{self.path}: row {row} is cut off; delete the file and run again")
            array[...] = np.frombuffer(data, self.dtype).reshape(self.shape)
        return arrays

    def __getstate__(self) -> dict:
        return {name: value for name, value in self.__dict__.items() if name != "_file"}

    def __del__(self) -> None:
        if "_file" in self.__dict__:
            os.close(self._file)
