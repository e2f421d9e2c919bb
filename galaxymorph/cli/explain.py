"""`explain`: what a run's model looks at, and whether the maps deserve belief."""

from __future__ import annotations

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, RUN


@click.command(cls=Command)
@RUN
@click.option(
    "--method",
    "methods",
    type=Choice(["gradcam", "integrated-gradients", "occlusion"]),
    multiple=True,
    help="Attribution method; may be given several times. Default: all three.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Galaxies in each step, drawn at random by the run's seed. Default: what "
    "keeps a step to a minute or two.",
)
@click.option("--similar", metavar="ID", help="Draw the galaxies most like this one instead.")
@FIGURES
@DATA
@DEVICE
def explain(run, methods, limit, similar, data) -> None:
    """Draw which parts of an image RUN's predictions depend on, and test those maps.

    It looks inside images; `interpret` draws which galaxies are predicted well or badly. Tables
    and figures about the galaxies of the test part go into RUN's explain/.

    \b
    Examples:
      python cli.py explain exports/RUN --limit 100
      python cli.py explain exports/RUN --similar 100008
    """
    from galaxymorph.base import BadInput
    from galaxymorph.learn import held
    from galaxymorph.report import draw_similar, explain_run, refresh_report

    if similar is not None:
        if methods or limit:
            raise BadInput("--similar draws one figure", "leave out --method and --limit")
        with held(run) as run:
            click.echo(draw_similar(run, similar, data))
        return
    with held(run) as run:
        for path in explain_run(run, methods, limit, data):
            click.echo(path)
        refresh_report(run, data)
