"""`survey`: simulate galaxies, and look at them."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, dataclass_options, require_output
from galaxymorph.learn.recipe import Recipe
from galaxymorph.report.analysis_options import CheckOptions


def _redshifts(
    context: click.Context, option: click.Parameter, text: str | None
) -> tuple[float, float] | None:
    if text is None:
        return None
    low, _, high = text.partition("-")
    try:
        return float(low), float(high or low)
    except ValueError:
        raise BadInput(f"--redshift {text!r} is no number", "write 0.3 or 0.1-0.5") from None


@click.group(cls=Group)
def survey() -> None:
    """Simulate galaxies with votes, and draw contact sheets."""


@survey.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.option(
    "--n", "number", type=int, default=3000, show_default=True, help="Galaxies to simulate."
)
@click.option(
    "--survey",
    "surveys",
    default=("sdss",),
    multiple=True,
    metavar="NAME[,NAME...]",
    help="sdss, decals, hsc, euclid or hst. If several are given, each galaxy is observed by one, "
    "drawn at random.  [default: sdss]",
)
@click.option("--seed", type=int, default=7, show_default=True, help="Seed of all random choices.")
@click.option("--masks", is_flag=True, help="Write masks of arms, bar, bulge, ring and companion.")
@click.option(
    "--redshift",
    metavar="Z|LOW-HIGH",
    callback=_redshifts,
    help="Move the galaxies to this redshift, or to redshifts in this range.",
)
@click.option(
    "--workers", type=click.IntRange(min=1), help="Number of processes. Default: one per core."
)
def simulate(
    folder: Path,
    number: int,
    surveys: tuple[str, ...],
    seed: int,
    masks: bool,
    redshift: tuple[float, float] | None,
    workers: int | None,
) -> None:
    """Simulate galaxies and volunteers' votes in the format of Galaxy Zoo, into the folder DIR.

    A galaxy depends only on the seed and its id. After an interruption, repeat the command.

    \b
    Example:
      python cli.py survey simulate sky --n 3000 --survey sdss,decals
    """
    from galaxymorph.survey.simulation import Simulation
    from galaxymorph.survey.simulation import simulate as run

    names = tuple(name.strip() for names in surveys for name in names.split(","))
    click.echo(run(folder, Simulation(number, names, seed, redshift, masks), workers))


@survey.command()
@click.argument("folder", type=PATH, metavar="DIR")
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=Path("sheet.png"),
    show_default=True,
    help="PNG file to write.",
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
    "--columns", type=click.IntRange(min=1), default=8, show_default=True, help="Galaxies per row."
)
@click.option(
    "--scheme",
    metavar="NAME",
    help="Show the classes of this label scheme instead of the most frequent answers.",
)
@dataclass_options(CheckOptions, "reading")
def show(
    folder: Path, output: Path, number: int, columns: int, scheme: str | None, reading: CheckOptions
) -> None:
    """Draw a contact sheet of the catalogue in DIR: images, ids, and labels or answers.

    \b
    Example:
      python cli.py survey show my/ --labels-column kind -o sheet.png
    """
    from galaxymorph.images import Rendering
    from galaxymorph.survey import contact_sheet
    from galaxymorph.zoo import read_catalogue

    require_output(output, (".png", ".PNG"), "name a .png file")
    if scheme and (reading.labels_column or reading.schema != Recipe.schema):
        raise BadInput(
            f"--scheme {scheme}: schemes are rules on the challenge's columns",
            "leave out --scheme, or --labels-column and --schema",
        )
    catalogue = read_catalogue(folder, reading.labels_column, reading.schema, reading.id_column)
    rendering = Rendering().changed(reading.stretch, reading.bands)
    click.echo(contact_sheet(catalogue, output, number, columns, scheme, rendering))
