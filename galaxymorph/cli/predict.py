"""`predict`: classes and probabilities, or vote fractions, of images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from galaxymorph.api.options import PredictOptions
from galaxymorph.base import BadInput, say
from galaxymorph.cli.commands import Command
from galaxymorph.cli.options import options_of, say_rendering


@click.command(cls=Command)
@click.argument("images", nargs=-1, metavar="[RUN...] IMAGE...", required=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per image.")
@options_of(PredictOptions)
@click.pass_context
def predict(context: click.Context, images: tuple[str, ...], as_json: bool, **options: Any) -> None:
    """Predict the class or vote fractions of each IMAGE, with RUN or the mean of several runs.

    Without a RUN, the model that comes with the package predicts the 37 answers of Galaxy Zoo 2's
    decision tree and the classes of every label scheme. A RUN is a run's folder or a file that
    `export` made.

    An IMAGE is a file, a folder or a zip. Depending on the run's --target, a prediction is a class
    with probabilities, class shares, or the fraction of volunteers who would give each answer of
    the decision tree.

    With -o FOLDER/, IMAGE is a catalogue: a folder, a zip, or a table (CSV, Parquet, FITS) with a
    column of paths, `image` or that of --image-column. An unusable image becomes a row with an
    error. After an interruption, repeat the command.

    An image without a galaxy (blank, saturated, or outside the survey's coverage) becomes a row
    with a status and an error instead of a prediction.

    \b
    Examples:
      python cli.py predict galaxy.jpg
      python cli.py predict exports/RUN galaxy.jpg
      python cli.py predict exports/RUN images/ -o predictions.csv
      python cli.py predict exports/RUN catalogue.fits -o predictions/
    """
    import galaxymorph as gm
    from galaxymorph.api.predicting import models_and_images
    from galaxymorph.predict import is_ok
    from galaxymorph.report import print_predictions

    models, paths = models_and_images(images)
    chosen = PredictOptions(**options)
    say_rendering(options)
    if chosen.is_folder:
        _require_one(chosen, models, paths, as_json)
        failures = gm.predict_catalogue(models[0], paths[0], **options)
        for line in failures.lines():
            say(line)
        if failures.total:
            context.exit(1)
        click.echo(chosen.output)
        return
    if as_json and chosen.format:
        raise BadInput("--format kaggle writes a table", "give -o FILE.csv, and no --json")
    table = gm.predict(models, paths, **options)
    if chosen.output:
        click.echo(chosen.path)
    elif as_json:
        click.echo(table.to_json(orient="records", indent=2, force_ascii=False))
    else:
        print_predictions(table)
    if not chosen.format and not is_ok(table).any():
        context.exit(1)


def _require_one(
    chosen: PredictOptions, models: list[Path], catalogues: list[str], as_json: bool
) -> None:
    """Raise BadInput for what a folder of predictions has no use for."""
    where = f"-o {chosen.output}"
    if len(catalogues) > 1:
        raise BadInput(
            f"{where}: an output folder is for one catalogue, but {len(catalogues)} are given",
            "predict each catalogue into a folder of its own",
        )
    if as_json:
        raise BadInput(f"{where}: an output folder cannot be combined with --json", "leave it out")
    if len(models) > 1:
        raise BadInput(f"{where}: an output folder is for one run", f"leave out {models[1]}")
