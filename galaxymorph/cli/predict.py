"""`predict`: classes and probabilities of images."""

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
@click.option("--skip-bad", is_flag=True, help="Name images that can't be used and go on.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
    help="Number format of the network; int8 after `quantize`. Default: the run's own.",
)
@DEVICE
def predict(run, images, as_json, output, skip_bad, precision) -> None:
    """Classify each IMAGE (a JPEG or PNG file, a folder, or a zip) with RUN."""
    from galaxymorph.learn import write_table
    from galaxymorph.predict import expand_images, load_predictor, usable_images
    from galaxymorph.report import print_predictions

    if output:
        _require_writable(output)
    if precision != "int8":
        from galaxymorph.learn import keep_freed_memory

        # Here rather than in the library: the process is the command's own.
        keep_freed_memory()
    predictor = load_predictor(run, precision)
    references = expand_images(images)
    if skip_bad:
        references, faults = usable_images(references)
        for fault in faults:
            say(f"skipped: {fault}")
        if not references:
            raise BadInput("none of the images can be used", "see the lines above")
    table = predictor.predict(references)
    if output:
        write_table(output, table)
        click.echo(output)
    elif as_json:
        click.echo(table.to_json(orient="records", indent=2, force_ascii=False))
    else:
        print_predictions(table)


def _require_writable(output: Path) -> None:
    if output.suffix not in ENDINGS:
        raise BadInput(f"-o {output}: ending {output.suffix!r}", f"use {' or '.join(ENDINGS)}")
    if output.is_dir() or not output.parent.is_dir():
        raise BadInput(f"-o {output}: not a file in a folder that exists", "make the folder first")
