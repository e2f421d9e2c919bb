"""Gradients as a matrix product: those that PyTorch computes."""

import pytest
import torch
from torch import nn

from galaxymorph.learn.acceleration.gradients import Convolution, fast_weight_gradients


@pytest.mark.parametrize(
    ("side", "kernel", "stride", "padding"),
    [(9, 3, 1, 1), (9, 3, 2, 1), (8, 3, 2, 1), (8, 1, 2, 0), (7, 5, 3, 2), (5, 1, 1, 0)],
)
def test_gradients_are_those_of_autograd(side, kernel, stride, padding):
    torch.manual_seed(0)
    x = torch.randn(2, 3, side, side, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(4, 3, kernel, kernel, dtype=torch.float64, requires_grad=True)
    x_last = x.contiguous(memory_format=torch.channels_last)
    ours = Convolution.apply(x_last, weight, stride, padding)
    plain = nn.functional.conv2d(x, weight, None, stride, padding)
    assert torch.allclose(ours, plain)
    towards = torch.randn_like(plain)
    for one, other in zip(
        torch.autograd.grad(ours, [x, weight], towards),
        torch.autograd.grad(plain, [x, weight], towards),
        strict=True,
    ):
        assert torch.allclose(one, other)


def test_only_convolutions_that_learn_and_fit_are_changed_and_only_within_the_block():
    frozen = nn.Conv2d(3, 4, 3).requires_grad_(False)
    net = nn.Sequential(
        frozen,
        nn.Conv2d(4, 4, 3, padding=1, bias=False),
        nn.Conv2d(4, 4, 3, groups=2, bias=False),
        nn.Conv2d(4, 4, (3, 1), padding=(1, 0), bias=False),
        nn.Conv2d(4, 4, 3, padding="same", bias=False),
    ).to(memory_format=torch.channels_last)
    with fast_weight_gradients(net):
        changed = ["forward" in module.__dict__ for module in net]
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            assert net(torch.rand(1, 3, 9, 9)).dtype == torch.bfloat16
    assert changed == [False, True, False, False, False]
    assert not any("forward" in module.__dict__ for module in net)
