"""`interpret`: a run's galleries, and one galaxy's walk down the tree."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import InterpretOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(InterpretOptions)
def interpret(run: Path, **options: Any) -> None:
    """Draw galleries of the galaxies that RUN predicts well or badly, in its figures/.

    `interpret` shows galaxies with their labels; `explain` shows on which parts of an image a
    prediction depends.

    The galleries show the largest losses. For classes, they also show the most confident mistakes
    and each cell of the confusion matrix; for vote fractions, the galaxies on which volunteers
    disagree most, and predicted against observed fractions.

    \b
    Examples:
      python cli.py interpret exports/RUN
      python cli.py interpret exports/RUN --galaxy 100008
    """
    import galaxymorph as gm

    for path in gm.interpret(run, **options).files:
        click.echo(path)
