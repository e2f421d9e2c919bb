"""A run's networks in int8 for ONNX Runtime, and what that costs in macro-F1 or RMSE."""

from __future__ import annotations

import contextlib
import io
import logging
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import f1_score
from torch import nn

from galaxymorph.base import replacing, say
from galaxymorph.judge import square_errors
from galaxymorph.learn import (
    Run,
    fold_batchnorm,
    image_loader,
    images_of_batch,
    load_network,
    predicted_columns,
    target_of,
    true_columns,
    with_images,
)
from galaxymorph.predict.predictors.onnx_predictor import QUANTIZED, library, load_onnx_predictor

# Galaxies that the ranges of activations are measured on.
CALIBRATION = 256


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
    for name in ("onnx", "onnxscript", "onnxruntime"):
        library(name)
    before, paths, tables = run.predictions("test"), [], []
    for member in run.members:
        split = with_images(member.split, data)
        path = member.path / QUANTIZED
        train = split.loc[split["split"] == "train", "image"]
        shown = train.sample(min(CALIBRATION, len(train)), random_state=run.recipe.seed)
        say(f"{member.path}: measuring the ranges on {len(shown)} training galaxies")
        _write(load_network(member), member, image_loader(list(shown), run.recipe), path)
        paths.append(path)
    for each in run.splits:
        split = with_images(each.split, data)
        test = split[split["split"] == "test"].reset_index(drop=True)
        predictions = load_onnx_predictor(each).predict(list(test["image"]))
        known = ["label", *true_columns(run.recipe, run.classes)]
        tables.append(predictions.join(test[known]))
    after = pd.concat(tables)
    words, score = SCORES[target_of(run.recipe).chooses]
    return Quantization(paths, len(after), words, score(before, run), score(after, run))


def _macro_f1(table: pd.DataFrame, run: Run) -> float:
    true, predicted = table["label"], table["predicted"]
    return f1_score(true, predicted, average="macro", labels=run.classes, zero_division=0)


def _rmse(table: pd.DataFrame, run: Run) -> float:
    true, predicted = (
        table[columns(run.recipe, run.classes)].to_numpy(float)
        for columns in (true_columns, predicted_columns)
    )
    tree = target_of(run.recipe).tree
    return float(np.sqrt(square_errors(tree, true, predicted).mean()))


# By whether the largest output says which class a galaxy has.
SCORES = {True: ("macro-F1", _macro_f1), False: ("RMSE", _rmse)}


def _write(model: nn.Module, run: Run, batches, path: Path) -> None:
    with tempfile.TemporaryDirectory() as folder, replacing(path) as temporary:
        plain = Path(folder) / "plain.onnx"
        write_onnx(fold_batchnorm(model.cpu(), run.recipe.size), run.recipe.size, plain)
        quantize_file(plain, batches, temporary)


def write_onnx(network: nn.Module, size: int, path: Path) -> None:
    """Write a network as ONNX: `images`, float32 of shape (n, 3, size, size), to `logits`."""
    with quiet_export():
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


def quantize_file(plain: Path, batches, path: Path) -> None:
    """Write an ONNX file again with 8-bit weights and activations, but for its last layers.

    Args:
        plain: in float32.
        batches: the network's inputs, that the ranges of activations are measured on.
        path: of the new file.
    """
    from onnxruntime import quantization

    with tempfile.TemporaryDirectory() as folder, quiet_export():
        prepared = Path(folder) / "prepared.onnx"
        # Symbolic shapes are for transformers; some exporters' reshapes break what infers them.
        quantization.quant_pre_process(str(plain), str(prepared), skip_symbolic_shape=True)
        quantization.quantize_static(
            str(prepared),
            str(path),
            _Reader(batches),
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
    """What ONNX Runtime asks for its calibration: a batch of inputs at a time."""

    def __init__(self, batches):
        self.batches: Iterator = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        batch = next(self.batches, None)
        if batch is None:
            return None
        return {"images": images_of_batch(batch).cpu().float().numpy()}


@contextlib.contextmanager
def quiet_export() -> Iterator[None]:
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
