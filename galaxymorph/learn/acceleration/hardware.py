"""The device, the number format, the memory format and the threads that suit this machine."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import default_device, defaults, to_float
from torch import nn

from galaxymorph.base import BadInput, setting

Item = TypeVar("Item")
Result = TypeVar("Result")

# Without a fixed workspace, cuBLAS may sum in another order from run to run. Read when CUDA starts:
# https://docs.nvidia.com/cuda/cublas/#results-reproducibility
os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")


def use_device(name: str) -> None:
    """Set the default device of this process: `auto`, `cpu`, `cuda` or `mps`.

    Raises:
        BadInput: this machine doesn't have the device.
    """
    if name == "cuda" and not torch.cuda.is_available():
        raise BadInput(f"{setting('device', 'cuda')}: PyTorch finds no GPU", "use auto or cpu")
    if name == "mps" and not torch.backends.mps.is_available():
        raise BadInput(f"{setting('device', 'mps')}: PyTorch finds no Apple GPU", "use auto or cpu")
    # True: the available GPU; no machine has both kinds.
    default_device({"auto": None, "cpu": False}.get(name, True))


@contextmanager
def on_device(name: str) -> Iterator[None]:
    """Set the default device within the block, see `use_device`."""
    before = defaults.use_cuda
    use_device(name)
    try:
        yield
    finally:
        default_device(before)


def resolve_precision(precision: str, model: nn.Module) -> str:
    """Return fp32, bf16 or fp16; `auto` is the fastest on this machine.

    On a CPU that is bf16 if it has instructions for it and the network has no depthwise
    convolutions, which train no faster in it. On a GPU it is bf16, or fp16 on older ones.

    Raises:
        BadInput: fp16 on a CPU.
    """
    on_cpu = default_device().type == "cpu"
    if precision == "fp16" and on_cpu:
        raise BadInput(f"{setting('precision', 'fp16')} needs a GPU", "use auto, bf16 or fp32")
    if precision != "auto":
        return precision
    if on_cpu:
        # PyTorch has had it since 2.6.
        capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
        fast = capabilities.get("amx_bf16") or capabilities.get("avx512_bf16")
        return "bf16" if fast and not has_depthwise(model) else "fp32"
    if default_device().type != "cuda":
        return "fp32"
    return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"


def memory_format(model: nn.Module) -> torch.memory_format:
    """Return the memory format in which a network is fastest on the default device.

    Convolutions are up to twice as fast with the channels last. On a GPU, cuDNN compiles kernels
    for each input shape of a depthwise convolution in that format: the first step of
    `tf_efficientnet_lite0` took 15 s on an H200, and 0.6 s in PyTorch's default format, with
    equally fast steps after it.
    """
    if default_device().type == "cuda" and has_depthwise(model):
        return torch.contiguous_format
    return torch.channels_last


def map_on_cores(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """Return the function of each item, computed in a thread per core of a CPU.

    Small networks gain little from several threads per layer, and lose if others use the cores.
    """
    if default_device().type != "cpu":
        return list(map(function, items))
    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(
            max(1, threads), initializer=torch.set_num_threads, initargs=(1,)
        ) as pool:
            return list(pool.map(function, items))
    finally:
        torch.set_num_threads(threads)


def precision_callbacks(precision: str) -> list[Callback]:
    """Return the callbacks for training in a resolved precision."""
    if precision == "fp32":
        return []
    if default_device().type == "cuda":
        return [MixedPrecision(precision)]
    return [CPUAutocast()]


@contextmanager
def closing_autocast(callbacks: Sequence[Callback]) -> Iterator[None]:
    """Leave autocast when an error ends a batch before its callback does.

    Otherwise its copies of the weights in lower precision would be used from then on, although the
    optimizer changes the weights.
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
    """Run the forward pass in bfloat16 where that is safe; fastai's callback needs a GPU."""

    order = MixedPrecision.order

    def before_batch(self) -> None:
        self.autocast = torch.autocast("cpu", torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self) -> None:
        self.learn.pred = to_float(self.pred)

    def after_loss(self) -> None:
        self.autocast.__exit__(None, None, None)


def has_depthwise(model: nn.Module) -> bool:
    """Tell whether a network has depthwise convolutions, one of each channel."""
    return any(
        isinstance(module, nn.Conv2d) and module.groups == module.in_channels > 1
        for module in model.modules()
    )
