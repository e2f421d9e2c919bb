"""`similar` and `anomalies`: similar and anomalous galaxies in a catalogue with embeddings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import pandas as pd

from galaxymorph.api.options import AnomaliesOptions, SimilarOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import PATH, options_of

# Answers of a tree that are printed of a galaxy.
ANSWERS = 2


@click.command(cls=Command)
@click.argument("folder", type=PATH)
@options_of(SimilarOptions)
def similar(folder: Path, **options: Any) -> None:
    """Find the galaxies most like one, by the embeddings in FOLDER.

    FOLDER is what `predict CATALOGUE -o FOLDER/ --embeddings` filled. The first call makes an index
    of the embeddings and stores it there.

    \b
    Examples:
      python cli.py similar predictions/ --galaxy 123456 -k 50 --sheet similar.png
      python cli.py similar predictions/ --image galaxy.jpg -o similar.csv
    """
    import galaxymorph as gm

    _print(gm.similar(folder, **options), options, "distance")


@click.command(cls=Command)
@click.argument("folder", type=PATH)
@options_of(AnomaliesOptions)
def anomalies(folder: Path, **options: Any) -> None:
    """Rank the most anomalous galaxies, by the embeddings in FOLDER.

    FOLDER is what `predict CATALOGUE -o FOLDER/ --embeddings` filled. The most anomalous galaxy has
    the largest score.

    \b
    Example:
      python cli.py anomalies predictions/ --number 50 --sheet anomalies.png
    """
    import galaxymorph as gm

    _print(gm.anomalies(folder, **options), options, "score")


def _print(table: pd.DataFrame, options: dict[str, Any], value: str) -> None:
    """Print the files that are written, or galaxy, image, value and prediction of every row."""
    from galaxymorph.report.predicted_words import predicted_words
    from galaxymorph.report.tables import make_table, print_table

    for name in ("output", "sheet"):
        if options[name]:
            click.echo(options[name])
    if options["output"]:
        return
    columns = ["galaxy", "image", value, "prediction", "status"]
    shown = make_table("", columns, left={"image", "prediction", "status"})
    for (_, row), words in zip(table.iterrows(), predicted_words(table), strict=True):
        prediction = ", ".join(words[:ANSWERS]) or "–"
        cells = (row["galaxy"], row["image"], f"{row[value]:.4f}", prediction, row["status"])
        shown.add_row(*map(str, cells))
    print_table(shown)
