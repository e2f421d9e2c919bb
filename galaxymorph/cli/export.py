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
@click.option(
    "--int8", is_flag=True, help="For onnx: 8-bit weights, a quarter of the size, and faster."
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="File to write. Default: model.onnx, model.int8.onnx or model.safetensors in the working "
    "folder.",
)
@DATA
def export(run: Path, format: str, int8: bool, output: Path | None, data: Path | None) -> None:
    """Export RUN as one file.

    The file contains everything that predictions need: weights, preprocessing, classes, target and
    views. `galaxymorph.load_predictor` and `predict` accept it instead of a run. With --int8,
    quantisation ranges are measured on training galaxies, and the change of the outputs on test
    galaxies. ONNX needs the extra galaxymorph[onnx].

    \b
    Example:
      python cli.py export exports/RUN --format onnx -o model.onnx
    """
    from galaxymorph.learn import Run
    from galaxymorph.predict import export_run

    output = output or Path("model.int8.onnx" if int8 else f"model{EXPORTERS[format].ending}")
    done = export_run(Run(run), format, output, int8, data)
    click.echo(f"{done.path}: {done.path.stat().st_size / 1e6:.1f} MB")
    if done.loss:
        click.echo(
            f"int8 changes an output by {done.loss['mean_change']:.4f} in the mean and by at most "
            f"{done.loss['largest_change']:.4f} ({done.loss['galaxies']:,} test galaxies)"
        )
