"""`survey`: simulate galaxies, and look at them."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import ID_COLUMN, LABELS_COLUMN, SCHEMA, rendering_options
from galaxymorph.learn.recipe import Recipe


@click.group(cls=Group)
def survey() -> None:
    """Simulate galaxies with votes, and draw contact sheets."""


@survey.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option("--n", "number", type=int, default=3000, show_default=True,
              help="Galaxies to simulate.")  # fmt: skip
@click.option(
    "--survey",
    "surveys",
    default=("sdss",),
    multiple=True,
    metavar="NAME[,NAME...]",
    help="sdss, decals, hsc, euclid or hst; of several each galaxy draws one.  [default: sdss]",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of every random choice.")
@click.option("--masks", is_flag=True, help="Write masks of arms, bar, bulge, ring, companion.")
@click.option(
    "--redshift", metavar="Z|LOW-HIGH", help="Move the galaxies out to it, or into a range."
)
@click.option("--workers", type=click.IntRange(min=1), help="Processes. Default: all cores.")
def simulate(folder, number, surveys, seed, masks, redshift, workers) -> None:
    """Simulate galaxies and volunteers' votes into DIR, in Galaxy Zoo's own format.

    A galaxy depends on the seed and its id alone. A run that was killed goes on when the same
    command is given again.

    \b
    Example:
      python cli.py survey simulate sky --n 3000 --survey sdss,decals
    """
    from galaxymorph.survey.simulation import Simulation
    from galaxymorph.survey.simulation import simulate as run

    names = tuple(name.strip() for names in surveys for name in names.split(","))
    wanted = Simulation(number, names, seed, _range(redshift), masks)
    click.echo(run(folder, wanted, workers))


@survey.command()
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("sheet.png"),
    show_default=True,
    help="The PNG to write.",
)
@click.option(
    "--n",
    "number",
    type=click.IntRange(min=1),
    default=48,
    show_default=True,
    help="Galaxies on the sheet.",
)
@click.option(
    "--columns", type=click.IntRange(min=1), default=8, show_default=True, help="Galaxies in a row."
)
@click.option(
    "--scheme", metavar="NAME", help="Show a label scheme's classes instead of the top answers."
)
@LABELS_COLUMN
@SCHEMA
@ID_COLUMN
@rendering_options
def show(
    folder, output, number, columns, scheme, labels_column, schema, id_column, stretch, bands
) -> None:
    """Draw a contact sheet of the catalogue in DIR: thumbnail, id, label or top answers.

    \b
    Example:
      python cli.py survey show my/ --labels-column kind -o sheet.png
    """
    from galaxymorph.images import Rendering
    from galaxymorph.survey import contact_sheet
    from galaxymorph.zoo import read_catalogue

    if output.suffix.lower() != ".png" or not output.absolute().parent.is_dir():
        raise BadInput(f"-o {output}: not a .png in a folder that exists", "name such a file")
    if scheme and (labels_column or schema != Recipe.schema):
        raise BadInput(
            f"--scheme {scheme}: schemes are rules on the challenge's columns",
            "leave out --scheme, or --labels-column and --schema",
        )
    catalogue = read_catalogue(folder, labels_column, schema, id_column)
    rendering = Rendering().changed(stretch, bands)
    click.echo(contact_sheet(catalogue, output, number, columns, scheme, rendering))


def _range(text: str | None) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise BadInput(f"--redshift {text!r} is no number", "write 0.3 or 0.1-0.5") from None
