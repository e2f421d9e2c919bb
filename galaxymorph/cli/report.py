"""`report`: a run's page, and the page of several runs."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, FIGURES


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="RUN...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="The page. Default: RUN/report.html; several RUNs need it.",
)
@FIGURES
@DATA
def report(runs, output, data) -> None:
    """Write the page of RUN from whatever it has; of several RUNs, one that sets them side by side.

    A page is one file that loads nothing from elsewhere: it can be mailed, or put on a web server.
    The figures that the fit drew are drawn again, so that --figures applies to them.

    \b
    Examples:
      python cli.py report exports/RUN
      python cli.py report exports/first exports/second -o both.html
    """
    from galaxymorph.learn import Run, held, say_fit_warnings
    from galaxymorph.report import redraw, write_comparison, write_report

    if output and output.suffix != ".html":
        raise BadInput(f"-o {output}: not the name of a page", "end it in .html")
    if output and not output.absolute().parent.is_dir():
        raise BadInput(f"-o {output}: there is no folder {output.parent}", "make it first")
    if len(runs) == 1:
        with held(runs[0]) as run:
            redraw(run)
            click.echo(write_report(run, data, output))
        return
    if output is None:
        raise BadInput("report: several runs, and no place for their page", "give -o page.html")
    if data is not None:
        raise BadInput(f"--data {data}: a page of several runs shows no images", "leave it out")
    runs = [Run(path) for path in runs]
    page = write_comparison(runs, output)
    for run in runs:
        say_fit_warnings(run)
    click.echo(page)
