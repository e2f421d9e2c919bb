"""`triage`: the galaxies that people should look at."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.options import DEVICE, RUN, rendering_options, say_rendering


@click.command()
@RUN
@click.argument("catalogue", nargs=-1, required=True, metavar="CATALOGUE...")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    required=True,
    help="Folder to make, of the images and their manifest.csv.",
)
@click.option("--number", type=click.IntRange(1), default=100, show_default=True,
              help="Galaxies to choose.")  # fmt: skip
@click.option(
    "--source",
    type=click.Choice(["views", "dropout", "ensemble", "single"]),
    default="views",
    show_default=True,
    help="Where doubt is read from: eight flips and turns, 20 passes with dropout, the models of a "
    "run with --members or --folds, or one model's entropy.",
)
@rendering_options
@DEVICE
def triage(run, catalogue, output, number, source, stretch, bands) -> None:
    """Choose, of the images in CATALOGUE, those most worth a volunteer's time for RUN.

    CATALOGUE is images, folders, zips, or tables with a column `image` of paths, whose ids the
    manifest keeps. The model is in doubt about them by itself, rather than because they look like
    two classes, and they are unlike each other. The folder can be uploaded to Zooniverse as a
    subject set.
    """
    from galaxymorph.images import require_fits
    from galaxymorph.learn import Run
    from galaxymorph.predict import choose_galaxies, expand_catalogues

    listed = expand_catalogues(catalogue)
    require_fits([row.image for row in listed], {"stretch": stretch, "bands": bands})
    say_rendering(stretch, bands)
    choose_galaxies(Run(run).rendered(stretch, bands), listed, output, number, source)
    click.echo(output / "manifest.csv")
