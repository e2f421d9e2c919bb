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
    "-o",
    "--output",
    type=PATH,
    required=True,
    help="Folder to make, of the images and their manifest.csv.",
)
@click.option(
    "--number", type=click.IntRange(1), default=100, show_default=True, help="Galaxies to choose."
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
    """Choose, of the images in CATALOGUE, those most worth a volunteer's time for RUN.

    CATALOGUE is images, folders, zips, or tables with a column `image` of paths, whose ids the
    manifest keeps. Chosen are those of which the model is most uncertain for want of knowledge,
    rather than because they look like two classes, and that are unlike each other. The folder can
    be uploaded to Zooniverse as a subject set.

    \b
    Example:
      python cli.py triage exports/RUN images/ -o to-label --number 50
    """
    from galaxymorph.learn import Run
    from galaxymorph.predict import triage_files

    say_rendering(stretch, bands)
    triage_files(Run(run), catalogue, output, number, source, skip_bad, stretch, bands)
    click.echo(output / "manifest.csv")
