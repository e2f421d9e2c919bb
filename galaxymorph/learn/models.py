"""A trained model as files: fastai's export, and weights that no code travels with."""

from __future__ import annotations

from pathlib import Path

from fastai.learner import Learner
from fastai.torch_core import default_device
from safetensors.torch import load_file, save_file
from torch import nn

from galaxymorph.base import replacing, write_json
from galaxymorph.learn.backbones import build_model, pixel_stats
from galaxymorph.learn.outputs import loss_name
from galaxymorph.learn.runs import Run

FORMAT = 1


def export_learner(learn: Learner, path: Path) -> None:
    """Write `learn.export()`, whole or not at all."""
    with replacing(path) as temporary:
        # fastai joins it to the learner's own path, and an absolute one stays what it is.
        learn.export(temporary.resolve())


def load_network(run: Run) -> nn.Module:
    """Return a trained member's network, from its safetensors, on the device in use."""
    model = build_model(run.recipe, len(run.outputs))
    model.load_state_dict(load_file(run.path / "model.safetensors"))
    return model.to(default_device()).eval()


def write_weights(model: nn.Module, run: Run) -> None:
    """Write `model.safetensors`, and `model.json`: what its inputs and outputs mean."""
    recipe = run.recipe
    mean, std = pixel_stats(recipe.arch)
    with replacing(run.path / "model.safetensors") as temporary:
        save_file(
            {name: value.contiguous() for name, value in model.state_dict().items()}, temporary
        )
    write_json(
        run.path / "model.json",
        {
            "format": FORMAT,
            "arch": recipe.arch,
            "head": recipe.head,
            "target": recipe.target,
            "loss": loss_name(recipe),
            "classes": run.classes,
            "outputs": run.outputs,
            "scheme": recipe.scheme if recipe.labels_column is None else None,
            "size": recipe.size,
            "crop": recipe.crop,
            "mean": mean,
            "std": std,
            "views": recipe.views,
        },
    )
