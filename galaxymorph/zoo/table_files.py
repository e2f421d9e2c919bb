"""The file of a table: its bytes, uncompressed, and its format by content."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from galaxymorph.base import (
    REFERENCE_SEPARATOR,
    BadInput,
    is_unsafe,
    list_members,
    read_bytes,
    reading,
    sniff,
)

# What tables are called; the content decides how one is read.
TABLE_ENDINGS = (
    *(".csv", ".tsv", ".csv.gz", ".tsv.gz", ".csv.bz2", ".csv.xz", ".csv.zip", ".parquet"),
    *(".feather", ".arrow", ".ecsv", ".vot", ".votable", ".fits", ".fit", ".fits.gz"),
    *(".h5", ".hdf5"),
)
SIGNATURES = (
    (b"PAR1", "Parquet"),
    (b"ARROW1", "Arrow"),
    (b"\xff\xff\xff\xff", "Arrow"),
    (b"SIMPLE  =", "FITS"),
    (b"# %ECSV", "ECSV"),
    (b"\x89HDF\r\n\x1a\n", "HDF5"),
)
# Each opens a path or a stream; their modules' types know no binary mode alone.
_PACKED: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
}
# Kinds of files that are no tables.
_FOREIGN = (
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


@dataclass(frozen=True)
class TableFile:
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


def find_file(reference: str) -> TableFile:
    """Return the file of a table, or of the first table in a zip."""
    path = None if REFERENCE_SEPARATOR in reference else Path(reference)
    if path and not path.is_file():
        raise BadInput(f"{reference}: no such file", "give the path of a table")
    data = b"" if path else read_bytes(reference)
    with reading_table(reference):
        head = _first(path.open("rb")) if path else data[:_HEAD]
        if not head.startswith(b"PK\x03\x04") and not reference.lower().endswith(".zip"):
            unpack = next((by for mark, by in _PACKED.items() if head.startswith(mark)), None)
            file = TableFile(reference, path, data, unpack, head)
            return replace(file, head=_first(file.open())) if unpack else file
    return find_file(f"{reference}{REFERENCE_SEPARATOR}{_table_member(reference)}")


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
    raise BadInput(f"{reference}: it contains no table", "download it again")


def format_of(head: bytes) -> str | None:
    """Return the format of a table by its first bytes, None if it is none."""
    for mark, kind in SIGNATURES:
        if head.startswith(mark):
            return kind
    if head.lstrip().startswith((b"<?xml", b"<VOTABLE")):
        return "VOTable" if b"VOTABLE" in head else None
    return None if foreign_kind(head) else "text"


def foreign_kind(head: bytes) -> str:
    """Return the kind of a file that is no table, in words; "" if it may be one."""
    if (image := sniff(head)) not in (None, "FITS"):
        return f"a {image} image"
    start = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith(b"<?xml"):
        return "an XML file that is no VOTable"
    for mark, words in _FOREIGN:
        if head.startswith(mark) or (mark.isascii() and start.startswith(mark.lower())):
            return words
    return ""


def reading_table(reference: str) -> AbstractContextManager[None]:
    """Raise BadInput with the file's name for its faults."""
    return reading(reference, "correct the file", "not a readable table")
