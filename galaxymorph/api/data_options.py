"""The options of what obtains data: volunteers' answers, and images by coordinates."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from galaxymorph.base import BadInput, setting
from galaxymorph.base.options import option
from galaxymorph.learn.recipe import Recipe
from galaxymorph.zoo.schemas import SCHEMAS


def parse_versions(text: str) -> tuple[str, ...]:
    """Return the versions of a workflow, of `28` or `28.30,29`."""
    return tuple(filter(None, (part.strip() for part in text.split(","))))


@dataclass(frozen=True)
class AnswerOptions:
    """How answers of volunteers become votes."""

    output: Path | None = option("Table to write (.csv or .parquet).", flags=("-o", "--output"))
    schema: str = option(
        f"Vote catalogue whose questions the workflow has: {', '.join(SCHEMAS)}.",
        Recipe.schema,
        metavar="NAME|FILE",
    )
    map: Path | None = option(
        "JSON file that says which answers of the schema those of the workflow are, where their "
        "text doesn't.",
        metavar="FILE",
    )
    workflow: str | None = option(
        "Workflow to read, its number or name. Default: the only one.", metavar="ID|NAME"
    )
    versions: tuple[str, ...] = option(
        "Versions of the workflow to read, such as 28 or 28.30,29. Default: all.",
        (),
        metavar="N[,N...]",
        parse=parse_versions,
    )
    id_column: str | None = option(
        "Field of the subjects' metadata that names the galaxy. Default: galaxy, or another usual "
        "name that all subjects have, otherwise the number of the subject.",
        metavar="FIELD",
    )
    subjects: Path | None = option(
        "Subject export of Zooniverse, for the metadata and retirements that an aggregation lacks.",
        metavar="FILE",
    )
    late: bool = option("Count classifications made after the retirement of a galaxy.", True)
    retired: bool = option("Leave out galaxies that aren't retired yet.", False)
    minimum: int = option("Leave out galaxies with fewer classifications.", 1, limits=(1, None))
    skip_bad: bool = option("Leave out damaged rows and continue.", False)


@dataclass(frozen=True)
class ClassifyOptions:
    """What simulated volunteers classify."""

    manifest: Path | None = option(
        "Table of the galaxies to classify, such as the manifest.csv of triage. Default: all "
        "galaxies.",
        metavar="FILE",
    )
    seed: int = option("Seed of who gives which answer, and when.", 0, limits=(0, None))


def positive(name: str) -> Callable[[str], float]:
    """Return the function from an option's text to a number above 0; BadInput names the option."""

    def parse(text: str) -> float:
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not 0 < number < float("inf"):
            raise BadInput(
                f"{setting(name)} {text!r} is no number above 0", "give a number such as 0.5"
            )
        return number

    return parse


@dataclass(frozen=True)
class CutoutOptions:
    """Which images are fetched from a service, and how fast."""

    id_column: str | None = option(
        "Column of galaxy ids, which name the images. Default: a usual one, such as objid.",
        metavar="COLUMN",
    )
    ra_column: str | None = option(
        "Column of right ascensions. Default: by its UCD or name.", metavar="COLUMN"
    )
    dec_column: str | None = option(
        "Column of declinations. Default: by its UCD or name.", metavar="COLUMN"
    )
    radius_column: str | None = option(
        "Column of Petrosian radii (90 % of the light) in arcsec, by which images are scaled as "
        "in Galaxy Zoo 2. Default: a usual one, such as petroR90_r.",
        metavar="COLUMN",
    )
    field: float | None = option(
        "Side of every image in arcsec, instead of radii.  [default without radii: 60]",
        metavar="ARCSEC",
        parse=positive("field"),
    )
    rate: float | None = option(
        "Requests per second at most.  [default: 2]", metavar="NUMBER", parse=positive("rate")
    )
    timeout: float | None = option(
        "Seconds to wait for an answer.  [default: 60]",
        metavar="SECONDS",
        parse=positive("timeout"),
    )
    retries: int = option("Repetitions of a request that failed.", 5, limits=(0, 20))
    address: str | None = option("Address of a mirror of the service.", metavar="URL")
    skip_bad: bool = option("Leave out rows that can't be used, and continue.", False)
