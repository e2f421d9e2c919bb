"""Networks of safetensors files in NumPy, as predictors of a few images without PyTorch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from galaxymorph.base import read_json
from galaxymorph.learn import (
    NumpyResNet,
    Recipe,
    Run,
    described_recipe,
    numpy_resnet,
    run_files,
    suits_numpy,
)
from galaxymorph.predict.predictors.array_predictor import ArrayPredictor, pixel_levels
from galaxymorph.predict.predictors.safetensors_files import (
    described_settings,
    read_description,
    read_file,
    states_of,
)

State = Mapping[str, Any]


def load_file_in_numpy(path: Path, precision: str | None, images: int) -> ArrayPredictor | None:
    """Load an exported file, or that of a run, for a few images.

    Returns:
        The predictor; None where PyTorch is as soon done, or for its loader to name the fault
        where tensors are missing.

    Raises:
        BadInput: the file or its description is missing or damaged.
    """
    description = read_description(path)
    recipe = described_recipe(description, str(path))
    if not suits_numpy(recipe, images * (description.get("networks") or 1), precision):
        return None
    _, state = read_file(path, "numpy")
    networks = _networks(states_of(state, description), recipe, len(description["outputs"]))
    if networks is None:
        return None
    mean, std = pixel_levels(description)
    return ArrayPredictor(
        networks=networks,
        mean=mean,
        std=std,
        kernel="exact",
        **described_settings(description, recipe, path),
    )


def load_run_in_numpy(run: Run, precision: str | None, images: int) -> ArrayPredictor | None:
    """Load a trained run for a few images, see `load_file_in_numpy`."""
    description = run.members[0].path / run_files.DESCRIPTION
    if (
        not suits_numpy(run.recipe, images * len(run.members), precision)
        or not description.exists()
    ):
        return None
    states = [read_file(member.path / run_files.WEIGHTS, "numpy")[1] for member in run.members]
    networks = _networks(states, run.recipe, len(run.outputs))
    if networks is None:
        return None
    mean, std = pixel_levels(read_json(description))
    return ArrayPredictor(
        networks=networks,
        recipe=run.recipe,
        classes=run.classes,
        mean=mean,
        std=std,
        kernel="exact",
    )


def _networks(states: Sequence[State], recipe: Recipe, outputs: int) -> list[NumpyResNet] | None:
    networks = [numpy_resnet(state, recipe.arch, outputs) for state in states]
    complete = [network for network in networks if network is not None]
    return complete if len(complete) == len(states) else None
