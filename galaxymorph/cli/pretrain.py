"""`pretrain`: a backbone of one's own, from a simulated sky."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import say
from galaxymorph.cli.commands import Option
from galaxymorph.cli.options import DEVICE, PATH, RecipeCommand, given, recipe_options


@click.command(cls=RecipeCommand, preset="pretrain")
@click.option(
    "--sky",
    cls=Option,
    group="data",
    type=PATH,
    default=Path("data/pretraining"),
    show_default=True,
    help="Folder of simulated galaxies; made, or gone on with, if they aren't there.",
)
@click.option(
    "--n",
    "number",
    cls=Option,
    group="data",
    type=click.IntRange(min=1),
    metavar="INTEGER",
    help="Galaxies to simulate.  [default: 32000]",
)
@click.option(
    "--out",
    cls=Option,
    group="run",
    type=PATH,
    default=Path("exports"),
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--name", cls=Option, group="run", default="pretrain", show_default=True, help="The run's name."
)
@DEVICE
@recipe_options
def pretrain(sky: Path, number: int | None, out: Path, name: str, **settings: object) -> None:
    """Train a network on simulated galaxies of all surveys, on all 37 answers of the tree.

    The same command goes on after a kill. The run's backbone.safetensors is for fit --weights;
    the package's own, --weights galaxymorph, was made so. Settings are those of the recipe
    `pretrain`; each has an option here that overrides it.

    \b
    Example:
      python cli.py pretrain --n 8000 --name mine
      python cli.py fit --weights exports/mine/backbone.safetensors
    """
    from galaxymorph.report import pretrain as train_backbone

    path = train_backbone(sky, number, out, name, given(settings))
    click.echo(path.parent)
    say(f"use it: python cli.py fit --weights {path}")
