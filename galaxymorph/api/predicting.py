"""Predictions: of images and catalogues, as files for elsewhere, and as a server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from galaxymorph.api.calling import takes
from galaxymorph.api.options import ExportOptions, PredictOptions, ServeOptions, TriageOptions
from galaxymorph.api.paths import Place, Places, RunLike, require_output
from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, counted, say, setting
from galaxymorph.learn import PACKAGE_MODEL, Run
from galaxymorph.predict import (
    PARTITION,
    average_predictors,
    export_run,
    has_intervals,
    is_model,
    is_run,
    load_predictor,
    own_sets,
    predict_files,
    say_uncalibrated,
    submit_files,
    triage_files,
)
from galaxymorph.predict import predict_catalogue as fill_folder
from galaxymorph.predict.catalogue import PARTITIONS
from galaxymorph.predict.column_words import column_words
from galaxymorph.predict.hats import require_hats, write_hats
from galaxymorph.predict.table_output import predict_table, table_meta
from galaxymorph.zoo import file_kind, is_zip, list_image_files
from galaxymorph.zoo.table_writing import WRITERS, write_table_file

if TYPE_CHECKING:
    from galaxymorph.predict.exporters import Export
    from galaxymorph.predict.failures import Failures
    from galaxymorph.report import ModelServer

TABLES = tuple(WRITERS)
PACKAGE_WORDS = "model: that of this package, trained on Galaxy Zoo's SDSS images (docs/model.md)"


@takes(PredictOptions)
def predict(
    run: RunLike | Sequence[RunLike] | None = None, images: Any = None, **options: Any
) -> pd.DataFrame:
    """Return the predictions of images by a run or an exported file, or the mean of several.

    By the run's target a prediction is a class with probabilities, shares, or the share of
    volunteers who would give each answer of the decision tree. An image without a galaxy is a row
    without a prediction, with its `status` and `error`. For a catalogue of any size see
    `predict_catalogue`.

    Args:
        run: a trained run, its folder or an exported file; or several, with the same outputs.
            Default: the model that comes with the package.
        images: files, folders and zips; or images of Pillow's or arrays of pixels.

    Raises:
        BadInput: a model or an image can't be used, or options exclude each other.

    Example:
        >>> import galaxymorph as gm
        >>> table = gm.predict("exports/first", "sky/images_training_rev1/100001.jpg")
        >>> list(table["galaxy"])
        ['100001']
    """
    chosen = PredictOptions(**options)
    if images is None:
        raise BadInput(_no_images(run), "give images=")
    models = _models(run)
    if chosen.is_folder:
        raise BadInput(f"{setting('output', chosen.output)}: a folder", "use predict_catalogue")
    paths = _listed(images)
    is_table = chosen.path is not None and is_catalogue_table(paths)
    _require_file_options(chosen, is_table)
    if is_table and not chosen.format:
        return _predict_table(models, str(paths[0]), chosen)
    if not all(isinstance(path, str | os.PathLike) for path in paths):
        return _predict_pixels(models, images, chosen)
    names = [str(path) for path in paths]
    if chosen.format and chosen.path:
        submit_files(chosen.path, models, names, chosen)
        # It is written in parts, of which those before an interruption are on disk alone.
        return pd.read_csv(chosen.path)
    without_gpu, is_file = chosen.device in ("auto", "cpu"), chosen.path is not None
    table = predict_files(models, names, chosen, without_gpu, complete=is_file)
    if chosen.path:
        write_table_file(chosen.path, table, column_words(table.columns, table.attrs.get("schema")))
    return table


def _no_images(run: Any) -> str:
    """Return why there are no images: what looks like one may be given in place of the run."""
    for each in [] if run is None else _listed(run):
        if not isinstance(each, str | os.PathLike):
            return "no images are given, and the first argument is the run"
        if not is_model(os.fspath(each)):
            return f"no images are given: {each} is taken for the run, the first argument"
    return "no images are given"


def is_catalogue_table(paths: Sequence[Any]) -> bool:
    """Tell whether what is to be predicted is one table of images."""
    if len(paths) != 1 or not isinstance(paths[0], str | os.PathLike):
        return False
    name = str(paths[0])
    return not is_zip(name) and Path(name).is_file() and file_kind(name) == "a table"


def _predict_table(models: Sequence[Path], catalogue: str, chosen: PredictOptions) -> pd.DataFrame:
    """Return the predictions of a table's images, written into one file."""
    assert chosen.path is not None
    if len(models) > 1:
        raise BadInput(f"{catalogue}: a table is predicted by one run", f"leave out {models[1]}")
    _require_folder_options(chosen, models[0], catalogue)
    table, failures = predict_table(
        chosen.path,
        models[0],
        catalogue,
        chosen,
        chosen.kept,
        chosen.partition or PARTITION,
        chosen.scheduler,
    )
    for line in failures.lines():
        say(line)
    return table


def _models(run: RunLike | Sequence[RunLike] | None) -> list[Path]:
    """Return the paths of models, of the package's if none is given."""
    if run is None:
        say(PACKAGE_WORDS)
        return [PACKAGE_MODEL]
    models = [Path(each) for each in _listed(run)]
    if not models:
        raise BadInput("no runs are given", "leave the argument out for the package's model")
    return models


def _listed(value: Any) -> list[Any]:
    """Return what is given as a list; a path or an image is one."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _predict_pixels(models: Sequence[Path], images: Any, chosen: PredictOptions) -> pd.DataFrame:
    """Return the predictions of images in memory."""
    refused = {
        "output": chosen.output,
        "format": chosen.format,
        "coverage": chosen.coverage,
        "outliers": chosen.outliers,
        "adapt": chosen.adapt,
        "skip_bad": chosen.skip_bad,
    }
    for name, value in refused.items():
        if value:
            raise BadInput(f"{name}: images in memory don't have it", "give files")
    predictors = [load_predictor(path, **chosen.of_model) for path in models]
    predictor = average_predictors(predictors, models, chosen.views, chosen.crops)
    return predictor.predict(images, own_sets(models, chosen.crops))


@takes(PredictOptions)
def predict_catalogue(
    run: RunLike | None, catalogue: Place, output: Place, **options: Any
) -> Failures:
    """Fill a folder with the predictions of a catalogue of any size, or go on filling it.

    The folder holds a Parquet file a partition. After a kill the same call goes on. Returned are
    the rows that failed, counted by kind; each has its `error`.

    Args:
        run: a trained run, its folder or an exported file; None for the package's model.
        catalogue: a folder, a zip, or a table (CSV, Parquet, FITS) with a column of image paths.
        output: the folder, new, empty, or that of the same call before a kill.

    Raises:
        BadInput: the folder holds something else, or the model or the catalogue can't be used.

    Example:
        >>> import galaxymorph as gm
        >>> images = "sky/images_training_rev1"
        >>> failures = gm.predict_catalogue("exports/first", images, "predictions")
        >>> failures.number, failures.rows
        (0, 100)
    """
    (model,), name = _models(run), str(catalogue)
    chosen = PredictOptions(output=str(output), **options)
    _require_folder_options(chosen, model, name)
    if chosen.coverage and is_run(model):
        folder = Run(model)
        say_uncalibrated(folder, "intervals" if has_intervals(folder.recipe) else "sets")
    keep = chosen.kept
    if chosen.hats:
        coordinates = require_hats(name, chosen.hats)
        if keep != ["all"]:
            keep += [column for column in coordinates if column not in keep]
    failures = fill_folder(
        str(chosen.output),
        model,
        name,
        chosen,
        scheduler=chosen.scheduler,
        keep=keep,
        size=chosen.partition or PARTITION,
    )
    if chosen.hats:
        files = sorted(Path(output).glob(PARTITIONS))
        first = pd.read_parquet(files[0])
        number = write_hats(files, chosen.hats, coordinates, table_meta(first, model, name))
        say(f"HATS catalogue: {chosen.hats} ({counted(number, 'file')})")
    return failures


def models_and_images(names: Sequence[str]) -> tuple[list[Path], list[str]]:
    """Return the models among a command's arguments, which come first, and the images.

    Without a model, the one that comes with the package predicts.

    Raises:
        BadInput: there is no image, or the first of several names has none and is no model.
    """
    models = [Path(name) for name in takewhile(is_model, names)]
    images = list(names[len(models) :])
    if not models and len(images) > 1 and not _has_images(images[0]):
        # A run's name with a typing error, or a folder that is none.
        Run(Path(images[0])).require_trained()
    if not images:
        raise BadInput(
            "no images given, only runs", "give images, a folder or a zip after the runs"
        )
    if not models:
        say(PACKAGE_WORDS)
        models = [PACKAGE_MODEL]
    for model in filter(is_run, models):
        Run(model).require_trained()
    return models, images


def _has_images(reference: str) -> bool:
    path = Path(reference.partition(REFERENCE_SEPARATOR)[0])
    return bool(list_image_files(path).images) if path.is_dir() else path.exists()


def _require_folder_options(chosen: PredictOptions, model: Path, catalogue: str) -> None:
    """Raise BadInput for what predictions of a catalogue have no use for."""
    where = setting("output", chosen.output)
    if chosen.skip_bad:
        raise BadInput(
            f"{setting('skip_bad')}: {catalogue} is a catalogue, of which an unusable image is a "
            "row with a status and an error",
            "leave it out",
        )
    what = "an output folder" if chosen.is_folder else "the predictions of a table"
    for name in ("format", "adapt", "crops"):
        if getattr(chosen, name):
            raise BadInput(
                f"{where}: {what} cannot be combined with {setting(name)}", "leave it out"
            )
    has_embeddings = is_run(model) or model.suffix == ".safetensors"
    if chosen.outliers and (chosen.precision == "int8" or not has_embeddings):
        raise BadInput(f"{setting('outliers')} needs a run or a safetensors file", "leave it out")
    if Path(catalogue).is_file() and not is_zip(catalogue) and file_kind(catalogue) is None:
        raise BadInput(
            f"{where}: an output folder is for a catalogue, and {catalogue} is not one",
            "give a folder, a zip or a table of images; or write to a .csv or .parquet file",
        )


def _require_file_options(chosen: PredictOptions, is_table: bool) -> None:
    """Raise BadInput for options of a folder, or a file that can't be written."""
    if chosen.hats:
        raise BadInput(
            f"{setting('hats', chosen.hats)}: it needs {setting('output')} FOLDER/",
            "end the folder's name in /",
        )
    for name in ("partition", "keep", "scheduler", "id_column", "image_column"):
        if (value := getattr(chosen, name)) is not None and not is_table:
            raise BadInput(
                f"{setting(name, value)}: it needs a catalogue's output",
                f"give a table, or {setting('output')} FOLDER/",
            )
    if chosen.embeddings:
        raise BadInput(
            f"{setting('embeddings')}: it needs {setting('output')} FOLDER/",
            "end the folder's name in /",
        )
    path = chosen.path
    is_json = path is not None and path.suffix.lower() == ".json"
    remedy = f"use {', '.join(TABLES)}, or end it in / for a catalogue's folder"
    require_output(
        path,
        TABLES,
        remedy + f"; JSON is printed by {setting('json')}, without {setting('output')}" * is_json,
    )
    if chosen.format and (path is None or path.suffix != ".csv"):
        raise BadInput(
            f"{setting('format', 'kaggle')} writes a table",
            f"give {setting('output')} FILE.csv, and no {setting('json')}",
        )


@takes(TriageOptions)
def triage(run: RunLike, catalogue: Places, output: Place, **options: Any) -> pd.DataFrame:
    """Choose the images most worth a volunteer's time, into a new folder; return its manifest.

    Chosen are those of which the model is most uncertain for want of knowledge, rather than because
    they look like two classes, and that are unlike each other. The folder can be uploaded to
    Zooniverse as a subject set.

    Args:
        run: a trained run or its folder.
        catalogue: images, folders, zips, or tables with a column of image paths.
        output: folder to make, of the images and their `manifest.csv`.

    Raises:
        BadInput: the folder exists, the run hasn't that source, or an image can't be used.

    Example:
        >>> import galaxymorph as gm
        >>> chosen = gm.triage("exports/first", "sky/images_training_rev1", "to-label", number=3)
        >>> len(chosen)
        3
    """
    chosen = TriageOptions(**options)
    paths = [str(path) for path in _listed(catalogue)]
    return triage_files(
        Run(Path(run)),
        paths,
        Path(output),
        chosen.number,
        chosen.source,
        chosen.skip_bad,
        chosen.stretch,
        chosen.bands,
        chosen,
    )


@takes(ExportOptions)
def export(run: RunLike, format: str | None = None, **options: Any) -> Export:
    """Write a run as one file that travels, with all that predicting takes.

    `load_predictor` and `predict` take it in place of a run.

    Args:
        run: a trained run or its folder.
        format: of the file: onnx, onnx-int8, safetensors, or one of a plugin. Default: the first
            one whose files end as `output` does.

    Raises:
        BadInput: the format is unknown, or a package that it takes is missing.

    Example:
        >>> import galaxymorph as gm
        >>> file = gm.export("exports/first", output="model.safetensors")
        >>> file.path.name
        'model.safetensors'
    """
    chosen = ExportOptions(**options)
    return export_run(Run(Path(run)), format, chosen.output, chosen.data, chosen.half)


@takes(ServeOptions)
def serve(run: RunLike | None = None, **options: Any) -> ModelServer:
    """Serve a run's model as a web page of this machine, until it is stopped; return the server.

    POST /predict accepts images and answers in JSON or CSV; /openapi.json describes it. Images are
    neither written to disk nor logged. It serves in a thread, and ends with the process.

    Args:
        run: a trained run, its folder or a `.safetensors` file. Default: the model that comes with
            the package.

    Raises:
        BadInput: the address can't be bound, or the model can't be loaded.

    Example:
        >>> import galaxymorph as gm
        >>> server = gm.serve("exports/first", port=0)
        >>> server.address.startswith("http://127.0.0.1:")
        True
        >>> server.stop()
    """
    from galaxymorph.report import open_server

    chosen = ServeOptions(**options)
    server = open_server(_models(run)[0], **vars(chosen))
    server.start()
    return server
