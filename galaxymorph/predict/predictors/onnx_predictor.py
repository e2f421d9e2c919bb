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

from galaxymorph.base import BadInput, map_ahead, read_json
from galaxymorph.images import Fault, Source, centre_frame, galaxy_image
from galaxymorph.judge import Calibrator, calibrated_mean, described_calibrators
from galaxymorph.learn import (
    CONCENTRATIONS,
    Recipe,
    Run,
    described_recipe,
    item_frame,
    loss_entry,
    target_of,
)
from galaxymorph.predict.images import Images
from galaxymorph.predict.tables import Sets, predicted_table
from galaxymorph.zoo import Tree, cumulative_moments, to_cumulative

QUANTIZED = "model.int8.onnx"
# The key, among an exported file's own, of what `learn.describe` says.
METADATA = "galaxymorph"
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
    kernel: str = "pillow"
    calibrators: list[Calibrator] | None = None

    def predict(self, images: Images, sets: Sets | None = None) -> pd.DataFrame:
        """Return what `TorchPredictor.predict` does, but for rounding.

        Raises:
            BadInput: an image can't be used.
        """
        return predicted_table(self, images, sets)

    def outputs(
        self,
        images: Sequence[Source],
        seen: Callable[[int], object],
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return what `TorchPredictor.outputs` does, but for rounding.

        Raises:
            BadInput: an image can't be used.
        """
        return calibrated_mean(self.outputs_of_each(images, seen, faults), self.calibrators)

    def outputs_of_each(
        self,
        images: Sequence[Source],
        seen: Callable[[int], object],
        faults: dict[int, Fault] | None = None,
    ) -> np.ndarray:
        """Return each bare network's predictions, shape (networks, n, outputs)."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            found = []
            inputs = map_ahead(
                pool, lambda at: self._input(images[at], at, faults), range(len(images)), 4 * CHUNK
            )
            for batch in _stacked(inputs):
                found.append(self.each_prediction(batch))
                seen(len(batch))
        return np.concatenate(found, axis=1)

    def each_prediction(self, batch: np.ndarray) -> np.ndarray:
        """Return predictions, the mean over the recipe's views, shape (networks, n, outputs).

        Args:
            batch: the networks' input, float32 of shape (n, 3, side, side).
        """
        views = [
            [
                activated(logits, self.recipe)
                for session in self.sessions
                for logits in _by_network(session.run(None, {"images": _dihedral(batch, view)})[0])
            ]
            for view in range(self.recipe.views)
        ]
        return np.mean(views, axis=0)

    def _input(self, source: Source, at: int, faults: dict[int, Fault] | None) -> np.ndarray:
        crop, side = item_frame(self.recipe)
        size = self.recipe.size
        start = (side - size) // 2
        try:
            image = galaxy_image(source, self.recipe.crop, self.recipe.rendering, at)
            frame = centre_frame(image, crop, side, self.kernel)
        except BadInput as error:
            if faults is None:
                raise
            faults[at] = Fault(error)
            return np.zeros((3, size, size), np.float32)
        central = frame[start : start + size, start : start + size].transpose(2, 0, 1)
        return (central - self.mean) / self.std


def load_onnx_predictor(run: Run) -> OnnxPredictor:
    """Load a trained run's networks in int8.

    Raises:
        BadInput: they haven't been made, or the extra isn't installed.
    """
    about = read_json(run.members[0].path / "model.json")
    sessions = [open_session(_quantized(member)) for member in run.members]
    return OnnxPredictor(sessions, run.recipe, run.classes, *_levels(about))


def load_onnx_file(path: Path) -> OnnxPredictor:
    """Load an exported `.onnx` file, which says all that predicting takes.

    Raises:
        BadInput: it isn't ONNX, isn't an export of ours, or its format is another's.
    """
    session = _session_of_ours(path, exact=True)
    about = json.loads(session.get_modelmeta().custom_metadata_map[METADATA])
    recipe = described_recipe(about, str(path))
    exact = about["number_format"] == "fp32"
    session = session if exact else open_session(path)
    kernel = "exact" if exact else "pillow"
    mending = described_calibrators(about, str(path))
    return OnnxPredictor(
        [session], recipe, about["classes"], *_levels(about), kernel=kernel, calibrators=mending
    )


def _session_of_ours(path: Path, exact: bool):
    try:
        session = open_session(path, exact)
    except BadInput:
        raise
    except Exception as error:
        # ONNX Runtime answers a bad file with errors of many types.
        raise BadInput(f"{path}: not readable as ONNX ({error})", "export it again") from None
    if METADATA not in session.get_modelmeta().custom_metadata_map:
        raise BadInput(
            f"{path}: doesn't say what its inputs and outputs mean",
            "make it with: python cli.py export RUN --format onnx",
        )
    return session


def _levels(about: dict) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation in levels of 255, each of shape (3, 1, 1)."""
    mean, std = (
        np.array(about[name], np.float32).reshape(3, 1, 1) * np.float32(255)
        for name in ("mean", "std")
    )
    return mean, std


def open_session(path: Path, exact: bool = False):
    """Open a network in ONNX Runtime, on OpenVINO's kernels where it has them.

    In int8 those are four times as fast as its own on a processor with AMX.

    Args:
        path: of the network.
        exact: on ONNX Runtime's own kernels, because OpenVINO's may leave single precision.
    """
    onnxruntime = library("onnxruntime")
    threads = os.cpu_count() or 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would wait for work at full speed, on the cores that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list = ["CPUExecutionProvider"]
    if not exact and OPENVINO in onnxruntime.get_available_providers():
        providers.insert(0, (OPENVINO, {"device_type": "CPU", "num_of_threads": str(threads)}))
    # Falling back onto the same kernels would but print that it does, into the results.
    settings = {"providers": providers, "enable_fallback": len(providers) > 1}
    return onnxruntime.InferenceSession(str(path), options, **settings)


def library(name: str):
    """Import a library of the extra `onnx`.

    Raises:
        BadInput: it isn't installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        raise BadInput(
            f"this needs {name}, which isn't installed", "pip install 'galaxymorph[onnx]'"
        ) from None


def _quantized(run: Run) -> Path:
    path = run.path / QUANTIZED
    if not path.exists():
        raise BadInput(
            f"--precision int8: {run.path} has no {QUANTIZED}",
            "make it with: python cli.py quantize RUN",
        )
    return path


def _by_network(logits: np.ndarray) -> np.ndarray:
    """Return logits of shape (networks, n, outputs): an exported file may hold several."""
    return logits if logits.ndim == 3 else logits[None]


def _stacked(inputs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while chunk := list(islice(inputs, CHUNK)):
        yield np.stack(chunk)


def _dihedral(batch: np.ndarray, view: int) -> np.ndarray:
    """Return one of the eight flips and quarter turns, numbered as in learn/views.py."""
    turned = np.rot90(batch, view % 4, axes=(-2, -1))
    return np.ascontiguousarray(turned[..., ::-1] if view >= 4 else turned)


def activated(logits: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the moments that logits, of shape (n, outputs), stand for.

    As the `mean_and_square` of `learn.make_link` is, without PyTorch.
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
    least, most = CONCENTRATIONS
    return np.hstack(cumulative_moments(tree, least + (most - least) * _sigmoid(logits)))


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # As a tangent it overflows nowhere.
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


LINKS: dict[str, Callable[[Tree, np.ndarray], np.ndarray]] = {
    "softmax": _tree_softmax,
    "dirichlet": _tree_dirichlet,
}


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
