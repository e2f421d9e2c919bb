import subprocess
import sys
from pathlib import Path

import pytest
import torch
from fastai.torch_core import default_device

from galaxymorph.base import BadInput
from galaxymorph.learn import build_model, make_recipe
from galaxymorph.learn.acceleration import hardware
from galaxymorph.learn.acceleration.hardware import (
    CPUAutocast,
    memory_format,
    precision_callbacks,
    resolve_precision,
)
from galaxymorph.learn.backbones.initial_weights import LITE0
from tests.conftest import galaxymorph

ROOT = Path(__file__).parents[2]

on_cpu = pytest.mark.skipif(default_device().type != "cpu", reason="says what a CPU gets")


def model(arch: str):
    return build_model(make_recipe("baseline", {"arch": arch, "weights": "none"}), 3)


@pytest.mark.parametrize(
    ("device", "arch", "expected"),
    [
        ("cpu", "resnet18", torch.channels_last),
        ("cpu", LITE0, torch.channels_last),
        ("cuda", "resnet18", torch.channels_last),
        ("cuda", LITE0, torch.contiguous_format),
    ],
)
def test_depthwise_convolutions_stay_in_the_default_format_on_a_gpu(
    monkeypatch, device, arch, expected
):
    monkeypatch.setattr(hardware, "default_device", lambda: torch.device(device))
    assert memory_format(model(arch)) == expected


@on_cpu
@pytest.mark.parametrize(
    ("able", "arch", "expected"),
    [
        ({"avx512_bf16": True}, "resnet18", "bf16"),
        ({"amx_bf16": True}, "resnet18", "bf16"),
        ({}, "resnet18", "fp32"),
        ({"avx512_bf16": True}, LITE0, "fp32"),
    ],
)
def test_auto_takes_bf16_where_processor_and_network_gain(monkeypatch, able, arch, expected):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: able, raising=False)
    assert resolve_precision("auto", model(arch)) == expected
    assert resolve_precision("fp32", model(arch)) == "fp32"


@on_cpu
def test_fp16_on_a_cpu_is_refused():
    with pytest.raises(BadInput, match="precision='fp16' needs a GPU"):
        resolve_precision("fp16", torch.nn.Linear(1, 1))


@on_cpu
def test_bf16_runs_convolutions_in_bfloat16_and_the_loss_in_float32():
    seen = {}

    class Watched(torch.nn.Conv2d):
        def forward(self, x):
            result = super().forward(x)
            seen["conv"] = result.dtype
            return result

    from fastai.data.core import DataLoaders
    from fastai.learner import Learner

    net = torch.nn.Sequential(
        Watched(1, 2, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(2, 2)
    )
    data = [(torch.randn(1, 8, 8), torch.tensor(n % 2)) for n in range(8)]
    loaders = DataLoaders(
        torch.utils.data.DataLoader(data, 4), torch.utils.data.DataLoader(data, 4)
    )

    def loss(predicted, target):
        seen["loss"] = predicted.dtype
        return torch.nn.functional.cross_entropy(predicted, target)

    learn = Learner(loaders, net, loss_func=loss, cbs=precision_callbacks("bf16"))
    with learn.no_bar(), learn.no_logging():
        learn.fit(1)
    assert isinstance(precision_callbacks("bf16")[0], CPUAutocast)
    assert seen == {"conv": torch.bfloat16, "loss": torch.float32}
    assert not torch.is_autocast_enabled("cpu")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(run, capsys):
    assert galaxymorph("predict", run, "x.jpg", "--device", "cuda") == 2
    assert "--device cuda: PyTorch finds no GPU" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
def test_kept_memory_does_not_pile_up():
    script = (
        "import gc, torch\n"
        "from galaxymorph.learn.acceleration import kept_memory\n"
        "from galaxymorph.learn.acceleration.kept_memory import KEPT, keep_freed_memory\n"
        "from galaxymorph.base.process import own_process\n"
        "own_process()\n"
        "resident_bytes = kept_memory.resident_bytes\n"
        "keep_freed_memory()\n"
        "gc.disable()\n"
        "KEPT.room, KEPT.stride = 64 * 2**20, 2\n"
        "start = most = resident_bytes()\n"
        "for _ in range(100):\n"
        "    circle = [torch.ones(2**21)]\n"
        "    circle.append(circle)\n"
        "    KEPT.settle()\n"
        "    most = max(most, resident_bytes())\n"
        "print((most - start) // 2**20)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT)
    # 800 MiB of circles went by.
    assert int(done.stdout) < 150, done.stderr
