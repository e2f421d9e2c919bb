"""The files of a trained model: fastai's export, and weights without code."""

from __future__ import annotations

import json
from pathlib import Path

from fastai.learner import Learner
from fastai.torch_core import default_device
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import nn

from galaxymorph import __version__
from galaxymorph.base import Damaged, reading, replacing, write_json
from galaxymorph.learn.acceleration.imports import without_compiler
from galaxymorph.learn.backbones.architectures import build_model, pixel_stats
from galaxymorph.learn.backbones.initial_weights import plain_names
from galaxymorph.learn.description import describe_model
from galaxymorph.learn.recipe import recipe_to_dict
from galaxymorph.learn.run_files import DESCRIPTION, WEIGHTS
from galaxymorph.learn.runs import Run


def export_learner(learn: Learner, path: Path) -> None:
    """Write `learn.export()`, whole or not at all."""
    with replacing(path) as temporary, without_compiler():
        # fastai joins the path to the learner's, which leaves an absolute one unchanged.
        learn.export(temporary.resolve())


def load_network(run: Run) -> nn.Module:
    """Return a trained member's network, from its safetensors, on the device in use."""
    run.require_model()
    model = build_model(run.recipe, len(run.outputs))
    path = run.path / WEIGHTS
    with reading(path):
        try:
            model.load_state_dict(load_file(path))
        except (SafetensorError, RuntimeError) as error:
            raise Damaged(error) from error
    return model.to(default_device()).eval()


def write_backbone(run: Run, path: Path) -> None:
    """Write a trained run's trunk for `--weights`: safetensors in half precision.

    Tensors have torchvision's or timm's names; the file's metadata describes the training.

    Args:
        run: not cross-validated.
        path: of the file.
    """
    state = plain_names(load_network(run).get_submodule("0"), run.recipe)
    halves = {
        name: value.half().contiguous() if value.is_floating_point() else value
        for name, value in state.items()
    }
    metadata = {
        "made_by": f"galaxymorph {__version__}",
        "arch": run.recipe.arch,
        "recipe": recipe_to_dict(run.recipe),
        "galaxies": len(run.split),
        "fingerprint": run.data["fingerprint"],
    }
    with replacing(path) as temporary:
        # One entry: the library writes several in random order.
        save_file(halves, temporary, {"galaxymorph": json.dumps(metadata)})


def write_weights(model: nn.Module, run: Run) -> None:
    """Write `model.safetensors` and `model.json`, which describes its inputs and outputs."""
    with replacing(run.path / WEIGHTS) as temporary:
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, temporary
        )
    write_json(run.path / DESCRIPTION, describe(run))


def describe(run: Run) -> dict[str, object]:
    """Return the description of a run's model, see `describe_model`."""
    return describe_model(run.recipe, run.classes, run.outputs, pixel_stats(run.recipe))
