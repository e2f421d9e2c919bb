"""A run as one file that says all that predicting takes, without code: ONNX or safetensors."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput, replacing, say
from galaxymorph.judge import describe_calibrators
from galaxymorph.learn import Run, describe, fold_batchnorm, image_loader, load_network, with_images
from galaxymorph.predict.predictors.loading import load_predictor, model_id
from galaxymorph.predict.predictors.onnx_predictor import METADATA, library, load_onnx_file
from galaxymorph.predict.predictors.safetensors_predictor import write_portable
from galaxymorph.predict.quantization import CALIBRATION, quantize_file, write_onnx

# Test galaxies on which the loss of int8 is measured, at most.
MEASURED = 512


@dataclass(frozen=True)
class Export:
    """The file written and, in int8, what that changes: see `_loss`."""

    path: Path
    loss: dict[str, float] | None = None


class Networks(nn.Module):
    """Several networks side by side: logits of shape (networks, n, outputs)."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([network(images) for network in self.networks])


def export_run(
    run: Run, layout: str, path: Path, int8: bool = False, data: Path | None = None
) -> Export:
    """Write a trained run, all folds of it, as one file that `load_predictor` takes.

    Args:
        run: trained.
        layout: `onnx`, for ONNX Runtime, or `safetensors`, for PyTorch.
        path: of the file, ending accordingly.
        int8: of ONNX: with 8-bit weights and activations, as `quantize_run` has it; what that
            changes on test galaxies is measured, and written into the file.
        data: where the run's catalogue is now, if it has moved; for int8.

    Raises:
        BadInput: the run isn't finished, the path has another ending or no folder, an extra isn't
            installed, or for int8 the run's images aren't there.
    """
    run.require_trained()
    if path.suffix != f".{layout}" or not path.parent.is_dir() or path.is_dir():
        raise BadInput(
            f"-o {path}: not a .{layout} file in a folder that exists",
            f"give a name that ends in .{layout}",
        )
    if int8 and layout != "onnx":
        raise BadInput("--int8: only ONNX has it", "use --format onnx")
    if layout == "safetensors":
        write_portable(run, path)
        return Export(path)
    for name in ("onnx", "onnxscript", "onnxruntime"):
        library(name)
    networks = [
        fold_batchnorm(load_network(member).cpu(), run.recipe.size) for member in run.members
    ]
    about = describe(run) | {"run_id": model_id(run.path)} | describe_calibrators(run)
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        plain = Path(folder) / "plain.onnx"
        write_onnx(Networks(networks).eval(), run.recipe.size, plain)
        if not int8:
            _write_described(plain, about | {"number_format": "fp32"}, temporary)
            return Export(path)
        split = with_images(run.members[0].split, data)
        train, test = (split.loc[split["split"] == part, "image"] for part in ("train", "test"))
        shown = train.sample(min(CALIBRATION, len(train)), random_state=run.recipe.seed)
        say(f"measuring the ranges on {len(shown)} training galaxies")
        small = Path(folder) / "small.onnx"
        quantize_file(plain, image_loader(list(shown), run.recipe), small)
        about |= {"number_format": "int8"}
        _write_described(small, about, temporary)
        loss = _loss(run, temporary, list(test[:MEASURED]))
        _write_described(small, about | {"int8_loss": loss}, temporary)
    return Export(path, loss)


def _write_described(source: Path, about: dict[str, object], path: Path) -> None:
    import onnx

    model = onnx.load(str(source))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(about)})
    onnx.save(model, str(path))


def _loss(run: Run, path: Path, images: list[str]) -> dict[str, float]:
    """Return how far int8 moves an output, in the mean and at most, on some test galaxies."""
    exact = load_predictor(run.path, "fp32").outputs(images, lambda n: None)
    change = np.abs(load_onnx_file(path).outputs(images, lambda n: None) - exact)
    return {
        "galaxies": len(images),
        "mean_change": round(float(change.mean()), 6),
        "largest_change": round(float(change.max()), 6),
    }
