"""Binary formats and those of astropy: columns by name, rows in pieces.

To add a format, add an entry to `OPENERS` and its first bytes to `SIGNATURES` in `table_files.py`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from galaxymorph.base import (
    BadInput,
    Damaged,
    import_extra,
    library_errors,
    sniff,
    without_warnings,
)
from galaxymorph.zoo.column_meta import ColumnMeta, meta_of_arrow, meta_of_astropy, meta_of_fits
from galaxymorph.zoo.delimited import PIECE
from galaxymorph.zoo.table_files import TableFile, reading_table

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Piece:
    """Some rows of a table.

    `frame` has the columns read, by row number in the file (the header's is
    that of a spreadsheet, and 1 where there is no such line); `faults` the faults of rows
    that can't be read, and `blank` the numbers of empty lines.
    """

    frame: pd.DataFrame
    faults: dict[int, str]
    blank: list[int]


class Opened(NamedTuple):
    """A table's columns, the character before decimals, its rows, and what is said of columns."""

    columns: list[str]
    decimal: str
    pieces: Callable[[list[int]], Iterator[Piece]]
    meta: dict[str, ColumnMeta] = {}


def _open_parquet(file: TableFile) -> Opened:
    import pyarrow as pa
    from pyarrow import parquet

    with file.seekable() as source, library_errors(ValueError, pa.ArrowException):
        schema = parquet.read_schema(source)
    columns = schema.names

    def pieces(positions: list[int]) -> Iterator[Piece]:
        wanted = [columns[at] for at in positions]
        with file.seekable() as source:
            with library_errors(ValueError, pa.ArrowException):
                table = parquet.ParquetFile(source)
            _refuse_pictures(table.schema_arrow, wanted)
            yield from _from_arrow(table.iter_batches(PIECE, columns=wanted), wanted)

    return Opened(columns, ".", pieces, _arrow_meta(schema))


def _open_arrow(file: TableFile) -> Opened:
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

    return Opened(first.schema.names, ".", pieces, _arrow_meta(first.schema))


def _arrow_meta(schema: pa.Schema) -> dict[str, ColumnMeta]:
    return {name: meta_of_arrow(schema.field(at).metadata) for at, name in enumerate(schema.names)}


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


def _open_fits(file: TableFile) -> Opened:
    position, header = _fits_table(file)
    columns = [str(header[f"TTYPE{at}"]) for at in range(1, header["TFIELDS"] + 1)]
    meta = {name: meta_of_fits(header, at) for at, name in enumerate(columns, 1)}

    def pieces(positions: list[int]) -> Iterator[Piece]:
        with _fits_units(file) as units:
            with without_warnings(), library_errors():
                unit = units[position]
                data = unit.data
            for start in range(0, len(data), PIECE):
                part = data[start : start + PIECE]
                with library_errors():
                    fields = {at: part.field(at) for at in positions}
                cells = {at: _fits_cells(fields[at], unit.columns[at]) for at in positions}
                rows = range(start + 2, start + 2 + len(part))
                yield Piece(pd.DataFrame(cells, index=rows)[positions], {}, [])

    return Opened(columns, ".", pieces, meta)


def _fits_units(file: TableFile) -> Any:
    from astropy.io import fits

    plain = file.path and not file.unpack
    stream = file.path if plain else file.seekable()
    with library_errors():
        return fits.open(stream, memmap=bool(plain))


def _fits_table(file: TableFile) -> tuple[int, dict[str, Any]]:
    """Return the position of a file's first table, and its header, with a name of each column."""
    with without_warnings(), _fits_units(file) as units, library_errors():
        from astropy.io import fits

        for position, unit in enumerate(units):
            is_table = isinstance(unit, fits.BinTableHDU | fits.TableHDU)
            if is_table and not isinstance(unit, fits.CompImageHDU):
                header = {str(key): unit.header[key] for key in unit.header if key}
                names = {f"TTYPE{at}": name for at, name in enumerate(unit.columns.names, 1)}
                return position, {**header, **names}
    raise Damaged("no table in this FITS file, only images")


def fits_has_table(file: TableFile) -> bool:
    """Tell whether a FITS file has a table."""
    try:
        with reading_table(file.reference):
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


def _open_astropy(name: str) -> Callable[[TableFile], Opened]:
    def opened(file: TableFile) -> Opened:
        return _from_astropy(_read_astropy(file, name))

    return opened


def _read_astropy(file: TableFile, name: str) -> Any:
    from astropy.table import Table as AstropyTable

    content = file.read()
    # Real files break the standards in small ways, of which astropy warns.
    with without_warnings(), library_errors():
        if name == "VOTable":
            return AstropyTable.read(io.BytesIO(content), format="votable", table_id=0)
        return AstropyTable.read(content.decode("utf-8"), format="ascii.ecsv")


def _from_astropy(table: Any) -> Opened:
    def pieces(positions: list[int]) -> Iterator[Piece]:
        cells = {at: _masked_cells(table.columns[at]) for at in positions}
        frame = pd.DataFrame(cells, index=range(2, len(table) + 2))
        yield Piece(frame[positions], {}, [])

    meta = {name: meta_of_astropy(table[name]) for name in table.colnames}
    return Opened(list(table.colnames), ".", pieces, meta)


def _open_hdf5(file: TableFile) -> Opened:
    """Open the first table in an HDF5 file.

    That is a dataset of rows with named columns, as astropy and h5py write them, or a group of
    arrays of one length.
    """
    h5py = import_extra("h5py", "hdf5", f"{file.reference}: an HDF5 file")
    with library_errors(), h5py.File(file.seekable(), "r") as stored:
        path, arrays = _hdf5_table(stored, h5py)
        if path is None:
            cells = {name: stored[place][()] for name, place in arrays.items()}
    if path is not None:
        from astropy.table import Table as AstropyTable

        with without_warnings(), library_errors(), h5py.File(file.seekable(), "r") as stored:
            return _from_astropy(
                AstropyTable.read(stored, format="hdf5", path=path, character_as_bytes=False)
            )
    columns = list(cells)

    def pieces(positions: list[int]) -> Iterator[Piece]:
        values = {at: _hdf5_cells(cells[columns[at]]) for at in positions}
        number = len(next(iter(cells.values())))
        yield Piece(pd.DataFrame(values, index=range(2, number + 2))[positions], {}, [])

    return Opened(columns, ".", pieces)


def _hdf5_table(stored: Any, h5py: Any) -> tuple[str | None, dict[str, str]]:
    """Return the path of a dataset of rows, or else the paths of a group's arrays by name.

    Raises:
        Damaged: there is neither, or pandas wrote blocks of columns.
    """
    datasets: dict[str, Any] = {}
    stored.visititems(
        lambda name, item: datasets.update({name: item}) if isinstance(item, h5py.Dataset) else None
    )
    if any(name.rpartition("/")[2].startswith(("block0_", "axis0")) for name in datasets):
        raise Damaged("pandas wrote it in blocks of columns: save the table as Parquet")
    for name, item in datasets.items():
        if item.dtype.names and item.ndim == 1 and not name.endswith("__table_column_meta__"):
            if any(field.startswith("values_block_") for field in item.dtype.names):
                raise Damaged("pandas wrote it in blocks of columns: save the table as Parquet")
            return name, {}
    groups: dict[str, dict[str, str]] = {}
    for name, item in datasets.items():
        if item.ndim == 1 and not name.endswith("__table_column_meta__"):
            folder, _, last = name.rpartition("/")
            groups.setdefault(f"{folder}|{len(item)}", {})[last] = name
    if not groups:
        raise Damaged("no table in this HDF5 file")
    return None, max(groups.values(), key=len)


def _hdf5_cells(cells: np.ndarray) -> np.ndarray:
    if cells.dtype.kind in "SO":
        return _decoded(cells.astype(object))
    return cells.astype(cells.dtype.newbyteorder("="))


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


OPENERS: dict[str, Callable[[TableFile], Opened]] = {
    "Parquet": _open_parquet,
    "Arrow": _open_arrow,
    "FITS": _open_fits,
    "VOTable": _open_astropy("VOTable"),
    "ECSV": _open_astropy("ECSV"),
    "HDF5": _open_hdf5,
}
