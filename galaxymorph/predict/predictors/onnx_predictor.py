"""Networks in ONNX Runtime as a predictor that needs neither PyTorch nor fastai."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from galaxymorph.base import BadInput, import_extra, map_ahead, parse_json, read_json, reading
from galaxymorph.images import Source, centre_frame
from galaxymorph.judge import described_calibrators, described_schemes
from galaxymorph.learn import (
    CONCENTRATIONS,
    Recipe,
    Run,
    described_recipe,
    item_frame,
    loss_entry,
    run_files,
    target_of,
)
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.predictors.base import BasePredictor, Faults, OnProgress
from galaxymorph.zoo import Tree, cumulative_moments, to_cumulative

# Outputs of early layers for this many images stay in the processor's cache.
CHUNK = 16
OPENVINO = "OpenVINOExecutionProvider"


@dataclass(frozen=True, kw_only=True)
class OnnxPredictor(BasePredictor):
    """The networks of a run, one or a fold each, as sessions of ONNX Runtime.

    Args:
        sessions: from images, float32 of shape (n, 3, side, side), to logits of one network or of
            several, shape (networks, n, outputs).
        mean: of the pixels by channel in levels of 255, shape (3, 1, 1).
        std: likewise, the standard deviation.
        kernel: that resizes frames, see `centre_frame`.
    """

    sessions: Sequence[Any]
    mean: np.ndarray
    std: np.ndarray
    kernel: str = "pillow"

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each network's uncalibrated outputs, see `Predictor.outputs_of_each`."""
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            inputs = map_ahead(
                pool, lambda at: self._input(images[at], at, faults), range(len(images)), 4 * CHUNK
            )
            outputs = []
            for batch in _stacked(inputs):
                outputs.append(self.batch_outputs(batch))
                if on_progress:
                    on_progress(len(batch))
        return np.concatenate(outputs, axis=1)

    def batch_outputs(self, batch: np.ndarray) -> np.ndarray:
        """Return outputs, the mean over the recipe's views, shape (networks, n, outputs).

        Args:
            batch: the networks' input, float32 of shape (n, 3, side, side).
        """
        views = [
            [
                inverse_link(logits, self.recipe)
                for session in self.sessions
                for logits in _by_network(session.run(None, {"images": _dihedral(batch, view)})[0])
            ]
            for view in range(self.recipe.views)
        ]
        return np.mean(views, axis=0)

    def _input(self, source: Source, at: int, faults: Faults) -> np.ndarray:
        crop, side = item_frame(self.recipe)
        size = self.recipe.size
        image = self.frame(source, at, faults)
        if image is None:
            return np.zeros((3, size, size), np.float32)
        interpolation = self.recipe.rendering.interpolation
        frame = centre_frame(image, crop, side, self.kernel, interpolation)
        start = (side - size) // 2
        central = frame[start : start + size, start : start + size].transpose(2, 0, 1)
        return (central - self.mean) / self.std


def load_quantized(run: Run) -> OnnxPredictor:
    """Load a trained run's networks in int8, as `export --format onnx-int8` writes them.

    Raises:
        BadInput: there is no such file, or the extra isn't installed.
    """
    quantized = run.path / run_files.QUANTIZED
    if not quantized.exists():
        raise BadInput(
            f"--precision int8: {run.path} has no {run_files.QUANTIZED}",
            f"make it with: python cli.py export {run.path} --format onnx-int8",
        )
    path = run.members[0].path / run_files.DESCRIPTION
    description = read_json(path)
    # It validates the description too.
    described_recipe(description, str(path))
    mean, std = _levels(description)
    return OnnxPredictor(
        sessions=[open_session(quantized)],
        recipe=run.recipe,
        classes=run.classes,
        mean=mean,
        std=std,
    )


def load_onnx_file(path: Path) -> OnnxPredictor:
    """Load an exported `.onnx` file, which holds the description that predicting takes.

    Raises:
        BadInput: it isn't ONNX, isn't an export of this package's, or is of a later format.
    """
    session = open_session(path, exact=True)
    text = session.get_modelmeta().custom_metadata_map.get(METADATA)
    if text is None:
        raise BadInput(
            f"{path}: it has no description of its inputs and outputs",
            "make it with: python cli.py export RUN --format onnx",
        )
    with reading(path, "export it again"):
        description = parse_json(text)
    recipe = described_recipe(description, str(path))
    is_exact = description.get("number_format") == "fp32"
    mean, std = _levels(description)
    return OnnxPredictor(
        sessions=[session if is_exact else open_session(path)],
        recipe=recipe,
        classes=description["classes"],
        calibrators=described_calibrators(description, str(path)),
        schemes=described_schemes(description, len(description["outputs"]), str(path)),
        mean=mean,
        std=std,
        kernel="exact" if is_exact else "pillow",
    )


def _levels(description: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean and the standard deviation in levels of 255, each of shape (3, 1, 1)."""
    mean, std = (
        np.array(description[name], np.float32).reshape(3, 1, 1) * np.float32(255)
        for name in ("mean", "std")
    )
    return mean, std


def open_session(path: Path, exact: bool = False) -> Any:
    """Open a network in ONNX Runtime, on OpenVINO's kernels where it has them.

    In int8 those are four times as fast as its own on a processor with AMX.

    Args:
        path: of the network.
        exact: on ONNX Runtime's own kernels, because OpenVINO's may leave single precision.

    Raises:
        BadInput: the file isn't ONNX, or the extra isn't installed.
    """
    onnxruntime = import_extra("onnxruntime", "onnx", "a model in ONNX")
    threads = os.cpu_count() or 1
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    # Its threads would wait for work at full speed, on the cores that decode.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if not exact and OPENVINO in onnxruntime.get_available_providers():
        providers.insert(0, (OPENVINO, {"device_type": "CPU", "num_of_threads": str(threads)}))
    # Falling back onto the same kernels would but print that it does, into the results.
    settings = {"providers": providers, "enable_fallback": len(providers) > 1}
    try:
        return onnxruntime.InferenceSession(str(path), options, **settings)
    except Exception as error:
        # ONNX Runtime's errors have no other base.
        raise BadInput(f"{path}: not readable as ONNX ({error})", "export it again") from error


def _by_network(logits: np.ndarray) -> np.ndarray:
    """Return logits of shape (networks, n, outputs): an exported file may hold several."""
    return logits if logits.ndim == 3 else logits[None]


def _stacked(inputs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while chunk := list(islice(inputs, CHUNK)):
        yield np.stack(chunk)


def _dihedral(batch: np.ndarray, view: int) -> np.ndarray:
    """Return one of the eight flips and 90° rotations, numbered as in `learn.views`."""
    rotated = np.rot90(batch, view % 4, axes=(-2, -1))
    return np.ascontiguousarray(rotated[..., ::-1] if view >= 4 else rotated)


def inverse_link(logits: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the outputs of logits, shape (n, outputs): the `mean_and_square` of `learn.make_link`.

    The same functions exist in PyTorch, where training takes their gradients on the device in
    single precision; here PyTorch isn't imported. A test holds both to agree.
    """
    tree = target_of(recipe).tree
    if tree is None:
        return _softmax(logits)
    return INVERSE_LINKS[loss_entry(recipe).link](tree, logits)


def _tree_softmax(tree: Tree, logits: np.ndarray) -> np.ndarray:
    conditional = np.zeros(logits.shape)
    for answers in tree.membership.astype(bool):
        conditional[:, answers] = _softmax(logits[:, answers])
    return to_cumulative(tree, conditional)


def _tree_dirichlet(tree: Tree, logits: np.ndarray) -> np.ndarray:
    least, most = CONCENTRATIONS
    return np.hstack(cumulative_moments(tree, least + (most - least) * _sigmoid(logits)))


# By the name of a loss's link.
INVERSE_LINKS: dict[str, Callable[[Tree, np.ndarray], np.ndarray]] = {
    "softmax": _tree_softmax,
    "dirichlet": _tree_dirichlet,
}


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # As a tangent it overflows nowhere.
    return 0.5 + 0.5 * np.tanh(0.5 * logits)


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)
