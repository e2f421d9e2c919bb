"""What `predict` does with a catalogue: its options, and the folder that it fills."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.options import say_uncalibrated


def SCALE(command: Callable) -> Callable:  # noqa: N802, a decorator like the options'
    """Give a command the options of predicting a catalogue."""
    for option in (
        click.option(
            "--scheduler",
            metavar="ADDRESS",
            help="With -o FOLDER/: let the workers of this Dask scheduler predict, such as "
            "tcp://10.0.0.1:8786.",
        ),
        click.option(
            "--keep",
            metavar="COLUMN[,COLUMN...]",
            help="With -o FOLDER/: keep these columns of the table, such as ra,dec; or all.",
        ),
        click.option(
            "--partition",
            type=click.IntRange(1, 1_000_000),
            metavar="N",
            help="With -o FOLDER/: rows of a file.  [default: 4096]",
        ),
    ):
        command = option(command)
    return command


def is_folder(output: str | None) -> bool:
    """Tell whether an output is a folder: by its last letter, or because it is one."""
    return output is not None and (output.endswith(("/", "\\")) or Path(output).is_dir())


def require_alone(output: str, catalogues: Sequence[str], **others) -> None:
    """Raise BadInput for more than one catalogue, or an option that a folder has no use for."""
    if len(catalogues) > 1:
        raise BadInput(
            f"-o {output}: a folder takes one catalogue, and {len(catalogues)} are given",
            "give a folder, a zip or a table, and an output each",
        )
    names = {"as_json": "--json", "layout": "--format"}
    for name, value in others.items():
        if value:
            option = names.get(name, f"--{name.replace('_', '-')}")
            raise BadInput(f"-o {output}: a folder takes no {option}", "leave it out")


def require_folder(**scale) -> None:
    """Raise BadInput for an option of catalogues where the output isn't a folder."""
    for name, value in scale.items():
        if value is not None:
            raise BadInput(f"--{name} {value}: it goes with -o FOLDER/", "give a folder")


def predict_into(
    output: str,
    model: Path,
    catalogue: str,
    precision: str | None,
    scheduler: str | None,
    partition: int | None,
    keep: str | None,
    **how,
) -> None:
    """Fill the folder, and print it; exit with status 1 if no image at all could be used."""
    from galaxymorph.zoo import is_zip, what_is

    if Path(catalogue).is_file() and not is_zip(catalogue) and what_is(catalogue) is None:
        raise BadInput(
            f"-o {output}: a folder takes a catalogue, and {catalogue} is none",
            "give a folder, a zip or a table of images; or write to a .csv or .parquet file",
        )
    if precision != "int8" and model.suffix != ".onnx" and scheduler is None:
        from galaxymorph.learn import keep_freed_memory

        keep_freed_memory(room=2**27, steady=True)
    from galaxymorph.learn import Run
    from galaxymorph.predict import has_intervals, is_run, predict_catalogue

    if how["coverage"] and is_run(model):
        run = Run(model)
        say_uncalibrated(run, "intervals" if has_intervals(run.recipe) else "sets")
    settings = {} if partition is None else {"size": partition}
    columns = [name.strip() for name in keep.split(",") if name.strip()] if keep else []
    failures = predict_catalogue(
        output, model, catalogue, precision, scheduler=scheduler, keep=columns, **settings, **how
    )
    for line in failures.lines():
        say(line)
    if failures.total:
        click.get_current_context().exit(1)
    click.echo(output)
