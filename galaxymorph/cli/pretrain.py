"""`pretrain`: a backbone of one's own, from a simulated sky."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import click

from galaxymorph.base import BadInput, Steps, say
from galaxymorph.cli.commands import Option
from galaxymorph.cli.fit import finish, resumed, start
from galaxymorph.cli.options import DEVICE, RecipeCommand, given, recipe_options

BACKBONE = "backbone.safetensors"


@click.command(cls=RecipeCommand, preset="pretrain")
@click.option(
    "--sky",
    cls=Option,
    group="data",
    type=click.Path(path_type=Path),
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
    type=click.Path(path_type=Path),
    default=Path("exports"),
    show_default=True,
    help="Folder of runs.",
)
@click.option(
    "--name", cls=Option, group="run", default="pretrain", show_default=True, help="The run's name."
)
@DEVICE
@recipe_options
def pretrain(sky, number, out, name, **settings) -> None:
    """Train a network on simulated galaxies of all surveys, on all 37 answers of the tree.

    The same command goes on after a kill. The run's backbone.safetensors is for fit --weights;
    the package's own, --weights galaxymorph, was made so. Settings are those of the recipe
    `pretrain`; each has an option here that overrides it.

    \b
    Example:
      python cli.py pretrain --n 8000 --name mine
      python cli.py fit --weights exports/mine/backbone.safetensors
    """
    from galaxymorph.learn import write_backbone
    from galaxymorph.survey import PRETRAINING, simulate

    path = out / name
    changes = given(settings)
    if changes.get("folds"):
        raise BadInput(f"--folds {changes['folds']}: a backbone is one network", "leave it out")
    if changes.get("members", 1) > 1:
        raise BadInput(f"--members {changes['members']}: a backbone is one network", "leave it out")
    # Training takes longer than simulating; where the sky is there already, it is all.
    with Steps([1, 3]) as steps:
        steps.begin()
        simulate(sky, replace(PRETRAINING, number=number or PRETRAINING.number))
        steps.begin()
        if path.exists():
            if changes:
                raise BadInput(
                    f"{path} exists already",
                    "leave out the settings to go on, or give another --name",
                )
            run, galaxies = resumed(path, sky, cache=True)
        else:
            run, galaxies = start(sky, "pretrain", out, name, False, True, changes)
        finish(run, galaxies, _same_command(sky, out, name))
    write_backbone(run, path / BACKBONE)
    say(f"use it: python cli.py fit --weights {path / BACKBONE}")


def _same_command(sky: Path, out: Path, name: str) -> str:
    """Return the command that goes on, without the settings, which the run has."""
    words = ["--sky", str(sky), "--out", str(out), "--name", name]
    return f"python cli.py pretrain {shlex.join(words)}"
