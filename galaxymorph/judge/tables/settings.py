"""How a table of predictions is judged: the options of `judge`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base import BadInput, setting
from galaxymorph.base.options import NamesIn, option
from galaxymorph.learn.recipe import Recipe
from galaxymorph.learn.sources.spec import FRACTIONS
from galaxymorph.zoo.schemas import SCHEMAS
from galaxymorph.zoo.schemes import SCHEMES

# The share of the galaxies that calibrate.
CALIBRATION = 0.5


def parse_names(text: str) -> tuple[str, ...]:
    """Return names that commas separate.

    Raises:
        BadInput: one is empty.
    """
    names = tuple(name.strip() for name in text.split(","))
    if "" in names:
        raise BadInput(f"{text!r} has an empty name", "separate names by one comma")
    return names


def parse_classes(text: str) -> tuple[str, ...]:
    """Return names of classes.

    Raises:
        BadInput: one is empty or doubled, or there are fewer than two.
    """
    names = parse_names(text)
    if len(names) < 2 or len(set(names)) < len(names):
        raise BadInput(f"{setting('classes')} {text}", "name two classes or more, each once")
    return names


@dataclass(frozen=True)
class JudgeSettings:
    """What tables of predictions and labels hold, and which galaxies calibrate."""

    kind: str | None = option(
        "What the columns of predictions hold: class probabilities, vote fractions of those asked "
        "(fractions) or of all volunteers (cumulative), concentrations of Dirichlet "
        "distributions, or expected counts of votes. Default: recognised by their sums and names.",
        choices=NamesIn("galaxymorph.judge.tables.prediction_tables", "KINDS"),
        group="predictions",
    )
    columns: str | None = option(
        "Names of the columns of predictions, with {} for the class or answer, such as 'p_{}'. "
        "Default: any that fits.",
        metavar="PATTERN",
        group="predictions",
    )
    classes: tuple[str, ...] = option(
        "The classes, in the order of the columns, where the columns are not named after them.",
        (),
        metavar="NAME,NAME[,…]",
        parse=parse_classes,
        group="predictions",
    )
    id_column: tuple[str, ...] = option(
        "Column of galaxy ids; two, separated by a comma, if the table of labels has another. "
        "Default: one with a usual name.",
        (),
        metavar="COLUMN[,COLUMN]",
        parse=parse_names,
        group="predictions",
    )
    labels_column: str | None = option(
        "Column of class names. Default: one with a usual name, unless there are votes.",
        metavar="COLUMN",
        group="labels",
    )
    schema: str | None = option(
        "Vote catalogue that defines the columns, or a JSON file of your own: "
        f"{', '.join(SCHEMAS)}. Default: the one whose columns both tables have.",
        metavar="NAME|FILE",
        group="labels",
    )
    fractions: str | None = option(
        "Kind of vote fractions to judge by. Default: the schema's first that the table has.",
        choices=FRACTIONS,
        group="labels",
    )
    scheme: str = option(
        "Label scheme, the rule from votes to classes, if classes are judged by votes.",
        Recipe.scheme,
        choices=SCHEMES,
        group="labels",
    )
    target: str = option(
        "What predictions of a scheme's classes are: probabilities of the classes of galaxies that "
        "the scheme keeps (classes), or class shares of all galaxies (soft3).",
        "classes",
        choices=("classes", "soft3"),
        group="labels",
    )
    split_column: str | None = option(
        "Column of either table with each galaxy's part: train (left out), valid, calibration or "
        "test.",
        metavar="COLUMN",
        group="evaluation",
    )
    calibration: float = option(
        "Fraction of the galaxies reserved for calibration; the others are judged.",
        CALIBRATION,
        limits=(0.0, 0.95),
        metavar="SHARE",
        group="evaluation",
    )
    seed: int = option(
        "Seed of all random choices.", Recipe.seed, limits=(0, 2**31 - 1), group="evaluation"
    )
    images: Path | None = option(
        "Folder or zip of the galaxies' images, named by their ids, for galleries.",
        group="evaluation",
    )
    skip_bad: bool = option(
        "Exclude bad rows, list them in rejected.csv, and continue.", False, group="predictions"
    )
