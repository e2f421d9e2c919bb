"""Partitions of a catalogue: some of its rows, predicted and written as one Parquet file."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, MissingFile, as_utf8, map_ahead, setting
from galaxymorph.images import Fault, inspect_image
from galaxymorph.judge import calibrated_mean, sets_of
from galaxymorph.learn import Run, prediction_table, require_views
from galaxymorph.predict.column_kinds import KINDS
from galaxymorph.predict.failures import ERROR, STATUS
from galaxymorph.predict.listing import NO_COLUMNS, image_folder, list_images
from galaxymorph.predict.options import PredictionOptions, TableColumns
from galaxymorph.predict.overlap import COLUMN, SplitParts, load_split_parts
from galaxymorph.predict.predictors.base import Predictor, changeable, with_scores
from galaxymorph.predict.predictors.loading import is_run, load_predictor, model_id
from galaxymorph.predict.predictors.recording import RecordedEmbeddings, record_embeddings
from galaxymorph.predict.tables import (
    MODEL_ID,
    add_intervals,
    has_intervals,
    mask_failed,
    scored_outputs,
    with_entropy,
    with_tree_columns,
)
from galaxymorph.predict.vectors import EMBEDDING, embedding_column
from galaxymorph.zoo import SCHEMES

if TYPE_CHECKING:
    from pyarrow import Array

# Columns of text.
TEXTS = ("galaxy", "image", COLUMN, "predicted", "set", MODEL_ID, STATUS, ERROR)
# After the name of a kept column that the predictions have too.
OF_CATALOGUE = "_catalogue"


@dataclass(frozen=True)
class CatalogueModel:
    """The model that predicts a catalogue, for every process.

    Args:
        path: of a run or a file; the name of a predictor.
        id: see `model_id`; the name of a predictor.
        options: of the prediction.
        coverage: of the sets or intervals that are added, None without.
        kept: names and kinds, see `column_kind`, of the catalogue's columns in the result.
        predictor: if it is loaded already; by default it is loaded from the path.
    """

    path: str
    id: str
    options: PredictionOptions
    coverage: float | None = None
    kept: tuple[tuple[str, str], ...] = ()
    predictor: Predictor | None = None

    @property
    def run(self) -> Run | None:
        """The run, None of an exported file or a predictor."""
        return Run(Path(self.path)) if self.predictor is None and is_run(self.path) else None

    @property
    def parts(self) -> SplitParts | None:
        """The parts of the galaxies of the model's split, None where that isn't known."""
        return load_split_parts(self.path) if self.predictor is None else None

    @property
    def bands(self) -> Sequence[str]:
        """The bands of flux that the model takes, none of RGB."""
        return (self.run or self.load()).recipe.flux_bands

    def load(self) -> Predictor:
        """Return the predictor, loaded once a process.

        Raises:
            BadInput: as `load_predictor`; or the file is another model's here.
        """
        if self.predictor is not None:
            return self.predictor
        return _load(self.path, self.id, self.options)


@lru_cache(maxsize=1)
def _load(path: str, id: str, options: PredictionOptions) -> Predictor:
    if (other := model_id(path)) != id:
        raise BadInput(
            f"{path}: model {other} here, but {id} in the command",
            "use the same file on every machine",
        )
    predictor = load_predictor(path, **options.of_model)
    if options.outliers:
        predictor = with_scores(predictor)
    if options.views is None:
        return predictor
    require_views(predictor.recipe, options.views)
    return changeable(predictor, f"{setting('views', options.views)}: {path}").changed(
        views=options.views
    )


@dataclass(frozen=True)
class Partition:
    """Some rows of a catalogue.

    Args:
        number: its place among the partitions, from 0.
        ids: of the rows.
        images: as the catalogue has them.
        references: of the images, absolute.
        failed: rows whose images couldn't be used when its file was written, if it was.
        unread: why rows of the table itself can't be read.
        kept: cells of other columns, as text.
    """

    number: int
    ids: list[str]
    images: list[str]
    references: list[str]
    failed: tuple[int, ...] = ()
    unread: dict[int, Fault] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"part-{self.number:06d}.parquet"


@dataclass(frozen=True)
class PredictedPartition:
    """The content of a partition's file, None to leave the file as it is, and its failed rows."""

    name: str
    content: bytes | None
    failed: int


def partitions(
    catalogue: Path,
    size: int,
    keep: Sequence[str] = (),
    bands: Sequence[str] = (),
    columns: TableColumns = NO_COLUMNS,
) -> Iterator[Partition]:
    """Yield a catalogue's rows, `size` at a time, see `list_images`."""
    rows = list_images(catalogue, keep=keep, bands=bands, columns=columns)
    folder = image_folder(catalogue)
    number = 0
    while chunk := list(islice(rows, size)):
        yield Partition(
            number,
            ids=[row.id for row in chunk],
            images=[row.image for row in chunk],
            # An absolute path is unchanged. `Path` would take ten times as long.
            references=[
                os.path.join(folder, row.image) if row.image else ""  # noqa: PTH118
                for row in chunk
            ],
            unread={at: Fault(BadInput(row.fault)) for at, row in enumerate(chunk) if row.fault},
            kept={name: [row.kept[at] for row in chunk] for at, name in enumerate(keep)},
        )
        number += 1


def predict_partition(
    part: Partition, model: CatalogueModel, on_progress: Callable[[int], object] | None = None
) -> PredictedPartition:
    """Return the content of a partition's file.

    It is None if the file exists and none of its failed rows can be used now. Otherwise the whole
    file is written again, so that its bytes don't depend on the number of attempts. A process loads
    the model once, and predicts one partition at a time, because a network uses all cores.
    """
    with _one_at_a_time:
        predictor = model.load()
        if part.failed and not _any_usable([part.references[at] for at in part.failed], predictor):
            if on_progress:
                on_progress(len(part.ids))
            return PredictedPartition(part.name, None, len(part.failed))
        faults: dict[int, Fault] = {}
        with _recording(predictor, model) as recorded:
            outputs, scores = scored_outputs(predictor, part.references, on_progress, faults)
    faults = {at: _with_hint(part.images[at], fault) for at, fault in faults.items()} | part.unread
    table = _joined(part, _predicted(outputs, scores, faults, predictor, model, recorded), model)
    vectors = None
    if model.options.embeddings and recorded:
        vectors = embedding_column(np.concatenate(recorded.mean), faults)
    return PredictedPartition(part.name, _as_parquet(table, vectors), len(faults))


_one_at_a_time = Lock()


def _with_hint(image: str, fault: Fault) -> Fault:
    """Return an image's fault, with a hint if its path is relative to the current folder."""
    if fault.status != MissingFile.status or Path(image).is_absolute() or not Path(image).is_file():
        return fault
    hint = f"{image} is in the current folder, and paths are relative to the table's"
    return Fault(MissingFile(fault, hint))


def _any_usable(references: Sequence[str], predictor: Predictor) -> bool:
    recipe, cores = predictor.recipe, os.cpu_count() or 1
    inspect = partial(inspect_image, crop=recipe.crop, rendering=recipe.rendering)
    with ThreadPoolExecutor(cores) as pool:
        return any(
            not inspection.fault for inspection in map_ahead(pool, inspect, references, 4 * cores)
        )


def _recording(
    predictor: Predictor, model: CatalogueModel
) -> AbstractContextManager[RecordedEmbeddings | None]:
    """Record embeddings if they are written, or if PyTorch predicts and the run has some too."""
    is_known = model.run is not None and model.run.has_embeddings
    if not model.options.embeddings and (not is_known or model.options.precision == "int8"):
        return nullcontext()
    return record_embeddings(predictor)


def _predicted(
    by_model: np.ndarray,
    scores: pd.DataFrame | None,
    faults: dict[int, Fault],
    predictor: Predictor,
    model: CatalogueModel,
    recorded: RecordedEmbeddings | None,
) -> pd.DataFrame:
    """Return the columns of the prediction, in float32, and `status` and `error`.

    They are those of `prediction_table`; with a coverage `set`, or the ends of `add_intervals`;
    `entropy`; and those of `outlier_scores` where embeddings are recorded.

    Args:
        by_model: the models' uncalibrated outputs, shape (models, n, outputs).
        scores: out-of-distribution scores, of an exported file that has a reference.
        faults: of unusable images by row, whose values become missing.
        predictor: of the outputs.
        model: of the predictor.
        recorded: the first network's embeddings, None without.
    """
    outputs = calibrated_mean(by_model, predictor.calibrators)
    table = prediction_table(outputs, predictor.recipe, predictor.classes)
    if model.coverage and has_intervals(predictor.recipe):
        table = add_intervals(table, predictor.recipe, model.coverage)
    elif model.coverage and model.run:
        table["set"] = sets_of(model.run, by_model, model.coverage)
    table = with_tree_columns(table, predictor)
    table = with_entropy(table, predictor)
    if recorded and model.run and model.run.has_embeddings:
        from galaxymorph.predict.outliers import scores_of_embeddings

        vectors, logits = np.concatenate(recorded.plain), np.concatenate(recorded.logits)
        scores = scores_of_embeddings(model.run, vectors, logits)
    if scores is not None:
        table = table.join(scores)
    table = table.astype(dict.fromkeys(table.select_dtypes("number").columns, "float32"))
    return mask_failed(table, faults)


def _joined(part: Partition, table: pd.DataFrame, model: CatalogueModel) -> pd.DataFrame:
    """Return a partition's columns in order.

    They are `galaxy`, `image`, the catalogue's columns with `--keep`, `part` (see `SplitParts`, if
    the split is known), the predictions, `model_id`, `status` (see `Fault`) and `error`. The name
    of a kept column that the predictions have too ends with `OF_CATALOGUE`.
    """
    galaxies = [as_utf8(name) for name in part.ids]
    status, error = table.pop(STATUS), table.pop(ERROR)
    table.insert(0, "galaxy", galaxies)
    table.insert(1, "image", [as_utf8(image) for image in part.images])
    if model.parts:
        table.insert(2, COLUMN, model.parts.parts_of(galaxies, part.references))
    taken = {*table.columns, MODEL_ID, STATUS, ERROR, EMBEDDING}
    for at, (name, kind) in enumerate(model.kept):
        column = name
        while column in taken:
            column += OF_CATALOGUE
        taken.add(column)
        table.insert(2 + at, column, KINDS[kind](part.kept[name]))
    table[MODEL_ID], table[STATUS], table[ERROR] = model.id, status, error
    return table


def _as_parquet(table: pd.DataFrame, vectors: Array | None = None) -> bytes:
    """Return a table as a Parquet file, with embeddings as its last column, if there are any."""
    import pyarrow as pa
    from pyarrow import parquet

    # By name, so that partitions without a fault, or of faults only, have the same types.
    types = {"Int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    texts = {*TEXTS, *SCHEMES, *(f"{scheme}_set" for scheme in SCHEMES)}
    schema = pa.schema(
        [
            (name, pa.string() if name in texts else types.get(str(kind), pa.float32()))
            for name, kind in table.dtypes.items()
        ]
    )
    content = io.BytesIO()
    whole = pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(None)
    if vectors is not None:
        whole = whole.append_column(EMBEDDING, vectors)
    parquet.write_table(whole, content, compression="zstd")
    return content.getvalue()
