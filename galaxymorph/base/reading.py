"""Files that this program wrote, and that may have been cut, changed or lost since.

Damage of a file and bugs of this program are distinguished: `reading` turns errors of libraries for
a broken format, and `Damaged` of a validation, into BadInput, and lets other errors through.
"""

from __future__ import annotations

import io
import json
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from galaxymorph.base.errors import BadInput

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

Value = TypeVar("Value")

# What unpacking and decoding raise of broken data, in the standard library.
FORMAT_ERRORS = (
    OSError,
    EOFError,
    UnicodeError,
    json.JSONDecodeError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
)
AGAIN = "copy the run's whole folder again, or fit again"
# Files in a run's folder that a command adds, which makes them again.
ADDED_BY = {
    "calibration.json": "calibrate",
    "robustness.json": "robustness",
    "uncertainty.json": "uncertainty",
}


class Damaged(Exception):
    """A value in a file is missing or invalid."""


@contextmanager
def reading(path: str | Path, remedy: str = "", fault: str = "damaged") -> Iterator[None]:
    """Raise BadInput where a file can't be read, is broken, or holds a value that is refused.

    Args:
        path: of the file.
        remedy: for the message; by default that of a run's file, see `ADDED_BY`.
        fault: of a broken file, in words.

    Raises:
        BadInput: the block raised one of `FORMAT_ERRORS` or `Damaged`, which is its cause.
    """
    remedy = remedy or _remedy(Path(path))
    try:
        yield
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file", remedy) from error
    except (*FORMAT_ERRORS, Damaged) as error:
        # Parquet's readers raise OSError for damage too, without a number.
        if isinstance(error, OSError) and error.errno:
            raise BadInput(
                f"{path}: can't be read ({error.strerror})", "check its permissions and the disk"
            ) from error
        raise BadInput(f"{path}: {fault} ({_short(error)})", remedy) from error


def read_json(path: str | Path, remedy: str = "") -> dict[str, Any]:
    """Return the object that a JSON file holds.

    Raises:
        BadInput: there is no such file, or it is damaged.
    """
    with reading(path, remedy):
        return parse_json(Path(path).read_text(encoding="utf-8"))


def parse_json(text: str) -> dict[str, Any]:
    """Return the object that a JSON text holds; raise Damaged if it is none."""
    try:
        value = json.loads(text)
    except RecursionError as error:
        raise Damaged("nested too deep") from error
    return require(value, dict, "the file")


def read_csv(
    path: str | Path, columns: Sequence[str], remedy: str = "", **settings: Any
) -> pd.DataFrame:
    """Return the table in a CSV file that this program wrote.

    Args:
        path: of the file.
        columns: that it must have.
        remedy: see `reading`.
        settings: of `pandas.read_csv`.

    Raises:
        BadInput: there is no such file, it is damaged, or lacks a column.
    """
    import pandas as pd

    with reading(path, remedy):
        data = Path(path).read_bytes()
        # A line is all that tells a table from its first half.
        if not data.endswith(b"\n"):
            raise Damaged("its last line has no end")
        with library_errors(ValueError):
            table = pd.read_csv(io.BytesIO(data), **settings)
        return _with_columns(table, columns)


def read_parquet(path: str | Path, columns: Sequence[str], remedy: str = "") -> pd.DataFrame:
    """Return the table in a Parquet file that this program wrote.

    Args:
        path: of the file.
        columns: that it must have.
        remedy: see `reading`.

    Raises:
        BadInput: there is no such file, it is damaged, or lacks a column.
    """
    import pandas as pd
    import pyarrow as pa

    with reading(path, remedy):
        with library_errors(ValueError, pa.ArrowException):
            table = pd.read_parquet(path)
        return _with_columns(table, columns)


def read_arrays(
    path: str | Path, names: Sequence[str] = (), remedy: str = ""
) -> dict[str, np.ndarray]:
    """Return the arrays in an npz file by name.

    Args:
        path: of the file.
        names: that it must have.
        remedy: see `reading`.

    Raises:
        BadInput: there is no such file, it is damaged, or lacks an array.
    """
    import numpy as np

    broken = (ValueError, KeyError, RuntimeError, SyntaxError, tokenize.TokenError)
    with reading(path, remedy):
        with library_errors(*broken):
            stored = np.load(path)
            # An array alone, as `numpy.save` writes it, has no names.
            arrays = dict(stored) if isinstance(stored, Mapping) else {}
        for name in names:
            if name not in arrays:
                raise Damaged(f"no array {name}")
        return arrays


def require(value: object, kind: type[Value] | tuple[type[Value], ...], what: str) -> Value:
    """Return a value out of a file if it is of a type (a boolean is no number); raise Damaged."""
    kinds = kind if isinstance(kind, tuple) else (kind,)
    if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
        names = " or ".join(allowed.__name__ for allowed in kinds)
        raise Damaged(f"{what} is {_shown(value)}, not {names}")
    return value


def require_key(
    record: Mapping[str, Any], key: str, kind: type[Value] | tuple[type[Value], ...]
) -> Value:
    """Return a record's value under a key if it is of a type; raise Damaged otherwise."""
    if key not in record:
        raise Damaged(f"no {key}")
    return require(record[key], kind, key)


def require_words(values: object, what: str) -> list[str]:
    """Return a list of words, none of them twice; raise Damaged otherwise."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise Damaged(f"{what} is {_shown(values)}, not a list of words")
    if len(set(values)) < len(values):
        raise Damaged(f"{what}: {_shown(values)} has one twice")
    return values


def require_numbers(values: object, what: str) -> list[float]:
    """Return a list of numbers; raise Damaged otherwise."""
    numbers = require(values, list, what)
    return [require(number, (int, float), what) for number in numbers]


@contextmanager
def library_errors(*kinds: type[Exception]) -> Iterator[None]:
    """Raise Damaged for the errors of a library for a broken file.

    The block calls the library only: bugs of the package would seem to be damage.

    Args:
        kinds: of errors; by default all, for libraries that answer broken data with whatever
            their code runs into.
    """
    errors = kinds or (Exception,)
    try:
        yield
    except (*FORMAT_ERRORS, Damaged, BadInput):
        raise
    except errors as error:
        raise Damaged(_short(error)) from error


def _with_columns(table: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    for name in columns:
        if name not in table:
            raise Damaged(f"no column {name}")
    return table


def _remedy(path: Path) -> str:
    command = ADDED_BY.get(path.name)
    return f"{command} {path.parent} again" if command else AGAIN


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    # Other errors are hardly informative without their type: KeyError has the key only.
    kind = "" if type(error) in (ValueError, Damaged) else f"{type(error).__name__}: "
    return f"{kind}{lines[0][:200]}"
