"""`reproduce`: does a run's recipe give its weights again?"""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DATA, DEVICE, RUN


@click.command(cls=Command)
@RUN
@DATA
@DEVICE
@click.pass_context
def reproduce(context: click.Context, run: Path, data: Path | None) -> None:
    """Train RUN again from its own files, and compare weights and metrics bit by bit.

    The exit status is 1 if they differ.

    \b
    Example:
      python cli.py reproduce exports/RUN
    """
    from galaxymorph.judge import reproduce_run
    from galaxymorph.learn import Run

    result = reproduce_run(Run(run), data)
    weights = "identical" if result.weights else f"differ by up to {result.largest_difference:.3g}"
    click.echo(f"weights: {weights}")
    click.echo(f"metrics: {'identical' if result.metrics else 'differ'}")
    for change in result.environment_changes:
        click.echo(f"environment: {change}")
    if not (result.weights and result.metrics):
        context.exit(1)
