"""A folder of predictions with embeddings, read one partition at a time."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from galaxymorph.base import (
    REFERENCE_SEPARATOR,
    BadInput,
    counted,
    library_errors,
    read_json,
    reading,
    setting,
    warn,
)
from galaxymorph.images import Rendering
from galaxymorph.judge.robustness.drift import NEIGHBOURS
from galaxymorph.learn import PACKAGE_MODEL, Recipe, target_of
from galaxymorph.predict.catalogue import CATALOGUE, PARTITIONS
from galaxymorph.predict.listing import image_folder
from galaxymorph.predict.options import PredictionOptions
from galaxymorph.predict.partitions import CatalogueModel
from galaxymorph.predict.predictors.base import Predictor
from galaxymorph.predict.predictors.loading import model_id, read_recipe
from galaxymorph.predict.vectors import EMBEDDING

# Usable galaxies below which lists are warned of: the tenth-nearest of a hundred is among the
# nearest tenth of them, and of fewer it isn't near.
FEW = 10 * NEIGHBOURS
AGAIN = "delete it and repeat the command that filled the folder"


def warn_of_few(folder: Path, usable: int, what: str, remedy: str) -> None:
    """Warn of a list from a catalogue of few galaxies.

    Args:
        folder: of the predictions.
        usable: galaxies with an embedding.
        what: that more galaxies allow, in words.
        remedy: for the reader of the list.
    """
    if usable < FEW:
        number = counted(usable, "galaxy")
        warn(f"{folder}: {number}, fewer than the {FEW} with which {what}; {remedy}")


@dataclass(frozen=True)
class EmbeddedCatalogue:
    """The predictions of a catalogue with their embeddings.

    Args:
        folder: that `predict_catalogue` filled.
        record: of their origin, see `catalogue.CATALOGUE`.
        files: the partitions in order.
    """

    folder: Path
    record: Mapping[str, Any]
    files: Sequence[Path]

    @property
    def rows(self) -> int:
        """The number of images, usable or not."""
        return int(self.record["images"])

    def vectors(self) -> Iterator[np.ndarray]:
        """Yield each partition's embeddings, float32 of shape (rows, features), NaN without image.

        Raises:
            BadInput: a file is damaged.
        """
        for path in self.files:
            yield _as_array(_read(path, [EMBEDDING])[EMBEDDING])

    def vector(self, row: int) -> np.ndarray:
        """Return the embedding of a row, shape (features,).

        Raises:
            BadInput: the file is damaged.
        """
        number, at = divmod(row, int(self.record["partition"]))
        column = _read(self.files[number], [EMBEDDING])[EMBEDDING]
        return _as_array(column.slice(at, 1))[0]

    def predictions(self) -> pa.Table:
        """Return all columns but the embeddings, a row an image.

        Raises:
            BadInput: a file is damaged.
        """
        names = [name for name in parquet.read_schema(self.files[0]).names if name != EMBEDDING]
        return pa.concat_tables(_read(path, names) for path in self.files)

    def reference(self, image: str, data: Path | None = None) -> str:
        """Return the reference of an image.

        Args:
            image: as the column `image` has it.
            data: where the catalogue is now, if it has moved.
        """
        # `Path` would remove the :: of a member of a zip.
        former = os.path.join(image_folder(self.record["catalogue"]), image)  # noqa: PTH118
        if data is None:
            return former
        # An image inside the catalogue, a folder or a zip, has moved with it.
        inside = former.removeprefix(str(Path(self.record["catalogue"]).absolute()))
        if inside != former and inside.startswith((os.sep, REFERENCE_SEPARATOR)):
            return f"{data}{inside}"
        return os.path.join(image_folder(data), image)  # noqa: PTH118

    @cached_property
    def recipe(self) -> Recipe | None:
        """The recipe of the model that made the embeddings, None if the model has moved."""
        path = Path(self.record["model"])
        return read_recipe(path) if path.exists() else None

    @property
    def rendering(self) -> Rendering:
        """How the catalogue's FITS images were rendered, with default settings if unknown."""
        recipe = self.recipe
        rendering = Rendering() if recipe is None else recipe.rendering
        return rendering.changed(self.record["stretch"], self.record["bands"])

    @property
    def schema(self) -> str | None:
        """The schema of the vote fractions that are predicted, None of classes or if unknown."""
        recipe = self.recipe
        return recipe.schema if recipe is not None and target_of(recipe).tree else None

    def load_predictor(
        self, model: Path | None = None, stretch: str | None = None, bands: str | None = None
    ) -> Predictor:
        """Return the predictor that made the embeddings, loaded once a process.

        Args:
            model: where the model is now, if it has moved.
            stretch: of FITS images, in place of that of the catalogue's.
            bands: of FITS images, likewise.

        Raises:
            BadInput: it isn't there, or it is another model.
        """
        path, known = model or Path(self.record["model"]), self.record["model_id"]
        if not path.exists():
            if model is not None or model_id(PACKAGE_MODEL) != known:
                raise BadInput(
                    f"{path}: no such model, with which {self.folder} was predicted",
                    f"name its present place with {setting('model')}",
                )
            path = PACKAGE_MODEL
        if model_id(path) != known:
            raise BadInput(
                f"{path}: not the model with which {self.folder} was predicted",
                f"give that one, {self.record['model']}",
            )
        names = ("precision", "views", "raw", "stretch", "bands")
        options = PredictionOptions(**{name: self.record[name] for name in names})
        if stretch or bands:
            options = replace(
                options, stretch=stretch or options.stretch, bands=bands or options.bands
            )
        return CatalogueModel(str(path.absolute()), known, options).load()


def open_embedded(folder: str | Path) -> EmbeddedCatalogue:
    """Return the catalogue whose embeddings a folder holds.

    Raises:
        BadInput: it holds no predictions, none with embeddings, or not all of them.
    """
    folder = Path(folder)
    path = folder / CATALOGUE
    if not path.exists():
        raise BadInput(
            f"{folder}: {f'no {CATALOGUE} in it' if folder.exists() else 'no such folder'}",
            "give a folder that `predict CATALOGUE -o FOLDER/ --embeddings` filled",
        )
    record = read_json(path, "predict into a new folder")
    if not record.get("embeddings"):
        raise BadInput(
            f"{folder}: its predictions have no embeddings",
            f"predict into a new folder with {setting('embeddings')}",
        )
    files, number = sorted(folder.glob(PARTITIONS)), record["partitions"]
    if len(files) < number:
        raise BadInput(
            f"{folder}: {len(files):,} of {number:,} partitions exist",
            "repeat the command that fills it",
        )
    return EmbeddedCatalogue(folder, record, files)


def _as_array(column: pa.ChunkedArray) -> np.ndarray:
    lists = column.combine_chunks()
    # Of a column with one chunk, older versions return a chunked array again.
    lists = lists.chunk(0) if isinstance(lists, pa.ChunkedArray) else lists
    return np.asarray(lists.flatten()).reshape(len(lists), -1).astype(np.float32)


def _read(path: Path, columns: Sequence[str]) -> pa.Table:
    with reading(path, AGAIN), library_errors(ValueError, KeyError, pa.ArrowException):
        return parquet.read_table(path, columns=list(columns))
