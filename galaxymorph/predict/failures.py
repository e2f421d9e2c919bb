"""Failed rows of a catalogue's predictions, counted by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from galaxymorph.base import BadInput

# From this share of failed rows on, a summary is a warning.
MANY = 0.02
KINDS_SHOWN = 6
ERROR = "error"
AGAIN = "the column `error` has each row's, and the same command tries them again"


@dataclass
class Failures:
    """Failed rows among a number of rows, by kind: their number and the first error."""

    rows: int
    kinds: dict[str, tuple[int, str]] = field(default_factory=dict)

    def add(self, errors: Iterable[str]) -> None:
        """Count errors, each the line of a `BadInput`."""
        for error in errors:
            kind = error_kind(error)
            number, first = self.kinds.get(kind, (0, error))
            self.kinds[kind] = number + 1, first

    @property
    def number(self) -> int:
        """The number of failed rows."""
        return sum(number for number, _ in self.kinds.values())

    @property
    def total(self) -> bool:
        """Whether all rows failed, of one or more."""
        return 0 < self.rows == self.number

    def lines(self) -> list[str]:
        """Return the lines for the terminal: none, or a summary and one for each kind."""
        if not self.number:
            return []
        if self.total:
            head = f"error: none of the {self.rows:,} images could be used; {AGAIN}"
        else:
            share = self.number / self.rows
            head = (
                f"{'warning: ' if share > MANY else ''}{self.number:,} of {self.rows:,} images "
                f"({share:.1%}) couldn't be used; {AGAIN}"
            )
        kinds = sorted(self.kinds.items(), key=lambda item: -item[1][0])
        lines = [
            f"  {number:,} {kind}, the first: {first}"
            for kind, (number, first) in kinds[:KINDS_SHOWN]
        ]
        more = len(kinds) - KINDS_SHOWN
        return [head, *lines] + ([f"  and {more:,} more kinds"] if more > 0 else [])


def error_kind(error: str) -> str:
    """Return an error without the name, the numbers and the remedy of its file."""
    # The name comes first, and may contain a colon that no space follows.
    _, _, fault = error.partition(": ")
    words = re.split(r"[;(:]", fault or error)[0].strip()
    return re.sub(r"\d[\d.,x]*", "…", words)


def errors_in(path: Path) -> list[str | None]:
    """Return the error of each row in a partition's file, None where there is none.

    Raises:
        BadInput: the file is damaged.
    """
    from pyarrow import parquet

    try:
        return parquet.read_table(path, columns=[ERROR])[ERROR].to_pylist()
    except (OSError, ValueError, KeyError) as error:
        # Arrow's own errors are of these types.
        why = str(error).splitlines()[0]
        raise BadInput(f"{path}: damaged ({why})", "delete it and repeat the command") from error


def failures_in(paths: Iterable[Path], rows: int) -> Failures:
    """Return the failures in the files of so many rows."""
    failures = Failures(rows)
    for path in sorted(paths):
        failures.add(error for error in errors_in(path) if error is not None)
    return failures
