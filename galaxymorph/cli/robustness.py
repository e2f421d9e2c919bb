"""`robustness`: a run on corrupted images."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import DATA, DEVICE, FIGURES, RUN


def _severities(context, option, value: str) -> tuple[int, ...]:
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
    help="Every corruption, or the published table: noise, blur and brightness at severity 3.",
)
@click.option(
    "--severities",
    default="1,2,3,4,5",
    show_default=True,
    callback=_severities,
    help="Severities of the full suite.",
)
@click.option("--limit", type=click.IntRange(16), help="Test this many galaxies, drawn by seed.")
@click.option(
    "--views",
    type=Choice(["1", "4", "8"]),
    help="Flips and 90° rotations averaged. Default: 1 in the full suite, the run's own in the "
    "published.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path),
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
@click.pass_context
def robustness(context, run, suite, severities, limit, views, reference, adapt, data) -> None:
    """Measure what RUN loses on corrupted test images.

    Writes robustness.json and robustness.parquet into the run, and a heat map, curves and the
    galaxies whose class changes into its figures/.

    \b
    Example:
      python cli.py robustness exports/RUN --suite published
    """
    from galaxymorph.judge import (
        corruption_error,
        galaxy_errors,
        read_robustness,
        require_alike,
        robustness_of,
        robustness_settings,
        write_robustness,
    )
    from galaxymorph.learn import Run, held, keep_freed_memory
    from galaxymorph.report import draw_robustness, print_robustness, refresh_report

    given = context.get_parameter_source("severities").name != "DEFAULT"
    if suite == "published" and given:
        raise BadInput("--severities: the published suite has severity 3 alone", "leave it out")
    views = int(views) if views else None
    known = read_robustness(Run(reference)) if reference else None
    theirs = galaxy_errors(Run(reference)) if reference else None
    keep_freed_memory()
    with held(run) as run:
        if known:
            require_alike(robustness_settings(run, suite, severities, views), known, str(reference))
        scores, table = robustness_of(run, suite, severities, limit, views, adapt, data)
        if known:
            write_robustness(run, scores, table)
            errors = galaxy_errors(run), theirs
            scores["reference"] = corruption_error(
                scores, known, str(reference), *errors, run.recipe.seed
            )
        write_robustness(run, scores, table)
        print_robustness(scores)
        for path in draw_robustness(run, scores, table, data):
            say(f"drawn: {path}")
        refresh_report(run, data)
        click.echo(run.path / "robustness.json")
