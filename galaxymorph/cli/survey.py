"""`survey`: simulate galaxies, and look at them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ShowOptions, SimulateOptions
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, options_of


@click.group(cls=Group)
def survey() -> None:
    """Simulate galaxies with votes, and draw contact sheets."""


@survey.command(short_help="Simulate galaxies and votes.")
@click.argument("folder", type=PATH, metavar="DIR")
@options_of(SimulateOptions)
def simulate(folder: Path, **options: Any) -> None:
    """Simulate galaxies and volunteers' votes in the format of Galaxy Zoo, into the folder DIR.

    A galaxy depends only on the seed and its id. After an interruption, repeat the command.

    \b
    Example:
      python cli.py survey simulate sky --n 3000 --survey sdss,decals
    """
    import galaxymorph as gm

    click.echo(gm.simulate(folder, **options))


@survey.command(short_help="Draw a contact sheet of a catalogue.")
@click.argument("folder", type=PATH, metavar="DIR")
@options_of(ShowOptions)
def show(folder: Path, output: Path | None, **options: Any) -> None:
    """Draw a contact sheet of the catalogue in DIR: images, ids, and labels or answers.

    \b
    Example:
      python cli.py survey show my/ --labels-column kind -o sheet.png
    """
    import galaxymorph as gm

    output = output or Path("sheet.png")
    gm.show(folder, output=output, **options)
    click.echo(output)
