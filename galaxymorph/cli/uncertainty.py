"""`uncertainty`: a run's by each of its sources, and beside volunteers'."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, MOST, RUN


@click.command(cls=Command)
@RUN
@MOST
@FIGURES
@DATA
@DEVICE
def uncertainty(run: Path, most: int, data: Path | None) -> None:
    """Compare sources of uncertainty of RUN with each other and with volunteers' disagreement.

    The sources are a single prediction, eight views, 20 passes with dropout, and the networks of a
    run with --members. All are evaluated on the test part. The command writes uncertainty.json and
    uncertainty_test.parquet into the run, and these figures: risk against coverage, the uncertainty
    of the model against that of volunteers, and galleries of galaxies for which both, neither or
    one of them is uncertain.

    \b
    Example:
      python cli.py uncertainty exports/RUN
    """
    from galaxymorph.learn import keep_freed_memory
    from galaxymorph.report import print_uncertainty
    from galaxymorph.report import uncertainty as compare

    keep_freed_memory()
    result = compare(run, most, data)
    print_uncertainty(result.record)
    for path in result.figures:
        say(f"drawn: {path}")
    click.echo(result.path)
