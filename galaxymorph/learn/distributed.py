"""Training in several processes, by `accelerate launch cli.py fit …`: one run, made by the first.

The first process does all that a fit does. The others wait until it trains a model, train on
their share of every batch, and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import fastai
import torch
import torch.distributed
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from fastai.torch_core import default_device
from torch import nn

from galaxymorph.base import BadInput, mute

Result = TypeVar("Result")
# How long processes wait for the first, which evaluates and draws without them.
TIMEOUT = timedelta(days=7)


def processes() -> int:
    """Return how many processes train together, 1 outside `together`."""
    return torch.distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return torch.distributed.get_rank() if _is_joined() else 0


@contextmanager
def together(help_with: Callable[[Any], None]) -> Iterator[bool]:
    """Join the processes that were launched together; yield whether this is the first.

    The others work on tasks until the first has ended.

    Args:
        help_with: called in the others with each task of `announced`.
    """
    from accelerate import PartialState
    from accelerate.utils import InitProcessGroupKwargs

    waits = InitProcessGroupKwargs(timeout=TIMEOUT).to_kwargs()
    PartialState(cpu=default_device().type == "cpu", **waits)
    try:
        if rank():
            mute()
            while (task := announced(None)) is not None:
                help_with(task)
            yield False
        else:
            yield True
            announced(None)
    finally:
        torch.distributed.destroy_process_group()


def announced(task: object) -> object:
    """Return the first process's task, in every process."""
    tasks = [task]
    torch.distributed.broadcast_object_list(tasks, 0, device=_device())
    return tasks[0]


def first_process_first(work: Callable[[], Result]) -> Result:
    """Return the result of `work`, called in the first process before the others."""
    if rank():
        torch.distributed.barrier()
    result = work()
    if processes() > 1 and not rank():
        torch.distributed.barrier()
    return result


def summed(values: torch.Tensor) -> torch.Tensor:
    """Return the sum over the processes of a tensor, which is overwritten."""
    if processes() > 1:
        torch.distributed.all_reduce(values)
    return values


@contextmanager
def training_together(learn: Learner) -> Iterator[None]:
    """Let a learner train in all processes within the block.

    Raises:
        BadInput: this version of fastai can't train in several processes without GPUs.
    """
    if processes() == 1:
        yield
        return
    # BatchNorm across processes exists on GPUs alone.
    on_cpu = default_device().type == "cpu"
    broadcast = _broadcast_of_fastai()
    if on_cpu:
        DistributedDL._broadcast = _broadcast_on_cpu
    try:
        with learn.distrib_ctx(sync_bn=not on_cpu, cpu=on_cpu):
            yield
    finally:
        DistributedDL._broadcast = broadcast


def unwrapped_model(model: nn.Module) -> nn.Module:
    """Return the model that `DistributedDataParallel` wraps, or the model itself."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def wrapped_loader(loader: Any) -> Any:
    """Return the loader that `DistributedDL` wraps, or the loader itself."""
    return loader.dl if isinstance(loader, DistributedDL) else loader


def _broadcast_of_fastai() -> Callable:
    """Return fastai's method that sends the order of an epoch's galaxies to all processes.

    It has no public name, and sends a CUDA tensor, so that without GPUs it has to be replaced.

    Raises:
        BadInput: this version of fastai has no such method.
    """
    broadcast = getattr(DistributedDL, "_broadcast", None)
    if broadcast is None:
        raise BadInput(
            f"fastai {fastai.__version__}: its loaders for several processes have changed",
            "train in one process, or install fastai 2.8",
        )
    return broadcast


def _broadcast_on_cpu(self: DistributedDL, t: list[int], rank: int) -> list[int]:
    order = torch.tensor(t, dtype=torch.long)
    torch.distributed.broadcast(order, rank)
    return order.tolist()


def _is_joined() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _device() -> torch.device:
    return torch.device("cpu" if torch.distributed.get_backend() == "gloo" else default_device())
