"""Options of fits and analyses, as the command line and Python take them, without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base import BadInput
from galaxymorph.base.options import option
from galaxymorph.images.rendering import STRETCHES
from galaxymorph.judge.robustness.conditions import SUITES
from galaxymorph.learn.presets import RECIPES
from galaxymorph.learn.recipe import Recipe
from galaxymorph.predict.options import BANDS, BANDS_METAVAR, STRETCH, VIEWS
from galaxymorph.zoo.schemas import SCHEMAS


@dataclass(frozen=True)
class FitOptions:
    """Where a fit's galaxies and recipe come from, and where its run goes."""

    data: Path | None = option(
        "Catalogue: a folder or zip in Kaggle's layout, or a table.  [default: data/]", group="data"
    )
    source: str | None = option(
        f"A preset ({', '.join(RECIPES)}), described below, or a JSON file, such as a run's "
        "recipe.json. Default: baseline for 10,000 galaxies or more if ImageNet weights are "
        "available, otherwise quick.",
        flags=("--recipe",),
        metavar="NAME|FILE",
        group="run",
    )
    out: Path | None = option(
        "Folder in which the run is created.  [default: exports/]", group="run"
    )
    name: str | None = option("Name of the run. Default: derived from the recipe.", group="run")
    resume: Path | None = option(
        "Continue an interrupted fit. The only other setting allowed is --data.",
        metavar="RUN",
        group="run",
    )
    simulate: int | None = option(
        "Galaxies to simulate if there is no data.  [default: 3000]",
        limits=(1, None),
        metavar="INTEGER",
        group="data",
    )
    skip_bad: bool = option(
        "Exclude bad rows, list them in rejected.csv, and continue.", False, group="data"
    )
    cache: bool = option(
        "Store decoded images on disk, for this and later fits.", True, group="data"
    )


@dataclass(frozen=True)
class CheckOptions:
    """How a catalogue's table and images are read."""

    labels_column: str | None = option(
        "Column of class names, for a table without vote fractions.", metavar="COLUMN"
    )
    schema: str = option(
        "Vote catalogue that defines the columns of the table.", Recipe.schema, choices=SCHEMAS
    )
    id_column: str | None = option(
        "Column of galaxy ids, which are also the names of the images. Default: that of the "
        "schema, or GalaxyID.",
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
        "; ".join(f"{name}: {suite.label}" for name, suite in SUITES.items()) + ".",
        "full",
        choices=SUITES,
    )
    severities: tuple[int, ...] | None = option(
        "Severities of a suite without its own, such as full.  [default: 1,2,3,4,5]",
        metavar="N[,N...]",
        parse=parse_severities,
    )
    limit: int | None = option(
        "Number of test galaxies, drawn at random with the run's seed.", limits=(16, None)
    )
    views: int | None = option(
        "Views averaged: 1, 4 (rotations by 90°) or 8 (rotations and flips). Default: 1 in the "
        "full suite, the run's own in the published suite.",
        choices=VIEWS,
    )
    reference: Path | None = option(
        "Report corruption errors relative to this run, which must have been measured with the "
        "same options.",
        metavar="RUN",
    )
    adapt: bool = option(
        "Re-estimate BatchNorm's statistics on the images of each corruption, without labels.",
        False,
    )
    data: Path | None = option("New location of the catalogue, if it has moved.")


ROBUSTNESS_DEFAULTS = RobustnessOptions()
