"""Models as safetensors, of a run or exported: weights and a description, without code."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from fastai.torch_core import default_device
from safetensors.torch import save_file
from torch import nn

from galaxymorph.base import BadInput, replacing
from galaxymorph.judge import describe_calibration, outlier_reference
from galaxymorph.learn import (
    Recipe,
    Run,
    build_model,
    describe,
    described_recipe,
    load_network,
    make_link,
    pack_split,
    read_embeddings,
    serving_network,
)
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.safetensors_files import (
    KNOWN,
    NETWORK,
    USUAL,
    described_settings,
    read_file,
    states_of,
)
from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

# Of fastai's and our heads, for descriptions of format 1, which lack it.
DROPOUTS = (0.0, 0.5)


def write_safetensors(run: Run, path: Path, half: bool = False) -> None:
    """Write all networks of a run and what predicting takes into one `.safetensors` file.

    Args:
        run: trained.
        path: of the file.
        half: write the weights in half precision.
    """
    state = {
        NETWORK.format(number) + name: _stored(value, half)
        for number, member in enumerate(run.members)
        for name, value in load_network(member).state_dict().items()
    }
    if run.has_embeddings:
        known = read_embeddings(run.members[0])
        reference = outlier_reference(known.of("train"), known.of("valid"))
        state[KNOWN] = torch.from_numpy(reference.known).half()
        state[USUAL] = torch.from_numpy(reference.usual).float()
    if parts := load_split_parts(str(run.path)):
        packed = pack_split(parts.by_digest)
        state |= {name: torch.from_numpy(values) for name, values in packed.items()}
    description = describe(run) | {"networks": len(run.members)} | describe_calibration(run)
    with replacing(path) as temporary:
        save_file(state, temporary, {METADATA: json.dumps(description)})


def _stored(value: torch.Tensor, half: bool) -> torch.Tensor:
    value = value.contiguous().cpu()
    return value.half() if half and value.is_floating_point() else value


def load_safetensors(path: Path, precision: str | None = None) -> TorchPredictor:
    """Load an exported `.safetensors` file, or that of a run with the `model.json` beside it.

    Raises:
        BadInput: the file or its description is missing or damaged, is of another format, or this
            version of a library builds another network.
    """
    description, state = read_file(path, "pt")
    recipe = described_recipe(description, str(path))
    networks = [
        _network(recipe, len(description["outputs"]), part, path)
        for part in states_of(state, description)
    ]
    return TorchPredictor(
        models=[serving_network(network, recipe, precision) for network in networks],
        mean_and_square=make_link(recipe).mean_and_square,
        **described_settings(description, recipe, path),
    )


def load_file_network(path: Path) -> tuple[nn.Module, Recipe, list[str]]:
    """Return the first network of a file as it was trained, its recipe and its classes.

    Raises:
        BadInput: as `load_safetensors`, or the file is of another format.
    """
    description, state = read_file(path, "pt")
    recipe = described_recipe(description, str(path))
    first, *_ = states_of(state, description)
    network = _network(recipe, len(description["outputs"]), first, path)
    return network, recipe, list(description["classes"])


def _network(recipe: Recipe, outputs: int, state: dict[str, torch.Tensor], path: Path) -> nn.Module:
    """Return the recipe's network with the weights of `state`, on the device in use."""
    for dropout in DROPOUTS if recipe.dropout is None else (recipe.dropout,):
        model = build_model(replace(recipe, dropout=dropout), outputs)
        expected = model.state_dict()
        if expected.keys() == state.keys() and all(
            expected[name].shape == value.shape for name, value in state.items()
        ):
            model.load_state_dict(state)
            return model.to(default_device()).eval()
    odd = sorted(expected.keys() ^ state.keys()) or ["their shapes"]
    raise BadInput(
        f"{path}: its weights don't fit {recipe.arch} as the torchvision, timm and fastai that are "
        f"installed build it ({odd[0]})",
        "use the versions in the run's environment.json",
    )
