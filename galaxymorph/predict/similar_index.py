"""The index of a catalogue's embeddings, in which faiss searches for the nearest.

It is a folder, `_similar`, beside the predictions: the index, the galaxies' other columns, and a
record of what they were made of. The folder is written as a whole, and made again if the
predictions have changed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from galaxymorph.base import (
    BadInput,
    Damaged,
    Progress,
    file_lock,
    import_extra,
    library_errors,
    read_json,
    reading,
    replace_folder,
    require_key,
    require_numbers,
    say,
    write_json,
)
from galaxymorph.judge import unit_vectors
from galaxymorph.judge.robustness.drift import NEIGHBOURS
from galaxymorph.predict.embedded_catalogue import EmbeddedCatalogue

FOLDER, INDEX, GALAXIES, RECORD = "_similar", "index.faiss", "galaxies.arrow", "record.json"
FORMAT = 2
# Up to so many galaxies the search is exact. Of more, so many of sqrt(n) clusters are searched, and
# a feature has 8 bits. Measured by benchmarks/similar.py.
EXACT, PROBED = 20_000, 32
# Training vectors of a cluster: faiss takes 39 at least, and draws 256 of more.
A_CLUSTER = 50
# Galaxies whose distances from their neighbours tell which are usual.
SAMPLED = 1000
SEED = 0


@dataclass(frozen=True)
class SimilarIndex:
    """The embeddings of a catalogue, each of length 1, and the galaxies' other columns.

    Args:
        search: faiss's index, whose squared distances are Euclidean.
        galaxies: `row` in the catalogue, and the columns of the predictions, in the index's order.
        usual: distances of galaxies from their tenth-nearest, ascending.
    """

    search: Any
    galaxies: pa.Table
    usual: np.ndarray

    def nearest(self, vector: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the places of the nearest galaxies and their distances, 0 to 2, ascending.

        Args:
            vector: an embedding, shape (features,).
            number: of galaxies, of which there may be fewer.
        """
        number = min(number, self.search.ntotal)
        squares, places = self.search.search(unit_vectors(vector[None]), number)
        is_known = places[0] >= 0
        return places[0][is_known], np.sqrt(np.maximum(squares[0][is_known], 0))


def open_index(catalogue: EmbeddedCatalogue) -> SimilarIndex:
    """Return the index of a catalogue, which is made if there is none or the predictions changed.

    Raises:
        BadInput: the extra isn't installed, a file is damaged, or no image has an embedding.
    """
    import_extra("faiss", "similar", "an index of embeddings")
    folder = catalogue.folder / FOLDER
    if not _is_current(catalogue, folder):
        with file_lock(catalogue.folder / ".lock"):
            # Another process may have made it meanwhile.
            if not _is_current(catalogue, folder):
                shutil.rmtree(folder, ignore_errors=True)
                with replace_folder(folder) as temporary:
                    _write(catalogue, temporary)
    return _load(folder, (folder / RECORD).stat().st_mtime_ns)


def _is_current(catalogue: EmbeddedCatalogue, folder: Path) -> bool:
    """Tell whether there is an index, of this format and of these predictions.

    Raises:
        BadInput: a file of it is missing or was changed.
    """
    if not folder.exists():
        return False
    remedy = f"delete {folder}, and it is made again"
    record = read_json(folder / RECORD, remedy)
    with reading(folder / RECORD, remedy):
        if require_key(record, "format", int) != FORMAT:
            return False
        files, partitions = (require_key(record, key, dict) for key in ("files", "partitions"))
        is_same = partitions.keys() == {path.name for path in catalogue.files} and all(
            _is_unchanged(path, partitions[path.name]) for path in catalogue.files
        )
    if not is_same:
        say(f"{catalogue.folder}: the predictions have changed, and their index is made again")
        return False
    for name, known in files.items():
        with reading(folder / name, remedy):
            if not _is_unchanged(folder / name, known):
                raise Damaged("its content has changed")
    return True


def _state(path: Path) -> dict[str, Any]:
    status, digest = path.stat(), hashlib.sha256()
    with path.open("rb") as file:
        while part := file.read(1 << 24):
            digest.update(part)
    return {"size": status.st_size, "modified": status.st_mtime_ns, "sha256": digest.hexdigest()}


def _is_unchanged(path: Path, known: Mapping[str, Any]) -> bool:
    """Tell whether a file has its known content; it is read only if its time differs."""
    status = path.stat()
    size, modified = (require_key(known, key, int) for key in ("size", "modified"))
    digest = require_key(known, "sha256", str)
    if status.st_size != size:
        return False
    return status.st_mtime_ns == modified or _state(path)["sha256"] == digest


def _write(catalogue: EmbeddedCatalogue, folder: Path) -> None:
    import faiss

    has_vector = np.concatenate([np.isfinite(part).all(axis=1) for part in catalogue.vectors()])
    rows = np.flatnonzero(has_vector)
    if not len(rows):
        raise BadInput(f"{catalogue.folder}: no image has an embedding", "predict usable images")
    search, sample = _built(catalogue, rows)
    faiss.write_index(search, str(folder / INDEX))
    galaxies = catalogue.predictions().take(pa.array(rows))
    galaxies = galaxies.add_column(0, "row", pa.array(rows)).combine_chunks()
    with (
        pa.OSFile(str(folder / GALAXIES), "wb") as sink,
        pa.ipc.new_file(sink, galaxies.schema) as writer,
    ):
        writer.write_table(galaxies)
    # The nearest of a galaxy is itself.
    squares, _ = search.search(sample, min(NEIGHBOURS + 1, len(rows)))
    usual = np.sort(np.sqrt(np.maximum(squares[:, -1], 0)))
    record = {
        "format": FORMAT,
        "galaxies": len(rows),
        "usual": [round(float(distance), 6) for distance in usual],
        "files": {name: _state(folder / name) for name in (INDEX, GALAXIES)},
        "partitions": {path.name: _state(path) for path in catalogue.files},
    }
    write_json(folder / RECORD, record)


def _built(catalogue: EmbeddedCatalogue, rows: np.ndarray) -> tuple[Any, np.ndarray]:
    """Return faiss's index of some rows, and the vectors of some of them."""
    clusters = int(len(rows) ** 0.5)
    rng = np.random.default_rng(SEED)
    number = len(rows) if len(rows) <= EXACT else min(len(rows), A_CLUSTER * clusters)
    chosen = np.zeros(catalogue.rows, bool)
    chosen[rng.choice(rows, number, replace=False)] = True
    start, sampled = 0, []
    for part in catalogue.vectors():
        sampled.append(unit_vectors(part[chosen[start : start + len(part)]]))
        start += len(part)
    training = np.concatenate(sampled)
    search = empty_index(len(rows), training.shape[1])
    search.train(training)
    with Progress("indexing", len(rows), "galaxies") as progress:
        for part in catalogue.vectors():
            known = unit_vectors(part[np.isfinite(part).all(axis=1)])
            search.add(known)
            progress.advance(len(known))
    some = rng.choice(len(training), min(SAMPLED, len(training)), replace=False)
    return search, training[some]


def empty_index(number: int, features: int) -> Any:
    """Return faiss's index for a number of vectors, to be trained and filled."""
    import faiss

    if number <= EXACT:
        return faiss.IndexFlatL2(features)
    search = faiss.index_factory(features, f"IVF{int(number**0.5)},SQ8")
    faiss.extract_index_ivf(search).nprobe = PROBED
    return search


@lru_cache(maxsize=2)
def _load(folder: Path, modified: int) -> SimilarIndex:
    """Return the index of a folder; it is loaded once a process, until it is made again."""
    import faiss

    remedy = f"delete {folder}, and it is made again"
    with reading(folder / INDEX, remedy), library_errors(RuntimeError):
        search = faiss.read_index(str(folder / INDEX))
    with reading(folder / GALAXIES, remedy), library_errors(pa.ArrowException):
        galaxies = pa.ipc.open_file(pa.memory_map(str(folder / GALAXIES))).read_all()
    with reading(folder / RECORD, remedy):
        usual = require_numbers(read_json(folder / RECORD, remedy).get("usual"), "usual")
    return SimilarIndex(search, galaxies, np.array(usual))
