"""`calibrate`: probabilities that mean what they say, and prediction sets that cover."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import FIGURES, RUN
from galaxymorph.judge import CALIBRATORS, SET_METHODS


@click.command(cls=Command)
@RUN
@click.option(
    "--method",
    type=Choice(list(CALIBRATORS)),
    help="Calibration method. Default: the simplest method whose cross-validated NLL is within "
    "one standard error of the smallest, among those for which there are enough galaxies.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Probability with which a prediction set contains the true class.  [default: 0.9]",
)
@click.option(
    "--sets",
    type=Choice(list(SET_METHODS)),
    help="Score of prediction sets: lac (least ambiguous sets), aps (adaptive sets) or raps "
    "(regularised adaptive sets).  [default: lac]",
)
@FIGURES
def calibrate(run: Path, method: str | None, coverage: float | None, sets: str | None) -> None:
    """Calibrate RUN on galaxies used neither for training nor for model selection.

    For classes, this calibrates the probabilities and adds prediction sets. For a tree with --loss
    dirichlet-multinomial, it calibrates the width of the distributions of vote fractions. The
    calibrator is evaluated on the test part and stored in the run. `predict` then uses it.

    \b
    Example:
      python cli.py calibrate exports/RUN --coverage 0.95
    """
    from galaxymorph.report import calibrate as calibrate_run
    from galaxymorph.report import print_calibration

    result = calibrate_run(run, method, coverage, sets)
    print_calibration(result.record)
    for path in result.figures:
        click.echo(path)
