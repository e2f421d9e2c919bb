"""`compare`: runs compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import CompareOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUNS, options_of


@click.command(cls=Command)
@RUNS
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also print details (validation metrics, single severities and answers) and metrics that "
    "only one run has.",
)
@options_of(CompareOptions)
def compare(runs: tuple[Path, ...], everything: bool, **options: Any) -> None:
    """Compare RUNs by all metrics that they have.

    \b
    Examples:
      python cli.py compare exports/first exports/second
      python cli.py compare exports/first exports/second -o side-by-side.html

    The differences of macro-F1 from the first run, on the galaxies tested by both, come first, with
    intervals of the differences. The metrics that the runs share follow, with the best of each row
    marked by * where they are of the same test galaxies, and then the confusion matrices.
    """
    import galaxymorph as gm
    from galaxymorph.learn import say_fit_warnings
    from galaxymorph.report import print_comparison

    comparison = gm.compare(*runs, **options)
    for run in comparison.runs:
        say_fit_warnings(run)
    print_comparison(comparison, everything)
    if options["output"] is not None:
        click.echo(options["output"])
