"""Rows of a table with the first fault of each."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.zoo.tables import Table, as_ids, as_numbers, as_text


@dataclass
class CheckedRows:
    """The ids, texts and numbers of a table's rows, and what is wrong with which.

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
        """Note what is wrong with some rows, unless they have a fault already.

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
        raise BadInput(f"{table.reference}: the table has no rows", "add a row a galaxy")
    read.ids = _without_decimals(read.ids)
    _check_ids(read, ids, lossy)
    for row, name, value in sorted(lost, key=lambda cell: cell[0]):
        read.words.setdefault(int(row), f"{name} is {value!r}, not a number")
    return read


def _without_decimals(ids: pd.Series) -> pd.Series:
    """Return ids that were floating-point numbers before they became text as whole numbers."""
    floats = ids.dropna().str.fullmatch(r"\d{1,15}\.0")
    return ids.str.removesuffix(".0") if len(floats) and floats.all() else ids


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
