"""`export`: a run as one file."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, PATH, RUN
from galaxymorph.predict.exporters import EXPORTERS


@click.command(cls=Command)
@RUN
@click.option(
    "--format",
    "format",
    type=Choice(list(EXPORTERS)),
    required=True,
    help=" ".join(exporter.words for exporter in EXPORTERS.values()),
)
@click.option("--int8", is_flag=True, hidden=True, help="Former name of --format onnx-int8.")
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="File to write. Default: model.onnx or model.safetensors in the working folder; for "
    "onnx-int8, model.int8.onnx in RUN.",
)
@DATA
def export(run: Path, format: str, int8: bool, output: Path | None, data: Path | None) -> None:
    """Export RUN as one file.

    The file contains everything that predictions need: weights, preprocessing, classes, target and
    views. `galaxymorph.load_predictor` and `predict` accept it instead of a run. For onnx-int8,
    quantisation ranges are measured on training galaxies, and the change of the outputs and of
    macro-F1 (of vote fractions: RMSE) on test galaxies. ONNX needs the extra galaxymorph[onnx].

    \b
    Example:
      python cli.py export exports/RUN --format onnx -o model.onnx
      python cli.py export exports/RUN --format onnx-int8
      python cli.py predict exports/RUN images/ --precision int8
    """
    from galaxymorph.learn import Run
    from galaxymorph.predict import export_run

    result = export_run(Run(run), f"{format}-int8" if int8 else format, output, data)
    click.echo(f"{result.path}: {result.path.stat().st_size / 1e6:.1f} MB")
    if result.notes:
        click.echo(result.notes)
