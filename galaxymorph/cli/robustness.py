"""`robustness`: a run on corrupted images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import RobustnessOptions
from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(RobustnessOptions)
def robustness(run: Path, **options: Any) -> None:
    """Measure the performance of RUN on corrupted test images.

    The command writes robustness.json and robustness.parquet into the run, and these figures: a
    heat map, curves, and the galaxies whose class changes.

    \b
    Example:
      python cli.py robustness exports/RUN --suite published
    """
    import galaxymorph as gm
    from galaxymorph.report import print_robustness

    result = gm.robustness(run, **options)
    print_robustness(result.record)
    for path in result.figures:
        say(f"drawn: {path}")
    click.echo(result.path)
