"""`interpret`: a run's galleries, and one galaxy's walk down the tree."""

from __future__ import annotations

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, RUN


@click.command(cls=Command)
@RUN
@click.option("--part", type=Choice(["test", "valid"]), default="test", show_default=True,
              help="Part of the split whose galaxies are drawn.")  # fmt: skip
@click.option(
    "--most",
    type=click.IntRange(1, 200),
    default=20,
    show_default=True,
    help="Galaxies in a gallery.",
)
@click.option(
    "--galaxy",
    metavar="ID",
    help="Draw this galaxy's walk down the decision tree instead, volunteers' and predicted "
    "fractions side by side.",
)
@FIGURES
@DATA
@DEVICE
def interpret(run, part, most, galaxy, data) -> None:
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
    from galaxymorph.learn import held
    from galaxymorph.report import draw_walk, refresh_report

    with held(run) as run:
        if galaxy:
            click.echo(draw_walk(run, galaxy, data))
            return
        _draw_part(run, part, most, data)
        refresh_report(run, data)


def _draw_part(run, part, most, data) -> None:
    from galaxymorph.base import Progress
    from galaxymorph.judge import galleries_of
    from galaxymorph.report import draw_gallery, draw_votes

    found = galleries_of(run, part, data)
    filled = {name: gallery for name, gallery in found.items() if len(gallery[1])}
    with Progress("drawing", len(filled), "galleries") as progress:
        for name, (title, galaxies) in filled.items():
            path = run.figures / f"{name}.png"
            click.echo(draw_gallery(run, path, galaxies, title, most))
            progress.advance()
    for path in draw_votes(run, part):
        click.echo(path)
