"""Predictions of catalogues of any size: a folder of Parquet files, one a partition.

A partition is a fixed run of the catalogue's rows. Its file appears whole or not at all, and what
is in it depends on nothing but those rows and the model, so a killed run goes on where it stood
and ends with the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from functools import lru_cache, partial
from itertools import islice
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph import __version__
from galaxymorph.base import (
    BadInput,
    MissingFile,
    Progress,
    as_utf8,
    exclusive,
    map_ahead,
    read_json,
    remove_leftovers,
    replacing,
    say,
    write_json,
)
from galaxymorph.images import Fault, inspect_image
from galaxymorph.judge import (
    calibrated_coverage,
    calibrated_mean,
    describe_calibrators,
    require_classes,
    sets_of,
)
from galaxymorph.learn import (
    Recipe,
    Run,
    predicted_columns,
    prediction_table,
    require_views,
    target_of,
)
from galaxymorph.predict.cluster import map_on_cluster
from galaxymorph.predict.failures import Failures, count_failed, errors_in, failures_in
from galaxymorph.predict.listing import image_folder, kept_columns, list_images
from galaxymorph.predict.overlap import COLUMN, describe_parts, load_split_parts, missing_split
from galaxymorph.predict.predictors.loading import is_run, load_predictor, model_id
from galaxymorph.predict.tables import add_intervals, has_intervals, mask_failed
from galaxymorph.zoo import to_conditional

if TYPE_CHECKING:
    from galaxymorph.predict.predictors.onnx_predictor import OnnxPredictor
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

# 2: with prediction sets and out-of-distribution scores. 3: with a status. 4: `galaxy` for `id`,
# and `part`.
FORMAT = 4
ABOUT = "_catalogue.json"
# Rows of a partition: a quarter of a minute's work that a kill can cost.
PARTITION = 4096
# Those that must not change between the commands that fill one folder, and their words.
FIXED = {
    "format": "format",
    "galaxymorph": "version of galaxymorph",
    "model_id": "model",
    "calibration": "calibration",
    "precision": "precision",
    "views": "number of views",
    "coverage": "coverage",
    "raw": "choice between bare and calibrated probabilities",
    "stretch": "stretch of FITS",
    "bands": "choice of bands",
    "split": "split beside the model",
    "kept": "choice of columns",
    "images": "number of images",
    "digest": "catalogue",
    "partition": "partition size",
}


@dataclass(frozen=True)
class Model:
    """Which model predicts, and how: see `predict_catalogue`; `id` is the one that it must have."""

    path: str
    precision: str | None
    id: str
    views: int | None = None
    coverage: float | None = None
    raw: bool = False
    stretch: str | None = None
    bands: str | None = None
    # Columns of the catalogue that are kept, and what each holds, of `KINDS`.
    kept: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class Partition:
    """Some rows of a catalogue: ids, images as the catalogue has them, and where those are.

    `failed` are the rows whose images couldn't be used when its file was made, if it was, `unread`
    those that the table itself has damaged, each with what is wrong with it, and `kept` the texts
    of other columns.
    """

    number: int
    ids: list[str]
    images: list[str]
    places: list[str]
    failed: tuple[int, ...] = ()
    unread: dict[int, Fault] = field(default_factory=dict)
    kept: dict[str, list[str]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The name of its file."""
        return f"part-{self.number:06d}.parquet"


@dataclass(frozen=True)
class Predicted:
    """The content of a partition's file, None to leave the one there is, and its failed rows."""

    name: str
    content: bytes | None
    failed: int


def predict_catalogue(
    out: str | Path,
    model: str | Path,
    catalogue: str | Path,
    precision: str | None = None,
    size: int = PARTITION,
    scheduler: str | None = None,
    views: int | None = None,
    coverage: float | None = None,
    raw: bool = False,
    stretch: str | None = None,
    bands: str | None = None,
    keep: Sequence[str] = (),
) -> Failures:
    """Fill a folder with the predictions of a catalogue, or go on filling it.

    The folder holds `part-000000.parquet` and so on, see `columns_of`, and `_catalogue.json`, what
    they were made of. An image that can't be used is a row with an `error`. Where one can by now,
    its partition is made anew. Returned is what failed in the end, in all partitions.

    Args:
        out: the folder, new, empty, or that of the same call before a kill.
        model: a run, or another of what `load_predictor` takes.
        catalogue: see `list_images`.
        precision: see `load_predictor`.
        size: rows of a partition.
        scheduler: the address of a Dask cluster that predicts in place of this process.
        views: flips and quarter turns averaged, in place of the recipe's own.
        coverage: of prediction sets, or of intervals of vote fractions; by itself a calibrated
            run's own.
        raw: leave the models' probabilities as they are.
        stretch: of FITS images, in place of the one that the model is trained on.
        bands: of FITS images, likewise.
        keep: columns of the catalogue's table that are kept, see `kept_columns`.

    Raises:
        BadInput: the folder holds something else, or the model or the catalogue can't be used.
    """
    out, catalogue = Path(out), Path(catalogue)
    chosen = Model(
        str(Path(model).absolute()), precision, model_id(model), views, _coverage(model, coverage),
        raw, stretch, bands,
    )  # fmt: skip
    if views == 8:
        load_predictor_once(chosen)
    own = load_split_parts(chosen.path)
    if own is None:
        say(missing_split(model))
    columns = kept_columns(catalogue, keep)
    number, digest, kinds = _digest(catalogue, columns)
    chosen = replace(chosen, kept=tuple(zip(columns, kinds, strict=True)))
    about = {
        "format": FORMAT,
        "galaxymorph": __version__,
        "model": str(model),
        "model_id": chosen.id,
        "calibration": _calibration(model),
        "precision": precision,
        "views": views,
        "coverage": chosen.coverage,
        "raw": raw,
        "stretch": stretch,
        "bands": bands,
        "split": own and own.digest,
        "kept": [list(pair) for pair in chosen.kept],
        "catalogue": str(catalogue),
        "images": number,
        "digest": digest,
        "partition": size,
        "partitions": -(-number // size),
    }
    _claim(out, about)
    with exclusive(out / ".lock", wait=False) as held:
        if not held:
            raise BadInput(f"{out}: another process is filling it", "wait for it or stop it")
        remove_leftovers(out)
        there = {path.name: count_failed(path) for path in out.glob("part-*.parquet")}
        if there:
            _tell_what_is_there(out, there, about["partitions"])
        whole = sum(not failed for failed in there.values())
        with Progress("predicting", max(0, number - whole * size), "images") as progress:
            left = _unfinished(partitions(catalogue, size, columns), out, there)
            failed = 0
            for part in _predicted(left, chosen, scheduler, progress):
                failed += part.failed
                progress.advance(0, f"{failed:,} failed" if failed else "")
                if part.content is not None:
                    with replacing(out / part.name) as temporary:
                        temporary.write_bytes(part.content)
        files = sorted(out.glob("part-*.parquet"))
        failures = failures_in(files, number)
        if own and not failures.total and (line := describe_parts(_parts_in(files))):
            say(line)
        return failures


def _parts_in(files: Iterable[Path]) -> Counter[str | None]:
    """Return how many images of partitions' files are the run's own, by part."""
    from pyarrow import parquet

    counts: Counter[str | None] = Counter()
    for file in files:
        counts.update(parquet.read_table(file, columns=[COLUMN])[COLUMN].to_pylist())
    return counts


def _tell_what_is_there(out: Path, there: dict[str, int], number: int) -> None:
    failed = sum(there.values())
    again = f", and {failed:,} rows with an error in them are tried again" if failed else ""
    say(f"going on with {out}: {len(there):,} of {number:,} partitions are there{again}")


def _unfinished(
    parts: Iterable[Partition], out: Path, there: dict[str, int]
) -> Iterator[Partition]:
    """Yield the partitions that aren't there, and those with failed rows."""
    for part in parts:
        if part.name not in there:
            yield part
        elif there[part.name]:
            errors = errors_in(out / part.name)
            yield replace(part, failed=tuple(at for at, error in enumerate(errors) if error))


def partitions(catalogue: Path, size: int, keep: Sequence[str] = ()) -> Iterator[Partition]:
    """Yield a catalogue's rows, `size` at a time, with some of its columns."""
    rows, folder = list_images(catalogue, keep=keep), image_folder(catalogue)
    number = 0
    while chunk := list(islice(rows, size)):
        ids, images = ([row[at] for row in chunk] for at in (0, 1))
        # An absolute image stays what it is. Paths as objects would take ten times as long.
        places = [os.path.join(folder, image) if image else "" for image in images]  # noqa: PTH118
        unread = {at: Fault(BadInput(row.fault)) for at, row in enumerate(chunk) if row.fault}
        kept = {name: [row.kept[at] for row in chunk] for at, name in enumerate(keep)}
        yield Partition(number, ids, images, places, unread=unread, kept=kept)
        number += 1


def predict_partition(part: Partition, model: Model, seen=lambda n: None) -> Predicted:
    """Return the content of a partition's file, None if it is there and no failed row can be used.

    It is made anew as a whole, so that its bytes don't tell in how many attempts. The process
    loads the model once, and predicts one partition at a time: a network takes all cores by
    itself.
    """
    with _one_at_a_time:
        predictor = load_predictor_once(model)
        if part.failed and not _any_usable([part.places[at] for at in part.failed], predictor):
            seen(len(part.ids))
            return Predicted(part.name, None, len(part.failed))
        faults: dict[int, Fault] = {}
        with _watching(predictor, model) as kept:
            each = predictor.outputs_of_each(part.places, seen, faults)
    faults = {at: _with_hint(part.images[at], fault) for at, fault in faults.items()} | part.unread
    strange = None
    if kept:
        from galaxymorph.predict.outliers import scores_of_embeddings

        strange = scores_of_embeddings(
            Run(Path(model.path)), *map(np.concatenate, zip(*kept, strict=True))
        )
    table = columns_of(part, each, faults, predictor, model, strange)
    return Predicted(part.name, _as_parquet(table), len(faults))


def _with_hint(image: str, fault: Fault) -> Fault:
    """Return why an image can't be used, and where it is if its path is relative to elsewhere."""
    if fault.status != MissingFile.status or Path(image).is_absolute() or not Path(image).is_file():
        return fault
    hint = f"{image} is in the current folder, and paths are relative to the table's"
    return Fault(MissingFile(fault, hint))


def _any_usable(places: Sequence[str], predictor: TorchPredictor | OnnxPredictor) -> bool:
    recipe = predictor.recipe
    inspect = partial(inspect_image, crop=recipe.crop, rendering=recipe.rendering)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        inspections = map_ahead(pool, inspect, places, 4 * (os.cpu_count() or 1))
        return any(not inspection.fault for inspection in inspections)


def _watching(predictor: TorchPredictor | OnnxPredictor, model: Model):
    """Watch the embeddings where a run's network makes them, and it kept its own to compare."""
    if not (hasattr(predictor, "models") and is_run(model.path)):
        return nullcontext([])
    if not (Run(Path(model.path)).members[0].path / "embeddings.npz").exists():
        return nullcontext([])
    # Here, since predicting from an ONNX file does without PyTorch.
    from galaxymorph.predict.outliers import record_embeddings

    return record_embeddings(predictor)


def columns_of(
    part: Partition,
    each: np.ndarray,
    faults: dict[int, Fault],
    predictor: TorchPredictor | OnnxPredictor,
    model: Model,
    strange: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Return a partition's table, the one place where its columns are chosen.

    They are `galaxy`, `image`, `part` (see `SplitParts`, if the split is known), those of
    `prediction_table`, of a coverage `set`, or the ends of `add_intervals`, `entropy` (see
    `entropies`), those of `outlier_scores`, `model_id`, `status` (see `Fault`) and `error`; what a
    network predicts is missing where there is an error.

    Args:
        part: the rows.
        each: the bare models' predictions, shape (models, n, outputs).
        faults: by the place in the partition, why an image can't be used.
        predictor: that made the predictions.
        model: of the predictor.
        strange: `outlier_scores`, if they are known.
    """
    found = calibrated_mean(each, predictor.calibrators)
    table = prediction_table(found, predictor.recipe, predictor.classes)
    if model.coverage and has_intervals(predictor.recipe):
        table = add_intervals(table, predictor.recipe, model.coverage)
    elif model.coverage:
        table["set"] = sets_of(Run(Path(model.path)), each, model.coverage)
    means = found[:, : len(predicted_columns(predictor.recipe, predictor.classes))]
    table["entropy"] = entropies(means, predictor.recipe)
    if strange is not None:
        table = table.join(strange)
    numbers = table.select_dtypes("number").columns
    table = table.astype(dict.fromkeys(numbers, "float32"))
    table = mask_failed(table, faults)
    status, error = table.pop("status"), table.pop("error")
    table.insert(0, "galaxy", list(map(as_utf8, part.ids)))
    table.insert(1, "image", list(map(as_utf8, part.images)))
    if own := load_split_parts(model.path):
        table.insert(2, COLUMN, own.parts_of(table["galaxy"], part.places))
    for at, (name, kind) in enumerate(model.kept):
        if name in table or name in ("model_id", "status", "error"):
            raise BadInput(f"--keep {name}: predictions have a column of that name", "leave it out")
        table.insert(2 + at, name, KINDS[kind](part.kept[name]))
    table["model_id"] = model.id
    return table.assign(status=status, error=error)


def entropies(found: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the entropy of each prediction in nats, shape (n,).

    Of shares that is minus the sum of p log p. Of a decision tree it is the sum over questions of
    the share of volunteers who reach it times the entropy of its answers, which is the entropy of
    a volunteer's whole walk down the tree (chain rule: Cover & Thomas 2006, Elements of
    Information Theory, theorem 2.2.1).
    """
    found = np.asarray(found, float)
    tree = target_of(recipe).tree
    within = found if tree is None else to_conditional(tree, found)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(within > 0, found * np.log(within), 0.0)
    return -terms.sum(axis=1)


@lru_cache(maxsize=1)
def load_predictor_once(model: Model) -> TorchPredictor | OnnxPredictor:
    """Load a model's predictor, once a process, and make sure that it is that model.

    Raises:
        BadInput: as `load_predictor`; or the file there is another model's.
    """
    found = model_id(model.path)
    if found != model.id:
        raise BadInput(
            f"{model.path}: model {found} here, and {model.id} was asked for",
            "give every machine the same file",
        )
    predictor = load_predictor(
        model.path, model.precision, raw=model.raw, stretch=model.stretch, bands=model.bands
    )
    if model.views is None:
        return predictor
    require_views(predictor.recipe, model.views)
    return replace(predictor, recipe=replace(predictor.recipe, views=model.views))


_one_at_a_time = Lock()


def _predicted(
    left: Iterator[Partition], model: Model, scheduler: str | None, progress: Progress
) -> Iterator[Predicted]:
    if scheduler is None:
        for part in left:
            yield predict_partition(part, model, progress.advance)
        return
    for part, found in map_on_cluster(scheduler, predict_partition, left, model):
        progress.advance(len(part.ids))
        yield found


def _coverage(model: str | Path, asked: float | None) -> float | None:
    """Return the coverage of sets or intervals: what is asked for, or a calibrated run's own.

    Raises:
        BadInput: the model gives neither.
    """
    run = Run(Path(model)) if is_run(model) else None
    if asked is None:
        return run and calibrated_coverage(run)
    if run is None:
        raise BadInput(f"--coverage {asked}: {model} is an exported file", "give the run")
    if not has_intervals(run.recipe):
        require_classes(run)
    return asked


def _calibration(model: str | Path) -> str | None:
    """Return a digest of a run's calibrators, if it has any; an exported file's are in its id."""
    found = describe_calibrators(Run(Path(model))) if is_run(model) else {}
    return hashlib.sha256(json.dumps(found).encode()).hexdigest()[:16] if found else None


def _digest(catalogue: Path, keep: Sequence[str] = ()) -> tuple[int, str, list[str]]:
    """Return the number of a catalogue's rows, a digest of them, and what kept columns hold."""
    number, found, kinds = 0, hashlib.sha256(), ["integer"] * len(keep)
    for row in list_images(catalogue, tell=say, keep=keep):
        found.update(json.dumps([*row[: 3 if row.fault else 2], *row.kept]).encode())
        kinds = [_kind(cell, kind) for cell, kind in zip(row.kept, kinds, strict=True)]
        number += 1
    return number, found.hexdigest()[:16], kinds


def _kind(cell: str, known: str) -> str:
    """Return what a column holds, after one more of its cells: a kind of `KINDS` or a later one."""
    if not cell or known == "text":
        return known
    if WHOLE.fullmatch(cell):
        exact = 2**63 if known == "integer" else 2**53
        return known if abs(int(cell)) < exact else "text"
    return "number" if NUMBER.fullmatch(cell) else "text"


# A name with zeros before it is no number.
WHOLE = re.compile(r"-?(0|[1-9]\d*)")
NUMBER = re.compile(
    r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE
)
# From a column's cells, empty where there is none, to what is written, by what it holds.
KINDS: dict[str, Callable[[Sequence[str]], pd.Series]] = {
    "integer": lambda cells: pd.Series(
        [int(cell) if cell else None for cell in cells], dtype="Int64"
    ),
    "number": lambda cells: pd.Series([float(cell) if cell else np.nan for cell in cells]),
    "text": lambda cells: pd.Series([cell or None for cell in cells], dtype="string"),
}


def _claim(out: Path, about: dict[str, object]) -> None:
    """Write `_catalogue.json` into the folder, unless it is there and says the same.

    Raises:
        BadInput: the folder can't be made, or holds something else.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BadInput(f"-o {out}: can't be made ({error.strerror})", "choose another") from None
    path = out / ABOUT
    if not path.exists():
        strays = [item.name for item in out.iterdir() if not item.name.startswith(".")]
        if strays:
            raise BadInput(
                f"-o {out}: not empty ({strays[0]}), and no {ABOUT} in it",
                "give a new or an empty folder",
            )
        write_json(path, about)
        return
    before = read_json(path, "give a new folder")
    for name, words in FIXED.items():
        if before.get(name) != about[name]:
            raise BadInput(
                f"-o {out}: holds predictions of another {words} ({before.get(name)}, now "
                f"{about[name]})",
                "give a new folder",
            )


def _as_parquet(table: pd.DataFrame) -> bytes:
    import pyarrow as pa
    from pyarrow import parquet

    # By name, so that a partition without a fault, or of nothing but faults, has the same types.
    texts: Sequence[str] = (
        "galaxy", "image", COLUMN, "predicted", "set", "model_id", "status", "error",
    )  # fmt: skip
    types = {"Int64": pa.int64(), "float64": pa.float64(), "string": pa.string()}
    schema = pa.schema(
        [
            (name, pa.string() if name in texts else types.get(str(kind), pa.float32()))
            for name, kind in table.dtypes.items()
        ]
    )
    content = io.BytesIO()
    whole = pa.Table.from_pandas(table, schema, preserve_index=False).replace_schema_metadata(None)
    parquet.write_table(whole, content, compression="zstd")
    return content.getvalue()
