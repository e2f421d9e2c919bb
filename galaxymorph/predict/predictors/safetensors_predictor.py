"""Models as safetensors, of a run or on their own: weights and words, from which no code runs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import torch
from fastai.torch_core import default_device
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from galaxymorph.base import BadInput, parse_json, read_json, reading, replacing
from galaxymorph.judge import describe_calibrators, described_calibrators
from galaxymorph.learn import (
    Recipe,
    Run,
    build_model,
    describe,
    described_recipe,
    load_network,
    make_link,
    pixel_stats,
    serving_network,
)
from galaxymorph.predict.predictors.onnx_predictor import METADATA
from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

WEIGHTS, WORDS = "model.safetensors", "model.json"
# In a file of several networks, each one's tensors are called by its number and this.
NETWORK = "network{}."
# Of fastai's and our heads, for a description that doesn't tell: format 1.
DROPOUTS = (0.0, 0.5)


def write_portable(run: Run, path: Path) -> None:
    """Write all networks of a run and their description into one `.safetensors` file."""
    state = {
        NETWORK.format(number) + name: value.contiguous().cpu()
        for number, member in enumerate(run.members)
        for name, value in load_network(member).state_dict().items()
    }
    about = describe(run) | {"networks": len(run.members)} | describe_calibrators(run)
    with replacing(path) as temporary:
        save_file(state, temporary, {METADATA: json.dumps(about)})


def load_portable(path: Path, precision: str | None = None) -> TorchPredictor:
    """Load an exported `.safetensors` file, or a run's own with the `model.json` beside it.

    Raises:
        BadInput: the file or its description is missing or damaged, is of another format, or this
            version of a library builds another network.
    """
    about, state = _read(path)
    recipe = described_recipe(about, str(path))
    _require_known(about, recipe, path)
    groups = [
        {
            name.removeprefix(prefix): value
            for name, value in state.items()
            if name.startswith(prefix)
        }
        for prefix in (
            [NETWORK.format(number) for number in range(about["networks"])]
            if "networks" in about
            else [""]
        )
    ]
    models = [
        serving_network(_network(recipe, about, group, path), recipe, precision) for group in groups
    ]
    mending = described_calibrators(about, str(path))
    return TorchPredictor(
        models, recipe, list(about["classes"]), make_link(recipe).mean_and_square, mending
    )


def _read(path: Path) -> tuple[dict, dict[str, torch.Tensor]]:
    try:
        with safe_open(path, "pt") as file:
            own = (file.metadata() or {}).get(METADATA)
        state = load_file(path)
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file", "check the path") from None
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: not readable as safetensors ({error})", "copy it again") from error
    if own is not None:
        with reading(path, "copy it again"):
            return parse_json(own), state
    beside = path.with_name(WORDS)
    if not beside.exists():
        raise BadInput(f"{path}: no {WORDS} beside it", f"copy the run's {WORDS} too")
    return read_json(beside, "copy it again"), state


def _require_known(about: dict, recipe: Recipe, path: Path) -> None:
    """Raise BadInput where this version would take other pixels than the model learnt from."""
    stats = [list(values) for values in pixel_stats(recipe.arch)]
    if stats != [about["mean"], about["std"]]:
        raise BadInput(
            f"{path}: its pixels have mean and deviation {about['mean']} and {about['std']}, and "
            f"this version's {recipe.arch} {stats[0]} and {stats[1]}",
            "use the versions in the run's environment.json",
        )


def _network(recipe: Recipe, about: dict, state: dict[str, torch.Tensor], path: Path) -> nn.Module:
    for dropout in DROPOUTS if recipe.dropout is None else (recipe.dropout,):
        model = build_model(replace(recipe, dropout=dropout), len(about["outputs"]))
        wanted = model.state_dict()
        if wanted.keys() == state.keys() and all(
            wanted[name].shape == value.shape for name, value in state.items()
        ):
            model.load_state_dict(state)
            return model.to(default_device()).eval()
    odd = sorted(wanted.keys() ^ state.keys()) or ["their shapes"]
    raise BadInput(
        f"{path}: its weights don't fit {recipe.arch} as the torchvision, timm and fastai that are "
        f"installed build it ({odd[0]})",
        "use the versions in the run's environment.json",
    )
