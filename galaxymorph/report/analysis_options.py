"""Options of analyses, as the command line and Python take them; imported without PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from galaxymorph.learn.recipe import Recipe


@dataclass(frozen=True)
class CheckOptions:
    """How a catalogue is read; None stands for the default.

    Args:
        labels_column: of class names, for a table without vote fractions.
        schema: the vote catalogue whose columns the table has.
        id_column: names the galaxies and their images.
        quick: don't decode the images.
        stretch: of FITS images.
        bands: of FITS images.
    """

    labels_column: str | None = None
    schema: str = Recipe.schema
    id_column: str | None = None
    quick: bool = False
    stretch: str | None = None
    bands: str | None = None


CHECK_DEFAULTS = CheckOptions()


@dataclass(frozen=True)
class RobustnessOptions:
    """What is measured, and how.

    Args:
        suite: full, every corruption, or published: noise, blur and brightness at severity 3.
        severities: of the full suite, 1 to 5.
        limit: test galaxies, drawn with the run's seed; None takes all.
        views: flips and 90° rotations that are averaged; None is the suite's own.
        reference: a run measured with the same options, against which corruption errors are given.
        adapt: re-estimate BatchNorm's statistics on each corruption's images.
        data: where the run's catalogue is now, if it has moved.
    """

    suite: str = "full"
    severities: tuple[int, ...] = (1, 2, 3, 4, 5)
    limit: int | None = None
    views: int | None = None
    reference: Path | None = None
    adapt: bool = False
    data: Path | None = None


ROBUSTNESS_DEFAULTS = RobustnessOptions()
