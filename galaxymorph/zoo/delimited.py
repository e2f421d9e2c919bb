"""Delimited text (CSV, TSV and the like), record by record, with the faults of rows.

Row numbers are those of a spreadsheet: every record counts, the header, comments and empty lines
too, and a line break inside quotes starts no new one.
"""

from __future__ import annotations

import codecs
import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import BinaryIO

from galaxymorph.base import Damaged

# Tried in this order; the one that cuts the header into most columns is taken.
SEPARATORS = ",;\t|"
# Those of languages that write 0,5; there the comma can't separate columns.
DECIMAL_COMMA = ";\t"
# Rows in a piece.
PIECE = 1 << 14
# The largest share of control characters in the first bytes of a text, other than these; of random
# bytes they are 11 %.
CONTROLS, SPACES = 0.02, b"\t\n\v\f\r"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)

Records = Iterator[tuple[int, "list[str] | str"]]


@dataclass(frozen=True)
class Rows:
    """Some rows: their numbers, the cells of the columns read, and the faults of other rows.

    `faults` has unreadable rows by number; `blank` the numbers of empty lines.
    """

    numbers: list[int]
    cells: list[tuple[str, ...]]
    faults: dict[int, str]
    blank: list[int]


@dataclass(frozen=True)
class Delimited:
    """A text with a header: its encoding, its separator and its columns."""

    open: Callable[[], BinaryIO]
    encoding: str
    separator: str
    header: int
    columns: list[str]

    @property
    def decimal(self) -> str:
        """The character that may stand before decimals, besides the point."""
        return "," if self.separator in DECIMAL_COMMA else "."

    def rows(self, positions: Sequence[int]) -> Iterator[Rows]:
        """Yield the cells of some columns in pieces.

        Raises:
            Damaged: a quote is never closed, or a cell isn't text.
        """
        width, cut = len(self.columns), _cutter(positions)
        with _text(self.open, self.encoding) as lines:
            piece, empty, trailing, last_empty = Rows([], [], {}, []), [], {}, False
            for number, cells in _records(lines, self.separator):
                if number <= self.header:
                    continue
                if not cells or (len(cells) > 1 and not any(map(str.strip, cells))):
                    # Also a row of separators alone, as spreadsheets leave at a table's end.
                    empty.append(number)
                    continue
                piece.blank.extend(empty)
                empty.clear()
                if isinstance(cells, str):
                    piece.faults[number] = cells
                elif len(cells) > width and any(map(str.strip, cells[width:])):
                    piece.faults[number] = f"{len(cells)} fields, but the header has {width}"
                else:
                    if len(cells) > width:
                        trailing[number] = f"{len(cells)} fields, but the header has {width}"
                    else:
                        last_empty = last_empty or len(cells) < width or not cells[-1]
                    cells += [""] * (width - len(cells))
                    piece.numbers.append(number)
                    piece.cells.append(cut(cells))
                if len(piece.numbers) + len(piece.faults) >= PIECE:
                    yield self._sound(_without(piece, trailing if last_empty else {}), positions)
                    piece, trailing, last_empty = Rows([], [], {}, []), {}, False
            yield self._sound(_without(piece, trailing if last_empty else {}), positions)

    def _sound(self, piece: Rows, positions: Sequence[int]) -> Rows:
        """Return the piece if all of its cells are text; bytes that aren't came as surrogates."""
        for number, cells in zip(piece.numbers, piece.cells, strict=True):
            if all(map(str.isascii, cells)):
                continue
            for at, cell in zip(positions, cells, strict=True):
                if any("\ud800" <= letter <= "\udfff" for letter in cell):
                    name = self.columns[at]
                    raise Damaged(f"row {number}: {name} isn't UTF-8 text; save it as UTF-8")
        return piece


def _without(piece: Rows, trailing: dict[int, str]) -> Rows:
    """Return the piece, rows that may be shifted being faults.

    A row with an empty field too many has a comma at its end, or one within a text and nothing in
    its last column. The latter can be only where that column is empty in others too.
    """
    if not trailing or len(trailing) == len(piece.numbers):
        return piece
    numbers = [number for number in piece.numbers if number not in trailing]
    cells = [
        row
        for number, row in zip(piece.numbers, piece.cells, strict=True)
        if number not in trailing
    ]
    return Rows(numbers, cells, piece.faults | trailing, piece.blank)


def open_delimited(source: Callable[[], BinaryIO]) -> Delimited:
    """Return a text with its encoding, separator and header.

    The header is the first line that is neither empty nor a comment; the last comment itself, as
    astropy and TOPCAT write it, where numbers follow under as many names.

    Args:
        source: opens the bytes anew.

    Raises:
        Damaged: there is no header, or the data isn't text.
    """
    with source() as stream:
        encoding = _encoding(stream.read(4096))
    best: tuple[int, int, str, list[str]] | None = None
    for separator in SEPARATORS:
        with _text(source, encoding) as lines:
            header = _header(_records(lines, separator))
        if header and (best is None or len(header[1]) > best[0]):
            best = len(header[1]), header[0], separator, header[1]
    if best is None:
        raise Damaged("No columns to parse: the file is empty, or its first row is no header")
    _, number, separator, columns = best
    while columns and not columns[-1].strip():
        # The header has commas at its end, and rows may have as many.
        columns = columns[:-1]
    return Delimited(source, encoding, separator, number, [name.strip() for name in columns])


def _encoding(head: bytes) -> str:
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    # Every second byte of plain words in UTF-16 is zero.
    if len(head) >= 4 and 0 in head:
        for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
            zeros = head[start::2]
            if zeros.count(0) > 0.7 * len(zeros) and 0 not in head[1 - start :: 2]:
                return encoding
        # A zero byte in one cell is a fault of that row.
        if sum(byte < ord(" ") and byte not in SPACES for byte in head) > CONTROLS * len(head):
            raise Damaged("binary data, no text")
    return "utf-8"


def _text(source: Callable[[], BinaryIO], encoding: str) -> io.TextIOWrapper:
    # Undecodable bytes of a column that nobody asks for are no reason to refuse a table.
    errors = "surrogateescape" if encoding.startswith("utf-8") else "strict"
    return io.TextIOWrapper(source(), encoding=encoding, errors=errors, newline="")


def _records(lines: io.TextIOWrapper, separator: str) -> Records:
    """Yield the number and the cells of every record, or its fault."""
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True, strict=True)
    number = 0
    while True:
        number, before = number + 1, reader.line_num
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            if reader.line_num > before + 1 or "end of data" in str(error):
                raise Damaged(f"a quote in row {number} is never closed") from error
            yield number, f"not separable into fields ({error})"
            continue
        yield number, cells


def _header(records: Records) -> tuple[int, list[str]] | None:
    comment: tuple[int, list[str]] | None = None
    try:
        for number, cells in records:
            if isinstance(cells, str):
                return None
            if not any(map(str.strip, cells)):
                continue
            if number == 1 and cells[0].strip().lower().startswith("sep="):
                # A spreadsheet's note of the separator.
                continue
            if cells[0].lstrip().startswith("#"):
                comment = number, [cells[0].lstrip("# \t"), *cells[1:]]
                continue
            if comment and _names(comment[1], cells):
                return comment
            return number, cells
    except (Damaged, UnicodeError):
        # Cut by another separator, a quote may well be closed.
        return None
    return comment if comment and len(comment[1]) > 1 else None


def _names(comment: Sequence[str], cells: Sequence[str]) -> bool:
    """Return whether a comment contains the names of the cells below it."""
    named = len(comment) == len(cells) > 1 and all(map(str.strip, comment))
    return named and any(map(_is_number, cells)) and not any(map(_is_number, comment))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _cutter(positions: Sequence[int]) -> Callable[[list[str]], tuple[str, ...]]:
    if len(positions) == 1:
        (only,) = positions
        return lambda cells: (cells[only],)
    return itemgetter(*positions)
