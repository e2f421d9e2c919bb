"""`triage`: the galaxies that people should look at."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import (
    DEVICE,
    RUN,
    SKIP_BAD_IMAGES,
    rendering_options,
    say_rendering,
    say_skipped,
)


@click.command(cls=Command)
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
    type=Choice(["views", "dropout", "ensemble", "single"]),
    default="views",
    show_default=True,
    help="Source of uncertainty: eight flips and rotations, 20 passes with dropout, the models of "
    "a run with --members or --folds, or one model's entropy.",
)
@SKIP_BAD_IMAGES
@rendering_options
@DEVICE
def triage(run, catalogue, output, number, source, skip_bad, stretch, bands) -> None:
    """Choose, of the images in CATALOGUE, those most worth a volunteer's time for RUN.

    CATALOGUE is images, folders, zips, or tables with a column `image` of paths, whose ids the
    manifest keeps. Chosen are those of which the model is most uncertain for want of knowledge,
    rather than because they look like two classes, and that are unlike each other. The folder can
    be uploaded to Zooniverse as a subject set.

    \b
    Example:
      python cli.py triage exports/RUN images/ -o to-label --number 50
    """
    from galaxymorph.images import require_fits
    from galaxymorph.learn import Run
    from galaxymorph.predict import expand_catalogues

    model = Run(run).rendered(stretch, bands)
    model.require_trained()
    listed = expand_catalogues(catalogue)
    faults = [row.fault for row in listed if row.fault]
    if faults and not skip_bad:
        raise BadInput(faults[0], "mend the table, or give --skip-bad")
    references = [row.image for row in listed if not row.fault]
    require_fits(references, {"stretch": stretch, "bands": bands})
    say_rendering(stretch, bands)
    # They import PyTorch, for which a fault of the catalogue doesn't wait.
    from galaxymorph.predict import choose_galaxies, usable_images

    if skip_bad:
        references, unusable = usable_images(references, [model.recipe.rendering])
        say_skipped(faults + unusable)
        if not references:
            raise BadInput("none of the images can be used", "see the lines above")
        if left_out := len(listed) - len(references):
            say(f"{left_out:,} of {len(listed):,} images can't be used, and are left out")
        usable = set(references)
        listed = [row for row in listed if row.image in usable]
    choose_galaxies(model, listed, output, number, source)
    click.echo(output / "manifest.csv")
