"""`calibrate`: calibrated probabilities and vote fractions, and prediction sets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import CalibrateOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(CalibrateOptions)
def calibrate(run: Path, **options: Any) -> None:
    """Calibrate RUN on galaxies used neither for training nor for model selection.

    For classes, this calibrates the probabilities and adds prediction sets. For a tree, it
    calibrates the vote fractions, for the votes of each catalogue, and adds the classes of label
    schemes; with --loss dirichlet-multinomial, the width of the distributions. The result is
    evaluated, stored in the run, and used by `predict`.

    \b
    Examples:
      python cli.py calibrate exports/RUN --coverage 0.95
      python cli.py calibrate exports/TREE --also galaxy-zoo-2/,schema=galaxy-zoo-2
    """
    import galaxymorph as gm
    from galaxymorph.report import print_calibration

    result = gm.calibrate(run, **options)
    print_calibration(result.record)
    for path in (*result.figures, *result.files):
        click.echo(path)
