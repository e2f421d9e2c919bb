"""Formats of files that a run is exported to, and that predictors are loaded from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput, Registry, setting
from galaxymorph.learn import run_files

if TYPE_CHECKING:
    from galaxymorph.learn import Recipe, Run
    from galaxymorph.predict.predictors.base import Predictor

    Write = Callable[[Run, Path, Path | None], str | None]
    Load = Callable[[Path, str | None], Predictor]

# The key, among a file's own metadata, of the model's description: see `learn.describe`.
METADATA = "galaxymorph"


@dataclass(frozen=True)
class Exporter:
    """A format of files that hold all that predicting takes, and no code.

    Args:
        ending: of its files' names, such as `.onnx`.
        words: one sentence for the help of `export`.
        write: writes a trained run, all folds of it, into a file; the last argument is the present
            place of the run's catalogue, None if it hasn't moved. It may return lines to print.
        load: returns the predictor of a file in a precision of `precisions`, or in its own.
        name_in_run: of the file, which is by default written into the run's folder; empty for a
            file `model` with the ending, in the current folder.
        precisions: that `load` knows besides the file's own.
        needs_pytorch: whether predicting imports PyTorch.
        write_half: likewise, weights in half precision; None where the format hasn't them.
        load_for_few: likewise `load`, without PyTorch for a number of images; it returns None where
            PyTorch isn't later.
        read_recipe: returns the recipe of a file without loading its network; None where that is as
            long.
    """

    ending: str
    words: str
    write: Write
    load: Load
    name_in_run: str = ""
    precisions: tuple[str, ...] = ()
    needs_pytorch: bool = True
    write_half: Write | None = None
    load_for_few: Callable[[Path, str | None, int], Predictor | None] | None = None
    read_recipe: Callable[[Path], Recipe] | None = None


def _write_onnx(run: Run, path: Path, data: Path | None) -> None:
    from galaxymorph.predict.onnx_files import write_float32

    write_float32(run, path)


def _write_int8(run: Run, path: Path, data: Path | None) -> str:
    from galaxymorph.predict.onnx_files import write_int8

    return write_int8(run, path, data)


def _load_onnx(path: Path, precision: str | None) -> Predictor:
    from galaxymorph.predict.predictors.onnx_predictor import load_onnx_file

    return load_onnx_file(path)


def _write_safetensors(run: Run, path: Path, data: Path | None) -> None:
    from galaxymorph.predict.predictors.safetensors_predictor import write_safetensors

    write_safetensors(run, path)


def _write_half(run: Run, path: Path, data: Path | None) -> None:
    from galaxymorph.predict.predictors.safetensors_predictor import write_safetensors

    write_safetensors(run, path, half=True)


def _load_safetensors(path: Path, precision: str | None) -> Predictor:
    from galaxymorph.predict.predictors.safetensors_predictor import load_safetensors

    return load_safetensors(path, precision)


def _load_in_numpy(path: Path, precision: str | None, images: int) -> Predictor | None:
    from galaxymorph.predict.predictors.numpy_predictor import load_file_in_numpy

    return load_file_in_numpy(path, precision, images)


def _read_safetensors_recipe(path: Path) -> Recipe:
    from galaxymorph.learn import described_recipe
    from galaxymorph.predict.predictors.safetensors_files import read_description

    return described_recipe(read_description(path), str(path))


# Their code is imported when it is called, since commands list the formats.
EXPORTERS: Registry[Exporter] = Registry(
    "export format",
    {
        "onnx": Exporter(
            ".onnx",
            "onnx predicts without PyTorch, and can't run code.",
            _write_onnx,
            _load_onnx,
            needs_pytorch=False,
        ),
        "onnx-int8": Exporter(
            ".onnx",
            "onnx-int8 is a quarter of its size and faster; `predict --precision int8` takes it.",
            _write_int8,
            _load_onnx,
            name_in_run=run_files.QUANTIZED,
            needs_pytorch=False,
        ),
        "safetensors": Exporter(
            ".safetensors",
            "safetensors predicts with PyTorch, and can't run code.",
            _write_safetensors,
            _load_safetensors,
            precisions=("fp32", "bf16", "fp16"),
            write_half=_write_half,
            load_for_few=_load_in_numpy,
            read_recipe=_read_safetensors_recipe,
        ),
    },
)


def exporter_of(path: Path) -> Exporter | None:
    """Return the format that a file's ending names, None if it names none."""
    return next((format for format in EXPORTERS.values() if format.ending == path.suffix), None)


def _named_by_ending(path: Path | None) -> Exporter:
    if path is None:
        raise BadInput(
            f"no {setting('format')} is given, of {', '.join(EXPORTERS)}",
            f"give it, or {setting('output')} FILE",
        )
    exporter = exporter_of(path)
    if exporter is None:
        endings = dict.fromkeys(each.ending for each in EXPORTERS.values())
        raise BadInput(
            f"{setting('output', path)}: no format has the ending {path.suffix!r}",
            f"use {' or '.join(endings)}",
        )
    return exporter


@dataclass(frozen=True)
class Export:
    """The file written, and lines about it, see `Exporter.write`."""

    path: Path
    notes: str = ""


def export_run(
    run: Run,
    format: str | None = None,
    path: Path | None = None,
    data: Path | None = None,
    half: bool = False,
) -> Export:
    """Write a trained run, all folds of it, as one file that `load_predictor` takes.

    Args:
        run: trained.
        format: of `EXPORTERS`; the default is that of the path's ending.
        path: of the file, ending accordingly; the default depends on the format, see `Exporter`.
        data: where the run's catalogue is now, if it has moved; for int8.
        half: write weights in half precision; for safetensors.

    Raises:
        BadInput: the run isn't finished, the format is unknown, the path has another ending or no
            folder, an extra isn't installed, another process writes into the run, or for int8 the
            run's images aren't there.
    """
    from galaxymorph.learn import locked

    run.require_model()
    exporter = EXPORTERS.find(format, setting("format")) if format else _named_by_ending(path)
    if half:
        if exporter.write_half is None:
            raise BadInput(
                f"{setting('half')}: only safetensors has weights in half precision", "leave it out"
            )
        exporter = replace(exporter, write=exporter.write_half)
    if path is None and exporter.name_in_run:
        path = run.path / exporter.name_in_run
        with locked(run):
            return Export(path, exporter.write(run, path, data) or "")
    path = path or Path(f"model{exporter.ending}")
    if path.suffix != exporter.ending or not path.parent.is_dir() or path.is_dir():
        raise BadInput(
            f"{setting('output', path)}: not a {exporter.ending} file in a folder that exists",
            f"give a name that ends in {exporter.ending}",
        )
    return Export(path, exporter.write(run, path, data) or "")
