"""Training in several processes, by `accelerate launch cli.py fit …`: one run, made by the first.

The first process does all that a fit does. The others wait until it trains a model, train it
along, each on its share of every batch, and write nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed
from fastai.distributed import DistributedDL
from fastai.learner import Learner
from fastai.torch_core import default_device
from fastcore.basics import patch
from torch import nn

from galaxymorph.base import BadInput, mute

Result = TypeVar("Result")
# The first process may judge and draw for as long as it likes while the others wait.
PATIENCE = timedelta(days=7)


def processes() -> int:
    """Return how many processes train together, 1 outside `together`."""
    return torch.distributed.get_world_size() if _is_joined() else 1


def rank() -> int:
    """Return the number of this process, from 0."""
    return torch.distributed.get_rank() if _is_joined() else 0


@contextmanager
def together(help_with: Callable[[Any], None]) -> Iterator[bool]:
    """Join the processes that were launched together; yield whether this one leads.

    The others help until the first one has ended, and are told False.

    Args:
        help_with: called in the others with each task that the first one announces.

    Raises:
        BadInput: accelerate isn't installed.
    """
    try:
        from accelerate import PartialState
        from accelerate.utils import InitProcessGroupKwargs
    except ImportError:
        raise BadInput(
            "several processes need accelerate", "pip install 'galaxymorph[scale]'"
        ) from None
    waits = InitProcessGroupKwargs(timeout=PATIENCE).to_kwargs()
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
    said = [task]
    torch.distributed.broadcast_object_list(said, 0, device=_device())
    return said[0]


def first_does(work: Callable[[], Result]) -> Result:
    """Do something in the first process, then in the others, which find it done."""
    if rank():
        torch.distributed.barrier()
    found = work()
    if processes() > 1 and not rank():
        torch.distributed.barrier()
    return found


def training_together(learn: Learner) -> AbstractContextManager[object]:
    """Return a context in which a learner trains in all processes."""
    if processes() == 1:
        return nullcontext()
    cpu = default_device().type == "cpu"
    # BatchNorm across processes exists on GPUs alone.
    return learn.distrib_ctx(sync_bn=not cpu, cpu=cpu)


def bare(model: nn.Module) -> nn.Module:
    """Return a model without what lets it train in several processes."""
    return model.module if isinstance(model, nn.parallel.DistributedDataParallel) else model


def own_loader(loader: Any) -> Any:
    """Return the loader that a distributed one takes its share of."""
    return loader.dl if isinstance(loader, DistributedDL) else loader


# fastai's own sends a CUDA tensor and has no hook of a public name. Where a later version has no
# method of this name, the patch is never called, and training in several CPU processes fails there
# with fastai's own message.
@patch
def _broadcast(self: DistributedDL, t: list[int], rank: int) -> list[int]:
    """Send which galaxies come in an epoch to all processes; fastai's own knows GPUs alone."""
    told = torch.tensor(t, dtype=torch.long, device=_device())
    torch.distributed.broadcast(told, rank)
    return told.tolist()


def _is_joined() -> bool:
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def _device() -> torch.device:
    return torch.device("cpu" if torch.distributed.get_backend() == "gloo" else default_device())
