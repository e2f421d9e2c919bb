"""Failed rows of a catalogue's predictions, counted by kind."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from galaxymorph.base import BadInput, setting

# From this share of failed rows on, a summary is a warning.
MANY = 0.02
KINDS_SHOWN = 6
ERROR, STATUS = "error", "status"
# Status of an image that is unlike the galaxies that a model was trained on.
UNFAMILIAR = "unfamiliar"
AGAIN = "the column `error` has each row's, and the same command tries them again"


@dataclass
class Failures:
    """Failed rows among a number of rows, by kind: their number and the first error.

    `refused` counts images that can be used, but are unlike the galaxies of the model.
    """

    rows: int
    refused: int = 0
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
        return self.unusable + self.refused

    @property
    def unusable(self) -> int:
        """The number of rows whose images can't be used."""
        return sum(number for number, _ in self.kinds.values())

    @property
    def total(self) -> bool:
        """Whether all rows failed, of one or more."""
        return 0 < self.rows == self.number

    def lines(self) -> list[str]:
        """Return the lines for the terminal: none, or a summary and one for each kind."""
        return self._unusable_lines() + self._refused_lines()

    def _refused_lines(self) -> list[str]:
        if not self.refused:
            return []
        what = "refused as unlike the galaxies that the model was trained on"
        return [self._head(self.refused, what, f"{setting('outliers', True)} predicts them too")]

    def _head(self, number: int, what: str, remedy: str) -> str:
        share = number / self.rows
        mark = "error: " if self.total else "warning: " if share > MANY else ""
        return f"{mark}{number:,} of {self.rows:,} images ({share:.1%}) {what}; {remedy}"

    def _unusable_lines(self) -> list[str]:
        if not self.unusable:
            return []
        if self.unusable == self.rows:
            head = f"error: none of the {self.rows:,} images could be used; {AGAIN}"
        else:
            head = self._head(self.unusable, "couldn't be used", AGAIN)
        kinds = sorted(self.kinds.items(), key=lambda item: -item[1][0])
        lines = [
            f"  {number:,} like this: {first}" if number > 1 else f"  1: {first}"
            for _, (number, first) in kinds[:KINDS_SHOWN]
        ]
        more = len(kinds) - KINDS_SHOWN
        return [head, *lines] + ([f"  and {more:,} more kinds"] if more > 0 else [])


def error_kind(error: str) -> str:
    """Return an error without the name, the numbers and the remedy of its file."""
    # The name comes first, and may contain a colon that no space follows.
    _, _, fault = error.partition(": ")
    words = re.split(r"[;(:]", fault or error)[0].strip()
    return re.sub(r"\d[\d.,x]*", "…", words)


def statuses_and_errors(path: Path) -> list[tuple[str, str | None]]:
    """Return the status and the error of each row in a partition's file, None where there is none.

    Raises:
        BadInput: the file is damaged.
    """
    from pyarrow import parquet

    try:
        table = parquet.read_table(path, columns=[STATUS, ERROR])
        return list(zip(table[STATUS].to_pylist(), table[ERROR].to_pylist(), strict=True))
    except (OSError, ValueError, KeyError) as error:
        # Arrow's own errors are of these types.
        why = str(error).splitlines()[0]
        raise BadInput(f"{path}: damaged ({why})", "delete it and repeat the command") from error


def failures_in(paths: Iterable[Path], rows: int) -> Failures:
    """Return the failures in the files of so many rows."""
    failures = Failures(rows)
    for path in sorted(paths):
        for status, error in statuses_and_errors(path):
            if status == UNFAMILIAR:
                failures.refused += 1
            elif error is not None:
                failures.add([error])
    return failures
