"""Networks as ONNX files, in float32 or int8, and the change of predictions by int8."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import import_extra, replacing, say, without_warnings
from galaxymorph.judge import METRICS, Predictions, describe_calibration, headline_of
from galaxymorph.learn import (
    Recipe,
    Run,
    describe,
    fold_batchnorm,
    image_loader,
    images_of_batch,
    load_network,
    prediction_table,
    target_of,
    true_columns,
    with_images,
    with_targets,
)
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.predictors.loading import load_predictor, model_id
from galaxymorph.predict.predictors.onnx_predictor import load_onnx_file
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


def write_float32(run: Run, path: Path) -> None:
    """Write a run's networks and their description into one `.onnx` file, in float32.

    Raises:
        BadInput: the extra isn't installed.
    """
    _require_libraries()
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        bare = Path(folder) / "bare.onnx"
        _write_network(_networks(run), run.recipe, bare)
        _write_described(bare, _description(run, "fp32"), temporary)


def write_int8(run: Run, path: Path, data: Path | None = None) -> str:
    """Write a run's networks and their description into one `.onnx` file, in int8.

    Weights and activations are 8-bit (static quantization, a scale a channel; Jacob et al. 2018,
    arXiv:1712.05877), their ranges measured on training galaxies; the head stays in float32.

    Args:
        run: trained.
        path: of the file.
        data: where the run's catalogue is now, if it has moved.

    Returns:
        Two lines: the mean and the largest change of an output on test galaxies, which is written
        into the file as `int8_loss`; and the score on the test part before and after.

    Raises:
        BadInput: the extra isn't installed, or the run's images aren't there.
    """
    _require_libraries()
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        bare = Path(folder) / "bare.onnx"
        _quantize(_networks(run), run.members[0], data, bare)
        description = _description(run, "int8")
        _write_described(bare, description, temporary)
        change = _change(run, temporary, data)
        _write_described(bare, description | {"int8_loss": change}, temporary)
        scores = _scores(run, temporary, data)
    return (
        f"int8 changes an output by {change['mean_change']:.4f} in the mean and by at most "
        f"{change['largest_change']:.4f} ({change['galaxies']:,} test galaxies)\n{scores}"
    )


def _networks(run: Run) -> Networks:
    networks = [
        fold_batchnorm(load_network(member).cpu(), run.recipe.size) for member in run.members
    ]
    return Networks(networks).eval()


def _description(run: Run, number_format: str) -> dict[str, Any]:
    identity = {"run_id": model_id(run.path), "number_format": number_format}
    return describe(run) | identity | describe_calibration(run)


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


def _scores(run: Run, path: Path, data: Path | None) -> str:
    """Return a line with the test part's score in full precision and in int8."""
    predictor, before, after = load_onnx_file(path), [], []
    for number, split in enumerate(run.splits):
        test = _images(split, TEST, data).reset_index(drop=True)
        outputs = predictor.outputs_of_each(list(test["image"]))
        # A fold's network has trained on the other folds' galaxies.
        mean = outputs[number] if run.folds else outputs.mean(axis=0)
        truth = with_targets(split, test, data)[["label", *true_columns(run.recipe, run.classes)]]
        before.append(split.predictions(TEST))
        after.append(prediction_table(mean, run.recipe, run.classes).join(truth))
    target = target_of(run.recipe)
    metric = METRICS["macro_f1" if target.chooses else headline_of(target)]
    tables = [pd.concat(before), pd.concat(after)]
    exact, small = (metric.point(Predictions.of(run, table)) for table in tables)
    galaxies = len(tables[1])
    return (
        f"test {metric.heading} of {galaxies:,} galaxies: {exact:.4f} before, {small:.4f} in int8"
    )


def _images(run: Run, part: str, data: Path | None) -> pd.DataFrame:
    split = with_images(run.split, data)
    return split[split["split"] == part]


def _require_libraries() -> None:
    for name in ("onnx", "onnxscript", "onnxruntime"):
        import_extra(name, "onnx", "export to ONNX")


def _write_network(network: nn.Module, recipe: Recipe, path: Path) -> None:
    """Write a network as ONNX: `images`, float32, (n, channels, size, size), to `logits`."""
    with _quiet():
        torch.onnx.export(
            network,
            (torch.zeros(2, recipe.image_channels, recipe.size, recipe.size),),
            path,
            input_names=["images"],
            output_names=["logits"],
            dynamic_shapes=({0: torch.export.Dim("n")},),
            dynamo=True,
            external_data=False,
            verbose=False,
        )


def _quantize(network: nn.Module, run: Run, data: Path | None, path: Path) -> None:
    """Write a network as ONNX with 8-bit weights and activations, but for its last layers.

    The ranges of activations are measured on training galaxies of the run.
    """
    from onnxruntime import quantization

    train = _images(run, TRAIN, data)["image"]
    chosen = train.sample(min(RANGES, len(train)), random_state=run.recipe.seed)
    say(f"{run.path}: measuring quantisation ranges on {len(chosen)} training galaxies")
    with tempfile.TemporaryDirectory() as folder:
        plain, prepared = (Path(folder) / name for name in ("plain.onnx", "prepared.onnx"))
        _write_network(network, run.recipe, plain)
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
    """Return the names of the last layer's nodes, and of those that stack several networks' logits.

    Its few weights decide everything.
    """
    import onnx

    names: list[str] = []
    outputs: set[str] = set()
    for node in onnx.load(str(path)).graph.node:
        stacks = node.op_type in ("Unsqueeze", "Concat") and not outputs.isdisjoint(node.input)
        if stacks or node.op_type in ("Gemm", "MatMul"):
            names.append(node.name)
            outputs.update(node.output)
    return names


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
        with without_warnings(), contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.disable(level)
