"""Networks as ONNX files, in float32 or in int8, and what int8 changes."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import replacing, say
from galaxymorph.judge import METRICS, Predictions, describe_calibrators, headline_of
from galaxymorph.learn import (
    Run,
    describe,
    fold_batchnorm,
    image_loader,
    images_of_batch,
    load_network,
    target_of,
    true_columns,
    with_images,
    with_targets,
)
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.predictors.loading import load_predictor, model_id
from galaxymorph.predict.predictors.onnx_predictor import library, load_onnx_file, load_quantized
from galaxymorph.predict.run_files import QUANTIZED
from galaxymorph.zoo.columns import TEST, TRAIN

# Galaxies that the ranges of activations are measured on, and test galaxies at most on which the
# change by int8 is.
RANGES, MEASURED = 256, 512


class Networks(nn.Module):
    """Several networks side by side: logits of shape (networks, n, outputs)."""

    def __init__(self, networks: list[nn.Module]):
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return torch.stack([network(images) for network in self.networks])


def write_onnx_file(
    run: Run, path: Path, number_format: str, data: Path | None
) -> dict[str, float] | None:
    """Write a run's networks and their description into one `.onnx` file.

    Args:
        run: trained.
        path: of the file.
        number_format: fp32 or int8.
        data: where the run's catalogue is now, if it has moved; for int8.

    Returns:
        None, or of int8 the mean and the largest change of an output over `galaxies` of the test
        part, which is written into the file too.

    Raises:
        BadInput: the extra isn't installed, or for int8 the run's images aren't there.
    """
    _require_libraries()
    size = run.recipe.size
    networks = [fold_batchnorm(load_network(member).cpu(), size) for member in run.members]
    network = Networks(networks).eval()
    description = describe(run) | {"run_id": model_id(run.path)} | describe_calibrators(run)
    description["number_format"] = number_format
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        bare = Path(folder) / "bare.onnx"
        if number_format == "fp32":
            _write_float32(network, size, bare)
            _write_described(bare, description, temporary)
            return None
        _write_int8(network, run.members[0], data, bare)
        _write_described(bare, description, temporary)
        change = _change(run, temporary, data)
        _write_described(bare, description | {"int8_loss": change}, temporary)
    return change


def _write_described(source: Path, description: Mapping[str, object], path: Path) -> None:
    import onnx

    model = onnx.load(str(source))
    onnx.helper.set_model_props(model, {METADATA: json.dumps(description)})
    onnx.save(model, str(path))


def _change(run: Run, path: Path, data: Path | None) -> dict[str, float]:
    """Return how far int8 changes an output, in the mean and at most, on some test galaxies."""
    images = _images(run.members[0], TEST, data)["image"].tolist()[:MEASURED]
    exact = load_predictor(run.path, "fp32").outputs(images)
    change = np.abs(load_onnx_file(path).outputs(images) - exact)
    return {
        "galaxies": len(images),
        "mean_change": round(float(change.mean()), 6),
        "largest_change": round(float(change.max()), 6),
    }


@dataclass(frozen=True)
class Quantization:
    """The files written, and a score on the test part before and after, with the galaxies."""

    paths: list[Path]
    galaxies: int
    score: str
    before: float
    after: float


def quantize_run(run: Run, data: Path | None = None) -> Quantization:
    """Write `model.int8.onnx` beside each of a run's models, and measure it on the test part.

    Weights and activations are 8-bit (static quantization, a scale a channel; Jacob et al. 2018,
    arXiv:1712.05877), their ranges measured on training galaxies; the head stays in float32.

    Args:
        run: trained.
        data: where its catalogue is now, if it has moved.

    Raises:
        BadInput: the run isn't finished, its images aren't there, or the extra isn't installed.
    """
    run.require_trained()
    _require_libraries()
    before = run.predictions(TEST)
    paths = [member.path / QUANTIZED for member in run.members]
    for member, path in zip(run.members, paths, strict=True):
        network = fold_batchnorm(load_network(member).cpu(), run.recipe.size)
        with replacing(path) as temporary:
            _write_int8(network, member, data, temporary)
    after = pd.concat([_predicted(part, data) for part in run.splits])
    target = target_of(run.recipe)
    metric = METRICS["macro_f1" if target.chooses else headline_of(target)]
    scores = (metric.point(Predictions.of(run, table)) for table in (before, after))
    return Quantization(paths, len(after), metric.heading, *scores)


def _predicted(run: Run, data: Path | None) -> pd.DataFrame:
    """Return the test part's predictions in int8, with labels."""
    test = _images(run, TEST, data).reset_index(drop=True)
    predictions = load_quantized(run).predict(list(test["image"]))
    test = with_targets(run, test, data)
    return predictions.join(test[["label", *true_columns(run.recipe, run.classes)]])


def _images(run: Run, part: str, data: Path | None) -> pd.DataFrame:
    split = with_images(run.split, data)
    return split[split["split"] == part]


def _require_libraries() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        library(name)


def _write_float32(network: nn.Module, size: int, path: Path) -> None:
    """Write a network as ONNX: `images`, float32 of shape (n, 3, size, size), to `logits`."""
    with _quiet():
        torch.onnx.export(
            network,
            (torch.zeros(2, 3, size, size),),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _write_int8(network: nn.Module, run: Run, data: Path | None, path: Path) -> None:
    """Write a network as ONNX with 8-bit weights and activations, but for its last layers.

    The ranges of activations are measured on training galaxies of the run.
    """
    from onnxruntime import quantization

    train = _images(run, TRAIN, data)["image"]
    chosen = train.sample(min(RANGES, len(train)), random_state=run.recipe.seed)
    say(f"{run.path}: measuring the ranges on {len(chosen)} training galaxies")
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx"))
        _write_float32(network, run.recipe.size, plain)
        with _quiet():
            # Symbolic shapes are for transformers; some exporters' reshapes break what infers them.
            quantization.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
            quantization.quantize_static(
                str(prepared),
                str(path),
                _Reader(image_loader(list(chosen), run.recipe)),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=_head_nodes(prepared),
            )


def _head_nodes(path: Path) -> list[str]:
    """Return the names of the last layer's nodes: a handful of weights that decide everything."""
    import onnx

    nodes = onnx.load(str(path)).graph.node
    return [node.name for node in nodes if node.op_type in ("Gemm", "MatMul")]


class _Reader:
    """ONNX Runtime's interface for calibration: a batch of inputs at a time."""

    def __init__(self, batches: Iterable[object]):
        self.batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        if batch is None:
            return None
        return {"images": images_of_batch(batch).cpu().float().numpy()}


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silence the exporter and the quantizer."""
    # The exporter prints its steps, and the quantizer warns of a step that was done before it.
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)
