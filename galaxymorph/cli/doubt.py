"""`doubt`: where a run's doubt is best read from, and whether it is volunteers' doubt too."""

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
def doubt(run, most, data) -> None:
    """Compare RUN's sources of uncertainty on its test galaxies, with volunteers' disagreement.

    Sources are a single prediction, eight views, 20 passes with dropout, and the models of a run
    that was fitted with --members. Writes doubt.json and doubt_test.parquet into the run, and into
    its figures/ risk against coverage, the model's uncertainty against volunteers', and the
    galaxies of the four corners: both certain, both uncertain, only the model, only the volunteers.

    \b
    Example:
      python cli.py doubt exports/RUN
    """
    from galaxymorph.learn import held, keep_freed_memory
    from galaxymorph.predict import study_doubt
    from galaxymorph.report import draw_doubt, print_doubt, refresh_report

    keep_freed_memory()
    with held(run) as run:
        study = study_doubt(run, data)
        print_doubt(study.record)
        for path in draw_doubt(run, study, most, data):
            say(f"drawn: {path}")
        refresh_report(run, data)
        click.echo(run.path / "doubt.json")
