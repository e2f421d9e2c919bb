"""A run's networks in ONNX Runtime as a predictor that needs neither PyTorch nor fastai."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Progress, map_ahead
from galaxymorph.images import centre_frame, decode
from galaxymorph.judge import Calibrator, calibrated_mean
from galaxymorph.learn import CONCENTRATIONS, Recipe, Run, item_frame, loss_entry, target_of
from galaxymorph.predict.images import image_table
from galaxymorph.zoo import Tree, to_conditional, to_cumulative

QUANTIZED = "model.int8.onnx"
# Outputs of early layers for this many images stay in the processor's cache.
CHUNK = 16
OPENVINO = "OpenVINOExecutionProvider"


@dataclass(frozen=True)
class OnnxPredictor:
    """The networks of a run, one or a fold each, with what their inputs and outputs mean."""

    sessions: list
    recipe: Recipe
    classes: list[str]
    mean: np.ndarray
    std: np.ndarray
    calibrators: list[Calibrator] | None = None

    def predict(
        self,
        images: Sequence[str],
        sets: Callable[[np.ndarray], Sequence[str]] | None = None,
    ) -> pd.DataFrame:
        """Return what `Predictor.predict` does, but for rounding.

        Raises:
            BadInput: an image can't be used.
        """
        with Progress("predicting", len(images), "images") as progress:
            each = self.each_output(images, progress.advance)
        found = calibrated_mean(each, self.calibrators)
        table = image_table(images, found, self.recipe, self.classes)
        return table.assign(set=sets(each.mean(axis=0))) if sets else table

    def outputs(self, images: Sequence[str], seen: Callable[[int], object]) -> np.ndarray:
        """Return what `Predictor.outputs` does, but for rounding.

        Raises:
            BadInput: an image can't be used.
        """
        return calibrated_mean(self.each_output(images, seen), self.calibrators)

    def each_output(self, images: Sequence[str], seen: Callable[[int], object]) -> np.ndarray:
        """Return each bare network's predictions, shape (networks, n, outputs)."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = []
            inputs = map_ahead(pool, self._input, images, 4 * CHUNK)
            for batch in _stacked(inputs):
                found.append(self.each_prediction(batch))
                seen(len(batch))
        return np.concatenate(found, axis=1)

    def each_prediction(self, batch: np.ndarray) -> np.ndarray:
        """Return predictions, the mean over the recipe's views, shape (networks, n, outputs).

        Args:
            batch: the networks' input, float32 of shape (n, 3, side, side).
        """
        return np.stack([self._mean_of_views(session, batch) for session in self.sessions])

    def _mean_of_views(self, session, batch: np.ndarray) -> np.ndarray:
        views = [
            activated(session.run(None, {"images": _dihedral(batch, view)})[0], self.recipe)
            for view in range(self.recipe.views)
        ]
        return np.mean(views, axis=0)

    def _input(self, reference: str) -> np.ndarray:
        crop, side = item_frame(self.recipe)
        size = self.recipe.size
        start = (side - size) // 2
        frame = centre_frame(decode(reference), crop, side, without_torch=True)
        central = frame[start : start + size, start : start + size].transpose(2, 0, 1)
        return (central - self.mean) / self.std


def load_onnx_predictor(run: Run) -> OnnxPredictor:
    """Load a trained run's networks in int8.

    Raises:
        BadInput: they haven't been made, or the extra isn't installed.
    """
    about = json.loads((run.members[0].path / "model.json").read_text(encoding="utf-8"))
    mean, std = (
        np.array(about[name], np.float32).reshape(3, 1, 1) * np.float32(255)
        for name in ("mean", "std")
    )
    sessions = [open_session(_quantized(member)) for member in run.members]
    return OnnxPredictor(sessions, run.recipe, run.classes, mean, std)


def open_session(path: Path):
    """Open a network in ONNX Runtime, on OpenVINO's kernels where it has them.

    In int8 those are four times as fast as its own on a processor with AMX.
    """
    onnxruntime = library("onnxruntime")
    threads = os.cpu_count() or 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would wait for work at full speed, on the cores that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list = ["CPUExecutionProvider"]
    if OPENVINO in onnxruntime.get_available_providers():
        providers.insert(0, (OPENVINO, {"device_type": "CPU", "num_of_threads": str(threads)}))
    return onnxruntime.InferenceSession(str(path), options, providers=providers)


def library(name: str):
    """Import a library of the extra `onnx`.

    Raises:
        BadInput: it isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BadInput(
            f"int8 needs {name}, which isn't installed", "pip install 'galaxymorph[onnx]'"
        ) from None


def _quantized(run: Run) -> Path:
    path = run.path / QUANTIZED
    if not path.exists():
        raise BadInput(
            f"--precision int8: {run.path} has no {QUANTIZED}",
            "make it with: python cli.py quantize RUN",
        )
    return path


def _stacked(inputs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while chunk := list(islice(inputs, CHUNK)):
        yield np.stack(chunk)


def _dihedral(batch: np.ndarray, view: int) -> np.ndarray:
    """Return one of the eight flips and quarter turns, numbered as in learn/views.py."""
    turned = np.rot90(batch, view % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if view >= 4 else turned)


def activated(logits: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the predictions that logits stand for, both of shape (n, outputs).

    As `learn.make_link` has it, without PyTorch.
    """
    tree = target_of(recipe).tree
    if tree is None:
        return _softmax(logits)
    return LINKS[loss_entry(recipe).link](tree, logits)


def _tree_softmax(tree: Tree, logits: np.ndarray) -> np.ndarray:
    conditional = np.zeros(logits.shape)
    for own in tree.membership.astype(bool):
        conditional[:, own] = _softmax(logits[:, own])
    return to_cumulative(tree, conditional)


def _tree_dirichlet(tree: Tree, logits: np.ndarray) -> np.ndarray:
    from scipy.special import expit

    least, most = CONCENTRATIONS
    return to_cumulative(tree, to_conditional(tree, least + (most - least) * expit(logits)))


LINKS: dict[str, Callable[[Tree, np.ndarray], np.ndarray]] = {
    "softmax": _tree_softmax,
    "dirichlet": _tree_dirichlet,
}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
