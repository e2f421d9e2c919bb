"""Predictions of image files by a model or the mean of several, for the command `predict`."""

from __future__ import annotations

import gc
import shlex
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from galaxymorph.base import BadInput, say, setting, warn
from galaxymorph.base.process import is_own_process
from galaxymorph.images import Rendering, require_fits
from galaxymorph.judge import (
    calibrated_coverage,
    calibration_part,
    load_calibrators,
    require_classes,
    sets_of,
    too_few_for_sets,
)
from galaxymorph.judge.robustness.drift import LEAST
from galaxymorph.learn import Run, target_of
from galaxymorph.predict.failures import error_kind
from galaxymorph.predict.images import (
    drop_empty_frames,
    expand_images,
    say_empty_frames,
    submission_images,
    usable_images,
)
from galaxymorph.predict.options import DEFAULTS, PredictionOptions
from galaxymorph.predict.overlap import add_split_parts
from galaxymorph.predict.predictors.averaging import average_predictors
from galaxymorph.predict.predictors.base import PredictionSets, Predictor, with_scores
from galaxymorph.predict.predictors.loading import (
    is_run,
    load_predictor,
    model_id,
    needs_pytorch,
    read_recipe,
)
from galaxymorph.predict.submission import require_submittable, write_submission
from galaxymorph.predict.tables import (
    UnusableImage,
    add_intervals,
    completed,
    has_intervals,
    predicted_table,
)

# Faults of images that are printed.
NAMED = 10


def predict_files(
    models: Sequence[Path],
    paths: Sequence[str],
    options: PredictionOptions = DEFAULTS,
    on_processor: bool = True,
    complete: bool = False,
) -> pd.DataFrame:
    """Return the predictions of image files by a model or the mean of several, a row an image.

    The columns are `galaxy`, `image`, `part` (of the run's split, if the run has one), those of
    `prediction_table`, and `status` and `error` where an image shows no galaxy. Of vote fractions,
    `attrs["schema"]` names the schema.

    Args:
        models: runs or exported files with the same outputs.
        paths: of images, folders and zips.
        options: of the prediction.
        on_processor: whether a few images may be predicted without PyTorch, see `load_predictor`.
        complete: add `entropy`, `model_id`, `status` and `error` in every case, as in files.

    Raises:
        BadInput: a model or an image can't be used, or options exclude each other.
    """
    runs = _runs(models, options)
    _require_possible(models, runs, options)
    sets = _prediction_sets(models, runs, options)
    references = expand_images(paths, read_recipe(models[0]).flux_bands)
    require_fits(references, {"stretch": options.stretch, "bands": options.bands})
    keep_memory(models, options)
    references = _usable(references, models, options)
    predictor = _load(models, references, options, on_processor)
    try:
        table = predicted_table(predictor, references, sets)
    except UnusableImage as error:
        if len(references) == 1:
            raise
        raise BadInput(error, f"or leave such images out with {setting('skip_bad')}") from error
    table = add_split_parts(table, models)
    shown = is_ok(table)
    if not shown.all():
        say_empty_frames(list(table["error"].dropna()), references)
    usable = [image for image, is_shown in zip(references, shown, strict=True) if is_shown]
    _warn_of_drift(runs, usable, options)
    if options.coverage and not sets:
        for run in runs:
            say_uncalibrated(run, "intervals")
        table = add_intervals(table, predictor.recipe, options.coverage)
    if options.outliers and usable and runs:
        from galaxymorph.predict.outliers import outlier_scores

        table = table.join(outlier_scores(runs[0], usable).set_axis(table.index[shown]))
    if complete:
        table = completed(table, predictor, "+".join(map(model_id, models)))
    if target_of(predictor.recipe).tree:
        table.attrs["schema"] = predictor.recipe.schema
    return table


def submit_files(
    output: Path,
    models: Sequence[Path],
    paths: Sequence[str],
    options: PredictionOptions = DEFAULTS,
) -> None:
    """Write a submission to Kaggle's Galaxy Zoo challenge, see `write_submission`.

    Args:
        output: the CSV file.
        models: runs or exported files of the challenge's tree, whose mean is submitted.
        paths: of the test images: files, folders and zips.
        options: of the prediction; a submission has neither outlier scores nor intervals.

    Raises:
        BadInput: as `predict_files`, or a model has other outputs than the challenge's answers.
    """
    runs = _runs(models, options)
    _require_possible(models, runs, options)
    if options.outliers:
        raise BadInput(
            f"{setting('outliers')}: not with {setting('format')}", "leave out one of the two"
        )
    for model in models:
        require_submittable(model)
    references = submission_images(paths)
    require_fits(references, {"stretch": options.stretch, "bands": options.bands})
    keep_memory(models, options)
    references = _usable(references, models, options)
    if options.skip_bad:
        references = drop_empty_frames(references, read_recipe(models[0]))
    predictor = _load(models, references, options)
    _warn_of_drift(runs, references, options)
    write_submission(output, models, predictor, references)


def keep_memory(models: Sequence[str | Path], options: PredictionOptions) -> None:
    """Let a command reuse freed memory, and exclude the libraries' objects from collections."""
    if is_own_process() and any(needs_pytorch(path, options.precision) for path in models):
        from galaxymorph.learn import keep_freed_memory

        keep_freed_memory(room=2**27, steady=True)
        gc.freeze()


def _runs(models: Sequence[Path], options: PredictionOptions) -> list[Run]:
    """Return those of the models that are runs, with the rendering of the options."""
    runs = [Run(path).rendered(options.stretch, options.bands) for path in models if is_run(path)]
    for run in runs:
        run.require_model()
    return runs


def _require_possible(
    models: Sequence[Path], runs: Sequence[Run], options: PredictionOptions
) -> None:
    """Raise BadInput for options that aren't available for these models."""
    if not options.outliers:
        return
    if len(models) > 1:
        raise BadInput(f"{setting('outliers')} needs exactly one run", f"leave out {models[1]}")
    if not runs and models[0].suffix != ".safetensors":
        raise BadInput(
            f"{models[0]}: {setting('outliers')} needs a run or a safetensors file",
            "give one of the two",
        )
    if options.precision == "int8":
        raise BadInput(f"{setting('outliers')}: not with int8", "leave out one of the two")


def _prediction_sets(
    models: Sequence[Path], runs: Sequence[Run], options: PredictionOptions
) -> PredictionSets | None:
    """Return the function from uncalibrated probabilities to prediction sets; None without them.

    By default they are those of `own_sets`. Distributions of vote fractions have intervals in their
    place.
    """
    coverage = options.coverage
    if coverage is None:
        return own_sets(models, options.crops)
    if runs and all(has_intervals(run.recipe) for run in runs):
        return None
    if not runs:
        raise BadInput(
            f"{setting('coverage', coverage)}: {models[0]} is an exported file, whose predictions "
            "have the sets of a tree's label schemes already",
            "leave it out, or give the run",
        )
    if len(models) > 1 or len(options.crops) > 1:
        raise BadInput(
            f"{setting('coverage', coverage)}: it needs exactly one run, without other views or "
            "crops",
            "name one run",
        )
    run = runs[0]
    require_classes(run)
    part = calibration_part(run)
    calibrating = sum(len(member.predictions(part)) for member in run.splits)
    for note in too_few_for_sets(calibrating, coverage):
        say(note)
    if part == "valid":
        say("the split has no calibration part: prediction sets are fitted on the validation part")
    say_uncalibrated(run, "sets")
    return partial(sets_of, run, coverage=coverage)


def own_sets(models: Sequence[Path], crops: Sequence[float] = ()) -> PredictionSets | None:
    """Return a calibrated run's prediction sets at its own coverage, from its probabilities.

    None of any other model, and of several models or crops, whose mean isn't calibrated.
    """
    if len(models) > 1 or len(crops) > 1 or not is_run(models[0]):
        return None
    run = Run(models[0])
    coverage = calibrated_coverage(run)
    return partial(sets_of, run, coverage=coverage) if coverage else None


def _usable(references: list[str], models: Sequence[Path], options: PredictionOptions) -> list[str]:
    """Return the usable references with `--skip-bad`, otherwise all."""
    if not options.skip_bad:
        return references
    usable, faults = usable_images(references, {_rendering(path, options) for path in models})
    say_skipped(faults)
    if not usable:
        raise BadInput("none of the images can be used", "see the lines above")
    return usable


def _rendering(model: Path, options: PredictionOptions) -> Rendering:
    """Return a model's rendering of FITS."""
    return read_recipe(model).rendering.changed(options.stretch, options.bands)


def say_uncalibrated(run: Run, what: str) -> None:
    """Print a note if prediction sets or intervals are of an uncalibrated model.

    Args:
        run: of the model.
        what: sets or intervals.
    """
    if load_calibrators(run) is None:
        beside = "; sets hold as promised, probabilities may not" if what == "sets" else ""
        say(
            f"{run.path} is not calibrated: {what} are those of the uncalibrated model{beside}; "
            f"calibrate it with: python cli.py calibrate {shlex.quote(str(run.path))}"
        )


def say_skipped(faults: Sequence[str]) -> None:
    """Print the first faults of images, and the number of further ones by kind."""
    for fault in faults[:NAMED]:
        say(f"skipped: {fault}")
    if rest := Counter(map(error_kind, faults[NAMED:])):
        kinds = ", ".join(f"{number:,} {kind}" for kind, number in rest.most_common())
        say(f"skipped: {rest.total():,} more ({kinds})")


def _load(
    models: Sequence[Path],
    references: list[str],
    options: PredictionOptions,
    on_processor: bool = False,
) -> Predictor:
    passes = len(references) * len(models) * max(1, len(options.crops))
    predictors = [
        load_predictor(
            path,
            adapt_to=references if options.adapt else None,
            images=passes if on_processor else None,
            **options.of_model,
        )
        for path in models
    ]
    if options.outliers:
        predictors = [with_scores(each) for each in predictors]
    return average_predictors(predictors, models, options.views, options.crops)


def _warn_of_drift(runs: Sequence[Run], references: list[str], options: PredictionOptions) -> None:
    """Warn of images that a classifier distinguishes from the validation galaxies.

    Not with exported files and int8: embeddings need PyTorch.
    """
    if not options.drift or options.precision == "int8" or len(references) < LEAST:
        return
    for run in runs:
        from galaxymorph.predict.outliers import measure_drift

        drift = measure_drift(run, references)
        if drift and drift.warns:
            warn(
                f"these images differ from the training images of {run.path}: a linear classifier "
                f"separates them with AUROC {drift.auroc:.2f} (two-sample test, p {drift.p:.3f}); "
                f"inspect some predictions before you use them, or try {setting('adapt')}"
            )


def is_ok(table: pd.DataFrame) -> pd.Series:
    """Return which rows have a prediction, boolean."""
    return table["status"].eq("ok") if "status" in table else pd.Series(True, table.index)
