"""`predict`: classes and probabilities, or vote fractions, of images."""

from __future__ import annotations

import gc
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

import click

from galaxymorph.base import BadInput, say
from galaxymorph.cli.catalogue import (
    SCALE,
    is_folder,
    predict_into,
    require_alone,
    require_folder,
)
from galaxymorph.cli.commands import Choice, Command
from galaxymorph.cli.options import (
    DEVICE,
    RUN,
    SKIP_BAD_IMAGES,
    rendering_options,
    say_rendering,
    say_skipped,
    say_uncalibrated,
)

ENDINGS = (".csv", ".parquet")


@click.command(cls=Command)
@RUN
@click.argument("images", nargs=-1, required=True, metavar="[RUN...] IMAGE...")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, an object an image.")
@click.option(
    "-o",
    "--output",
    help="Write a .csv or .parquet table instead of printing; or, ending in / or a folder, a "
    "Parquet file a partition, for a catalogue of any size.",
)
@click.option(
    "--format",
    "layout",
    type=Choice(["kaggle"]),
    help="Write a submission to Kaggle's challenge, GalaxyID and 37 answers, into -o FILE.csv; "
    "after a kill the same command goes on. For a run with --target tree.",
)
@SKIP_BAD_IMAGES
@click.option(
    "--precision",
    type=Choice(["auto", "fp32", "bf16", "fp16", "int8"]),
    help="Number format of the network; int8 after `quantize`. Default: the run's own.",
)
@click.option(
    "--views",
    type=Choice(["1", "4", "8"]),
    help="Flips and 90° rotations averaged. Default: the run's own.",
)
@click.option(
    "--crops",
    metavar="SHARE[,SHARE...]",
    help="Average over these shares of the image's side. Default: the run's own one.",
)
@click.option(
    "--adapt",
    is_flag=True,
    help="Re-estimate BatchNorm's statistics on these images first, for another survey's.",
)
@click.option(
    "--outliers",
    is_flag=True,
    help="Add out-of-distribution scores of each image: energy, and distance to the nearest "
    "training galaxies.",
)
@click.option(
    "--drift/--no-drift",
    default=True,
    show_default=True,
    help="Compare the images with as many validation galaxies, 40 or more, and warn if they "
    "differ.",
)
@click.option(
    "--coverage",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    help="Add each image's prediction set, such that sets hold the true class this often, as 0.9. "
    "Of a run with --loss dirichlet-multinomial: intervals that hold a fraction this often.",
)
@click.option(
    "--raw",
    is_flag=True,
    help="Give the model's uncalibrated probabilities, after `calibrate` too.",
)
@rendering_options
@SCALE
@DEVICE
@click.pass_context
def predict(
    context,
    run,
    images,
    as_json,
    output,
    layout,
    skip_bad,
    precision,
    views,
    crops,
    adapt,
    outliers,
    drift,
    coverage,
    raw,
    stretch,
    bands,
    **scale,
) -> None:
    """Predict with RUN, or the mean of several, the class or votes of each IMAGE.

    An IMAGE is a file, a folder or a zip. By the run's --target its prediction is a class, with
    probabilities or shares, or the share of volunteers who would give each answer of the decision
    tree.

    With -o FOLDER/ the IMAGE is a catalogue: a folder, a zip, or a table (CSV, Parquet, FITS) with
    a column `image` of paths. After a kill the same command goes on, and an image that can't be
    used is a row with an error.

    An image without a galaxy (blank, saturated, outside of the survey's coverage) is a row without
    a prediction, with its status and error.

    \b
    Examples:
      python cli.py predict exports/RUN galaxy.jpg
      python cli.py predict exports/RUN images/ -o predictions.csv
      python cli.py predict exports/RUN catalogue.fits -o predictions/
    """
    models, images = _models_and_images(run, images)
    say_rendering(stretch, bands)
    if is_folder(output):
        require_alone(
            output, images, as_json=as_json, layout=layout, skip_bad=skip_bad, adapt=adapt,
            crops=crops,
        )  # fmt: skip
        if len(models) > 1:
            raise BadInput(f"-o {output}: a folder takes one run", f"leave out {models[1]}")
        if outliers and (precision == "int8" or not (run / "recipe.json").is_file()):
            raise BadInput("--outliers: it takes a run in PyTorch", "leave it out")
        views = int(views) if views else None
        predict_into(
            output, run, images[0], precision, **scale, views=views, coverage=coverage, raw=raw,
            stretch=stretch, bands=bands,
        )  # fmt: skip
        return
    require_folder(**scale)
    output = Path(output) if output else None
    import pandas as pd

    from galaxymorph.images import require_fits
    from galaxymorph.learn import Run, write_table
    from galaxymorph.predict import (
        add_intervals,
        add_split_parts,
        average_predictors,
        drop_empty_frames,
        expand_images,
        has_intervals,
        is_run,
        load_predictor,
        require_submittable,
        say_empty_frames,
        submission_images,
        usable_images,
        write_submission,
    )
    from galaxymorph.report import print_predictions

    if output:
        _require_writable(output)
    crops = _shares(crops)
    runs = [Run(path).rendered(stretch, bands) for path in models if is_run(path)]
    for run in runs:
        run.require_trained()
    if len(models) > 1 and outliers:
        raise BadInput("--outliers: it takes one run", f"leave out {models[1]}")
    if len(runs) < len(models) and (outliers or layout):
        raise BadInput(
            f"{models[0]}: an exported file has no part in --outliers or --format", "give the run"
        )
    if outliers and (layout or precision == "int8"):
        raise BadInput("--outliers: not with --format or int8", "leave out one of the two")
    if layout:
        _require_table(output, as_json)
        for run in runs:
            require_submittable(run)
    sets = None
    if coverage and not (runs and all(has_intervals(run.recipe) for run in runs)):
        if len(models) > 1 or not runs or len(crops) > 1:
            raise BadInput(f"--coverage {coverage}: it takes one run as it is", "name one run")
        sets = _sets(runs[0], coverage)
    references = (submission_images if layout else expand_images)(images)
    require_fits(references, {"stretch": stretch, "bands": bands})
    if precision != "int8" and any(path.suffix != ".onnx" for path in models):
        from galaxymorph.learn import keep_freed_memory

        # Here rather than in the library: the process is the command's own.
        keep_freed_memory(room=2**27, steady=True)
        # What PyTorch and fastai made at their start stays, and needn't be gone through for cycles.
        gc.freeze()
    if skip_bad:
        found = {_rendering_of(path, stretch, bands) for path in models}
        references, faults = usable_images(references, found)
        say_skipped(faults)
        if layout:
            references = drop_empty_frames(references, runs[0].recipe)
        if not references:
            raise BadInput("none of the images can be used", "see the lines above")
    predictors = [
        load_predictor(path, precision, adapt_to=references if adapt else None, raw=raw,
                       stretch=stretch, bands=bands)
        for path in models
    ]  # fmt: skip
    predictor = average_predictors(predictors, models, int(views) if views else None, crops)
    drifting = runs if drift and precision != "int8" else []
    if layout:
        _warn_of_drift(drifting, references)
        write_submission(output, runs, predictor, references)
        click.echo(output)
        return
    table = predictor.predict(references, sets) if sets else predictor.predict(references)
    table = add_split_parts(table, models)
    shown = table["status"].eq("ok") if "status" in table else pd.Series(True, table.index)
    if not shown.all():
        say_empty_frames(list(table["error"].dropna()), references)
    references = [image for image, is_shown in zip(references, shown, strict=True) if is_shown]
    _warn_of_drift(drifting, references)
    if coverage and not sets:
        for run in runs:
            say_uncalibrated(run, "intervals")
        table = add_intervals(table, predictor.recipe, coverage)
    if outliers and references:
        from galaxymorph.predict import outlier_scores

        table = table.join(outlier_scores(runs[0], references).set_axis(table.index[shown]))
    if output:
        write_table(output, table)
        click.echo(output)
    elif as_json:
        click.echo(table.to_json(orient="records", indent=2, force_ascii=False))
    else:
        print_predictions(table, predictor.recipe)
    if not references:
        context.exit(1)


def _models_and_images(run: Path, others: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the models, of which each but the first is told by its recipe.json, and the images."""
    more = list(takewhile(lambda name: (Path(name) / "recipe.json").is_file(), others))
    images = list(others[len(more) :])
    if not images:
        raise BadInput("no image is named, only runs", "name images, a folder or a zip after them")
    return [run, *map(Path, more)], images


def _rendering_of(model: Path, stretch: str | None, bands: str | None):
    """Return how FITS is rendered for a model."""
    from galaxymorph.learn import Run
    from galaxymorph.predict import is_run, load_predictor

    if is_run(model):
        return Run(model).recipe.rendering.changed(stretch, bands)
    return load_predictor(model, stretch=stretch, bands=bands).recipe.rendering


def _shares(crops: str | None) -> list[float]:
    if crops is None:
        return []
    try:
        shares = [float(share) for share in crops.split(",")]
    except ValueError:
        shares = []
    if not shares or not all(0.05 <= share <= 1 for share in shares):
        raise BadInput(f"--crops {crops}", "write shares of 0.05 to 1, such as 0.5,0.7")
    return shares


def _warn_of_drift(runs, references: list[str]) -> None:
    if not runs:
        # Exported files predict without PyTorch, which comparing embeddings takes.
        return
    from galaxymorph.predict import measure_drift

    for run in runs:
        found = measure_drift(run, references)
        if found and found.warns:
            say(
                f"warning: these images aren't like those that {run.path} learnt from: a linear "
                f"classifier tells them apart with AUROC {found.auroc:.2f} (two-sample test, "
                f"p {found.p:.3f}); don't trust the predictions before you looked at some, or try "
                "--adapt"
            )


def _sets(run, coverage: float):
    """Return the function from bare models' probabilities to prediction sets of that coverage."""
    from functools import partial

    from galaxymorph.judge import calibration_part, few_for_sets, require_classes, sets_of

    require_classes(run)
    part = calibration_part(run)
    calibrating = sum(len(member.predictions(part)) for member in run.splits)
    for note in few_for_sets(calibrating, coverage):
        say(note)
    if part == "valid":
        say("the split has no calibration part: sets are from the validation part")
    say_uncalibrated(run, "sets")
    return partial(sets_of, run, coverage=coverage)


def _require_table(output: Path | None, as_json: bool) -> None:
    if output is None or output.suffix != ".csv" or as_json:
        raise BadInput("--format kaggle writes a table", "give -o FILE.csv, and no --json")


def _require_writable(output: Path) -> None:
    if output.suffix not in ENDINGS:
        raise BadInput(
            f"-o {output}: ending {output.suffix!r}",
            f"use {' or '.join(ENDINGS)}, or end it in / for a catalogue's folder"
            + "; JSON is printed by --json, without -o" * (output.suffix.lower() == ".json"),
        )
    if output.is_dir() or not output.parent.is_dir():
        raise BadInput(f"-o {output}: not a file in a folder that exists", "make the folder first")
