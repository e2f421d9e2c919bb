"""`predict`: classes and probabilities, or vote fractions, of images."""

from __future__ import annotations

from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.options import DEVICE, RUN

ENDINGS = (".csv", ".parquet")


@click.command()
@RUN
@click.argument("images", nargs=-1, required=True, metavar="IMAGE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object an image.")
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    help="Write a .csv or .parquet table instead of printing.",
)
@click.option(
    "--format",
    "layout",
    type=click.Choice(["kaggle"]),
    help="Write a submission to Kaggle's challenge, GalaxyID and 37 answers, into -o FILE.csv; "
    "after a kill the same command goes on. For a run with --target tree.",
)
@click.option("--skip-bad", is_flag=True, help="Name images that can't be used and go on.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
    help="Number format of the network; int8 after `quantize`. Default: the run's own.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Give each image's prediction set, of sets that hold the true class this often: 0.9.",
)
@click.option("--raw", is_flag=True, help="The bare model's probabilities, after `calibrate` too.")
@DEVICE
def predict(run, images, as_json, output, layout, skip_bad, precision, coverage, raw) -> None:
    """Say with RUN what each IMAGE (a JPEG or PNG file, a folder, or a zip) shows.

    That is its class, with probabilities or shares, or the share of volunteers who would give each
    answer of the decision tree, by the run's --target.
    """
    from galaxymorph.learn import Run, write_table
    from galaxymorph.predict import (
        expand_images,
        load_predictor,
        require_submittable,
        usable_images,
        write_submission,
    )
    from galaxymorph.report import print_predictions

    if output:
        _require_writable(output)
    run = Run(run)
    if layout:
        _require_table(output, as_json)
        require_submittable(run)
    sets = _sets(run, coverage)
    if precision != "int8":
        from galaxymorph.learn import keep_freed_memory

        # Here rather than in the library: the process is the command's own.
        keep_freed_memory()
    predictor = load_predictor(run.path, precision, raw)
    references = expand_images(images)
    if skip_bad:
        references, faults = usable_images(references)
        for fault in faults:
            say(f"skipped: {fault}")
        if not references:
            raise BadInput("none of the images can be used", "see the lines above")
    if layout:
        write_submission(output, run, predictor, references)
        click.echo(output)
        return
    table = predictor.predict(references, sets)
    if output:
        write_table(output, table)
        click.echo(output)
    elif as_json:
        click.echo(table.to_json(orient="records", indent=2, force_ascii=False))
    else:
        print_predictions(table, run.recipe)


def _sets(run, coverage: float | None):
    if coverage is None:
        return None
    from functools import partial

    from galaxymorph.judge import calibration_part, require_classes, sets_of

    run.require_trained()
    require_classes(run)
    if calibration_part(run) == "valid":
        say("the split has no calibration part: sets are from the validation part")
    return partial(sets_of, run, coverage=coverage)


def _require_table(output: Path | None, as_json: bool) -> None:
    if output is None or output.suffix != ".csv" or as_json:
        raise BadInput("--format kaggle writes a table", "give -o FILE.csv, and no --json")


def _require_writable(output: Path) -> None:
    if output.suffix not in ENDINGS:
        raise BadInput(f"-o {output}: ending {output.suffix!r}", f"use {' or '.join(ENDINGS)}")
    if output.is_dir() or not output.parent.is_dir():
        raise BadInput(f"-o {output}: not a file in a folder that exists", "make the folder first")
