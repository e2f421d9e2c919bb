"""Files that this program wrote, and that may have been cut, changed or lost since."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from galaxymorph.base.errors import BadInput

# What readers of JSON, CSV, Parquet, npz and safetensors raise, and what takes the values apart.
DAMAGE = (
    *(ValueError, LookupError, TypeError, AttributeError, OverflowError, OSError, EOFError),
    *(RecursionError, zipfile.BadZipFile),
)
AGAIN = "copy the run's whole folder again, or fit again"
# Files in a run's folder that a command adds, which makes them again.
ADDED_BY = {
    "calibration.json": "calibrate",
    "robustness.json": "robustness",
    "uncertainty.json": "uncertainty",
}


@contextmanager
def reading(path: str | Path, remedy: str = "") -> Iterator[None]:
    """Let what keeps a file from being read, or its values from being used, be BadInput.

    Args:
        path: of the file.
        remedy: what to do; by default that of a run's file, see `ADDED_BY`.

    Raises:
        BadInput: there is no such file, it can't be read, or it is damaged.
    """
    remedy = remedy or _remedy(Path(path))
    try:
        yield
    except FileNotFoundError:
        raise BadInput(f"{path}: no such file", remedy) from None
    except DAMAGE as error:
        # Parquet's readers raise OSError for damage too, without a number.
        if isinstance(error, OSError) and error.errno:
            raise BadInput(f"{path}: can't be read ({error.strerror})", "look after it") from None
        raise BadInput(f"{path}: damaged ({_short(error)})", remedy) from None


def _remedy(path: Path) -> str:
    command = ADDED_BY.get(path.name)
    return f"{command} {path.parent} again" if command else AGAIN


def read_json(path: str | Path, remedy: str = "") -> dict:
    """Return the object that a JSON file holds.

    Raises:
        BadInput: there is no such file, or it is damaged.
    """
    with reading(path, remedy):
        value = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(value, dict):
            raise ValueError("not a JSON object")
        return value


def require_words(values: object, what: str) -> None:
    """Raise ValueError unless these are words in a list, none of them twice."""
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise ValueError(f"{what}: {values!r}")
    if len(set(values)) < len(values):
        raise ValueError(f"{what}: {values!r} has one twice")


def _short(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    if not lines:
        return type(error).__name__
    # Other errors say little without their kind: KeyError has the key alone.
    kind = "" if type(error) is ValueError else f"{type(error).__name__}: "
    return f"{kind}{lines[0][:200]}"
