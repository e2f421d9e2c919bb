"""`data`: what is in a catalogue and what is wrong with it, and its images by coordinates."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from galaxymorph.api.data_options import CutoutOptions
from galaxymorph.api.options import CheckOptions
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, options_of

if TYPE_CHECKING:
    from galaxymorph import CatalogueCheck

SHOWN = 10


@click.group(cls=Group)
def data() -> None:
    """Check a catalogue of galaxies, or fetch images by coordinates."""


@data.command()
@click.argument("path", type=PATH)
@click.option(
    "--skip-bad", is_flag=True, help="Exclude bad rows, list them in rejected.csv, and continue."
)
@options_of(CheckOptions)
@click.pass_context
def check(context: click.Context, path: Path, skip_bad: bool, **options: Any) -> None:
    """Summarise the catalogue at PATH and list its faults, each with its row.

    PATH is a folder or a zip in Kaggle's layout, or a table with its images beside it. Conditions
    that would stop a fit, such as too few galaxies of a class, are reported too. The exit status is
    2 if a row has a fault and --skip-bad is not given, or if a fit of the column of class names
    would stop.

    \b
    Examples:
      python cli.py data check data
      python cli.py data check my/ --labels-column kind --id-column name
    """
    import galaxymorph as gm
    from galaxymorph.base import say
    from galaxymorph.learn import write_table

    result = gm.check(path, **options)
    _print(result)
    problems = result.catalogue.problems
    for problem in problems[:SHOWN]:
        click.echo(problem)
    if len(problems) > SHOWN:
        click.echo(
            f"… and {len(problems) - SHOWN:,} more; --skip-bad lists all of them in rejected.csv"
        )
    if skip_bad and not result.rejected.empty:
        write_table(Path("rejected.csv"), result.rejected)
        say("written: rejected.csv")
    if result.fit_stops or (problems and not skip_bad):
        context.exit(2)


@data.command(short_help="Fetch images by coordinates.")
@click.argument("table", type=PATH)
@click.option(
    "--survey",
    required=True,
    metavar="NAME",
    help="sdss, legacy (or legacy:LAYER), panstarrs, or hips:ID with the id of a HiPS.",
)
@click.option(
    "-o", "--output", type=PATH, required=True, help="Folder to write: images/ and cutouts.csv."
)
@options_of(CutoutOptions)
def cutouts(table: Path, survey: str, output: Path, **options: Any) -> None:
    """Fetch the images of the galaxies in TABLE from a survey's service.

    Images have 424 pixels a side, of 0.02 times the Petrosian radius each, as in Galaxy Zoo 2.
    After an interruption, repeat the command.

    \b
    Example:
      python cli.py data cutouts galaxies.csv --survey sdss -o cutouts
    """
    import galaxymorph as gm

    gm.cutouts(table, survey, output, **options)
    click.echo(output / "cutouts.csv")


def _print(check: CatalogueCheck) -> None:
    """Print a catalogue's state, how many galaxies every scheme keeps by class, and the notes."""
    from rich.table import Table

    from galaxymorph.report.tables import console, make_table, print_table

    table = Table(box=None, show_header=False)
    for name, value in check.state:
        table.add_row(name, value)
    print_table(table)
    table = make_table("", ["scheme", "kept", "classes"], left={"classes"})
    for row in check.classes:
        table.add_row(*row)
    print_table(table)
    for note in check.notes:
        console().print(note, soft_wrap=True)
