"""`triage`: the galaxies that volunteers should look at."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import TriageOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import PATH, RUN, options_of, say_rendering


@click.command(cls=Command)
@RUN
@click.argument("catalogue", nargs=-1, required=True, metavar="CATALOGUE...")
@click.option(
    "-o", "--output", type=PATH, required=True, help="Folder to write: the images and manifest.csv."
)
@options_of(TriageOptions)
def triage(run: Path, catalogue: tuple[str, ...], output: Path, **options: Any) -> None:
    """Select the images in CATALOGUE that volunteers should classify to improve RUN.

    CATALOGUE is images, folders, zips, or tables with a column of paths, `image` or that of
    --image-column, whose ids are kept in the manifest. The images with the largest epistemic
    uncertainty that differ from each other are selected: those for which more labels would help,
    rather than those that look like two classes. The folder can be uploaded to Zooniverse as a
    subject set.

    \b
    Example:
      python cli.py triage exports/RUN images/ -o to-label --number 50
    """
    import galaxymorph as gm

    say_rendering(options)
    gm.triage(run, catalogue, output, **options)
    click.echo(output / "manifest.csv")
