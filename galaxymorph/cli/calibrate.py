"""`calibrate`: probabilities that mean what they say, and prediction sets that cover."""

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

    For classes, this calibrates the probabilities and adds prediction sets. For a tree with --loss
    dirichlet-multinomial, it calibrates the width of the distributions of vote fractions. The
    calibrator is evaluated on the test part and stored in the run. `predict` then uses it.

    \b
    Example:
      python cli.py calibrate exports/RUN --coverage 0.95
    """
    import galaxymorph as gm
    from galaxymorph.report import print_calibration

    result = gm.calibrate(run, **options)
    print_calibration(result.record)
    for path in (*result.figures, *result.files):
        click.echo(path)
