"""`pretrain`: a backbone of one's own, from a simulated sky."""

from __future__ import annotations

from typing import Any

import click

from galaxymorph.api.options import PretrainOptions
from galaxymorph.base import say
from galaxymorph.cli.fit import print_results
from galaxymorph.cli.options import RecipeCommand, given, options_of, recipe_options


@click.command(cls=RecipeCommand, preset="pretrain")
@options_of(PretrainOptions)
@recipe_options
def pretrain(**options: Any) -> None:
    """Train a backbone on simulated galaxies of all surveys, on all 37 answers of the tree.

    The result is backbone.safetensors in the run, for fit --weights. The weights in this package
    (--weights galaxymorph) were made in this way. The settings are those of the recipe `pretrain`,
    and each is an option. With --data, --also and --unlabelled, real galaxies train too. After an
    interruption, repeat the command without the settings.

    \b
    Examples:
      python cli.py pretrain --n 8000 --name mine
      python cli.py pretrain --data real/ --also more/,labels=kind,scheme=gz2-five --name mixed
      python cli.py fit --weights exports/mine/backbone.safetensors
    """
    import galaxymorph as gm

    run = gm.pretrain(**given(options))
    print_results(run)
    click.echo(run.path)
    say(f"use it: python cli.py fit --weights {run.path / 'backbone.safetensors'}")
