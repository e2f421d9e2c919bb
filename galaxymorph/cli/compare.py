"""`compare`: runs side by side."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import PATH, require_output

ENDINGS = (".html", ".csv", ".parquet")


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=PATH, metavar="RUN RUN...")
@click.option(
    "--all",
    "everything",
    is_flag=True,
    help="Also print details (validation metrics, single severities and answers) and metrics that "
    "only one run has.",
)
@click.option(
    "-o",
    "--output",
    type=PATH,
    help="Write a page (.html), or a table (.csv, .parquet) with one row per run and metric.",
)
def compare(runs: tuple[Path, ...], everything: bool, output: Path | None) -> None:
    """Compare RUNs by all metrics that they have.

    \b
    Examples:
      python cli.py compare exports/first exports/second
      python cli.py compare exports/first exports/second -o side-by-side.html

    The differences of macro-F1 from the first run, on the galaxies tested by both, come first, with
    intervals of the differences. The metrics that the runs share follow, with the best of each row
    marked by *, and then the confusion matrices.
    """
    from galaxymorph.learn import Run, say_fit_warnings, write_table
    from galaxymorph.report import compare as compare_runs
    from galaxymorph.report import print_comparison, write_comparison

    require_output(output, ENDINGS, f"end it in {', '.join(ENDINGS)}")
    comparison = compare_runs([Run(path) for path in runs])
    for run in comparison.runs:
        say_fit_warnings(run)
    print_comparison(comparison, everything)
    if output is None:
        return
    if output.suffix == ".html":
        write_comparison(comparison, output)
    else:
        write_table(output, comparison.scores)
    click.echo(output)
