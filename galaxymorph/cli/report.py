"""`report`: a run's page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ReportOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(ReportOptions)
def report(run: Path, **options: Any) -> None:
    """Write the report of RUN from its files, and its model card.

    The report is one HTML file that loads nothing from elsewhere: it can be sent by mail or put on
    a web server. The figures of the fit are drawn again, so that --figures applies to them.
    `compare -o page.html` writes a page of several runs.

    \b
    Example:
      python cli.py report exports/RUN
    """
    import galaxymorph as gm

    click.echo(gm.report(run, **options))
