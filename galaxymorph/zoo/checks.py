"""Rows of a table with the first fault of each, and their cells as text, ids or numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.zoo.tables import Table

# Words for a missing value in a column of numbers.
_NO_NUMBER = frozenset(
    ["", "nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-", "--", "\\n", "masked"]
)
# 5.87732E+17; not 2E3140, which is a galaxy's name.
_SPREADSHEET = r"\d[.,]\d+[eE]\+?\d+|\d[eE]\+\d+"


@dataclass
class CheckedRows:
    """The ids, texts, numbers and faults of a table's rows.

    `rows` are the rows' numbers in the file, shape (n,), `ids` and each of `texts` text, NA where
    empty, and `numbers` float64 of shape (n, columns), NaN where empty. `words` holds the first
    fault of a row by its number, in the order of the checks; of rows that couldn't be read too,
    which are among `unread` and not among `rows`.
    """

    reference: str
    rows: np.ndarray
    ids: pd.Series
    texts: pd.DataFrame
    numbers: np.ndarray
    columns: list[str]
    unread: list[int] = field(default_factory=list)
    words: dict[int, str] = field(default_factory=dict)

    def fault(self, wrong: np.ndarray, words: str | Callable[[int], str]) -> None:
        """Add a fault to some rows, unless they have one already.

        Args:
            wrong: which rows, boolean of shape (n,).
            words: of the fault, or a function from a row's position to them.
        """
        for at in np.flatnonzero(wrong):
            number = int(self.rows[at])
            if number not in self.words:
                self.words[number] = words if isinstance(words, str) else words(int(at))

    def values(self, names: Sequence[str]) -> np.ndarray:
        """Return some columns of `numbers`, shape (n, names)."""
        return self.numbers[:, [self.columns.index(name) for name in names]]

    @property
    def sound(self) -> np.ndarray:
        """Which rows have no fault, boolean of shape (n,)."""
        return np.array([int(number) not in self.words for number in self.rows], bool)

    @property
    def count(self) -> int:
        """The number of rows, unreadable ones included."""
        return len(self.rows) + len(self.unread)


def read_checked(
    table: Table, ids: str, texts: Sequence[str] = (), numbers: Sequence[str] = ()
) -> CheckedRows:
    """Read some columns of a table; ids must be there, whole, and each of them once.

    Args:
        table: opened.
        ids: the column that names the galaxies.
        texts: columns of text.
        numbers: columns of numbers; a cell that is none is a fault of its row.

    Raises:
        BadInput: the table can't be read, or has no rows.
    """
    parts: list[tuple[np.ndarray, pd.Series, pd.DataFrame, np.ndarray]] = []
    lossy: dict[int, str] = {}
    faults: dict[int, str] = {}
    lost: list[tuple[int, str, object]] = []
    wanted = list(dict.fromkeys([ids, *texts, *numbers]))
    for piece in table.pieces(wanted):
        # An empty line among the rows is a row without an id.
        faults |= piece.faults | dict.fromkeys(piece.blank, f"{ids} is empty")
        frame = piece.frame
        names, without_digits = as_ids(frame[ids])
        lossy |= without_digits
        values = np.empty((len(frame), len(numbers)))
        for at, name in enumerate(numbers):
            values[:, at], wrong = as_numbers(frame[name], table.decimal)
            lost += [(row, name, frame.at[row, name]) for row in frame.index[wrong]]
        words = pd.DataFrame({name: as_text(frame[name]) for name in texts}, index=frame.index)
        parts.append((frame.index.to_numpy(), names, words, values))
    read = CheckedRows(
        table.reference,
        np.concatenate([part[0] for part in parts]).astype(int) if parts else np.empty(0, int),
        pd.concat([part[1] for part in parts]) if parts else pd.Series(dtype="string"),
        pd.concat([part[2] for part in parts]) if parts else pd.DataFrame(columns=list(texts)),
        np.concatenate([part[3] for part in parts]) if parts else np.empty((0, len(numbers))),
        list(numbers),
        sorted(faults),
        dict(sorted(faults.items())),
    )
    if not read.count:
        raise BadInput(f"{table.reference}: the table has no rows", "add one row per galaxy")
    _check_ids(read, ids, lossy)
    for row, name, value in sorted(lost, key=lambda cell: cell[0]):
        read.words.setdefault(int(row), f"{name} is {value!r}, not a number")
    return read


def _check_ids(read: CheckedRows, name: str, lossy: dict[int, str]) -> None:
    for row, fault in lossy.items():
        read.words.setdefault(row, f"{name} {fault}")
    ids = read.ids
    read.fault(ids.isna().to_numpy(bool), f"{name} is empty")
    doubled = ids.duplicated(keep=False).to_numpy(bool) & ids.notna().to_numpy(bool)
    rows = ids.index.to_series()
    first = rows.groupby(ids).transform("min").to_numpy()
    second = rows[ids.duplicated()].groupby(ids[ids.duplicated()]).min()

    def words(at: int) -> str:
        if rows.iloc[at] == first[at]:
            return f"doubled {name} {ids.iloc[at]}, again in row {second[ids.iloc[at]]}"
        return f"doubled {name} {ids.iloc[at]}, first in row {int(first[at])}"

    # Which of them is right isn't known, so none is kept.
    read.fault(doubled, words)


def as_text(column: pd.Series) -> pd.Series:
    """Return a column as text without spaces about it, NA where it is empty.

    NA and None in a cell are text too. Whole numbers have no decimals.
    """
    if pd.api.types.is_float_dtype(column.dtype):
        return column.map(_number_text, na_action="ignore").astype("string")
    text = _as_cells(column).astype("string").str.strip(" \t\r\n\f\v\0")
    return text.mask(text == "")


def as_ids(column: pd.Series) -> tuple[pd.Series, dict[int, str]]:
    """Return a column of ids as text, and by row the fault where digits are lost.

    Ids that were floating-point numbers before they became text, 7.0 among others, are whole.
    """
    text = as_text(column)
    if pd.api.types.is_float_dtype(column.dtype):
        dtype = np.dtype(column.dtype if isinstance(column.dtype, np.dtype) else float)
        numbers = column.to_numpy(float, na_value=np.nan)
        # Larger integers aren't all representable in floating point.
        exact = 2.0 ** (np.finfo(dtype.char).nmant + 1)
        lossy = (np.abs(numbers) >= exact) | (np.mod(numbers, 1) != 0)
        lossy &= ~np.isnan(numbers)
        words = "is {}, no exact number: the column is of floating-point numbers, its digits lost"
        values = column
    else:
        lossy = text.str.fullmatch(_SPREADSHEET).fillna(False).to_numpy(bool)
        words = "is {}, no exact number: a spreadsheet rounded it, its digits are lost"
        values = text
        floats = text.dropna().str.fullmatch(r"\d{1,15}\.0")
        text = text.str.removesuffix(".0") if len(floats) and floats.all() else text
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
