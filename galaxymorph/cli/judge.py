"""`judge`: predictions of any model, from a table."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import JudgeOptions
from galaxymorph.cli.options import PATH, GroupedCommand, options_of

GROUPS = ("run", "predictions", "labels", "evaluation")


@click.command(cls=GroupedCommand, groups=GROUPS)
@click.argument("predictions", type=PATH, metavar="TABLE")
@options_of(JudgeOptions)
def judge(predictions: Path, labels: Path | None, **options: Any) -> None:
    """Judge the predictions in TABLE by the labels or votes of the same galaxies.

    TABLE holds class probabilities, vote fractions, Dirichlet concentrations (as Zoobot's CSV or
    HDF5) or expected counts. The result is a run without a network: calibrate, uncertainty,
    interpret, compare and report take it.

    \b
    Example:
      python cli.py judge predictions.csv --labels labels.csv
    """
    import galaxymorph as gm
    from galaxymorph.cli.fit import print_results

    run = gm.judge(predictions, labels, **options)
    print_results(run)
    click.echo(run.path)
