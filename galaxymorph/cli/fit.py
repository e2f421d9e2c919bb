"""`fit`: train, judge and draw a run."""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Any

import click

from galaxymorph.api.options import FitOptions
from galaxymorph.base import say
from galaxymorph.cli.options import RecipeCommand, given, options_of, recipe_options
from galaxymorph.learn.presets import RECIPES

if TYPE_CHECKING:
    from galaxymorph import Run

PRESETS_IN_HELP = "\b\nPresets:\n" + "\n".join(
    f"  {name:9} {preset.note}" for name, preset in RECIPES.items()
)


@click.command(cls=RecipeCommand, epilog=PRESETS_IN_HELP)
@options_of(FitOptions)
@recipe_options
def fit(**options: Any) -> None:
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
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        _fit(options)
        return
    from galaxymorph.learn import help_training, together

    with together(help_training) as leads:
        if leads:
            _fit(options)
    # A thread of PyTorch that wants the interpreter's lock while Python ends aborts the process
    # now and then ("terminate called without an active exception"), after all is done.
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


def _fit(options: dict[str, Any]) -> None:
    import galaxymorph as gm

    run = gm.fit(**given(options))
    print_results(run)
    say(f"to see its errors: python cli.py interpret {shlex.quote(str(run.path))}")
    click.echo(run.path)


def print_results(run: Run) -> None:
    """Print a run's metrics, and say where its figures and its page are."""
    from galaxymorph.base import read_json
    from galaxymorph.learn import run_files
    from galaxymorph.report import print_metrics

    print_metrics(read_json(run.path / run_files.METRICS), run.recipe)
    say(f"figures: {run.figures}/")
    say(f"report: {run.path / run_files.REPORT}")
