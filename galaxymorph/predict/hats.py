"""Predictions as a HATS catalogue: Parquet files by place on the sky, as LSDB reads them.

HATS (Hierarchical Adaptive Tiling Scheme, IVOA note of 2025) divides the sky into HEALPix pixels,
smaller ones where there are more rows. Files, names and metadata are written by the package `hats`.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph import __version__
from galaxymorph.base import BadInput, import_extra, listed, replace_folder, say, setting
from galaxymorph.predict.vectors import EMBEDDING
from galaxymorph.zoo import open_table
from galaxymorph.zoo.column_meta import ColumnMeta
from galaxymorph.zoo.coordinates import as_degrees

# The column of positions that HATS has: the pixel of order 29 that a row is in.
INDEX, INDEX_ORDER = "_healpix_29", 29
# Order of the finest files, whose pixels are 0.23 degrees wide, and the most rows of a file.
FINEST, ROWS = 8, 1_000_000
PROPERTIES = "hats.properties"


def require_hats(catalogue: str | Path, out: Path) -> tuple[str, str]:
    """Return a table's columns of coordinates.

    Raises:
        BadInput: there are none, a package is missing, or the folder has other content.
    """
    import_extra("hats", "hats", setting("hats"))
    if Path(catalogue).is_dir():
        raise BadInput(
            f"{setting('hats', out)}: {catalogue} has no coordinates", "give a table with them"
        )
    table = open_table(catalogue)
    if table.coordinates is None:
        raise BadInput(
            f"{setting('hats', out)}: {catalogue} has no columns of coordinates "
            f"({listed(table.columns, 6)})",
            "call them ra and dec, or give them UCDs (pos.eq.ra, pos.eq.dec)",
        )
    if out.exists() and not (out / PROPERTIES).is_file() and (out.is_file() or any(out.iterdir())):
        raise BadInput(f"{setting('hats', out)}: it has other content", "give a new folder")
    return table.coordinates


def write_hats(
    files: Sequence[Path],
    out: Path,
    coordinates: tuple[str, str],
    meta: dict[str, ColumnMeta],
    rows: int = ROWS,
) -> int:
    """Write tables of predictions as one HATS catalogue; return the number of its files.

    The tables are read one at a time, and then the rows of one pixel at a time.

    Args:
        files: Parquet files of the same columns.
        out: the catalogue's folder, made or replaced as a whole.
        coordinates: columns of right ascension and declination; they become degrees.
        meta: units, descriptions and UCDs of columns.
        rows: the most in one file, where the finest pixels allow it.

    Raises:
        BadInput: no row has coordinates.
    """
    from hats import pixel_math
    from hats.catalog import PartitionInfo, TableProperties
    from hats.io import paths, write_parquet_metadata
    from pyarrow import parquet

    counts, lost = _count(files, coordinates)
    if not counts.any():
        raise BadInput(
            f"{setting('hats', out)}: no row has coordinates", "give degrees, or hh:mm:ss"
        )
    if lost:
        say(f"{setting('hats', out)}: {lost:,} rows without coordinates left out")
    target = pixel_math.generate_alignment(counts, highest_order=FINEST, threshold=rows)
    new = out.with_name(f".{out.name}.new")
    with replace_folder(new) as temporary:
        shards = temporary / ".shards"
        pixels = _sort_into(shards, files, coordinates, target)
        for (order, number), places in sorted(pixels.items()):
            table = pd.concat([pd.read_parquet(place) for place in places], ignore_index=True)
            table = table.sort_values(INDEX, kind="stable", ignore_index=True)
            path = Path(paths.pixel_catalog_file(temporary, pixel_math.HealpixPixel(order, number)))
            path.parent.mkdir(parents=True, exist_ok=True)
            parquet.write_table(_arrow(table, meta), path, compression="zstd")
            for place in places:
                place.unlink()
        _remove_empty(shards)
        healpix = [pixel_math.HealpixPixel(*pixel) for pixel in sorted(pixels)]
        PartitionInfo.from_healpix(healpix).write_to_file(catalog_path=temporary)
        write_parquet_metadata(temporary)
        ra, dec = coordinates
        about = TableProperties.new_provenance_dict(temporary, builder=f"galaxymorph {__version__}")
        TableProperties(
            catalog_name=out.name,
            catalog_type="object",
            total_rows=int(counts.sum()),
            ra_column=ra,
            dec_column=dec,
            healpix_column=INDEX,
            healpix_order=INDEX_ORDER,
            **about,
        ).to_properties_file(temporary)
    if out.exists():
        shutil.rmtree(out)
    new.rename(out)
    return len(pixels)


def _arrow(table: pd.DataFrame, meta: dict[str, ColumnMeta]) -> Any:
    from galaxymorph.zoo.table_writing import arrow_table

    # Each file's own metadata would differ, and a catalogue's files have one schema.
    return arrow_table(table, {}).replace_schema_metadata(None).cast(_schema(table, meta))


def _schema(table: pd.DataFrame, meta: dict[str, ColumnMeta]) -> Any:
    import pyarrow as pa

    fields = []
    for name, kind in table.dtypes.items():
        types = {"int64": pa.int64(), "Int64": pa.int64(), "float32": pa.float32()}
        types |= {"float64": pa.float64()}
        named = meta.get(str(name), ColumnMeta()).named()
        fields.append(pa.field(name, types.get(str(kind), pa.string()), metadata=named or None))
    return pa.schema(fields)


def _located(file: Path, coordinates: tuple[str, str]) -> pd.DataFrame:
    """Return a table with its coordinates in degrees and `INDEX`, without rows that have none."""
    from hats import pixel_math

    table = pd.read_parquet(file).drop(columns=EMBEDDING, errors="ignore")
    ra, dec = as_degrees(*(table[name].astype(str).tolist() for name in coordinates))
    known = ~(np.isnan(ra) | np.isnan(dec))
    table = table.assign(**dict(zip(coordinates, (ra, dec), strict=True)))[known]
    table.insert(0, INDEX, pixel_math.compute_spatial_index(ra[known], dec[known]))
    return table.astype({INDEX: "int64"}).reset_index(drop=True)


def _finest(table: pd.DataFrame) -> np.ndarray:
    """Return the pixel of order `FINEST` of each row: two bits of the index are an order."""
    return table[INDEX].to_numpy("int64") >> 2 * (INDEX_ORDER - FINEST)


def _count(files: Sequence[Path], coordinates: tuple[str, str]) -> tuple[np.ndarray, int]:
    """Return the number of rows in each of the finest pixels, and of those without coordinates."""
    from pyarrow import parquet

    counts, lost = np.zeros(12 * 4**FINEST, "int64"), 0
    for file in files:
        table = _located(file, coordinates)
        counts += np.bincount(_finest(table), minlength=len(counts))
        lost += parquet.read_metadata(file).num_rows - len(table)
    return counts, lost


def _sort_into(
    folder: Path, files: Sequence[Path], coordinates: tuple[str, str], target: np.ndarray
) -> dict[tuple[int, int], list[Path]]:
    """Write the rows of each file by pixel; return the files of each pixel, (order, number).

    Args:
        folder: of the files.
        files: of the tables.
        coordinates: columns.
        target: of each of the finest pixels (order, number, rows), or None.
    """
    pixels: dict[tuple[int, int], list[Path]] = {}
    for number, file in enumerate(files):
        for pixel, rows in _by_pixel(_located(file, coordinates), target):
            place = folder / f"{pixel[0]}-{pixel[1]}" / f"{number}.parquet"
            place.parent.mkdir(parents=True, exist_ok=True)
            rows.to_parquet(place, index=False)
            pixels.setdefault(pixel, []).append(place)
    return pixels


def _by_pixel(
    table: pd.DataFrame, target: np.ndarray
) -> Iterator[tuple[tuple[int, int], pd.DataFrame]]:
    places = [(int(target[at][0]), int(target[at][1])) for at in _finest(table)]
    for pixel, rows in table.groupby(pd.Series(places, table.index, dtype=object)):
        yield (int(pixel[0]), int(pixel[1])), rows


def _remove_empty(folder: Path) -> None:
    for inner in folder.iterdir():
        inner.rmdir()
    folder.rmdir()
