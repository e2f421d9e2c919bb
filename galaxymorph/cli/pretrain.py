"""`pretrain`: a backbone of one's own, from a simulated sky."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.fit import finish, resumed, start
from galaxymorph.cli.options import DEVICE, given, recipe_options

BACKBONE = "backbone.safetensors"


@click.command()
@click.option(
    "--sky",
    type=click.Path(path_type=Path),
    default=Path("data/pretraining"),
    show_default=True,
    help="Folder of simulated galaxies; made, or gone on with, if they aren't there.",
)
@click.option(
    "--n", "number", type=click.IntRange(min=1), help="Galaxies to simulate. Default: 32000."
)
@click.option(
    "--out", type=click.Path(path_type=Path), default=Path("exports"), help="Folder of runs."
)
@click.option("--name", default="pretrain", show_default=True, help="The run's name.")
@DEVICE
@recipe_options
def pretrain(sky, number, out, name, **settings) -> None:
    """Train a network on simulated galaxies of all surveys, on all 37 answers of the tree.

    The same command goes on after a kill. The run's backbone.safetensors is for fit --weights;
    the package's own, --weights galaxymorph, was made so. Settings are those of the recipe
    `pretrain`; each has an option here that overrides it.
    """
    from galaxymorph.learn import write_backbone
    from galaxymorph.survey import PRETRAINING, simulate

    path = out / name
    changes = given(settings)
    if changes.get("folds"):
        raise BadInput(f"--folds {changes['folds']}: a backbone is one network", "leave it out")
    if changes.get("members", 1) > 1:
        raise BadInput(f"--members {changes['members']}: a backbone is one network", "leave it out")
    simulate(sky, replace(PRETRAINING, number=number or PRETRAINING.number))
    if path.exists():
        if changes:
            raise BadInput(
                f"{path} exists already", "leave out the settings to go on, or give another --name"
            )
        run, galaxies = resumed(path, sky, cache=True)
    else:
        run, galaxies = start(sky, "pretrain", out, name, False, True, changes)
    finish(run, galaxies)
    write_backbone(run, path / BACKBONE)
    say(f"use it: python cli.py fit --weights {path / BACKBONE}")
