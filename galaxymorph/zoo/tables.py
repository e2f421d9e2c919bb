"""Tables of galaxies in any format, by their content: columns by name, rows in pieces.

To add a format, add an entry to `_OPENERS` and what its first bytes are to `_SIGNATURES`.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import pandas as pd

from galaxymorph.base import (
    REFERENCE_SEPARATOR,
    BadInput,
    Damaged,
    is_unsafe,
    library_errors,
    list_members,
    read_bytes,
    reading,
    sniff,
)
from galaxymorph.zoo.delimited import PIECE, open_delimited

if TYPE_CHECKING:
    import pyarrow as pa

# What tables are called; the content decides how one is read.
TABLE_ENDINGS = (
    *(".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".parquet"),
    *(".feather", ".arrow", ".ecsv", ".vot", ".votable", ".fits", ".fit", ".fits.gz"),
)
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
_SIGNATURES = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"\xff\xff\xff\xff", "Arrow"),
    (b"SIMPLE  =", "FITS"),
    (b"# %ECSV", "ECSV"),
)
# Each opens a path or a stream; their modules' types know no binary mode alone.
_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# Files that are no tables, and what they are.
_FOREIGN = (
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"%PDF", "a PDF"),
    (b"ORC", "an ORC file"),
    (b"FEA1", "a Feather file of version 1"),
    (b"\x28\xb5\x2f\xfd", "a zstd archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x80\x04", "a Python pickle"),
    (b"\x80\x05", "a Python pickle"),
    (b"version https://git-lfs", "a Git LFS pointer, in place of the file"),
    (b"<!doctype html", "a web page"),
    (b"<html", "a web page"),
    (b"{", "JSON"),
    (b"[", "JSON"),
)
_HEAD = 4096
# In a column of numbers these say that there is none.
_NO_NUMBER = frozenset(
    ["", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "--", "\\n", "masked"]
)
# 5.87732E+17; not 2E3140, which is a galaxy's name.
_SPREADSHEET = r"\d[.,]\d+[eE]\+?\d+|\d[eE]\+\d+"


@dataclass(frozen=True)
class Piece:
    """Some rows of a table.

    `frame` has the columns read, by row number in the file (the header's is
    that of a spreadsheet, and 1 where there is no such line); `faults` what is wrong with rows
    that can't be read, and `blank` the numbers of empty lines.
    """

    frame: pd.DataFrame
    faults: dict[int, str]
    blank: list[int]


@dataclass(frozen=True)
class Table:
    """A table whose columns are known.

    `decimal` is what may stand before decimals, besides the point.
    """

    reference: str
    kind: str
    columns: list[str]
    decimal: str
    _pieces: Callable[[list[int]], Iterator[Piece]]

    def __contains__(self, name: str) -> bool:
        return self._position(name) is not None

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
        with _reading(self.reference):
            for piece in self._pieces(positions):
                piece.frame.columns = list(columns)
                yield piece


def open_table(reference: str | Path) -> Table:
    """Open a table: delimited text, Parquet, Arrow, Feather, FITS, VOTable or ECSV.

    It may be compressed by gzip, bzip2 or xz, or the first table of a zip.

    Args:
        reference: of the file, see `base.archives`.

    Raises:
        BadInput: there is none, it is no table, or two of its columns have one name.
    """
    reference = str(reference)
    file = _find(reference)
    kind = _kind(file.head)
    if kind is None:
        raise BadInput(
            f"{reference}: not a readable table ({_foreign(file.head)})",
            "give CSV, Parquet, FITS, VOTable or ECSV",
        )
    if kind == "text":
        _refuse_text(reference, file)
    with _reading(reference):
        columns, decimal, pieces = _OPENERS[kind](file)
    _refuse_doubled(reference, columns)
    return Table(reference, kind, columns, decimal, pieces)


def file_kind(path: str | Path) -> str | None:
    """Return what a file is, if it isn't an image: "a table", or another kind, in words."""
    try:
        file = _find(str(path))
    except BadInput:
        return None
    if sniff(file.head) not in (None, "FITS"):
        return None
    kind = _kind(file.head)
    if kind == "FITS":
        return "a table" if _fits_has_table(file) else None
    if kind == "text":
        name = str(path).lower()
        return "a table" if name.endswith((*TABLE_ENDINGS, ".txt", ".dat")) else None
    return "a table" if kind else _foreign(file.head)


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as text without spaces about it, NA where it is empty.

    NA and None in a cell are text too. Whole numbers have no decimals.
    """
    if pd.api.types.is_float_dtype(column.dtype):
        return column.map(_number_text, na_action="ignore").astype("string")
    text = _as_cells(column).astype("string").str.strip(" \t\r\n\f\v\0")
    return text.mask(text == "")


def as_ids(column: pd.Series) -> tuple[pd.Series, dict[int, str]]:
    """Return a column of ids as text, and what is wrong by row where digits are lost."""
    text = as_text(column)
    if pd.api.types.is_float_dtype(column.dtype):
        dtype = np.dtype(column.dtype if isinstance(column.dtype, np.dtype) else float)
        numbers = column.to_numpy(float, na_value=np.nan)
        # From here on not every whole number has a floating-point one of its own.
        exact = 2.0 ** (np.finfo(dtype.char).nmant + 1)
        lossy = (np.abs(numbers) >= exact) | (np.mod(numbers, 1) != 0)
        lossy &= ~np.isnan(numbers)
        words = "is {}, no exact number: the column is of floating-point numbers, its digits lost"
        values = column
    else:
        lossy = text.str.fullmatch(_SPREADSHEET).fillna(False).to_numpy(bool)
        words = "is {}, no exact number: a spreadsheet rounded it, its digits are lost"
        values = text
    return text, {int(row): words.format(value) for row, value in values[lossy].items()}


def as_numbers(column: pd.Series, decimal: str = ".") -> tuple[np.ndarray, np.ndarray]:
    """Return a column as float64, NaN where it is empty, and which cells are no numbers.

    Truth values and dates are no numbers here.
    """
    dtype = column.dtype
    if pd.api.types.is_numeric_dtype(dtype) and not pd.api.types.is_bool_dtype(dtype):
        return column.to_numpy(float, na_value=np.nan), np.zeros(len(column), bool)
    cells = _as_cells(column)
    if decimal != ".":
        cells = cells.map(lambda cell: cell if "." in cell else cell.replace(decimal, "."))
    numbers = pd.to_numeric(cells, errors="coerce").to_numpy(float)
    absent = np.isnan(numbers)
    lost = absent.copy()
    lost[absent] = [cell.strip().lower() not in _NO_NUMBER for cell in cells[absent]]
    return numbers, lost


def _number_text(value: float) -> str:
    return str(int(value)) if float(value).is_integer() else str(value)


def _as_cells(column: pd.Series) -> pd.Series:
    """Return a column as Python's text, "" where it is empty."""
    if pd.api.types.infer_dtype(column, skipna=False) == "string":
        return column.astype(object)
    return column.astype(object).map(_cell_text)


def _cell_text(value: object) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, float | np.floating) and value == value:
        return _number_text(float(value))
    return "" if value is None or value is pd.NA or value != value else str(value)


@dataclass(frozen=True)
class _File:
    """A table's bytes: of a path, or of an archive's member in memory; compressed or not."""

    reference: str
    path: Path | None
    data: bytes
    unpack: Callable[..., Any] | None
    head: bytes

    def open(self) -> BinaryIO:
        """Return a stream of the bytes, uncompressed."""
        if self.unpack:
            return self.unpack(self.path or io.BytesIO(self.data))
        return self.path.open("rb") if self.path else io.BytesIO(self.data)

    def seekable(self) -> BinaryIO:
        """Return a stream of the bytes, uncompressed, that a library can seek in."""
        return io.BytesIO(self.read()) if self.unpack else self.open()

    def read(self) -> bytes:
        """Return the bytes, uncompressed."""
        with self.open() as stream:
            return stream.read()


def _find(reference: str) -> _File:
    """Return the file of a table, or of the first table in a zip."""
    path = None if REFERENCE_SEPARATOR in reference else Path(reference)
    if path and not path.is_file():
        raise BadInput(f"{reference}: no such file", "give the path of a table")
    data = b"" if path else read_bytes(reference)
    with _reading(reference):
        head = _first(path.open("rb")) if path else data[:_HEAD]
        if not head.startswith(b"PK\x03\x04") and not reference.lower().endswith(".zip"):
            unpack = next((by for mark, by in _PACKED.items() if head.startswith(mark)), None)
            file = _File(reference, path, data, unpack, head)
            return replace(file, head=_first(file.open())) if unpack else file
    return _find(f"{reference}{REFERENCE_SEPARATOR}{_table_member(reference)}")


def _first(stream: BinaryIO) -> bytes:
    with stream:
        return stream.read(_HEAD)


def _table_member(reference: str) -> str:
    members = [name for name in list_members(reference) if not is_unsafe(name)]
    for inside, words in (("xl/workbook.xml", "an Excel workbook"), (".npy", "a NumPy archive")):
        if any(name.endswith(inside) for name in members):
            raise BadInput(f"{reference}: not a readable table ({words})", "save it as CSV")
    names = [name for name in members if not PurePosixPath(name).name.startswith("._")]
    for endings in ((".csv",), TABLE_ENDINGS):
        for name in names:
            if name.lower().endswith(endings):
                return name
    raise BadInput(f"{reference}: no CSV table inside", "download it again")


def _kind(head: bytes) -> str | None:
    """Return the format of a table by its first bytes, None if it is none."""
    for mark, kind in _SIGNATURES:
        if head.startswith(mark):
            return kind
    if head.lstrip().startswith((b"<?xml", b"<VOTABLE")):
        return "VOTable" if b"VOTABLE" in head else None
    return None if _foreign(head) else "text"


def _foreign(head: bytes) -> str:
    """Return in words what a file is that is no table, "" where it may be one."""
    if (image := sniff(head)) not in (None, "FITS"):
        return f"a {image} image"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml"):
        return "an XML file that is no VOTable"
    for mark, words in _FOREIGN:
        if head.startswith(mark) or (mark.isascii() and start.startswith(mark.lower())):
            return words
    return ""


def _refuse_text(reference: str, file: _File) -> None:
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


def _reading(reference: str) -> AbstractContextManager[None]:
    """Raise BadInput that names the file for what is wrong with it."""
    return reading(reference, "correct the file", "not a readable table")


_Opened = tuple[list[str], str, Callable[[list[int]], Iterator[Piece]]]


def _open_text(file: _File) -> _Opened:
    text = open_delimited(file.open)

    def pieces(positions: list[int]) -> Iterator[Piece]:
        for rows in text.rows(positions):
            columns = zip(*rows.cells, strict=True) if rows.cells else [()] * len(positions)
            cells = {at: np.array(column, object) for at, column in enumerate(columns)}
            yield Piece(pd.DataFrame(cells, index=rows.numbers), rows.faults, rows.blank)

    return text.columns, text.decimal, pieces


def _open_parquet(file: _File) -> _Opened:
    import pyarrow as pa
    from pyarrow import parquet

    with file.seekable() as source, library_errors(ValueError, pa.ArrowException):
        columns = parquet.read_schema(source).names

    def pieces(positions: list[int]) -> Iterator[Piece]:
        wanted = [columns[at] for at in positions]
        with file.seekable() as source:
            with library_errors(ValueError, pa.ArrowException):
                table = parquet.ParquetFile(source)
            _refuse_pictures(table.schema_arrow, wanted)
            yield from _from_arrow(table.iter_batches(PIECE, columns=wanted), wanted)

    return columns, ".", pieces


def _open_arrow(file: _File) -> _Opened:
    import pyarrow as pa

    def batches() -> Iterator[pa.RecordBatch]:
        # pyarrow closes no file that it is given, least of all one that is damaged.
        with file.seekable() as source, library_errors(ValueError, pa.ArrowException):
            if not file.head.startswith(b"ARROW1"):
                with pa.ipc.open_stream(source) as stream:
                    yield from stream
                return
            with pa.ipc.open_file(source) as reader:
                yield from map(reader.get_batch, range(reader.num_record_batches))

    first = next(batches(), None)
    if first is None:
        raise Damaged("the table has no rows")

    def pieces(positions: list[int]) -> Iterator[Piece]:
        wanted = [first.schema.names[at] for at in positions]
        _refuse_pictures(first.schema, wanted)
        yield from _from_arrow(batches(), wanted)

    return first.schema.names, ".", pieces


def _refuse_pictures(schema: pa.Schema, columns: Sequence[str]) -> None:
    import pyarrow as pa

    for name in columns:
        kind = schema.field(name).type
        pictures = pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0
        if pictures:
            raise Damaged(
                f"the column {name!r} holds pictures, not paths: write each to a file, and its "
                "path into a column"
            )
        if pa.types.is_nested(kind):
            raise Damaged(f"the column {name!r} holds {kind}, no text and no number")


def _from_arrow(batches: Iterator[pa.RecordBatch], columns: Sequence[str]) -> Iterator[Piece]:
    import pyarrow as pa

    number = 2
    while True:
        with library_errors(ValueError, pa.ArrowException):
            batch = next(batches, None)
        if batch is None:
            return
        rows = range(number, number + batch.num_rows)
        number += batch.num_rows
        cells = {name: _arrow_cells(batch.column(name), name) for name in columns}
        yield Piece(pd.DataFrame(cells, index=rows), {}, [])


def _arrow_cells(array: pa.Array, name: str) -> np.ndarray:
    import pyarrow as pa

    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_floating(array.type) and not pa.types.is_float16(array.type):
        return array.to_numpy(zero_copy_only=False)
    if pa.types.is_integer(array.type) and not array.null_count:
        return array.to_numpy(zero_copy_only=False)
    # With a gap NumPy would make floats of whole numbers.
    cells = np.array([None, *array.to_pylist()], object)[1:]
    if any(isinstance(cell, bytes) and sniff(cell[:64]) for cell in cells[:1]):
        raise Damaged(f"the column {name!r} holds pictures, not paths")
    return _decoded(cells)


def _decoded(cells: np.ndarray) -> np.ndarray:
    """Return cells with text in place of bytes."""
    if not any(isinstance(cell, bytes) for cell in cells):
        return cells
    texts = [cell.decode("utf-8") if isinstance(cell, bytes) else cell for cell in cells]
    return np.array([None, *texts], object)[1:]


def _open_fits(file: _File) -> _Opened:
    position, columns = _fits_table(file)

    def pieces(positions: list[int]) -> Iterator[Piece]:
        with _fits_units(file) as units:
            with library_errors():
                unit = units[position]
                data = unit.data
            for start in range(0, len(data), PIECE):
                part = data[start : start + PIECE]
                with library_errors():
                    fields = {at: part.field(at) for at in positions}
                cells = {at: _fits_cells(fields[at], unit.columns[at]) for at in positions}
                rows = range(start + 2, start + 2 + len(part))
                yield Piece(pd.DataFrame(cells, index=rows)[positions], {}, [])

    return columns, ".", pieces


def _fits_units(file: _File) -> Any:
    from astropy.io import fits

    plain = file.path and not file.unpack
    stream = file.path if plain else file.seekable()
    with library_errors():
        return fits.open(stream, memmap=bool(plain))


def _fits_table(file: _File) -> tuple[int, list[str]]:
    """Return the position of a file's first table, and its columns."""
    with _fits_units(file) as units, library_errors():
        from astropy.io import fits

        for position, unit in enumerate(units):
            is_table = isinstance(unit, fits.BinTableHDU | fits.TableHDU)
            if is_table and not isinstance(unit, fits.CompImageHDU):
                return position, list(unit.columns.names)
    raise Damaged("no table in this FITS file, only images")


def _fits_has_table(file: _File) -> bool:
    try:
        with _reading(file.reference):
            return bool(_fits_table(file))
    except BadInput:
        return False


def _fits_cells(cells: np.ndarray, column: Any) -> np.ndarray:
    if cells.ndim > 1 or cells.dtype == object:
        raise Damaged(f"the column {column.name!r} holds arrays, not one value a row")
    if cells.dtype.kind in "SU":
        return _decoded(np.array(cells, object))
    # pandas takes no array of FITS's byte order.
    native = np.asarray(cells).astype(cells.dtype.newbyteorder("="))
    if column.null is not None and native.dtype.kind in "iu":
        values = native.astype(object)
        values[native == column.null] = None
        return values
    return native


def _open_astropy(name: str) -> Callable[[_File], _Opened]:
    def opened(file: _File) -> _Opened:
        from astropy.table import Table as AstropyTable

        content = file.read()
        # Real files break the standards in small ways, of which astropy warns.
        with warnings.catch_warnings(), library_errors():
            warnings.simplefilter("ignore")
            if name == "VOTable":
                table = AstropyTable.read(io.BytesIO(content), format="votable", table_id=0)
            else:
                table = AstropyTable.read(content.decode("utf-8"), format="ascii.ecsv")

        def pieces(positions: list[int]) -> Iterator[Piece]:
            cells = {at: _masked_cells(table.columns[at]) for at in positions}
            frame = pd.DataFrame(cells, index=range(2, len(table) + 2))
            yield Piece(frame[positions], {}, [])

        return list(table.colnames), ".", pieces

    return opened


def _masked_cells(column: Any) -> np.ndarray:
    """Return an astropy column's values, None where they are masked."""
    cells = np.asarray(column)
    if cells.ndim > 1:
        raise Damaged(f"the column {column.name!r} holds arrays, not one value a row")
    masked = np.asarray(getattr(column, "mask", np.zeros(len(cells), bool)))
    if cells.dtype.kind == "f" and not cells.dtype.hasobject:
        return np.where(masked, np.nan, cells)
    if masked.any() or cells.dtype.kind in "SUO":
        values = cells.astype(object)
        values[masked] = None
        return _decoded(values)
    return cells.astype(cells.dtype.newbyteorder("="))


_OPENERS: dict[str, Callable[[_File], _Opened]] = {
    "text": _open_text,
    "Parquet": _open_parquet,
    "Arrow": _open_arrow,
    "FITS": _open_fits,
    "VOTable": _open_astropy("VOTable"),
    "ECSV": _open_astropy("ECSV"),
}
