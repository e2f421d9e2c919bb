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
    help="Draw this galaxy's walk down the decision tree instead, volunteers' and predicted "
    "fractions side by side.",
)
@FIGURES
@DATA
@DEVICE
def interpret(run: Path, part: str, most: int, galaxy: str | None, data: Path | None) -> None:
    """Draw which galaxies RUN predicts well or badly, as galleries in its figures/.

    It shows whole galaxies beside their labels; `explain` shows which parts of an image a
    prediction depends on.

    The galleries are of the largest losses; of classes, the mistakes made with most confidence and
    each cell of the confusion matrix; of votes, the galaxies that volunteers disagree on, and
    predicted against volunteers' fractions.

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
