"""`report`: a run's page."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, FIGURES, PATH, RUN, require_output


@click.command(cls=Command)
@RUN
@click.option("-o", "--output", type=PATH, help="File to write. Default: RUN/report.html.")
@FIGURES
@DATA
def report(run: Path, output: Path | None, data: Path | None) -> None:
    """Write the report of RUN from its files, and its model card.

    The report is one HTML file that loads nothing from elsewhere: it can be sent by mail or put on
    a web server. The figures of the fit are drawn again, so that --figures applies to them.
    `compare -o page.html` writes a page of several runs.

    \b
    Example:
      python cli.py report exports/RUN
    """
    from galaxymorph.report import renew_report

    require_output(output, (".html",), "end it in .html")
    click.echo(renew_report(run, data, output))
