"""On what device a network runs and in what number format it trains: what is worthwhile here."""

from __future__ import annotations

import ctypes
import gc
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import default_device, defaults, to_float
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.base.process import is_own_process

Given = TypeVar("Given")
Found = TypeVar("Found")


# Without a workspace of its own, cuBLAS may add up in another order from run to run. It is read
# when CUDA starts: https://docs.nvidia.com/cuda/cublas/#results-reproducibility
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def use_device(name: str) -> None:
    """Make `auto`, `cpu`, `cuda` or `mps` the device of all that follows in this process.

    Raises:
        BadInput: there is no such device here.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput("--device cuda: PyTorch sees no GPU here", "use auto or cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise BadInput("--device mps: PyTorch sees no Apple GPU here", "use auto or cpu")
    # True is the one that is there: no machine has both.
    default_device({"auto": None, "cpu": False}.get(name, True))


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Let networks run on a device meanwhile, see `use_device`."""
    before = defaults.use_cuda
    use_device(name)
    try:
        yield
    finally:
        default_device(before)


def keep_freed_memory(room: int = 2**29, steady: bool = False) -> None:
    """Let the C library keep what tensors free, for the next ones, until the process ends.

    Otherwise every large tensor is fetched from the kernel and given back, page by page, which
    takes a fifth of a fit's time on a CPU. The options are glibc's, see mallopt(3); elsewhere
    nothing changes, and nor does it in a process that isn't a command's own.

    Args:
        room: bytes by which the process may grow before what is unused is given back; half a GiB
            are a batch's worth of activations in training, and prediction needs less.
        steady: all batches are of a kind, so that none needs more than the first ones.
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
    """What keeps the memory that is kept from piling up.

    Freed memory falls to pieces, and Python's older cycles wait for a collection that seldom
    comes: some fits grow by a batch a batch, others not at all. So where a process has grown by
    `room` since it was in its stride, everything unused is collected and given back.
    """

    keeps: bool = False
    # Bytes.
    room: int = 2**29
    # After giving back, batches until as much is in use again as a batch needs.
    stride: int = 8
    steady: bool = False
    level: int | None = None
    batches: int = 0

    def settle(self) -> None:
        """Give memory back if need be; to be called between batches."""
        resident = resident_bytes() if self.keeps else 0
        if not resident:
            return
        self.batches += 1
        if self.batches < self.stride:
            return
        if self.batches == self.stride:
            # Measured anew, the level creeps; yet a fit's next stage holds more than its first.
            self.level = min(resident, self.level or resident) if self.steady else resident
        if self.level is not None and resident > self.level + self.room:
            gc.collect()
            ctypes.CDLL(None).malloc_trim(0)
            self.batches = 0


KEPT = KeptMemory()


def resident_bytes() -> int:
    """Return the process's memory in use, or 0 where Linux's /proc isn't there to say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def resolve_precision(precision: str, model: nn.Module) -> str:
    """Return fp32, bf16 or fp16, of which `auto` chooses what pays on this machine.

    On a CPU that is bf16 where it has instructions for it and the network has no depthwise
    convolutions, which train no faster in it. On a GPU it is bf16, or fp16 on older ones.

    Raises:
        BadInput: fp16 is asked of a CPU.
    """
    on_cpu = default_device().type == "cpu"
    if precision == "fp16" and on_cpu:
        raise BadInput("--precision fp16 needs a GPU", "use auto, bf16 or fp32")
    if precision != "auto":
        return precision
    if on_cpu:
        able: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = able.get("amx_bf16") or able.get("avx512_bf16")
        return "bf16" if fast and not _has_depthwise(model) else "fp32"
    if default_device().type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def side_by_side(work: Callable[[Given], Found], each: Sequence[Given]) -> list[Found]:
    """Return what some work makes of each, done at once on the cores of a CPU, a thread a core.

    Small networks gain little from several threads a layer, and lose where others share the cores.
    """
    if default_device().type != "cpu":
        return list(map(work, each))
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            max(1, threads), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(work, each))
    finally:
        torch.set_num_threads(threads)


def precision_callbacks(precision: str) -> list[Callback]:
    """Return what makes a learner train in a resolved precision."""
    if precision == "fp32":
        return []
    if default_device().type == "cuda":
        return [MixedPrecision(precision)]
    return [CPUAutocast()]


@contextmanager
def closing_autocast(callbacks: Sequence[Callback]) -> Iterator[None]:
    """Leave autocast when an error ends a batch before its callback does.

    Otherwise the lower-precision copies of the weights that it keeps would be used from then on,
    whatever the optimizer does to the weights.
    """
    try:
        yield
    except BaseException:
        for callback in callbacks:
            context = getattr(callback, "autocast", None)
            if context is not None and torch.is_autocast_enabled(default_device().type):
                context.__exit__(None, None, None)
        raise


class CPUAutocast(Callback):
    """Run the forward pass in bfloat16 where that is safe; fastai's own asks for a GPU."""

    order = MixedPrecision.order

    def before_batch(self) -> None:
        self.autocast = torch.autocast("cpu", torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        self.learn.pred = to_float(self.pred)

    def after_loss(self) -> None:
        self.autocast.__exit__(None, None, None)


def _has_depthwise(model: nn.Module) -> bool:
    return any(
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for module in model.modules()
    )
