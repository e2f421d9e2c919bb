"""`uncertainty`: a run's by each of its sources, and beside volunteers'."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import UncertaintyOptions
from galaxymorph.base import say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(UncertaintyOptions)
def uncertainty(run: Path, **options: Any) -> None:
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
    import galaxymorph as gm
    from galaxymorph.learn import Run
    from galaxymorph.report import print_uncertainty

    result = gm.uncertainty(run, **options)
    print_uncertainty(result.record, Run(run).recipe.target)
    for path in result.figures:
        say(f"drawn: {path}")
    click.echo(result.path)
