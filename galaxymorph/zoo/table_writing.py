"""Tables as files in the formats of astronomy, with units, descriptions and UCDs."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, import_extra, replacing_output, setting, without_warnings
from galaxymorph.zoo.column_meta import ColumnMeta

Meta = Mapping[str, ColumnMeta]
# The value of an integer that is missing, in FITS.
NO_INTEGER = -(2**63)


def write_table_file(path: Path, table: pd.DataFrame, meta: Meta | None = None) -> None:
    """Write a table in the format that the file's ending names, whole or not at all.

    Args:
        path: it ends as one of `WRITERS`.
        table: of numbers and text.
        meta: of some columns; CSV has no place for it.

    Raises:
        BadInput: the ending is unknown, or a package is missing.
    """
    writer = WRITERS.get(path.suffix.lower())
    if writer is None:
        raise BadInput(
            f"{setting('output', path)}: ending {path.suffix!r}", f"use {', '.join(WRITERS)}"
        )
    with replacing_output(path) as temporary:
        writer(Path(temporary), table, meta or {})


def _csv(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    table.to_csv(path, index=False)


def _tsv(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    table.to_csv(path, index=False, sep="\t")


def arrow_table(table: pd.DataFrame, meta: Meta) -> Any:
    """Return an Arrow table whose fields, and the whole, have what is known of the columns.

    The whole has it as astropy reads it of Parquet, and as the VOTable-in-Parquet convention of the
    International Virtual Observatory Alliance has it, which TOPCAT reads.
    """
    import pyarrow as pa

    whole = pa.Table.from_pandas(table, preserve_index=False)
    if not meta:
        return whole
    for at, field in enumerate(whole.schema):
        if named := meta.get(field.name, ColumnMeta()).named():
            whole = whole.set_column(at, field.with_metadata(named), whole.column(at))
    from astropy.table.meta import get_yaml_from_table

    described = _astropy_table(table.head(0), meta)
    texts = {name: table[name].dropna() for name in table if described[name].dtype.kind == "U"}
    # The longest text of each column, which astropy asks for.
    lengths = {name: max([1, *(len(str(text)) for text in texts[name])]) for name in texts}
    content = io.BytesIO()
    with without_warnings():
        described.write(content, format="votable")
    about = {
        **{
            f"table::len::{name}".encode(): str(number).encode() for name, number in lengths.items()
        },
        b"table_meta_yaml": "\n".join(get_yaml_from_table(described)).encode(),
        b"IVOA.VOTable-Parquet.version": b"1.0",
        b"IVOA.VOTable-Parquet.content": content.getvalue(),
    }
    return whole.replace_schema_metadata({**(whole.schema.metadata or {}), **about})


def _parquet(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    if not meta:
        table.to_parquet(path, index=False)
        return
    from pyarrow import parquet

    parquet.write_table(arrow_table(table, meta), path)


def _arrow(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    import pyarrow as pa

    whole = arrow_table(table, meta)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, whole.schema) as writer:
        writer.write_table(whole)


def _astropy_table(table: pd.DataFrame, meta: Meta) -> Any:
    """Return an astropy table; missing integers are masked, missing texts empty."""
    from astropy import units
    from astropy.table import Column, MaskedColumn, Table

    whole = Table()
    for name in table.columns:
        values, about = table[name], meta.get(name, ColumnMeta())
        missing = values.isna().to_numpy(bool)
        kind: Any = Column
        if pd.api.types.is_bool_dtype(values.dtype):
            data: Any = values.to_numpy(bool)
        elif pd.api.types.is_integer_dtype(values.dtype):
            data = values.fillna(0).to_numpy("int64")
            if missing.any():
                kind, data = MaskedColumn, np.ma.MaskedArray(data, missing, fill_value=NO_INTEGER)
        elif pd.api.types.is_numeric_dtype(values.dtype):
            data = values.to_numpy(values.dtype if isinstance(values.dtype, np.dtype) else float)
        else:
            data = np.array([str(cell) for cell in values.fillna("")], dtype=str)
        if data.dtype.kind == "U" and data.dtype.itemsize == 0:
            data = data.astype("U1")
        column = kind(data, name=str(name), description=about.description or None)
        if about.unit:
            column.unit = units.Unit(about.unit, parse_strict="silent")
        if about.ucd:
            column.meta["ucd"] = about.ucd
        whole.add_column(column)
    return whole


def _written(format: str, **settings: Any) -> Callable[[Path, pd.DataFrame, Meta], None]:
    def write(path: Path, table: pd.DataFrame, meta: Meta) -> None:
        with without_warnings():
            # Of units that a standard doesn't have.
            _astropy_table(table, meta).write(path, format=format, overwrite=True, **settings)

    return write


def _fits(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    from astropy.io import fits

    whole = _astropy_table(table, meta)
    for name in whole.colnames:
        if whole[name].dtype.kind == "U":
            # FITS has no other letters.
            texts = np.char.encode(np.asarray(whole[name]), "ascii", "replace")
            whole.replace_column(name, whole[name].__class__(texts, **_about(whole[name])))
    with without_warnings():
        whole.write(path, format="fits", overwrite=True)
        # astropy keeps descriptions in a comment that it alone reads; TOPCAT reads these.
        with fits.open(path, mode="update") as units:
            for number, name in enumerate(table.columns, 1):
                about = meta.get(name, ColumnMeta())
                for key, value in (("TCOMM", about.description), ("TUCD", about.ucd)):
                    if value:
                        units[1].header[f"{key}{number}"] = value


def _about(column: Any) -> dict[str, Any]:
    return {
        "name": column.name,
        "description": column.description,
        "unit": column.unit,
        "meta": column.meta,
    }


def _hdf5(path: Path, table: pd.DataFrame, meta: Meta) -> None:
    import_extra("h5py", "hdf5", f"{setting('output', path.name)}: HDF5")
    _written("hdf5", path="table", serialize_meta=True)(path, table, meta)


WRITERS: dict[str, Callable[[Path, pd.DataFrame, Meta], None]] = {
    ".csv": _csv,
    ".tsv": _tsv,
    ".parquet": _parquet,
    ".arrow": _arrow,
    ".feather": _arrow,
    ".fits": _fits,
    ".vot": _written("votable"),
    ".votable": _written("votable"),
    ".ecsv": _written("ascii.ecsv"),
    ".h5": _hdf5,
    ".hdf5": _hdf5,
}
