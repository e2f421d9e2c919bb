"""`predict`: classes and probabilities, or vote fractions, of images."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.base.options import option
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import DEVICE, RUN, dataclass_options, require_output, say_rendering
from galaxymorph.learn import run_files
from galaxymorph.predict.options import PredictionOptions

ENDINGS = (".csv", ".parquet")


@dataclass(frozen=True)
class Output:
    """Where predictions go; the last three are of a folder."""

    output: str | None = option(
        "Write a .csv or .parquet table instead of printing. A folder, or a name that ends in /, "
        "is filled with Parquet files, for catalogues of any size.",
        flags=("-o", "--output"),
    )
    as_json: bool = option("Print JSON, one object per image.", False, flags=("--json",))
    format: str | None = option(
        "Write a submission to Kaggle's challenge (GalaxyID and 37 answers) into -o FILE.csv, for "
        "a run with --target tree. After an interruption, repeat the command.",
        choices=("kaggle",),
    )
    partition: int | None = option(
        "With -o FOLDER/: rows per file.  [default: 4096]", limits=(1, 1_000_000), metavar="N"
    )
    keep: str | None = option(
        "With -o FOLDER/: columns of the table to copy, such as ra,dec, or all.",
        metavar="COLUMN[,COLUMN...]",
    )
    scheduler: str | None = option(
        "With -o FOLDER/: address of a Dask scheduler whose workers predict, such as "
        "tcp://10.0.0.1:8786.",
        metavar="ADDRESS",
    )

    @property
    def is_folder(self) -> bool:
        """Tell whether it is a folder: by its last letter, or because it is one."""
        name = self.output
        return name is not None and (name.endswith(("/", "\\")) or Path(name).is_dir())

    @property
    def path(self) -> Path | None:
        """The file, None for the terminal."""
        return Path(self.output) if self.output else None


@click.command(cls=Command)
@RUN
@click.argument("images", nargs=-1, required=True, metavar="[RUN...] IMAGE...")
@dataclass_options(Output, "output")
@dataclass_options(PredictionOptions, "options")
@DEVICE
@click.pass_context
def predict(
    context: click.Context,
    run: Path,
    images: tuple[str, ...],
    output: Output,
    options: PredictionOptions,
) -> None:
    """Predict the class or vote fractions of each IMAGE, with RUN or the mean of several runs.

    An IMAGE is a file, a folder or a zip. Depending on the run's --target, a prediction is a class
    with probabilities, class shares, or the fraction of volunteers who would give each answer of
    the decision tree.

    With -o FOLDER/, IMAGE is a catalogue: a folder, a zip, or a table (CSV, Parquet, FITS) with a
    column `image` of paths. An unusable image becomes a row with an error. After an interruption,
    repeat the command.

    An image without a galaxy (blank, saturated, or outside the survey's coverage) becomes a row
    with a status and an error instead of a prediction.

    \b
    Examples:
      python cli.py predict exports/RUN galaxy.jpg
      python cli.py predict exports/RUN images/ -o predictions.csv
      python cli.py predict exports/RUN catalogue.fits -o predictions/
    """
    models, paths = _models_and_images(run, images)
    say_rendering(options.stretch, options.bands)
    if output.is_folder:
        _require_folder_options(output, models, paths, options)
        has_result = _fill_folder(output, run, paths[0], options)
    else:
        _require_file_options(output)
        has_result = _predict_files(output, models, paths, options)
    if not has_result:
        context.exit(1)


def _predict_files(
    output: Output, models: list[Path], paths: list[str], options: PredictionOptions
) -> bool:
    """Write or print predictions; tell whether any image has one."""
    from galaxymorph.learn import write_table
    from galaxymorph.predict import needs_pytorch, predict_files, submit_files
    from galaxymorph.report import print_predictions

    def on_checked() -> None:
        if any(needs_pytorch(path, options.precision) for path in models):
            _prepare_memory()

    if output.format and output.path:
        submit_files(output.path, models, paths, options, on_checked)
        click.echo(output.path)
        return True
    result = predict_files(models, paths, options, on_checked)
    if output.path:
        write_table(output.path, result.table)
        click.echo(output.path)
    elif output.as_json:
        click.echo(result.table.to_json(orient="records", indent=2, force_ascii=False))
    else:
        print_predictions(result.table, result.recipe)
    return result.any_ok


def _prepare_memory() -> None:
    """Keep freed memory, and leave what the libraries made at their start out of collections.

    Here rather than in the library, since the process is the command's own.
    """
    from galaxymorph.learn import keep_freed_memory

    keep_freed_memory(room=2**27, steady=True)
    gc.freeze()


def _fill_folder(output: Output, model: Path, catalogue: str, options: PredictionOptions) -> bool:
    """Fill the folder with a catalogue's predictions; tell whether any image could be used."""
    from galaxymorph.learn import Run
    from galaxymorph.predict import (
        PARTITION,
        has_intervals,
        is_run,
        needs_pytorch,
        predict_catalogue,
        say_uncalibrated,
    )

    if output.scheduler is None and needs_pytorch(model, options.precision):
        _prepare_memory()
    if options.coverage and is_run(model):
        run = Run(model)
        say_uncalibrated(run, "intervals" if has_intervals(run.recipe) else "sets")
    failures = predict_catalogue(
        str(output.output),
        model,
        catalogue,
        options,
        scheduler=output.scheduler,
        keep=[name.strip() for name in (output.keep or "").split(",") if name.strip()],
        size=output.partition or PARTITION,
    )
    for line in failures.lines():
        say(line)
    if not failures.total:
        click.echo(output.output)
    return not failures.total


def _models_and_images(run: Path, others: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the models, of which each but the first is told by its recipe.json, and the images."""
    more = list(takewhile(lambda name: (Path(name) / run_files.RECIPE).is_file(), others))
    images = list(others[len(more) :])
    if not images:
        raise BadInput("no image is named, only runs", "name images, a folder or a zip after them")
    return [run, *map(Path, more)], images


def _require_folder_options(
    output: Output, models: list[Path], catalogues: list[str], options: PredictionOptions
) -> None:
    """Raise BadInput for what a folder of predictions has no use for."""
    from galaxymorph.zoo import file_kind, is_zip

    where = f"-o {output.output}"
    if len(catalogues) > 1:
        raise BadInput(
            f"{where}: a folder takes one catalogue, and {len(catalogues)} are given",
            "give a folder, a zip or a table, and an output each",
        )
    refused = {
        "--json": output.as_json,
        "--format": output.format,
        "--skip-bad": options.skip_bad,
        "--adapt": options.adapt,
        "--crops": options.crops,
    }
    for name, value in refused.items():
        if value:
            raise BadInput(f"{where}: a folder takes no {name}", "leave it out")
    if len(models) > 1:
        raise BadInput(f"{where}: a folder takes one run", f"leave out {models[1]}")
    is_file = not (models[0] / run_files.RECIPE).is_file()
    if options.outliers and (options.precision == "int8" or is_file):
        raise BadInput("--outliers: it takes a run in PyTorch", "leave it out")
    catalogue = catalogues[0]
    if Path(catalogue).is_file() and not is_zip(catalogue) and file_kind(catalogue) is None:
        raise BadInput(
            f"{where}: a folder takes a catalogue, and {catalogue} is none",
            "give a folder, a zip or a table of images; or write to a .csv or .parquet file",
        )


def _require_file_options(output: Output) -> None:
    """Raise BadInput for options of a folder, or a file that can't be written."""
    for name in ("partition", "keep", "scheduler"):
        if (value := getattr(output, name)) is not None:
            raise BadInput(f"--{name} {value}: it goes with -o FOLDER/", "give a folder")
    path = output.path
    is_json = path is not None and path.suffix.lower() == ".json"
    remedy = f"use {' or '.join(ENDINGS)}, or end it in / for a catalogue's folder"
    require_output(path, ENDINGS, remedy + "; JSON is printed by --json, without -o" * is_json)
    if output.format and (path is None or path.suffix != ".csv" or output.as_json):
        raise BadInput("--format kaggle writes a table", "give -o FILE.csv, and no --json")
