"""Options of fits and analyses, as the command line and Python take them, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base import BadInput
from galaxymorph.base.options import option
from galaxymorph.images.rendering import STRETCHES
from galaxymorph.learn.presets import RECIPES
from galaxymorph.learn.recipe import Recipe
from galaxymorph.predict.options import BANDS, BANDS_METAVAR, STRETCH, VIEWS
from galaxymorph.zoo.schemas import SCHEMAS


@dataclass(frozen=True)
class FitOptions:
    """Where a fit's galaxies and recipe come from, and where its run goes."""

    data: Path | None = option(
        "Folder, zip or table with galaxies in the Kaggle layout.  [default: data/]", group="data"
    )
    source: str | None = option(
        f"A preset ({', '.join(RECIPES)}), see below, or a JSON file, such as a run's "
        "recipe.json. Default: baseline from 10,000 galaxies on, if ImageNet's weights can be "
        "had, and quick otherwise.",
        flags=("--recipe",),
        metavar="NAME|FILE",
        group="run",
    )
    out: Path | None = option("Folder of runs.  [default: exports/]", group="run")
    name: str | None = option("The run's name. Default: made from the recipe.", group="run")
    resume: Path | None = option(
        "Go on with a fit that was stopped; takes no other setting than --data.",
        metavar="RUN",
        group="run",
    )
    simulate: int | None = option(
        "Galaxies to simulate where there is no data.  [default: 3000]",
        limits=(1, None),
        metavar="INTEGER",
        group="data",
    )
    skip_bad: bool = option("Set bad rows aside in rejected.csv and go on.", False, group="data")
    cache: bool = option("Keep decoded frames on disk, shared between fits.", True, group="data")


@dataclass(frozen=True)
class CheckOptions:
    """How a catalogue's table and images are read."""

    labels_column: str | None = option(
        "Column of class names, for a table without vote fractions.", metavar="COLUMN"
    )
    schema: str = option(
        "The vote catalogue whose columns the table has.", Recipe.schema, choices=SCHEMAS
    )
    id_column: str | None = option(
        "Column that names the galaxies and their images. Default: the schema's own, or GalaxyID.",
        metavar="COLUMN",
    )
    stretch: str | None = option(STRETCH, choices=STRETCHES)
    bands: str | None = option(BANDS, metavar=BANDS_METAVAR)
    # An option of `data check` alone.
    quick: bool = False


CHECK_DEFAULTS = CheckOptions()


def parse_severities(text: str) -> tuple[int, ...]:
    """Return severities of corruptions.

    Raises:
        BadInput: one isn't a number from 1 to 5.
    """
    parts = text.split(",")
    if not all(part.strip() in {"1", "2", "3", "4", "5"} for part in parts):
        raise BadInput(f"--severities {text}", "give numbers from 1 to 5, such as 1,3,5")
    return tuple(int(part) for part in parts)


@dataclass(frozen=True)
class RobustnessOptions:
    """What a measurement of robustness tests, and how."""

    suite: str = option(
        "Every corruption, or the published table: noise, blur and brightness at severity 3.",
        "full",
        choices=("full", "published"),
    )
    severities: tuple[int, ...] | None = option(
        "Severities of the full suite.  [default: 1,2,3,4,5]",
        metavar="N[,N...]",
        parse=parse_severities,
    )
    limit: int | None = option("Test this many galaxies, drawn by seed.", limits=(16, None))
    views: int | None = option(
        "Flips and 90° rotations averaged. Default: 1 in the full suite, the run's own in the "
        "published.",
        choices=VIEWS,
    )
    reference: Path | None = option(
        "Give corruption errors against this run's, measured before with the same options.",
        metavar="RUN",
    )
    adapt: bool = option(
        "Re-estimate BatchNorm's statistics on each corruption's images, without labels.", False
    )
    data: Path | None = option("Where the catalogue is now, if it has moved.")


ROBUSTNESS_DEFAULTS = RobustnessOptions()
