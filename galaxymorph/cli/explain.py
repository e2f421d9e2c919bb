"""`explain`: which parts of an image a run's predictions depend on, and tests of those maps."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, RUN
from galaxymorph.judge import ATTRIBUTION_METHODS


@click.command(cls=Command)
@RUN
@click.option(
    "--method",
    "methods",
    type=Choice(list(ATTRIBUTION_METHODS)),
    multiple=True,
    help="Attribution method; can be given several times. Default: all.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Galaxies in each step, drawn at random with the run's seed. Default: as many as take a "
    "minute or two per step.",
)
@click.option("--similar", metavar="ID", help="Draw the galaxies most similar to this one instead.")
@FIGURES
@DATA
@DEVICE
def explain(
    run: Path, methods: tuple[str, ...], limit: int | None, similar: str | None, data: Path | None
) -> None:
    """Draw maps of the parts of an image that predictions of RUN depend on, and test the maps.

    Tables and figures of the galaxies of the test part are written into explain/ of RUN.
    `interpret` shows which galaxies are predicted well or badly.

    \b
    Examples:
      python cli.py explain exports/RUN --limit 100
      python cli.py explain exports/RUN --similar 100008
    """
    from galaxymorph.report import explain as explain_run
    from galaxymorph.report import explain_galaxy

    if similar is not None:
        if methods or limit:
            raise BadInput("--similar draws one figure", "leave out --method and --limit")
        click.echo(explain_galaxy(run, similar, data))
        return
    for path in explain_run(run, methods, limit, data):
        click.echo(path)
