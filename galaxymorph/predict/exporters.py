"""Formats of files that a run is exported to, and that predictors are loaded from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput, Registry

if TYPE_CHECKING:
    from galaxymorph.learn import Run
    from galaxymorph.predict.predictors.protocol import Predictor

    # From a run, a path, a number format and where the run's catalogue is now, to what the number
    # format changes, if it isn't float32.
    Write = Callable[[Run, Path, str, Path | None], dict[str, float] | None]
    Load = Callable[[Path, str | None], Predictor]

# The key, among a file's own metadata, of the model's description: see `learn.describe`.
METADATA = "galaxymorph"


@dataclass(frozen=True)
class Exporter:
    """A format of files that hold all that predicting takes, and no code.

    Args:
        ending: of its files' names, such as `.onnx`.
        words: one sentence for the help of `export`.
        write: writes a trained run, all folds of it, into a file, and returns what a number format
            other than the first changes, as `export` prints it.
        load: returns the predictor of a file in a precision of `precisions`, or in its own.
        number_formats: that `write` knows, the default first.
        precisions: that `load` knows besides the file's own.
        needs_pytorch: whether predicting imports PyTorch.
    """

    ending: str
    words: str
    write: Write
    load: Load
    number_formats: tuple[str, ...] = ("fp32",)
    precisions: tuple[str, ...] = ()
    needs_pytorch: bool = True


def _write_onnx(
    run: Run, path: Path, number_format: str, data: Path | None
) -> dict[str, float] | None:
    from galaxymorph.predict.onnx_files import write_onnx_file

    return write_onnx_file(run, path, number_format, data)


def _load_onnx(path: Path, precision: str | None) -> Predictor:
    from galaxymorph.predict.predictors.onnx_predictor import load_onnx_file

    return load_onnx_file(path)


def _write_safetensors(run: Run, path: Path, number_format: str, data: Path | None) -> None:
    from galaxymorph.predict.predictors.safetensors_predictor import write_safetensors

    write_safetensors(run, path)


def _load_safetensors(path: Path, precision: str | None) -> Predictor:
    from galaxymorph.predict.predictors.safetensors_predictor import load_safetensors

    return load_safetensors(path, precision)


# Their code is imported when it is called, since commands list the formats.
EXPORTERS: Registry[Exporter] = Registry(
    "export format",
    {
        "onnx": Exporter(
            ".onnx",
            "onnx predicts without PyTorch, and can't run code.",
            _write_onnx,
            _load_onnx,
            number_formats=("fp32", "int8"),
            needs_pytorch=False,
        ),
        "safetensors": Exporter(
            ".safetensors",
            "safetensors predicts with PyTorch, and can't run code.",
            _write_safetensors,
            _load_safetensors,
            precisions=("fp32", "bf16", "fp16"),
        ),
    },
)


def exporter_of(path: Path) -> Exporter | None:
    """Return the format that a file's ending names, None if it names none."""
    return next((each for each in EXPORTERS.values() if each.ending == path.suffix), None)


@dataclass(frozen=True)
class Export:
    """The file written and, in int8, what that changes: see `Exporter.write`."""

    path: Path
    loss: dict[str, float] | None = None


def export_run(
    run: Run, format: str, path: Path, int8: bool = False, data: Path | None = None
) -> Export:
    """Write a trained run, all folds of it, as one file that `load_predictor` takes.

    Args:
        run: trained.
        format: of `EXPORTERS`.
        path: of the file, ending accordingly.
        int8: with 8-bit weights and activations, as `quantize_run` has it; what that changes on
            test galaxies is measured, and written into the file.
        data: where the run's catalogue is now, if it has moved; for int8.

    Raises:
        BadInput: the run isn't finished, the format is unknown or has no int8, the path has another
            ending or no folder, an extra isn't installed, or for int8 the run's images aren't
            there.
    """
    run.require_trained()
    exporter = EXPORTERS.find(format, "--format")
    if path.suffix != exporter.ending or not path.parent.is_dir() or path.is_dir():
        raise BadInput(
            f"-o {path}: not a {exporter.ending} file in a folder that exists",
            f"give a name that ends in {exporter.ending}",
        )
    number_format = "int8" if int8 else exporter.number_formats[0]
    if number_format not in exporter.number_formats:
        able = " or ".join(
            name for name, each in EXPORTERS.items() if number_format in each.number_formats
        )
        raise BadInput(f"--int8: {format} has no int8", f"use --format {able}")
    return Export(path, exporter.write(run, path, number_format, data))
