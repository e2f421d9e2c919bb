"""`volunteers`: answers from Zooniverse as votes, and simulated ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.data_options import AnswerOptions, ClassifyOptions
from galaxymorph.cli.commands import Group
from galaxymorph.cli.options import PATH, options_of


@click.group(cls=Group)
def volunteers() -> None:
    """Read volunteers' answers from Zooniverse as votes, or simulate them."""


@volunteers.command(short_help="Turn an export of Zooniverse into a vote catalogue.")
@click.argument("export", type=PATH, metavar="EXPORT")
@options_of(AnswerOptions, but={"output"})
@click.option(
    "-o",
    "--output",
    type=PATH,
    default=None,
    help="Table to write (.csv or .parquet).  [default: votes.csv]",
)
def read(export: Path, output: Path | None, **options: Any) -> None:
    """Turn the answers in EXPORT into a table of vote counts, which `fit` reads.

    EXPORT is a classification export of Zooniverse, or a question extraction or reduction of
    panoptes_aggregation. A volunteer counts once per galaxy, with the last classification.

    \b
    Example:
      python cli.py volunteers read classifications.csv -o to-label/votes.csv
      python cli.py fit --target tree --also to-label/votes.csv
    """
    import galaxymorph as gm

    output = output or Path("votes.csv")
    gm.read_volunteers(export, output=output, **options)
    click.echo(output)


@volunteers.command(short_help="Let simulated volunteers classify galaxies of a simulated sky.")
@click.argument("sky", type=PATH, metavar="SKY")
@click.option(
    "-o", "--output", type=PATH, required=True, help="Classification export to write (.csv)."
)
@options_of(ClassifyOptions)
def simulate(sky: Path, output: Path, **options: Any) -> None:
    """Write the answers of SKY's simulated volunteers as Zooniverse exports classifications.

    SKY is a folder of `survey simulate`. The answers sum to its votes.

    \b
    Example:
      python cli.py volunteers simulate sky --manifest to-label/manifest.csv -o classifications.csv
    """
    import galaxymorph as gm

    click.echo(gm.simulate_volunteers(sky, output, **options))
