"""`data`: what is in a catalogue and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, dataclass_options
from galaxymorph.report.analysis_options import CheckOptions

SHOWN = 10


@click.group(cls=Group)
def data() -> None:
    """Check a catalogue of galaxies."""


@data.command()
@click.argument("path", type=PATH)
@click.option(
    "--skip-bad", is_flag=True, help="Exclude bad rows, list them in rejected.csv, and continue."
)
@click.option(
    "--quick", is_flag=True, help="Check only that the images exist, without decoding them."
)
@dataclass_options(CheckOptions, "options")
@click.pass_context
def check(context: click.Context, path: Path, skip_bad: bool, options: CheckOptions) -> None:
    """Summarise the catalogue at PATH and list its faults, each with its row.

    PATH is a folder or a zip in Kaggle's layout, or a table with its images beside it. Conditions
    that would stop a fit, such as too few galaxies of a class, are reported too. The exit status is
    2 if a row has a fault and --skip-bad is not given.

    \b
    Examples:
      python cli.py data check data
      python cli.py data check my/ --labels-column kind --id-column name
    """
    from galaxymorph.base import say
    from galaxymorph.learn import write_table
    from galaxymorph.report import check_catalogue, print_check

    result = check_catalogue(path, options)
    print_check(result)
    problems = result.catalogue.problems
    for problem in problems[:SHOWN]:
        click.echo(problem)
    if len(problems) > SHOWN:
        click.echo(f"… and {len(problems) - SHOWN:,} more; --skip-bad writes them all")
    if problems and not skip_bad:
        context.exit(2)
    rejected = result.catalogue.rejected()
    if skip_bad and not rejected.empty:
        write_table(Path("rejected.csv"), rejected)
        say("written: rejected.csv")
