"""`data`: what is in a catalogue and what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import (
    ID_COLUMN,
    LABELS_COLUMN,
    SCHEMA,
    SKIP_BAD,
    rendering_options,
)

SHOWN = 10


@click.group(cls=Group)
def data() -> None:
    """Check a catalogue of galaxies."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@LABELS_COLUMN
@SCHEMA
@ID_COLUMN
@SKIP_BAD
@click.option("--quick", is_flag=True, help="Don't decode the images, only see that they're there.")
@rendering_options
@click.pass_context
def check(context, path, labels_column, schema, id_column, skip_bad, quick, stretch, bands) -> None:
    """Print on one screen what is in the catalogue at PATH and what is wrong with which rows.

    PATH is a folder or a zip in the Kaggle layout, or a table with its images beside it. The
    exit status is 2 if a row is wrong and --skip-bad isn't given. What a fit would stop at, such as
    too few galaxies of a class, is told too.

    \b
    Examples:
      python cli.py data check data
      python cli.py data check my/ --labels-column kind --id-column name
    """
    from galaxymorph.base import say
    from galaxymorph.images import (
        Rendering,
        copies_in_words,
        image_problems,
        inspect_images,
        require_fits,
    )
    from galaxymorph.learn import split_faults, write_table
    from galaxymorph.report import print_check
    from galaxymorph.zoo import count_classes, read_catalogue

    catalogue = read_catalogue(path, labels_column, schema, id_column)
    if not quick:
        references = list(catalogue.table["image"])
        require_fits(references, {"stretch": stretch, "bands": bands})
        found = inspect_images(references, rendering=Rendering().changed(stretch, bands))
        catalogue = catalogue.set_aside(image_problems(catalogue, found))
    counts, faults = count_classes(catalogue), split_faults(catalogue)
    print_check(catalogue, counts, decoded=not quick)
    for line in _before_a_fit(counts, faults):
        click.echo(line)
    for line in [] if quick else copies_in_words(found):
        click.echo(line)
    for problem in catalogue.problems[:SHOWN]:
        click.echo(problem)
    if len(catalogue.problems) > SHOWN:
        click.echo(f"… and {len(catalogue.problems) - SHOWN:,} more; --skip-bad writes them all")
    if catalogue.problems and not skip_bad:
        context.exit(2)
    if not skip_bad or catalogue.rejected().empty:
        return
    write_table(Path("rejected.csv"), catalogue.rejected())
    say("written: rejected.csv")


def _before_a_fit(counts: dict[str, dict[str, int]], faults: dict[str, str]) -> list[str]:
    """Return what a fit would stop at or can't learn, a line each."""
    from galaxymorph.zoo import PLAIN, handed_classes, notes_on_classes

    classes = counts.get(PLAIN, {})
    lines = notes_on_classes(classes)
    if handed := handed_classes(list(classes)):
        lines.append(
            f"classes {', '.join(handed)} seem to differ in handedness: fit them with --no-flips"
        )
    for scheme, fault in faults.items():
        how = "fit" if scheme == PLAIN else f"fit --scheme {scheme}"
        lines.append(f"{how} would stop: {fault}")
    return lines
