"""`compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput
from galaxymorph.cli.commands import Command


@click.command(cls=Command)
@click.argument(
    "runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN RUN..."
)
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Print details (validation scores, single severities and answers) and what one run alone "
    "has, too.",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write every score as a .csv or .parquet table, a row a run and score.",
)
def compare(runs, everything, output) -> None:
    """Set RUNs side by side on every metric that they have.

    \b
    Example:
      python cli.py compare exports/first exports/second -o scores.csv

    First the differences of macro-F1 from the first run, over the galaxies that both tested, with
    an interval of the difference itself; then the scores that runs share, the best of a row marked
    with *, and confusion matrices.
    """
    from galaxymorph.judge import compare_runs, require_distinct
    from galaxymorph.learn import Run, say_fit_warnings, write_table
    from galaxymorph.report import print_comparison

    if output and output.suffix not in (".csv", ".parquet"):
        raise BadInput(f"-o {output}: not the name of a table", "end it in .csv or .parquet")
    if output and not output.absolute().parent.is_dir():
        raise BadInput(f"-o {output}: there is no folder {output.parent}", "make it first")
    runs = [Run(path) for path in runs]
    require_distinct(runs)
    table = compare_runs(runs)
    for run in runs:
        say_fit_warnings(run)
    print_comparison(runs, table, everything)
    if output:
        write_table(output, table)
        click.echo(output)
