"""`explain`: which parts of an image a run's predictions depend on, and tests of those maps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ExplainOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(ExplainOptions)
def explain(run: Path, **options: Any) -> None:
    """Draw maps of the parts of an image that predictions of RUN depend on, and test the maps.

    Tables and figures of the galaxies of the test part are written into explain/ of RUN.
    `interpret` shows which galaxies are predicted well or badly.

    \b
    Examples:
      python cli.py explain exports/RUN --limit 100
      python cli.py explain exports/RUN --similar 100008
    """
    import galaxymorph as gm
    from galaxymorph.report import print_rows

    result = gm.explain(run, **options)
    for title, rows in result.tables.items():
        print_rows(title, rows)
    for path in result.files:
        click.echo(path)
