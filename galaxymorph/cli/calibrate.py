"""`calibrate`: probabilities that mean what they say, and prediction sets that cover."""

from __future__ import annotations

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import FIGURES, RUN


@click.command(cls=Command)
@RUN
@click.option(
    "--method",
    type=Choice(["none", "temperature", "vector", "isotonic"]),
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
    type=Choice(["lac", "aps", "raps"]),
    help="How prediction sets are built.  [default: lac]",
)
@FIGURES
def calibrate(run, method, coverage, sets) -> None:
    """Calibrate RUN on galaxies that neither trained nor selected its model.

    Of classes, that is their probabilities, and prediction sets; of a tree with --loss
    dirichlet-multinomial the width of the distributions of vote fractions. The calibrator is
    judged on the test part and stored in the run, so that `predict` uses it.

    \b
    Example:
      python cli.py calibrate exports/RUN --coverage 0.95
    """
    from galaxymorph.judge import calibrate_fractions, calibrate_run
    from galaxymorph.learn import deviation_columns, held
    from galaxymorph.report import refresh_report

    with held(run) as run:
        of_fractions = bool(deviation_columns(run.recipe, run.classes))
        if of_fractions:
            _refuse(run, method=method, coverage=coverage, sets=sets)
            calibration = calibrate_fractions(run)
        else:
            calibration = calibrate_run(run, coverage or 0.9, method, sets or "lac")
        for path in _shown(run, calibration, of_fractions):
            click.echo(path)
        refresh_report(run)


def _shown(run, calibration, of_fractions: bool) -> list:
    """Print what was learnt and how it did; return the figures of it."""
    from galaxymorph.report import (
        draw_calibration,
        draw_fraction_calibration,
        print_calibration,
        print_fraction_calibration,
    )

    if calibration.record["part"] == "valid":
        say("the split has no calibration part: calibrated on validation, which chose the epoch")
    for note in calibration.record.get("notes", ()):
        say(note)
    if of_fractions:
        print_fraction_calibration(calibration.record)
        return draw_fraction_calibration(run, calibration)
    print_calibration(calibration.record)
    return draw_calibration(run, calibration)


def _refuse(run, **options) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise BadInput(
            f"--{given[0]}: {run.path} learnt vote fractions, and the option is of classes",
            "leave it out; `predict --coverage` chooses the intervals",
        )
