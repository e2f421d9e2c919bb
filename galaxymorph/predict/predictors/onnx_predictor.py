"""Networks in ONNX Runtime as a predictor that needs neither PyTorch nor fastai."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from galaxymorph.base import BadInput, import_extra, parse_json, read_json, reading, setting
from galaxymorph.judge import described_calibration
from galaxymorph.learn import Run, described_recipe, run_files, target_of
from galaxymorph.predict.exporters import METADATA
from galaxymorph.predict.predictors.array_predictor import ArrayPredictor, pixel_levels

OPENVINO = "OpenVINOExecutionProvider"


def load_quantized(run: Run) -> ArrayPredictor:
    """Load a trained run's networks in int8, as `export --format onnx-int8` writes them.

    Raises:
        BadInput: there is no such file, or the extra isn't installed.
    """
    quantized = run.path / run_files.QUANTIZED
    if not quantized.exists():
        raise BadInput(
            f"{setting('precision', 'int8')}: {run.path} has no {run_files.QUANTIZED}",
            f"make it with: python cli.py export {run.path} --format onnx-int8",
        )
    path = run.members[0].path / run_files.DESCRIPTION
    description = read_json(path)
    # It validates the description too.
    described_recipe(description, str(path))
    mean, std = pixel_levels(description)
    return ArrayPredictor(
        networks=[_network(open_session(quantized))],
        recipe=run.recipe,
        classes=run.classes,
        mean=mean,
        std=std,
    )


def load_onnx_file(path: Path) -> ArrayPredictor:
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
    mean, std = pixel_levels(description)
    return ArrayPredictor(
        networks=[_network(session if is_exact else open_session(path))],
        recipe=recipe,
        classes=description["classes"],
        mean=mean,
        std=std,
        kernel="exact" if is_exact else "pillow",
        **described_calibration(description, target_of(recipe).tree, str(path)),
    )


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


def _network(session: Any) -> Callable[[np.ndarray], np.ndarray]:
    """Return a session as a function from images to logits."""
    return lambda batch: session.run(None, {"images": batch})[0]
