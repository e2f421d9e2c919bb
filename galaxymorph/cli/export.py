"""`export`: a run as one file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ExportOptions
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import RUN, options_of
from galaxymorph.predict.exporters import EXPORTERS


@click.command(cls=Command)
@RUN
@click.option(
    "--format",
    "format",
    type=Choice(list(EXPORTERS)),
    help="Default: the format of the name after -o. "
    + " ".join(exporter.words for exporter in EXPORTERS.values()),
)
@click.option("--int8", is_flag=True, hidden=True, help="Former name of --format onnx-int8.")
@options_of(ExportOptions)
def export(run: Path, format: str | None, int8: bool, **options: Any) -> None:
    """Export RUN as one file.

    The file contains everything that predictions need: weights, preprocessing, classes, target and
    views. `galaxymorph.load_predictor` and `predict` accept it instead of a run. For onnx-int8,
    quantisation ranges are measured on training galaxies, and the change of the outputs and of
    macro-F1 (of vote fractions: RMSE) on test galaxies. ONNX needs the extra galaxymorph[onnx].

    \b
    Example:
      python cli.py export exports/RUN -o model.onnx
      python cli.py export exports/RUN --format onnx-int8
      python cli.py predict exports/RUN images/ --precision int8
    """
    import galaxymorph as gm

    result = gm.export(run, f"{format}-int8" if int8 and format else format, **options)
    click.echo(f"{result.path}: {result.path.stat().st_size / 1e6:.1f} MB")
    if result.notes:
        click.echo(result.notes)
