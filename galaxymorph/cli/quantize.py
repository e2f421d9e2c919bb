"""`quantize`: a run's model in int8."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, RUN


@click.command(cls=Command)
@RUN
@DATA
def quantize(run: Path, data: Path | None) -> None:
    """Convert the model of RUN to int8 for ONNX Runtime, and measure the change in performance.

    `predict --precision int8` uses the result. Quantisation ranges are measured on training
    galaxies, the change in macro-F1 (for vote fractions: RMSE) on the test part. Needs the extra
    galaxymorph[onnx].

    \b
    Example:
      python cli.py quantize exports/RUN
      python cli.py predict exports/RUN images/ --precision int8
    """
    from galaxymorph.learn import held
    from galaxymorph.predict import quantize_run

    with held(run) as locked:
        result = quantize_run(locked, data)
    for path in result.paths:
        click.echo(f"{path}: {path.stat().st_size / 1e6:.1f} MB")
    click.echo(
        f"test {result.score} of {result.galaxies:,} galaxies: {result.before:.4f} before, "
        f"{result.after:.4f} in int8"
    )
