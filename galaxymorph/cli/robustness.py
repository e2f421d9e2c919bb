"""`robustness`: a run on corrupted images."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, PATH, RUN, collected, views_option
from galaxymorph.report.analysis_options import RobustnessOptions


def _severities(
    context: click.Context, option: click.Parameter, value: str | None
) -> tuple[int, ...]:
    if value is None:
        return RobustnessOptions.severities
    if context.params.get("suite") == "published":
        raise BadInput("--severities: the published suite has severity 3 alone", "leave it out")
    parts = value.split(",")
    if not all(part.strip() in {"1", "2", "3", "4", "5"} for part in parts):
        raise BadInput(f"--severities {value}", "give numbers from 1 to 5, such as 1,3,5")
    return tuple(int(part) for part in parts)


@click.command(cls=Command)
@RUN
@click.option(
    "--suite",
    type=Choice(["full", "published"]),
    default="full",
    show_default=True,
    # Before --severities, which depends on it.
    is_eager=True,
    help="Every corruption, or the published table: noise, blur and brightness at severity 3.",
)
@click.option(
    "--severities",
    metavar="N[,N...]",
    callback=_severities,
    help="Severities of the full suite.  [default: 1,2,3,4,5]",
)
@click.option("--limit", type=click.IntRange(16), help="Test this many galaxies, drawn by seed.")
@views_option("1 in the full suite, the run's own in the published")
@click.option(
    "--reference",
    type=PATH,
    metavar="RUN",
    help="Give corruption errors against this run's, measured before with the same options.",
)
@click.option(
    "--adapt",
    is_flag=True,
    help="Re-estimate BatchNorm's statistics on each corruption's images, without labels.",
)
@FIGURES
@DATA
@DEVICE
@collected(RobustnessOptions, "options")
def robustness(run: Path, options: RobustnessOptions) -> None:
    """Measure what RUN loses on corrupted test images.

    Writes robustness.json and robustness.parquet into the run, and a heat map, curves and the
    galaxies whose class changes into its figures/.

    \b
    Example:
      python cli.py robustness exports/RUN --suite published
    """
    from galaxymorph.learn import keep_freed_memory
    from galaxymorph.report import print_robustness
    from galaxymorph.report import robustness as measure

    keep_freed_memory()
    result = measure(run, options)
    print_robustness(result.record)
    for path in result.figures:
        say(f"drawn: {path}")
    click.echo(result.path)
