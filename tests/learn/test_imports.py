"""Imports that are put off: not made without need, and the same once they are."""

import subprocess
import sys

import pytest
import timm
from torchvision import models

from galaxymorph.learn.acceleration.imports import lean_imports
from galaxymorph.learn.backbones.names import require_architecture

MODULE = "json.tool"

FRESH = """
import sys
import galaxymorph.learn
galaxymorph.learn.serving_network, galaxymorph.learn.image_loader
late = ["torch._dynamo", "sklearn", "scipy.stats", "wandb", "timm"]
print([name for name in late if name in sys.modules])
from galaxymorph.learn.backbones.architectures import timm_config
from galaxymorph.learn.acceleration.imports import lean_imports, without_compiler
print(timm_config("test_resnet")["architecture"], "torch._dynamo" in sys.modules)
import torch
def trained():
    weight.sum().backward()
    optimizer.step()
    optimizer.zero_grad()
    optimizer.load_state_dict(optimizer.state_dict())
    print("torch._dynamo" in sys.modules, round(weight.item(), 3))
weight = torch.nn.Parameter(torch.ones(1))
with without_compiler():
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.0, fused=True)
    trained()
print("torch._dynamo" in sys.modules)
def is_compiled(x):
    return x + torch.compiler.is_compiling()
with lean_imports():
    left_out = torch.compiler.disable(is_compiled)
    also_left_out = torch.compiler.disable(recursive=False)(is_compiled)
print("torch._dynamo" in sys.modules, left_out.__name__, left_out(torch.zeros(1)).item())
for function in (is_compiled, left_out, also_left_out):
    compiled = torch.compile(lambda x: function(x) * 2, backend="eager")
    print(compiled(torch.ones(1)).item())
trained()
import fastai.metrics, timm, torchvision.ops
from fastai.data.transforms import TrainTestSplitter
print(sorted(map(len, TrainTestSplitter(0.25)([1, 2, 3, 4]))))
print(fastai.metrics.skm.f1_score([0, 1], [0, 1]))
print(round(fastai.metrics.scs.spearmanr([1, 2], [1, 2])[0], 6))
import sklearn.metrics, sklearn.model_selection._split, torch._dynamo.utils
print(timm.list_models("resnet18"), timm.models.create_model("resnet18", num_classes=2).num_classes)
"""


UNKNOWN = """
import sys
import galaxymorph as gm
try:
    gm.fit("nowhere", arch="resnet81")
except gm.BadInput as error:
    print(error)
print([name for name in ("torch", "timm") if name in sys.modules])
"""


def printed(code: str) -> list[str]:
    """Return the lines that code prints in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
    )
    return done.stdout.splitlines()


def test_a_network_is_ready_without_what_only_other_commands_need():
    late = ["[]", "test_resnet False", "True 0.9", "False"]
    compiled = ["False is_compiled 0.0", "4.0", "2.0", "2.0", "True 0.8"]
    assert printed(FRESH) == [*late, *compiled, "[1, 3]", "1.0", "1.0", "['resnet18'] 2"]


@pytest.fixture
def unloaded(monkeypatch):
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setattr("galaxymorph.learn.acceleration.imports.DEFERRED", {MODULE: "main"})


def test_a_module_is_loaded_when_something_of_it_is_used(unloaded):
    with lean_imports():
        import json.tool as tool

        assert callable(tool.main) and not hasattr(tool, "__file__")
        real = tool.argparse
        assert real.__name__ == "argparse" and sys.modules[MODULE] is not tool


def test_nothing_is_left_of_it_afterwards(unloaded):
    with lean_imports():
        assert MODULE in sys.modules
    assert MODULE not in sys.modules


def test_an_unknown_architecture_is_refused_without_its_libraries(monkeypatch):
    """Their names are read from their files, where every one is."""
    error, loaded = printed(UNKNOWN)
    assert error.startswith("arch='resnet81': unknown to torchvision and timm; did you mean resnet")
    assert loaded == "[]"
    names = [*timm.list_models(), *models.list_models(models), "resnet18.a1_in1k"]
    assert len(names) > 1000
    monkeypatch.delitem(sys.modules, "timm")
    for name in names:
        require_architecture(name)
