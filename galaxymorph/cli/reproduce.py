"""`reproduce`: does a run's recipe give its weights again?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import ReproduceOptions
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import RUN, options_of


@click.command(cls=Command)
@RUN
@options_of(ReproduceOptions)
@click.pass_context
def reproduce(context: click.Context, run: Path, **options: Any) -> None:
    """Train RUN again from its own files, and compare weights and metrics bit by bit.

    The exit status is 1 if they differ.

    \b
    Example:
      python cli.py reproduce exports/RUN
    """
    import galaxymorph as gm

    result = gm.reproduce(run, **options)
    weights = "identical" if result.weights else f"differ by up to {result.largest_difference:.3g}"
    click.echo(f"weights: {weights}")
    click.echo(f"metrics: {'identical' if result.metrics else 'differ'}")
    for change in result.environment_changes:
        click.echo(f"environment: {change}")
    if not (result.weights and result.metrics):
        context.exit(1)
