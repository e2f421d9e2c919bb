"""Predictions of catalogues of any size: a folder of Parquet files, one a partition.

A partition is a fixed range of the catalogue's rows. Its file is written atomically, and depends on
these rows and the model only, so that an interrupted command continues when repeated, and ends with
the same bytes.
"""

from __future__ import annotations

import hashlib
import json
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from galaxymorph import __version__
from galaxymorph.base import (
    BadInput,
    Progress,
    counted,
    file_lock,
    read_json,
    remove_leftovers,
    replacing,
    say,
    setting,
    write_json,
)
from galaxymorph.judge import calibrated_coverage, describe_calibration, require_classes
from galaxymorph.learn import Run
from galaxymorph.predict.cluster import map_on_cluster
from galaxymorph.predict.column_kinds import column_kind
from galaxymorph.predict.failures import UNFAMILIAR, Failures, failures_in, statuses_and_errors
from galaxymorph.predict.listing import (
    ListedImage,
    is_table,
    kept_columns,
    list_images,
    stored_kinds,
)
from galaxymorph.predict.options import DEFAULTS, PredictionOptions, TableColumns
from galaxymorph.predict.overlap import COLUMN, describe_parts, missing_split
from galaxymorph.predict.partitions import (
    CatalogueModel,
    Partition,
    PredictedPartition,
    partitions,
    predict_partition,
)
from galaxymorph.predict.prediction import keep_memory
from galaxymorph.predict.predictors.base import Predictor
from galaxymorph.predict.predictors.loading import is_run, model_id
from galaxymorph.predict.tables import has_intervals

# Files of a folder of predictions: its description, and the tables.
CATALOGUE, PARTITIONS = "_catalogue.json", "part-*.parquet"
# 2: with prediction sets and out-of-distribution scores. 3: with a status. 4: `galaxy` for `id`,
# and `part`.
FORMAT = 4
# Rows of a partition: 15 s of prediction, lost by an interruption.
PARTITION = 4096
# Entries of the record that must not change between the commands that fill a folder, in words.
FIXED = {
    "format": "format",
    "galaxymorph": "version of galaxymorph",
    "model_id": "model",
    "calibration": "calibration",
    "precision": "precision",
    "views": "number of views",
    "coverage": "coverage",
    "raw": "choice between bare and calibrated probabilities",
    "votes": "choice of votes",
    "stretch": "stretch of FITS",
    "bands": "choice of bands",
    "split": "split beside the model",
    "image_column": "column of images",
    "id_column": "column of ids",
    "kept": "choice of columns",
    "embeddings": "choice of embeddings",
    "images": "number of images",
    "digest": "catalogue",
    "partition": "partition size",
}
# Options that a catalogue doesn't have, and those that a loaded predictor doesn't.
NOT_OF_CATALOGUES = ("crops", "adapt", "skip_bad")
OF_LOADING = ("precision", "views", "raw", "stretch", "bands")


def predict_catalogue(
    out: str | Path,
    model: str | Path | Predictor,
    catalogue: str | Path,
    options: PredictionOptions = DEFAULTS,
    size: int = PARTITION,
    scheduler: str | None = None,
    keep: Sequence[str] = (),
    name: str = "",
) -> Failures:
    """Write the predictions of a catalogue into a folder, or continue there.

    The folder has the files `part-000000.parquet` and so on, see `partitions`, and
    `_catalogue.json`, a record of their origin. An image that can't be used is a row with an
    `error`. If one can be used now, its partition is written again.

    Args:
        out: the folder: new, empty, or of the same call before an interruption.
        model: a path as for `load_predictor`, or a predictor.
        catalogue: see `list_images`.
        options: of the prediction. The coverage is by default that of a calibrated run.
        size: rows of a partition.
        scheduler: the address of a Dask cluster that predicts in place of this process.
        keep: columns of the catalogue's table that are copied, see `kept_columns`.
        name: of a predictor, unique among models: it is the column `model_id`.

    Returns:
        The failed rows of all partitions.

    Raises:
        BadInput: the folder has other content, or the model or the catalogue can't be used.
    """
    out, catalogue = Path(out), Path(catalogue)
    if scheduler is None and isinstance(model, str | Path):
        keep_memory([model], options)
    chosen = _model(model, options, name)
    columns = kept_columns(catalogue, keep, options)
    number, digest, kinds = _scan(catalogue, columns, chosen.bands, options)
    chosen = replace(chosen, kept=tuple(zip(columns, kinds, strict=True)))
    record = _record(chosen, str(model) if chosen.predictor is None else name) | {
        "catalogue": str(catalogue),
        "images": number,
        "digest": digest,
        "partition": size,
        "partitions": -(-number // size),
    }
    _claim(out, record)
    with file_lock(out / ".lock", wait=False) as is_locked:
        if not is_locked:
            raise BadInput(f"{out}: another process is filling it", "wait for it or stop it")
        remove_leftovers(out)
        _fill(
            out,
            chosen,
            partitions(catalogue, size, columns, chosen.bands, options),
            number,
            size,
            scheduler,
        )
        files = sorted(out.glob(PARTITIONS))
        failures = failures_in(files, number)
        if chosen.parts and not failures.total and (line := describe_parts(_parts_in(files))):
            say(line)
        return failures


def _model(model: str | Path | Predictor, options: PredictionOptions, name: str) -> CatalogueModel:
    """Return the model and its options; print a note if its split is unknown."""
    for option in NOT_OF_CATALOGUES:
        if getattr(options, option):
            raise BadInput(f"{option}: it is not available for catalogues", "leave it out")
    if not isinstance(model, str | Path):
        for option in OF_LOADING:
            if getattr(options, option):
                raise BadInput(f"{option}: the predictor is loaded", "set it on the predictor")
        if not name:
            raise BadInput("a predictor has no id", "give it a name")
        if options.coverage and not has_intervals(model.recipe):
            raise BadInput(
                f"{setting('coverage', options.coverage)}: {name} isn't a run", "give the run"
            )
        chosen = CatalogueModel(name, name, options, options.coverage, predictor=model)
        _require_embeddings(chosen)
        return chosen
    coverage = _coverage(model, options.coverage)
    chosen = CatalogueModel(str(Path(model).absolute()), model_id(model), options, coverage)
    if options.views == 8:
        # A model that excludes mirrored views is refused before its catalogue is read.
        chosen.load()
    _require_embeddings(chosen)
    if chosen.parts is None:
        say(missing_split(model))
    return chosen


def _require_embeddings(model: CatalogueModel) -> None:
    """Print a note on embeddings of few views, if they are to be written.

    Raises:
        BadInput: the model has none.
    """
    if not model.options.embeddings:
        return
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

    predictor = model.load()
    if not isinstance(predictor, TorchPredictor):
        raise BadInput(
            f"{setting('embeddings')}: {model.path} isn't predicted in PyTorch, and has none",
            f"give a run or a safetensors file, without {setting('precision', 'int8')}",
        )
    recipe = predictor.recipe
    if recipe.views < (8 if recipe.flips else 4):
        more, turned = (8, "a rotated or mirrored") if recipe.flips else (4, "a rotated")
        say(
            f"embeddings of {counted(recipe.views, 'view')}; with {setting('views', more)}: "
            f"{turned} image has the same one"
        )


def _coverage(model: str | Path, chosen: float | None) -> float | None:
    """Return the coverage of sets or intervals: the chosen one, or that of a calibrated run.

    Raises:
        BadInput: the model has neither.
    """
    if not is_run(model):
        if chosen is not None:
            raise BadInput(
                f"{setting('coverage', chosen)}: {model} is an exported file", "give the run"
            )
        return None
    run = Run(Path(model))
    if chosen is None:
        return calibrated_coverage(run)
    if not has_intervals(run.recipe):
        require_classes(run)
    return chosen


def _scan(
    catalogue: Path, keep: Sequence[str], bands: Sequence[str], columns: TableColumns
) -> tuple[int, str, list[str]]:
    """Return the number and a digest of a catalogue's rows, and the kinds of copied columns."""
    number, digest, stored = 0, hashlib.sha256(), stored_kinds(catalogue, keep)
    kinds = [kind or "integer" for kind in stored]
    hashes = array("q")
    for row in list_images(catalogue, say, keep, bands, columns):
        if row.id:
            hashes.append(hash(row.id))
        texts = [row.id, row.image, *([row.fault] if row.fault else []), *row.kept]
        digest.update(json.dumps(texts).encode())
        cells = zip(row.kept, kinds, stored, strict=True)
        kinds = [fixed or column_kind(cell, kind) for cell, kind, fixed in cells]
        number += 1
    if is_table(catalogue):
        # Namesakes in a folder or a zip are told by its listing.
        _say_doubled(np.asarray(hashes), list_images(catalogue, None, (), bands, columns))
    return number, digest.hexdigest()[:16], kinds


def _say_doubled(hashes: np.ndarray, rows: Iterable[ListedImage]) -> None:
    """Print how many rows of a table have the id of an earlier one, with the first such id.

    Args:
        hashes: of the rows' ids, 8 bytes each, since the ids of a large table fill the memory.
        rows: that they are of, which are read if two are equal.
    """
    values, counts = np.unique(hashes, return_counts=True)
    doubled = set(values[counts > 1].tolist())
    if not doubled:
        return
    first = next(row.id for row in rows if hash(row.id) in doubled)
    again = counted(len(hashes) - len(values), "row")
    say(f"{again} with the id of an earlier one, such as {first}")


def _record(model: CatalogueModel, name: str) -> dict[str, object]:
    """Return the record of a model and its options, for JSON."""
    options = model.options
    return {
        "format": FORMAT,
        "galaxymorph": __version__,
        "model": name,
        "model_id": model.id,
        "calibration": _calibration_digest(model.run),
        "precision": options.precision,
        "views": options.views,
        "coverage": model.coverage,
        "raw": options.raw,
        "votes": options.votes,
        "stretch": options.stretch,
        "bands": options.bands,
        "split": model.parts.digest if model.parts else None,
        "image_column": options.image_column,
        "id_column": options.id_column,
        "kept": [list(pair) for pair in model.kept],
        "embeddings": options.embeddings or None,
        # Of a run the scores are there in any case; a file may refuse images in their place.
        **({"outliers": True} if options.outliers and not model.run else {}),
    }


def _calibration_digest(run: Run | None) -> str | None:
    """Return a digest of a run's calibrators, if it has any; those of a file are in its id."""
    calibration = describe_calibration(run) if run else {}
    if not calibration:
        return None
    return hashlib.sha256(json.dumps(calibration).encode()).hexdigest()[:16]


def _claim(out: Path, record: Mapping[str, object]) -> None:
    """Write `_catalogue.json` into the folder, unless it has the same.

    Raises:
        BadInput: the folder can't be made, or has other content.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(
            f"{setting('output', out)}: can't be made ({error.strerror})", "choose another"
        ) from error
    path = out / CATALOGUE
    if not path.exists():
        strays = [item.name for item in out.iterdir() if not item.name.startswith(".")]
        if strays:
            raise BadInput(
                f"{setting('output', out)}: not empty ({strays[0]}), and no {CATALOGUE} in it",
                "give a new or an empty folder",
            )
        write_json(path, record)
        return
    before = read_json(path, "give a new folder")
    for name, words in FIXED.items():
        if before.get(name) != record[name]:
            raise BadInput(
                f"{setting('output', out)}: contains predictions with another {words} "
                f"({before.get(name)}, now {record[name]})",
                "give a new folder",
            )


def _fill(
    out: Path,
    model: CatalogueModel,
    parts: Iterable[Partition],
    number: int,
    size: int,
    scheduler: str | None,
) -> None:
    """Write the partitions that are missing, or have failed rows that can be used now."""
    failed_rows = {
        path.name: _failed_rows(path, model.options.outliers) for path in out.glob(PARTITIONS)
    }
    if failed_rows:
        failed = sum(map(len, failed_rows.values()))
        again = f", and {failed:,} rows with an error in them are tried again" if failed else ""
        total = -(-number // size)
        say(f"continuing {out}: {len(failed_rows):,} of {total:,} partitions exist{again}")
    complete = sum(not rows for rows in failed_rows.values())
    with Progress("predicting", max(0, number - complete * size), "images") as progress:
        failed = 0
        unfinished = _unfinished(parts, failed_rows)
        for part in _predictions(unfinished, model, scheduler, progress):
            failed += part.failed
            progress.advance(0, f"{failed:,} failed" if failed else "")
            if part.content is not None:
                with replacing(out / part.name) as temporary:
                    temporary.write_bytes(part.content)


def _failed_rows(path: Path, outliers: bool) -> tuple[int, ...]:
    """Return the rows that may have a prediction now; refused ones only with `outliers`."""
    return tuple(
        at
        for at, (status, error) in enumerate(statuses_and_errors(path))
        if error is not None and (outliers or status != UNFAMILIAR)
    )


def _unfinished(
    parts: Iterable[Partition], failed_rows: Mapping[str, tuple[int, ...]]
) -> Iterator[Partition]:
    """Yield the partitions without a file, and those with failed rows."""
    for part in parts:
        if part.name not in failed_rows:
            yield part
        elif failed := failed_rows[part.name]:
            yield replace(part, failed=failed)


def _predictions(
    parts: Iterator[Partition], model: CatalogueModel, scheduler: str | None, progress: Progress
) -> Iterator[PredictedPartition]:
    if scheduler is None:
        for part in parts:
            yield predict_partition(part, model, progress.advance)
        return
    for part, predicted in map_on_cluster(scheduler, predict_partition, parts, model):
        progress.advance(len(part.ids))
        yield predicted


def _parts_in(files: Iterable[Path]) -> Counter[str | None]:
    """Return the number of images in the run's split by part, from partitions' files."""
    from pyarrow import parquet

    counts: Counter[str | None] = Counter()
    for file in files:
        counts.update(parquet.read_table(file, columns=[COLUMN])[COLUMN].to_pylist())
    return counts
