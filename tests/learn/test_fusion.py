"""Fused convolutions: the same network, in fewer kernels."""

from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from importlib.metadata import version

import pytest
import torch
from torch import nn

from galaxymorph.learn import build_model, make_recipe
from galaxymorph.learn.acceleration.fusion import FusedConvolution, fused

TORCHVISION = tuple(int(part) for part in version("torchvision").split(".")[:2])


def convolutions(trunk: nn.Module) -> int:
    return sum(type(module) is FusedConvolution for module in trunk.modules())


class Block(nn.Module):
    """A shortcut that what follows needs again, and an input that must stay as it is."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(4, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)

    def forward(self, x):
        inner = self.one(x)
        added = torch.relu(x + self.two(inner))
        return added + inner + x


class Asks(Block):
    """One whose code depends on what it gets."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("arch", "at_least"),
    [
        ("resnet18", 20),
        ("resnet26d", 25),
        ("tf_efficientnet_lite0", 30),
        # Of torchvision 0.23 fx can't follow it, and all but its stem stays as it is.
        ("densenet121", 100 if TORCHVISION >= (0, 29) else 1),
    ],
)
def test_a_fused_network_says_the_same(arch, at_least):
    torch.manual_seed(0)
    trunk = build_model(make_recipe("baseline", {"arch": arch, "weights": "none"}), 3).eval()[0]
    batch = torch.rand(3, 3, 64, 64).contiguous(memory_format=torch.channels_last)
    with torch.inference_mode():
        expected = trunk(batch)
        found = fused(trunk, torch.float32, 64)
        assert convolutions(found) >= at_least
        assert torch.allclose(found(batch), expected, atol=1e-4 * expected.abs().max())


@pytest.mark.parametrize(("block", "count"), [(Block, 2), (Asks, 0)])
def test_a_block_is_fused_where_its_code_can_be_followed(block, count):
    torch.manual_seed(0)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 1, padding_mode="circular"), block()).eval()
    batch = torch.rand(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    kept = batch.clone()
    with torch.inference_mode():
        expected = trunk(batch)
        found = fused(trunk, torch.float32, 8)
        assert convolutions(found) == count
        assert torch.allclose(found(batch), expected, atol=1e-6)
    assert torch.equal(batch, kept)


def test_without_onednn_a_network_stays_as_it_is(monkeypatch):
    monkeypatch.delattr(torch._C._nn, "mkldnn_reorder_conv2d_weight")
    stays_as_it_is()


@pytest.mark.parametrize("error", [AttributeError, TypeError, RuntimeError])
def test_where_the_kernel_has_changed_a_network_stays_as_it_is(monkeypatch, error):
    def changed(*_):
        raise error("of another version")

    monkeypatch.setattr("galaxymorph.learn.acceleration.fusion._convolve", changed)
    stays_as_it_is()


def stays_as_it_is():
    trunk = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()).eval()
    found = fused(trunk, torch.bfloat16, 8)
    assert convolutions(found) == 0
    assert next(found.parameters()).dtype == torch.bfloat16


def test_a_network_answers_while_other_threads_fuse_theirs():
    """PyTorch's tracer takes the calls of all modules in the process."""
    torch.manual_seed(0)
    recipe = make_recipe("baseline", {"arch": "resnet18", "weights": "none"})
    trunk, batch = build_model(recipe, 3).eval()[0], torch.rand(1, 3, 32, 32)
    copies = [deepcopy(trunk) for _ in range(4)]
    with torch.inference_mode():
        expected = trunk(batch)
        with ThreadPoolExecutor(2) as pool:
            fusing = [pool.submit(fused, copy, torch.float32, 32) for copy in copies]
            while not all(each.done() for each in fusing):
                assert torch.equal(trunk(batch), expected)
    assert all(convolutions(each.result()) >= 20 for each in fusing)
