"""`explain`: what a run's model looks at, and whether the maps deserve belief."""

from __future__ import annotations

import click

from galaxymorph.cli.options import DATA, DEVICE, RUN


@click.command()
@RUN
@click.option(
    "--method",
    "methods",
    type=click.Choice(["gradcam", "integrated-gradients", "occlusion"]),
    multiple=True,
    help="Of attribution; may be given several times. Default: all three.",
)
@click.option(
    "--limit",
    type=click.IntRange(min=1),
    metavar="N",
    help="Galaxies that each step looks at, drawn at random by the run's seed. Default: what "
    "keeps a step to a minute or two.",
)
@DATA
@DEVICE
def explain(run, methods, limit, data) -> None:
    """Show what RUN's model looks at, and judge it.

    Tables and figures about the galaxies of the test part go into RUN's explain/.
    """
    from galaxymorph.learn import Run
    from galaxymorph.report import explain_run

    for path in explain_run(Run(run), methods, limit, data):
        click.echo(path)
