"""`robustness`: a run on corrupted images."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DEVICE, FIGURES, RUN, dataclass_options
from galaxymorph.report.analysis_options import RobustnessOptions


@click.command(cls=Command)
@RUN
@dataclass_options(RobustnessOptions, "options")
@FIGURES
@DEVICE
def robustness(run: Path, options: RobustnessOptions) -> None:
    """Measure the performance of RUN on corrupted test images.

    The command writes robustness.json and robustness.parquet into the run, and these figures: a
    heat map, curves, and the galaxies whose class changes.

    \b
    Example:
      python cli.py robustness exports/RUN --suite published
    """
    from galaxymorph.learn import keep_freed_memory
    from galaxymorph.report import print_robustness
    from galaxymorph.report import robustness as measure

    keep_freed_memory()
    result = measure(run, options)
    print_robustness(result.record)
    for path in result.figures:
        say(f"drawn: {path}")
    click.echo(result.path)
