"""`triage`: the galaxies that volunteers should look at."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DEVICE, PATH, RENDERING, RUN, SKIP_BAD_IMAGES, say_rendering
from galaxymorph.predict.uncertainty_sources import UNCERTAINTY_SOURCES


@click.command(cls=Command)
@RUN
@click.argument("catalogue", nargs=-1, required=True, metavar="CATALOGUE...")
@click.option(
    "-o", "--output", type=PATH, required=True, help="Folder to write: the images and manifest.csv."
)
@click.option(
    "--number",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Number of galaxies to select.",
)
@click.option(
    "--source",
    type=Choice(list(UNCERTAINTY_SOURCES)),
    default="views",
    show_default=True,
    help="Source of uncertainty: "
    + "; ".join(f"{name}, {entry.words}" for name, entry in UNCERTAINTY_SOURCES.items())
    + ".",
)
@SKIP_BAD_IMAGES
@RENDERING
@DEVICE
def triage(
    run: Path,
    catalogue: tuple[str, ...],
    output: Path,
    number: int,
    source: str,
    skip_bad: bool,
    stretch: str | None,
    bands: str | None,
) -> None:
    """Select the images in CATALOGUE that volunteers should classify to improve RUN.

    CATALOGUE is images, folders, zips, or tables with a column `image` of paths, whose ids are kept
    in the manifest. The images with the largest epistemic uncertainty that differ from each other
    are selected: those for which more labels would help, rather than those that look like two
    classes. The folder can be uploaded to Zooniverse as a subject set.

    \b
    Example:
      python cli.py triage exports/RUN images/ -o to-label --number 50
    """
    from galaxymorph.learn import Run
    from galaxymorph.predict import triage_files

    say_rendering(stretch, bands)
    triage_files(Run(run), catalogue, output, number, source, skip_bad, stretch, bands)
    click.echo(output / "manifest.csv")
