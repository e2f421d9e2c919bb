"""`fit`: train, judge and draw a run."""

from __future__ import annotations

import os
import sys

import click

from galaxymorph.cli.options import (
    DEVICE,
    FIGURES,
    RecipeCommand,
    dataclass_options,
    given,
    recipe_options,
)
from galaxymorph.learn.presets import RECIPES
from galaxymorph.report.analysis_options import FitOptions

PRESETS_IN_HELP = "\b\nPresets:\n" + "\n".join(
    f"  {name:9} {preset.note}" for name, preset in RECIPES.items()
)


@click.command(cls=RecipeCommand, epilog=PRESETS_IN_HELP)
@dataclass_options(FitOptions, "options")
@FIGURES
@DEVICE
@recipe_options
def fit(options: FitOptions, **settings: object) -> None:
    """Train a model on galaxies, evaluate it, and write a run folder with its figures.

    If there is no data, galaxies are simulated, and training starts from the weights in this
    package. Every setting of a recipe is an option. The defaults in brackets are those of the
    preset baseline, or of the recipe given: fit --recipe small --help shows those of small.

    \b
    Examples:
      python cli.py fit
      python cli.py fit --data my/ --labels-column kind --id-column name --recipe small
      python cli.py fit --target tree --folds 5
    """
    changes = given(settings)
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _fit(options, changes)
        return
    from galaxymorph.learn import help_training, together

    with together(help_training) as leads:
        if leads:
            _fit(options, changes)
    # A thread of PyTorch that wants the interpreter's lock while Python ends aborts the process
    # now and then ("terminate called without an active exception"), after all is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _fit(options: FitOptions, changes: dict[str, object]) -> None:
    from galaxymorph.report import fit as fit_run

    click.echo(fit_run(options, changes).path)
