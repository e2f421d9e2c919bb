"""`uncertainty`: a run's by each of its sources, and beside volunteers'."""

from __future__ import annotations

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, RUN


@click.command(cls=Command)
@RUN
@click.option(
    "--most", type=click.IntRange(1, 200), default=20, show_default=True,
    help="Galaxies in a gallery.",
)  # fmt: skip
@FIGURES
@DATA
@DEVICE
def uncertainty(run, most, data) -> None:
    """Compare RUN's sources of uncertainty on its test galaxies, with volunteers' disagreement.

    Sources are a single prediction, eight views, 20 passes with dropout, and the models of a run
    that was fitted with --members. Writes uncertainty.json and uncertainty_test.parquet into the
    run, and into its figures/ risk against coverage, the model's uncertainty against volunteers',
    and the galaxies of the four corners: both certain, both uncertain, only the model, only the
    volunteers.

    \b
    Example:
      python cli.py uncertainty exports/RUN
    """
    from galaxymorph.learn import held, keep_freed_memory
    from galaxymorph.predict import study_uncertainty
    from galaxymorph.report import draw_uncertainty, print_uncertainty, refresh_report

    keep_freed_memory()
    with held(run) as run:
        study = study_uncertainty(run, data)
        print_uncertainty(study.record)
        for path in draw_uncertainty(run, study, most, data):
            say(f"drawn: {path}")
        refresh_report(run, data)
        click.echo(run.path / "uncertainty.json")
