"""The network in NumPy computes what PyTorch does, and refuses what it doesn't know."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from galaxymorph.learn import Recipe, build_model, embed, numpy_resnet, suits_numpy
from galaxymorph.learn.acceleration.numpy_resnet import BLOCKS

RECIPE = Recipe(arch="resnet18", dropout=0.0, size=64, views=1, precision="fp32")
OUTPUTS = 5


def trained_looking(recipe):
    """Return a network whose BatchNorm has statistics as after training."""
    torch.manual_seed(1)
    model = build_model(recipe, OUTPUTS).eval()
    for name, values in model.state_dict().items():
        if "running_mean" in name or name.endswith("bias"):
            values.normal_(0, 0.2)
        elif "running_var" in name:
            values.uniform_(0.5, 2)
    return model


def state_of(model):
    return {name: values.numpy() for name, values in model.state_dict().items()}


@pytest.mark.parametrize("arch", list(BLOCKS))
@pytest.mark.parametrize("dropout", [0.0, 0.5])
@pytest.mark.parametrize("side", [32, 65, 96])
def test_logits_and_embeddings_are_those_of_pytorch(arch, dropout, side):
    model = trained_looking(replace(RECIPE, arch=arch, dropout=dropout))
    images = torch.randn(3, 3, side, side)
    vectors, logits = embed(model, [images])
    network, heard = numpy_resnet(state_of(model), arch, OUTPUTS), []
    network.listeners.append(lambda *both: heard.append(both))
    assert np.allclose(network(images.numpy()), logits, atol=1e-4, rtol=1e-4)
    assert np.allclose(heard[0][0], vectors, atol=1e-4, rtol=1e-4)
    assert np.allclose(heard[0][1], logits, atol=1e-4, rtol=1e-4)


def test_weights_in_half_precision_are_read_as_pytorch_reads_them():
    model = trained_looking(RECIPE)
    halves = {name: values.half() for name, values in model.state_dict().items()}
    images = torch.randn(2, 3, 64, 64)
    network = numpy_resnet({n: v.numpy() for n, v in halves.items()}, "resnet18", OUTPUTS)
    model.load_state_dict(halves)
    with torch.inference_mode():
        assert np.allclose(network(images.numpy()), model(images), atol=1e-4, rtol=1e-4)


def without(state, name):
    return {key: values for key, values in state.items() if key != name}


@pytest.mark.parametrize(
    "change",
    [
        lambda state: without(state, "0.4.0.bn1.weight"),
        lambda state: without(state, "0.7.0.downsample.0.weight"),
        lambda state: without(state, "1.2.bias"),
        lambda state: state | {"0.8.weight": np.zeros(3)},
        lambda state: state | {"0.5.0.conv1.weight": np.zeros((128, 64, 1, 1), np.float32)},
        lambda state: {},
    ],
)
def test_other_tensors_are_left_to_the_loader_that_names_the_fault(change):
    state = state_of(trained_looking(RECIPE))
    assert numpy_resnet(state, "resnet18", OUTPUTS) is not None
    assert numpy_resnet(change(state), "resnet18", OUTPUTS) is None
    assert numpy_resnet(state, "resnet34", OUTPUTS) is None
    assert numpy_resnet(state, "resnet18", OUTPUTS + 1) is None


@pytest.mark.parametrize(
    ("settings", "images", "suits"),
    [
        ({}, 1, True),
        ({"size": 224, "views": 8}, 2, True),
        ({"size": 224, "views": 8}, 3, False),
        ({"size": 32}, 1000, True),
        ({"size": 32}, 1100, False),
        ({"arch": "resnet34"}, 1, True),
        ({"arch": "resnet50"}, 1, False),
        ({"head": "fastai"}, 1, False),
        ({"precision": "bf16"}, 1, False),
        ({"precision": "fp16"}, 1, False),
        ({"pipeline": "plain"}, 1, False),
        ({"channels": 1}, 1, False),
        ({"model_args": '{"in_chans": 3}'}, 1, False),
    ],
)
def test_it_is_for_few_images_of_networks_that_it_knows(settings, images, suits):
    assert suits_numpy(replace(RECIPE, **settings), images) == suits
