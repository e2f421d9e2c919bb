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
    help="How probabilities are calibrated. Default: the simplest within one standard error of the "
    "least cross-validated NLL, of those that take so few galaxies.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Share of prediction sets that are to hold the true class.  [default: 0.9]",
)
@click.option(
    "--sets",
    type=Choice(list(SET_METHODS)),
    help="How prediction sets are built: lac by the class's probability alone (least ambiguous "
    "sets), aps and raps by the sum of those above it (adaptive sets, regularised).  "
    "[default: lac]",
)
@FIGURES
def calibrate(run: Path, method: str | None, coverage: float | None, sets: str | None) -> None:
    """Calibrate RUN on galaxies that neither trained nor selected its model.

    Of classes, that is their probabilities, and prediction sets; of a tree with --loss
    dirichlet-multinomial the width of the distributions of vote fractions. The calibrator is
    judged on the test part and stored in the run, so that `predict` uses it.

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
