"""`calibrate`: probabilities that mean what they say, and prediction sets that cover."""

from __future__ import annotations

import click

from galaxymorph.base import say
from galaxymorph.cli.options import RUN


@click.command()
@RUN
@click.option(
    "--method",
    type=click.Choice(["none", "temperature", "vector", "isotonic"]),
    help="How probabilities are mended. Default: the one of least cross-validated NLL.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=0.9,
    show_default=True,
    help="Share of prediction sets that are to hold the true class.",
)
@click.option(
    "--sets",
    type=click.Choice(["lac", "aps", "raps"]),
    default="lac",
    show_default=True,
    help="How prediction sets are built.",
)
def calibrate(run, method, coverage, sets) -> None:
    """Calibrate RUN, of classes, on galaxies that neither trained nor selected its model.

    What is learnt is judged on the test part and stored in the run, so that `predict` uses it.
    """
    from galaxymorph.judge import calibrate_run
    from galaxymorph.learn import Run, locked
    from galaxymorph.report import draw_calibration, print_calibration

    run = Run(run)
    run.require_trained()
    with locked(run):
        calibration = calibrate_run(run, coverage, method, sets)
    if calibration.record["part"] == "valid":
        say("the split has no calibration part: calibrated on validation, which chose the epoch")
    print_calibration(calibration.record)
    for path in draw_calibration(run, calibration):
        click.echo(path)
