"""Tables of galaxies in any format, recognised by content."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, did_you_mean, setting, sniff
from galaxymorph.zoo.column_meta import ColumnMeta
from galaxymorph.zoo.coordinates import find_coordinates
from galaxymorph.zoo.delimited import open_delimited
from galaxymorph.zoo.table_files import (
    TABLE_ENDINGS,
    TableFile,
    find_file,
    foreign_kind,
    format_of,
    reading_table,
)
from galaxymorph.zoo.table_formats import OPENERS, Opened, Piece, fits_has_table

# Such names promise no text, so a text there is a damaged download and not a table.
_BINARY_ENDINGS = {
    ".parquet": "Parquet",
    ".feather": "Feather",
    ".arrow": "Arrow",
    ".fits": "FITS",
    ".fit": "FITS",
    ".gz": "Not a gzipped file",
    ".bz2": "bzip2",
    ".xz": "xz",
}


@dataclass(frozen=True)
class Table:
    """A table whose columns are known.

    `decimal` is the character before decimals, besides the point.
    """

    reference: str
    kind: str
    columns: list[str]
    decimal: str
    _pieces: Callable[[list[int]], Iterator[Piece]]
    meta: Mapping[str, ColumnMeta] = field(default_factory=dict)

    @property
    def coordinates(self) -> tuple[str, str] | None:
        """The columns of right ascension and declination by UCD or name, None without."""
        return find_coordinates(self.columns, {name: each.ucd for name, each in self.meta.items()})

    def own_name(self, name: str) -> str:
        """Return a column's name with the capitals that the table has."""
        return self.columns[self._required_position(name)]

    def meta_of(self, name: str) -> ColumnMeta:
        """Return what the format says of a column."""
        return self.meta.get(self.own_name(name), ColumnMeta())

    def __contains__(self, name: str) -> bool:
        return self._position(name) is not None

    def require(self, **chosen: str | None) -> None:
        """Raise BadInput if it lacks a column that a setting of this name chooses."""
        for name, column in chosen.items():
            if column is not None and column not in self:
                raise BadInput(
                    f"{self.reference}: {setting(name, column)}: the table has no such column",
                    did_you_mean(column, self.columns),
                )

    def _position(self, name: str) -> int | None:
        if name in self.columns:
            return self.columns.index(name)
        # By the FITS standard case makes no difference between the names of columns.
        same = [at for at, other in enumerate(self.columns) if other.lower() == name.lower()]
        return same[0] if same and self.kind in ("FITS", "VOTable") else None

    def _required_position(self, name: str) -> int:
        position = self._position(name)
        if position is None:
            raise KeyError(name)
        return position

    def pieces(self, columns: Sequence[str]) -> Iterator[Piece]:
        """Yield some columns in pieces: text, or numbers where the format has such.

        Raises:
            BadInput: the table can't be read, or a column holds pictures.
        """
        positions = [self._required_position(name) for name in columns]
        with reading_table(self.reference):
            for piece in self._pieces(positions):
                piece.frame.columns = list(columns)
                yield piece


def open_table(reference: str | Path) -> Table:
    """Open a table: delimited text, Parquet, Arrow, Feather, FITS, VOTable, ECSV or HDF5.

    It may be compressed by gzip, bzip2 or xz, or the first table of a zip.

    Args:
        reference: of the file, see `base.archives`.

    Raises:
        BadInput: there is none, it is no table, or two of its columns have one name.
    """
    reference = str(reference)
    file = find_file(reference)
    kind = format_of(file.head)
    if kind is None:
        raise BadInput(
            f"{reference}: not a readable table ({foreign_kind(file.head)})",
            "give CSV, Parquet, FITS, VOTable, ECSV or HDF5",
        )
    if kind == "text":
        _refuse_text(reference, file)
    with reading_table(reference):
        opened = (_open_text if kind == "text" else OPENERS[kind])(file)
    _refuse_doubled(reference, opened.columns)
    return Table(reference, kind, opened.columns, opened.decimal, opened.pieces, opened.meta)


def frame_table(frame: pd.DataFrame, name: str) -> Table:
    """Return a table in memory; an index that isn't counted is its first column.

    Args:
        frame: the table.
        name: for messages.

    Raises:
        BadInput: two of its columns have one name.
    """
    if not isinstance(frame.index, pd.RangeIndex):
        frame = frame.reset_index(names=frame.index.name or "")
    columns = [str(column) for column in frame.columns]
    _refuse_doubled(name, columns)

    def pieces(positions: list[int]) -> Iterator[Piece]:
        yield Piece(frame.iloc[:, positions].set_axis(range(2, len(frame) + 2)), {}, [])

    return Table(name, "pandas", columns, ".", pieces)


def with_row_numbers(table: Table, column: str) -> Table:
    """Return a table with a further column of its rows' numbers in the file, as text."""

    def pieces(positions: list[int]) -> Iterator[Piece]:
        # A table can't be read without a column.
        own = [at for at in positions if at < len(table.columns)] or [0]
        for piece in table._pieces(own):
            numbers = piece.frame.index.astype(str)
            cells = dict(zip(own, (piece.frame.iloc[:, at] for at in range(len(own))), strict=True))
            frame = pd.DataFrame(
                {at: cells.get(at, numbers) for at in positions}, index=piece.frame.index
            )
            yield Piece(frame, piece.faults, piece.blank)

    return replace(table, columns=[*table.columns, column], _pieces=pieces)


def file_kind(path: str | Path) -> str | None:
    """Return the kind of a file that isn't an image, in words: "a table", or another."""
    try:
        file = find_file(str(path))
    except BadInput:
        return None
    if sniff(file.head) not in (None, "FITS"):
        return None
    kind = format_of(file.head)
    if kind == "FITS":
        return "a table" if fits_has_table(file) else None
    if kind == "text":
        name = str(path).lower()
        return "a table" if name.endswith((*TABLE_ENDINGS, ".txt", ".dat")) else None
    return "a table" if kind else foreign_kind(file.head)


def _refuse_text(reference: str, file: TableFile) -> None:
    name = PurePosixPath(reference.lower())
    ending = PurePosixPath(name.stem).suffix if file.unpack else name.suffix
    if kind := _BINARY_ENDINGS.get(ending):
        words = kind if kind.startswith("Not") else f"not {kind}"
        raise BadInput(
            f"{reference}: not a readable table ({words}, but text)",
            f"download it again, or rename it if it is CSV, which doesn't end in {ending}",
        )


def _refuse_doubled(reference: str, columns: Sequence[str]) -> None:
    for at, name in enumerate(columns):
        if name and (first := columns.index(name)) < at:
            raise BadInput(
                f"{reference}: two columns are called {name!r}, numbers {first + 1} and {at + 1}",
                "rename one of them",
            )


def _open_text(file: TableFile) -> Opened:
    text = open_delimited(file.open)

    def pieces(positions: list[int]) -> Iterator[Piece]:
        for rows in text.rows(positions):
            columns = zip(*rows.cells, strict=True) if rows.cells else [()] * len(positions)
            cells = {at: np.array(column, object) for at, column in enumerate(columns)}
            yield Piece(pd.DataFrame(cells, index=rows.numbers), rows.faults, rows.blank)

    return Opened(text.columns, text.decimal, pieces)
