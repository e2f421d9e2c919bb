"""Models as safetensors, of a run or exported: weights and a description, without code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from fastai.torch_core import default_device
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from galaxymorph.base import BadInput, Damaged, parse_json, read_json, reading, replacing
from galaxymorph.judge import (
    OutlierReference,
    describe_calibrators,
    describe_schemes,
    described_calibrators,
    described_schemes,
    outlier_reference,
)
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
    run_files,
    serving_network,
)
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

# In a file of several networks, each one's tensors are called by its number and this.
NETWORK = "network{}."
# Embeddings of training galaxies, and distances of validation galaxies from them.
KNOWN, USUAL = "reference.embeddings", "reference.distances"
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
    description = describe(run) | {"networks": len(run.members)}
    description |= describe_calibrators(run) | describe_schemes(run)
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
    description, state = _read(path)
    recipe = described_recipe(description, str(path))
    number = description.get("networks")
    prefixes = [""] if number is None else [NETWORK.format(index) for index in range(number)]
    networks = [
        _network(recipe, len(description["outputs"]), _with_prefix(state, prefix), path)
        for prefix in prefixes
    ]
    return TorchPredictor(
        models=[serving_network(network, recipe, precision) for network in networks],
        recipe=recipe,
        classes=list(description["classes"]),
        mean_and_square=make_link(recipe).mean_and_square,
        calibrators=described_calibrators(description, str(path)),
        schemes=described_schemes(description, len(description["outputs"]), str(path)),
        reference=_reference(state, path),
    )


def load_file_network(path: Path) -> tuple[nn.Module, Recipe, list[str]]:
    """Return the first network of a file as it was trained, its recipe and its classes.

    Raises:
        BadInput: as `load_safetensors`, or the file is of another format.
    """
    description, state = _read(path)
    recipe = described_recipe(description, str(path))
    prefix = "" if description.get("networks") is None else NETWORK.format(0)
    network = _network(recipe, len(description["outputs"]), _with_prefix(state, prefix), path)
    return network, recipe, list(description["classes"])


def _reference(state: Mapping[str, torch.Tensor], path: Path) -> OutlierReference | None:
    if KNOWN not in state:
        return None
    with reading(path, "export it again"):
        if USUAL not in state or state[KNOWN].ndim != 2 or state[USUAL].ndim != 1:
            raise Damaged("its embeddings have another shape")
    return OutlierReference(state[KNOWN].float().numpy(), state[USUAL].numpy())


def _with_prefix(state: Mapping[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    return {
        name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)
    }


def _read(path: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            metadata = (file.metadata() or {}).get(METADATA)
        state = load_file(path)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: not readable as safetensors ({error})", "copy it again") from error
    if metadata is not None:
        with reading(path, "copy it again"):
            return parse_json(metadata), state
    beside = path.with_name(run_files.DESCRIPTION)
    if not beside.exists():
        raise BadInput(
            f"{path}: no {run_files.DESCRIPTION} beside it",
            f"copy the run's {run_files.DESCRIPTION} too",
        )
    return read_json(beside, "copy it again"), state


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
