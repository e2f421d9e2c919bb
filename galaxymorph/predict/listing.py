"""The images of a large catalogue one after the other, never all in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pandas as pd

from galaxymorph.base import BadInput, one_line
from galaxymorph.predict.images import galaxy_name
from galaxymorph.zoo import image_name, is_zip, list_image_files, require_images

# What columns are called in common catalogues, in the order of preference, in small letters.
IMAGE_COLUMNS = ("image", "image_path", "path", "file_loc", "filename", "file")
ID_COLUMNS = (
    "id", "galaxy", "galaxyid", "id_str", "objid", "object_id", "source_id", "iauname", "asset_id",
)  # fmt: skip
# Rows of a table held at a time.
CHUNK = 65536


def list_images(
    catalogue: str | Path, tell: Callable[[str], object] | None = None
) -> Iterator[tuple[str, str]]:
    """Yield the id and the image of every row, in order.

    Args:
        catalogue: a folder or a zip of images; or a table (.csv, .csv.gz, .parquet, .fits) with a
            column of image paths, see `IMAGE_COLUMNS`, relative to the table or absolute, or
            members of zips (`images.zip::1.jpg`), and perhaps one of ids, see `ID_COLUMNS`; by
            itself an id is the image's name without its ending. An empty path is yielded as it is.
        tell: called with a line on what a folder or a zip holds besides images.

    Raises:
        BadInput: the catalogue isn't there or isn't readable, or has no image or no such column.
    """
    path = Path(catalogue)
    if not path.exists():
        raise BadInput(f"{path}: no such file or folder", "check the path")
    reader = next((read for ending, read in READERS.items() if path.name.endswith(ending)), None)
    if reader:
        return _rows(path, reader(path))
    if path.is_dir() or is_zip(path.name):
        return _files(path, tell)
    raise BadInput(
        f"{path}: not a catalogue",
        f"give a folder, a zip, or a table ending in {', '.join(READERS)}",
    )


def image_folder(catalogue: str | Path) -> str:
    """Return the folder that a catalogue's image paths are relative to, as an absolute path."""
    path = Path(catalogue).absolute()
    is_table = path.is_file() and not is_zip(path.name)
    return str(path.parent) if is_table else str(Path.cwd())


def _files(path: Path, tell: Callable[[str], object] | None) -> Iterator[tuple[str, str]]:
    found = list_image_files(path)
    require_images(path, found)
    if tell:
        for note in found.notes():
            tell(f"{path}: {note}")
    return ((image_name(file.name), file.reference) for file in found.images)


def _rows(path: Path, chunks: Iterable[pd.DataFrame]) -> Iterator[tuple[str, str]]:
    some = False
    for chunk in chunks:
        some = some or len(chunk) > 0
        ids, images = (chunk[name].map(_text) for name in chunk.columns)
        for name, image in zip(ids, images, strict=True):
            yield name or galaxy_name(image), image
    if not some:
        raise BadInput(f"{path}: no row", "give a table of images")


def _text(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    return "" if value is None or value != value else str(value).strip()


def _chosen(path: Path, columns: Sequence[str]) -> tuple[str | None, str]:
    """Return the columns of ids, if there is one, and of images."""
    known = {column.lower(): column for column in reversed(columns)}
    image = next((known[name] for name in IMAGE_COLUMNS if name in known), None)
    if image is None:
        raise BadInput(
            f"{path}: no column of image paths among {', '.join(columns[:8])}",
            f"call it {IMAGE_COLUMNS[0]}",
        )
    return next((known[name] for name in ID_COLUMNS if name in known), None), image


def _pair(chunk: pd.DataFrame, identity: str | None, image: str) -> pd.DataFrame:
    ids = chunk[identity] if identity else pd.Series("", index=chunk.index)
    return pd.DataFrame({"id": ids, "image": chunk[image]})


@contextmanager
def _naming(path: Path, kind: str) -> Iterator[None]:
    """Turn whatever a reading library raises into a BadInput that names the file."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        why = one_line((str(error).strip().splitlines() or [type(error).__name__])[0])
        raise BadInput(f"{path}: not readable as {kind} ({why})", "mend the file") from None


def _csv(path: Path) -> Iterator[pd.DataFrame]:
    with _naming(path, "CSV"):
        identity, image = _chosen(path, list(pd.read_csv(path, nrows=0)))
        wanted = [name for name in (identity, image) if name]
        chunks = pd.read_csv(
            path, usecols=wanted, dtype=str, keep_default_na=False, chunksize=CHUNK
        )
        for chunk in chunks:
            yield _pair(chunk, identity, image)


def _parquet(path: Path) -> Iterator[pd.DataFrame]:
    import pyarrow as pa
    from pyarrow import parquet

    with _naming(path, "Parquet"), parquet.ParquetFile(path) as table:
        identity, image = _chosen(path, table.schema_arrow.names)
        wanted = [name for name in (identity, image) if name]
        for batch in table.iter_batches(CHUNK, columns=wanted):
            # As text at once: with a gap pandas would make floats of whole numbers.
            texts = {name: batch[name].cast(pa.string()).to_pylist() for name in wanted}
            yield _pair(pd.DataFrame(texts, dtype=object), identity, image)


def _fits(path: Path) -> Iterator[pd.DataFrame]:
    try:
        from astropy.io import fits
    except ImportError:
        raise BadInput(
            f"{path}: FITS needs astropy, which isn't installed", "pip install 'galaxymorph[fits]'"
        ) from None
    with _naming(path, "FITS"), fits.open(path, memmap=True) as units:
        table = next((unit for unit in units if isinstance(unit, fits.BinTableHDU)), None)
        if table is None:
            raise BadInput(f"{path}: no table in it", "give a FITS file with a binary table")
        identity, image = _chosen(path, table.columns.names)
        for start in range(0, len(table.data), CHUNK):
            part = table.data[start : start + CHUNK]
            # To lists, because pandas takes no array of FITS's byte order.
            chosen = {name: part[name].tolist() for name in (identity, image) if name}
            yield _pair(pd.DataFrame(chosen), identity, image)


READERS = {
    ".csv": _csv,
    ".csv.gz": _csv,
    ".parquet": _parquet,
    ".fits": _fits,
    ".fit": _fits,
    ".fits.gz": _fits,
}
