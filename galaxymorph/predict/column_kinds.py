"""Types of a catalogue's columns that are copied to predictions."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

# Digits with leading zeros are a name.
_INTEGER = re.compile(r"-?(0|[1-9]\d*)")
_NUMBER = re.compile(
    r"[+-]?((0|[1-9]\d*)(\.\d*)?|\.\d+)(e[+-]?\d+)?|nan|[+-]?inf(inity)?", re.IGNORECASE
)


def column_kind(cell: str, known: str = "integer") -> str:
    """Return the kind of a column, of `KINDS`, given the kind of its previous cells and one more.

    Args:
        cell: its text, empty for a missing value.
        known: the kind of the previous cells.
    """
    if not cell or known == "text":
        return known
    if _INTEGER.fullmatch(cell):
        exact = 2**63 if known == "integer" else 2**53
        return known if abs(int(cell)) < exact else "text"
    return "number" if _NUMBER.fullmatch(cell) else "text"


def stored_kind(column: pd.Series) -> str | None:
    """Return the kind of a column of a format with types, None where its cells have to tell."""
    if pd.api.types.is_float_dtype(column.dtype):
        return "number"
    cells = column.dropna()
    for kind, of in (("number", float), ("text", str)):
        if len(cells) and all(isinstance(cell, of) for cell in cells):
            return kind
    return None


def _integers(cells: Sequence[str]) -> pd.Series:
    return pd.Series([int(cell) if cell else None for cell in cells], dtype="Int64")


def _numbers(cells: Sequence[str]) -> pd.Series:
    return pd.Series([float(cell) if cell else np.nan for cell in cells])


def _texts(cells: Sequence[str]) -> pd.Series:
    return pd.Series([cell or None for cell in cells], dtype="string")


# From a column's cells to the column that is written, by kind.
KINDS: dict[str, Callable[[Sequence[str]], pd.Series]] = {
    "integer": _integers,
    "number": _numbers,
    "text": _texts,
}
