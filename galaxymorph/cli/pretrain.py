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
    help="Folder of simulated galaxies; simulated or completed if they are missing.",
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
    help="Folder in which the run is created.",
)
@click.option(
    "--name", cls=Option, group="run", default="pretrain", show_default=True, help="The run's name."
)
@DEVICE
@recipe_options
def pretrain(sky: Path, number: int | None, out: Path, name: str, **settings: object) -> None:
    """Train a backbone on simulated galaxies of all surveys, on all 37 answers of the tree.

    The result is backbone.safetensors in the run, for fit --weights. The weights in this package
    (--weights galaxymorph) were made in this way. The settings are those of the recipe `pretrain`,
    and each is an option. After an interruption, repeat the command.

    \b
    Example:
      python cli.py pretrain --n 8000 --name mine
      python cli.py fit --weights exports/mine/backbone.safetensors
    """
    from galaxymorph.report import pretrain as train_backbone

    path = train_backbone(sky, number, out, name, given(settings))
    click.echo(path.parent)
    say(f"use it: python cli.py fit --weights {path}")
