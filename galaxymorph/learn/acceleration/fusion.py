"""Convolutions fused with the addition of a shortcut and with ReLU, for inference on a CPU.

With fast bfloat16, half of a ResNet's time goes into moving tensors between a convolution and the
following ReLU. The kernels are oneDNN's, called by the operators of PyTorch's compiler, without
its need for a C++ compiler and a warm-up.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import deepcopy
from threading import Lock, get_ident
from typing import Any, TypeGuard

import torch
import torch.nn.functional as F  # noqa: N812
from torch import fx, nn

from galaxymorph.learn.backbones.architectures import input_channels

# Relative to the largest output, in float32.
FUSION_TOLERANCE = 1e-3
# Largest nesting of a network's block, such as a ResNet's with a convolution in its shortcut;
# stages are nested more deeply.
BLOCK_DEPTH = 2
ADDITIONS = {operator.add, operator.iadd, torch.add}
# Padding, stride, dilation and groups of a convolution.
Shape = tuple[Any, Any, Any, int]
RELU_FUNCTIONS = {F.relu, torch.relu, torch.relu_}


class _Tracer(fx.Tracer):
    """A tracer that leaves other threads' networks alone.

    While it traces, PyTorch sends the calls of all modules in the process here.
    """

    # Each trace restores what it replaced, so that two have to end in order.
    lock = Lock()

    def trace(self, root: Any, concrete_args: dict[str, Any] | None = None) -> fx.Graph:
        with self.lock:
            self.thread = get_ident()
            return super().trace(root, concrete_args)

    def call_module(
        self, m: nn.Module, forward: Callable[..., Any], args: tuple, kwargs: dict[str, Any]
    ) -> Any:
        if get_ident() != self.thread:
            return forward(*args, **kwargs)
        return super().call_module(m, forward, args, kwargs)

    def getattr(self, attr: str, attr_val: Any, parameter_proxy_cache: dict[str, fx.Proxy]) -> Any:
        if get_ident() != self.thread:
            return attr_val
        return super().getattr(attr, attr_val, parameter_proxy_cache)


class FusedConvolution(nn.Module):
    """A convolution, an optional addition of a tensor, and an optional ReLU, as one kernel."""

    def __init__(self, convolution: nn.Conv2d, relu: bool):
        super().__init__()
        shape = (convolution.padding, convolution.stride, convolution.dilation, convolution.groups)
        self.shape, self.bias, self.relu = shape, convolution.bias, relu
        self.plain_weight: torch.Tensor | None = convolution.weight.detach()
        # Reordered for the kernel once rather than at every call.
        self.weight = _reordered_weight(self.plain_weight, shape)

    def forward(self, x: torch.Tensor, added: torch.Tensor | None = None) -> torch.Tensor:
        return _convolve(x, added, self.weight, self.bias, self.shape, self.relu)

    def settle(self, dtype: torch.dtype) -> None:
        """Take the weight in a type for good."""
        if self.plain_weight is not None and dtype != self.plain_weight.dtype:
            self.weight = _reordered_weight(self.plain_weight.to(dtype), self.shape)
        self.plain_weight = None


# oneDNN's kernels have no public name in PyTorch. Only the next two functions use private ones; if
# a version lacks them, or they take other arguments, `fused` leaves the trunk unfused.
PRIVATE_ERRORS = (RuntimeError, AttributeError, TypeError)


def _reordered_weight(weight: torch.Tensor, shape: Shape) -> torch.Tensor:
    """Return a convolution's weight in the layout of oneDNN's kernel."""
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    return reorder(weight.to_mkldnn(), *shape, None)


def _convolve(
    x: torch.Tensor,
    added: torch.Tensor | None,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    shape: Shape,
    relu: bool,
) -> torch.Tensor:
    """Return a convolution, plus `added` if given, after ReLU if `relu` is set."""
    kernel = torch.ops.mkldnn._convolution_pointwise
    if added is None:
        return kernel(x, weight, bias, *shape, "relu" if relu else "none", [], "")
    after = "relu" if relu else None
    return kernel.binary(x, added, weight, bias, *shape, "add", 1.0, after, [], "")


def fused(trunk: nn.Module, dtype: torch.dtype, side: int) -> nn.Module:
    """Return a trunk in `dtype`, fused if its outputs on noise stay equal up to rounding.

    Stages keep their names.

    Args:
        trunk: in float32 and evaluation mode, on the CPU; it may be changed.
        dtype: of its weights and inputs.
        side: of its input, in pixels.
    """
    shape = (1, input_channels(trunk), side, side)
    noise = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    noise = noise.contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = trunk(noise)
    try:
        network = _fuse(deepcopy(trunk))
        with torch.inference_mode():
            outputs = network(noise)
    except PRIVATE_ERRORS:
        # oneDNN is missing, or shapes aren't those that the modules suggest.
        return trunk.to(dtype)
    near = outputs.shape == expected.shape and bool(
        (outputs - expected).abs().max() <= FUSION_TOLERANCE * expected.abs().max()
    )
    if not near:
        return trunk.to(dtype)
    for module in network.to(dtype).modules():
        if isinstance(module, FusedConvolution):
            module.settle(dtype)
    return network


def _fuse(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.Sequential):
        _fuse_neighbours(module)
    for name, child in list(module.named_children()):
        block = _is_block(child)
        setattr(module, name, _fused_block(child) if block else _fuse(child))
    return module


def _is_block(module: nn.Module) -> bool:
    children = list(module.children())
    return (
        not isinstance(module, nn.Sequential | nn.ModuleList)
        and any(isinstance(child, nn.Conv2d) for child in children)
        and _depth(module) <= BLOCK_DEPTH
    )


def _depth(module: nn.Module) -> int:
    return max((1 + _depth(child) for child in module.children()), default=0)


def _fuse_neighbours(sequence: nn.Sequential) -> None:
    """Fuse each convolution of a sequence with the following ReLU."""
    steps = [name for name, step in sequence.named_children() if not isinstance(step, nn.Identity)]
    for at, name in enumerate(steps):
        convolution = sequence.get_submodule(name)
        if not _fusible(convolution):
            continue
        after = steps[at + 1] if at + 1 < len(steps) else None
        relu = after is not None and isinstance(sequence.get_submodule(after), nn.ReLU)
        setattr(sequence, name, FusedConvolution(convolution, relu))
        if after is not None and relu:
            setattr(sequence, after, nn.Identity())


def _fused_block(block: nn.Module) -> nn.Module:
    """Return a fused block with the same outputs, or the block itself if fx can't trace it."""
    try:
        traced = fx.GraphModule(block, _Tracer().trace(block), type(block).__name__)
    except (fx.proxy.TraceError, TypeError, RuntimeError):
        return block
    modules = dict(traced.named_modules())
    for node in traced.graph.nodes:
        if node.op == "call_module" and isinstance(modules[str(node.target)], nn.Identity):
            node.replace_all_uses_with(node.args[0])
    traced.graph.eliminate_dead_code()
    for node in list(traced.graph.nodes):
        if node.op != "call_module":
            continue
        convolution = modules[str(node.target)]
        if _fusible(convolution):
            _absorb_users(traced, node, convolution, modules)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    return traced


def _absorb_users(
    traced: fx.GraphModule, node: fx.Node, convolution: nn.Conv2d, modules: dict[str, nn.Module]
) -> None:
    last, added = node, None
    user = _only_user(last)
    if user is not None and _adds(user):
        (added,) = (term for term in user.args if term is not node)
        last, user = user, _only_user(user)
    relu = user is not None and _is_relu(user, modules)
    if user is not None and relu:
        last = user
    name = str(node.target).replace(".", "_") + "_fused"
    traced.add_submodule(name, FusedConvolution(convolution, relu))
    with traced.graph.inserting_before(last):
        inputs = (node.args[0],) if added is None else (node.args[0], added)
        fused_node = traced.graph.call_module(name, inputs)
    last.replace_all_uses_with(fused_node)


def _only_user(node: fx.Node) -> fx.Node | None:
    return next(iter(node.users)) if len(node.users) == 1 else None


def _adds(node: fx.Node) -> bool:
    return (
        node.op == "call_function"
        and node.target in ADDITIONS
        and len(set(node.args)) == 2
        and all(isinstance(term, fx.Node) for term in node.args)
        and not node.kwargs
    )


def _is_relu(node: fx.Node, modules: dict[str, nn.Module]) -> bool:
    if node.op == "call_module":
        return isinstance(modules[str(node.target)], nn.ReLU)
    return node.op == "call_function" and node.target in RELU_FUNCTIONS


def _fusible(module: nn.Module) -> TypeGuard[nn.Conv2d]:
    return (
        type(module) is nn.Conv2d
        and module.padding_mode == "zeros"
        and isinstance(module.padding, tuple)
    )
