"""`report`: a run's page."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, FIGURES, PATH, RUN, require_output


@click.command(cls=Command)
@RUN
@click.option("-o", "--output", type=PATH, help="The page. Default: RUN/report.html.")
@FIGURES
@DATA
def report(run: Path, output: Path | None, data: Path | None) -> None:
    """Write the page of RUN from whatever it has, and its model card.

    The page is one file that loads nothing from elsewhere: it can be mailed, or put on a web
    server. The figures that the fit drew are drawn again, so that --figures applies to them.
    `compare -o page.html` writes a page of several runs.

    \b
    Example:
      python cli.py report exports/RUN
    """
    from galaxymorph.report import renew_report

    require_output(output, (".html",), "end it in .html")
    click.echo(renew_report(run, data, output))
