"""`schema`: look at vote schemas, and propose one for a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import GuessOptions, ShowSchemaOptions
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, options_of


@click.group(cls=Group)
def schema() -> None:
    """Show the decision trees of vote catalogues, and propose one for a table.

    \b
    Example:
      python cli.py schema show euclid
    """


@schema.command(short_help="Draw a decision tree, or list all.")
@click.argument("schema", required=False, metavar="[NAME|FILE]")
@options_of(ShowSchemaOptions)
def show(schema: str | None, **options: Any) -> None:
    """Print the decision tree NAME, or that of a JSON file; without a name, list all schemas.

    \b
    Examples:
      python cli.py schema show
      python cli.py schema show euclid -o euclid.png
    """
    import galaxymorph as gm

    click.echo(gm.show_schema(schema, **options))
    if options["output"]:
        click.echo(options["output"])


@schema.command(short_help="Propose a schema for a table.")
@click.argument("table", type=PATH, metavar="TABLE")
@options_of(GuessOptions)
def guess(table: Path, output: Path | None, **options: Any) -> None:
    """Propose a schema from the columns and counts of TABLE, as JSON to be corrected by hand.

    \b
    Example:
      python cli.py schema guess votes.csv -o mine.json
      python cli.py fit --target tree --schema mine.json --data votes.csv
    """
    import galaxymorph as gm

    text = gm.guess_schema(table, output=output, **options)
    click.echo(output if output else text)
