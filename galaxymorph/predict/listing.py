"""The images of a large catalogue, listed without loading all of them into memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, did_you_mean, listed, setting
from galaxymorph.base.archives import WINDOWS
from galaxymorph.predict.column_kinds import stored_kind
from galaxymorph.predict.options import TableColumns
from galaxymorph.zoo import (
    ID_COLUMNS,
    ImageFiles,
    Piece,
    Table,
    as_ids,
    as_text,
    image_name,
    is_zip,
    list_image_files,
    open_table,
    require_images,
)
from galaxymorph.zoo.band_files import one_file_a_galaxy, without_band
from galaxymorph.zoo.image_columns import image_columns, join_path, likely_image_column
from galaxymorph.zoo.image_files import galaxy_name

NO_COLUMNS = TableColumns()


class ListedImage(NamedTuple):
    """A row of a catalogue: its id, its image, and the fault if the row can't be read.

    `kept` has the texts of other columns, see `list_images`.
    """

    id: str
    image: str
    fault: str = ""
    kept: tuple[str, ...] = ()


def list_images(
    catalogue: str | Path,
    on_note: Callable[[str], object] | None = None,
    keep: Sequence[str] = (),
    bands: Sequence[str] = (),
    columns: TableColumns = NO_COLUMNS,
) -> Iterator[ListedImage]:
    """Yield the id and the image of every row, in order.

    Args:
        catalogue: a folder or a zip of images; or a table, see `open_table`, with a column of
            image paths, see `image_columns`, relative to the table or absolute, or members of
            zips (`images.zip::1.jpg`), and perhaps one of ids, see `ID_COLUMNS`; the default id
            is the image's name without its ending. An absolute path whose folder isn't there, as
            of another machine, stands for the image of its name below the table's folder. Any
            other path is yielded unchanged.
        on_note: called with a line on the other files of a folder or a zip, or on the other columns
            of a table.
        keep: further columns of the table that are yielded, see `kept_columns`.
        bands: of flux, that a galaxy of a folder or a zip may have a file each of.
        columns: of a table, that are given by name.

    Raises:
        BadInput: the catalogue is missing or unreadable, or has no image or no such column; or
            digits of an id are lost; or columns are given of what is no table.
    """
    path = Path(catalogue)
    _require_there(path)
    if not path.is_dir() and not is_zip(path.name):
        return _rows(open_table(path), keep, on_note, columns)
    files = list_image_files(path)
    if is_zip(path.name) and not files.images and (table := _zipped_table(path)):
        return _rows(table, keep, on_note, columns)
    refuse_columns(columns, f"{path} is not a table")
    return _files(path, files, on_note, bands)


def _require_there(path: Path) -> None:
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder", "check the path")


def refuse_columns(columns: TableColumns, why: str) -> None:
    """Raise BadInput if columns are given where no table is."""
    for name, column in columns.given.items():
        raise BadInput(f"{setting(name, column)}: {why}", "leave it out")


def kept_columns(
    catalogue: str | Path, names: Sequence[str], columns: TableColumns = NO_COLUMNS
) -> list[str]:
    """Return the columns of a catalogue's table that predictions keep; of `all` every other one.

    Raises:
        BadInput: the catalogue is no table, or lacks a column.
    """
    if not names:
        return []
    path = Path(catalogue)
    _require_there(path)
    if not path.is_file() or (is_zip(path.name) and not _zipped_table(path)):
        raise BadInput(
            f"{setting('keep')} {','.join(names)}: {path} is not a table", "leave it out"
        )
    table = open_table(path)
    identity, image = _chosen(table, columns)
    chosen = {identity, *image}
    others = [name for name in table.columns if name and name not in chosen]
    if list(names) == ["all"] and "all" not in table:
        return others
    for name in names:
        if name not in table:
            raise BadInput(
                f"{setting('keep', name)}: {path} has no such column", did_you_mean(name, others)
            )
    return list(names)


def stored_kinds(catalogue: str | Path, names: Sequence[str]) -> list[str | None]:
    """Return the kinds of columns in a format with types, see `stored_kind`; None in text."""
    table = open_table(catalogue) if names else None
    piece = next(table.pieces(names), None) if table and table.kind != "text" else None
    return [stored_kind(piece.frame[name]) if piece else None for name in names]


def _zipped_table(path: Path) -> Table | None:
    try:
        return open_table(path)
    except BadInput:
        return None


def image_folder(catalogue: str | Path) -> str:
    """Return the folder that a catalogue's image paths are relative to, as an absolute path."""
    path = Path(catalogue).absolute()
    return str(path.parent) if is_table(path) else str(Path.cwd())


def is_table(catalogue: Path) -> bool:
    """Tell whether a catalogue is a table of images, rather than a folder or a zip of them."""
    return catalogue.is_file() and (
        not is_zip(catalogue.name) or not list_image_files(catalogue).images
    )


def _files(
    path: Path, files: ImageFiles, on_note: Callable[[str], object] | None, bands: Sequence[str]
) -> Iterator[ListedImage]:
    require_images(path, files)
    if on_note:
        for note in files.notes():
            on_note(f"{path}: {note}")
    if bands:
        names = {file.reference: image_name(file.name) for file in files.images}
        references = one_file_a_galaxy([file.reference for file in files.images], bands)
        return (ListedImage(without_band(names[each], bands), each) for each in references)
    return (ListedImage(image_name(file.name), file.reference) for file in files.images)


def _rows(
    table: Table,
    keep: Sequence[str],
    on_note: Callable[[str], object] | None,
    columns: TableColumns,
) -> Iterator[ListedImage]:
    """Yield the rows of a table; one that can't be read is named by its number."""
    identity, image = _chosen(table, columns)
    others = [name for name in table.columns if name and name not in (identity, *image)]
    if on_note and others and not keep:
        on_note(
            f"{table.reference}: {listed(others, 3)} aren't copied to the predictions; "
            f"{setting('keep')} {others[0]} keeps a column, {setting('keep', 'all')} every one"
        )
    is_empty = True
    below = _ImagesBelow(Path(image_folder(table.reference)))
    for piece in table.pieces(list(dict.fromkeys(filter(None, (*image, identity, *keep))))):
        images = _paths(piece, image).map(below.locate)
        ids = images.where(images == "", "") if identity is None else _ids(table, piece, identity)
        cells = [as_text(piece.frame[name]).fillna("").to_numpy(object) for name in keep]
        kept = list(zip(*cells, strict=True)) if cells else [()] * len(images)
        values = zip(ids.to_numpy(object), images.to_numpy(object), kept, strict=True)
        rows = [
            ListedImage(name or galaxy_name(path), path, "", texts) for name, path, texts in values
        ]
        if piece.faults:
            numbered = dict(zip(piece.frame.index, rows, strict=True))
            for row, words in piece.faults.items():
                fault = f"row {row}: {words}"
                numbered[row] = ListedImage(f"row {row}", "", fault, ("",) * len(keep))
            rows = [numbered[row] for row in sorted(numbered)]
        is_empty = is_empty and not rows
        yield from rows
    if is_empty:
        raise BadInput(f"{table.reference}: no row", "give a table with one row per image")


class _ImagesBelow:
    """The images below a table's folder, which is listed at the first path of another machine."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_here: dict[str, bool] = {}

    def locate(self, path: str) -> str:
        """Return a path of the table, or that of the image below the folder that it stands for."""
        folder, _, name = path.replace("\\", "/").rpartition("/")
        if REFERENCE_SEPARATOR in path or not (path.startswith("/") or WINDOWS.match(path)):
            return path
        # One stat a folder: each costs a round trip to a disk.
        if folder not in self._is_here:
            self._is_here[folder] = Path(folder or "/").is_dir()
        return path if self._is_here[folder] else self._references.get(image_name(name), path)

    @cached_property
    def _references(self) -> dict[str, str]:
        try:
            files = list_image_files(self._folder)
        except BadInput:
            # The images that the table does name are predicted without the others.
            return {}
        return {image_name(file.name): file.reference for file in files.images}


def _paths(piece: Piece, columns: Sequence[str]) -> pd.Series:
    """Return the paths of images, "" where there is none."""
    texts = [as_text(piece.frame[name]).fillna("") for name in columns]
    joined = map(join_path, zip(*texts, strict=True))
    return texts[0] if len(texts) == 1 else pd.Series(list(joined), piece.frame.index, "string")


def _ids(table: Table, piece: Piece, column: str) -> pd.Series:
    ids, lossy = as_ids(piece.frame[column])
    for row, words in lossy.items():
        raise BadInput(
            f"{table.reference} row {row}: {column} {words}", "write ids as text or whole numbers"
        )
    return ids.fillna("")


def _chosen(table: Table, given: TableColumns) -> tuple[str | None, list[str]]:
    """Return the column of ids, if there is one, and those of an image's path."""
    table.require(**given.given)
    own = {name: table.own_name(column) for name, column in given.given.items()}
    columns = [name for name in table.columns if name]
    known = {column.lower(): column for column in reversed(columns)}
    image = image_columns(columns, own.get("image_column"))
    if not image:
        likely = likely_image_column(table)
        raise BadInput(
            f"{table.reference}: no column of image paths; the columns are "
            f"{', '.join(columns[:8])}",
            f"name it with {setting('image_column', likely)}",
        )
    default = next((known[name] for name in ID_COLUMNS if name in known), None)
    return own.get("id_column", default), image
