"""`interpret`: a run's galleries, and one galaxy's walk down the tree."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, MOST, RUN


@click.command(cls=Command)
@RUN
@click.option(
    "--part",
    type=Choice(["test", "valid"]),
    default="test",
    show_default=True,
    help="Part of the split whose galaxies are drawn.",
)
@MOST
@click.option(
    "--galaxy",
    metavar="ID",
    help="Draw the path of this galaxy down the decision tree instead, with observed and "
    "predicted fractions.",
)
@FIGURES
@DATA
@DEVICE
def interpret(run: Path, part: str, most: int, galaxy: str | None, data: Path | None) -> None:
    """Draw galleries of the galaxies that RUN predicts well or badly, in its figures/.

    `interpret` shows galaxies with their labels; `explain` shows on which parts of an image a
    prediction depends.

    The galleries show the largest losses. For classes, they also show the most confident mistakes
    and each cell of the confusion matrix; for vote fractions, the galaxies on which volunteers
    disagree most, and predicted against observed fractions.

    \b
    Examples:
      python cli.py interpret exports/RUN
      python cli.py interpret exports/RUN --galaxy 100008
    """
    from galaxymorph.report import interpret as draw_galleries
    from galaxymorph.report import interpret_galaxy

    if galaxy:
        click.echo(interpret_galaxy(run, galaxy, data))
        return
    for path in draw_galleries(run, part, most, data):
        click.echo(path)
