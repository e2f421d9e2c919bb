"""Reading what volunteers said from a vote catalogue in any of the schemas.

Only the columns that are needed are read, so a table of hundreds of columns costs no more than
its votes do. Nothing is repaired: the first fault of a table is an error that names it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.zoo.schemas import KINDS, SCHEMAS, Schema, get_schema
from galaxymorph.zoo.tree import Tree, broken_sums, to_conditional, to_cumulative

# Releases round fractions to three decimals, and a question has seven answers at most.
ROUNDING = 0.01
# From here on not every whole number is a double.
EXACT = 2**53


@dataclass(frozen=True)
class Votes:
    """The votes of a catalogue, a row a galaxy in the table's order, a column an answer.

    Args:
        path: of the table.
        schema: that it follows.
        kind: of the columns that the fractions come from, one of `KINDS`.
        galaxy: the ids, text, shape (n,).
        counts: numbers of votes, shape (n, answers); None if the table has none.
        conditional: fractions of those asked, shape (n, answers), NaN where nobody was.
        cumulative: fractions of all volunteers, shape (n, answers).
    """

    path: Path
    schema: Schema
    kind: str
    galaxy: np.ndarray
    counts: np.ndarray | None
    conditional: np.ndarray
    cumulative: np.ndarray


def read_votes(
    path: str | Path,
    schema: str | None = None,
    kind: str | None = None,
    id_column: str | None = None,
) -> Votes:
    """Read a vote catalogue.

    Args:
        path: a CSV, gzipped or not, a Parquet or a FITS table.
        schema: one of `SCHEMAS`; by itself, the one whose columns the table has.
        kind: of the columns to take the fractions from, one of `KINDS`; by itself, the first that
            the table has. Debiased fractions of a question don't sum to 1 in the releases, so they
            are scaled to.
        id_column: that names the galaxies; by itself, one of the schema's.

    Raises:
        BadInput: the table can't be read, follows no schema or lacks a column; an id is empty or
            doubled; a count is no whole number of votes, a fraction is outside 0 to 1, a question
            is answered in part, or its answers don't sum to its total. Row numbers count the
            header as row 1, and no blank lines.
    """
    path = Path(path)
    table_format = _format(path)
    with _naming(path):
        spelling = table_format.columns(path)
    rule, kind = _find_schema(path, spelling.keys(), schema, kind)
    ids = _id_column(path, rule, spelling.keys(), id_column)
    has_counts = "counts" in rule.columns and spelling.keys() >= set(rule.answer_columns("counts"))
    totals = _totals(rule, spelling.keys()) if has_counts else {}
    wanted = [ids, *rule.answer_columns(kind), *totals.values()]
    wanted += rule.answer_columns("counts") if has_counts else []
    wanted = list(dict.fromkeys(wanted))
    with _naming(path):
        table = table_format.read(path, [spelling[name] for name in wanted], spelling[ids])
    table.columns = wanted
    if table.empty:
        raise BadInput(f"{path}: the table has no rows", "add a row a galaxy")
    # Bytes that are no text show only where they are asked for.
    with _naming(path):
        galaxy = _ids(path, table[ids])
        counts = _counts(path, rule, table, totals) if has_counts else None
        if kind == "counts":
            conditional = to_conditional(rule.tree, counts)
        else:
            conditional = _conditional(path, rule, kind, table)
    cumulative = to_cumulative(rule.tree, conditional)
    return Votes(path, rule, kind, galaxy, counts, conditional, cumulative)


class _Format(NamedTuple):
    """How to read one kind of file.

    `columns` gives what the file calls each column, by the name that we know it by; `read` the
    table of some of them, in order, the last argument being the one whose text counts.
    """

    columns: Callable[[Path], dict[str, str]]
    read: Callable[[Path, list[str], str], pd.DataFrame]


def _csv_columns(path: Path) -> dict[str, str]:
    from pyarrow import csv

    return _as_spelled(csv.open_csv(path, parse_options=_csv_options()).schema.names)


def _read_csv(path: Path, names: list[str], text: str) -> pd.DataFrame:
    from pyarrow import csv

    # pandas doesn't count a row's fields where only some columns are read, so a comma too many
    # would shift the votes without a word; pyarrow does.
    some = csv.ConvertOptions(include_columns=names, column_types={text: "string"})
    return csv.read_csv(path, parse_options=_csv_options(), convert_options=some).to_pandas()


def _csv_options():
    from pyarrow import csv

    return csv.ParseOptions(newlines_in_values=True)


def _parquet_columns(path: Path) -> dict[str, str]:
    import pyarrow.parquet

    return _as_spelled(pyarrow.parquet.read_schema(path).names)


def _as_spelled(names: Sequence[str]) -> dict[str, str]:
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"two columns are called {name!r}")
    return {name: name for name in names}


def _read_parquet(path: Path, names: list[str], text: str) -> pd.DataFrame:
    import pyarrow.parquet

    # Without the metadata, or pandas would make an index of what was one.
    return pyarrow.parquet.read_table(path, columns=names).to_pandas(ignore_metadata=True)[names]


def _fits_columns(path: Path) -> dict[str, str]:
    # By the FITS standard case makes no difference between the names of columns.
    known = {name.lower(): name for schema in SCHEMAS.values() for name in _known(schema)}
    return {known.get(name.lower(), name): name for name in _fits_table(path)[1]}


def _read_fits(path: Path, names: list[str], text: str) -> pd.DataFrame:
    from astropy.table import Table

    # Masking what is invalid would read every column.
    number, _ = _fits_table(path)
    table = Table.read(path, format="fits", hdu=number, memmap=True, mask_invalid=False)[names]
    table.convert_bytestring_to_unicode()
    return table.to_pandas()


def _fits_table(path: Path) -> tuple[int, list[str]]:
    """Return the position of a file's first table, and its columns."""
    try:
        from astropy.io import fits
    except ImportError:
        raise BadInput(
            f"{path}: reading FITS takes astropy", "pip install 'galaxymorph[fits]'"
        ) from None
    with fits.open(path, memmap=True) as units:
        for position, unit in enumerate(units):
            if isinstance(unit, fits.BinTableHDU | fits.TableHDU):
                return position, list(unit.columns.names)
    raise BadInput(f"{path}: no table in this FITS file", "give one with a table extension")


_FORMATS = {
    (".csv", ".csv.gz"): _Format(_csv_columns, _read_csv),
    (".parquet",): _Format(_parquet_columns, _read_parquet),
    (".fits", ".fit", ".fits.gz"): _Format(_fits_columns, _read_fits),
}


def _format(path: Path) -> _Format:
    if not path.is_file():
        raise BadInput(f"{path}: no such file", "give the path of a vote catalogue")
    for endings, table_format in _FORMATS.items():
        if path.name.lower().endswith(endings):
            return table_format
    known = ", ".join(ending for endings in _FORMATS for ending in endings)
    raise BadInput(f"{path}: not the name of a table", f"it takes {known}")


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever a reading library raises into a BadInput that names the file."""
    try:
        yield
    except BadInput:
        raise
    except Exception as error:
        lines = str(error).strip().splitlines() or ["unreadable"]
        raise BadInput(f"{path}: not a readable table ({lines[0]})", "mend the file") from None


def _known(schema: Schema) -> list[str]:
    """Return every column name that a schema speaks of."""
    answers = [name for kind in schema.columns for name in schema.answer_columns(kind)]
    totals = [name for names in schema.total_columns().values() for name in names]
    return [*schema.ids, *answers, *totals]


def _find_schema(
    path: Path, columns: Iterable[str], name: str | None, kind: str | None
) -> tuple[Schema, str]:
    """Return the schema that has all columns of one kind in the table, and the kind."""
    if kind is not None and kind not in KINDS:
        raise BadInput(f"kind {kind!r} is unknown", f"use one of {', '.join(KINDS)}")
    schemas = [get_schema(name)] if name else list(SCHEMAS.values())
    best: tuple[int, list[str], Schema, str] | None = None
    for schema in schemas:
        for candidate in [kind] if kind else KINDS:
            if candidate not in schema.columns:
                continue
            needed = schema.answer_columns(candidate)
            missing = [column for column in needed if column not in columns]
            if not missing:
                return schema, candidate
            found = len(needed) - len(missing)
            if best is None or found > best[0]:
                best = (found, missing, schema, candidate)
    if best is None:
        raise BadInput(f"{path}: schema {name} has no {kind} columns", "leave out one of the two")
    found, missing, schema, candidate = best
    if not found:
        wanted = f"the {kind or 'vote'} columns of {name or 'a known schema'}"
        raise BadInput(f"{path}: without {wanted}", f"the schemas are {', '.join(SCHEMAS)}")
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise BadInput(
        f"{path}: column {missing[0]!r} is missing{more}",
        f"schema {schema.tree.name} needs it for {candidate}",
    )


def _id_column(path: Path, schema: Schema, columns: Iterable[str], given: str | None) -> str:
    candidates = [given] if given else schema.ids
    for column in candidates:
        if column in columns:
            return column
    raise BadInput(
        f"{path}: column {' or '.join(map(repr, candidates))} is missing",
        "say which column names the galaxies",
    )


def _totals(schema: Schema, columns: Iterable[str]) -> dict[str, str]:
    """Return, by question, the column of its number of votes, where the table has one."""
    return {
        question: next(name for name in names if name in columns)
        for question, names in schema.total_columns().items()
        if not set(names).isdisjoint(columns)
    }


def _ids(path: Path, column: pd.Series) -> np.ndarray:
    name = column.name
    if pd.api.types.is_float_dtype(column):
        lossy = column.notna() & (column.abs().ge(EXACT) | column.mod(1).ne(0))
        _refuse(path, lossy.to_numpy(), lambda row: f"{name} is {column[row]}, no exact number")
        column = column.astype("Int64")
    decoded = column.map(lambda text: text.decode() if isinstance(text, bytes) else text)
    ids = decoded.astype("string").str.strip()
    empty = (ids.isna() | (ids == "")).to_numpy(bool)
    _refuse(path, empty, lambda row: f"{name} is empty")
    doubled = ids.duplicated().to_numpy(bool)
    _refuse(path, doubled, lambda row: f"doubled {name} {ids[row]}")
    return ids.to_numpy(object)


def _counts(path: Path, schema: Schema, table: pd.DataFrame, totals: dict[str, str]) -> np.ndarray:
    columns = schema.answer_columns("counts")
    counts = _numbers(path, table, columns)
    counts = _fill_unasked(path, schema.tree, counts, columns)
    wrong = ~((counts >= 0) & np.isfinite(counts) & (counts == np.round(counts)))
    _refuse_cell(path, wrong, counts, columns, "not a number of votes")
    for question, column in totals.items():
        at = [each.name for each in schema.tree.questions].index(question)
        total = np.nan_to_num(_numbers(path, table, [column])[:, 0])
        given = counts @ schema.tree.membership[at]
        _refuse(
            path,
            total != given,
            lambda row, c=column, t=total, g=given: (
                f"{c} is {t[row]:g}, but its answers have {g[row]:g} votes"
            ),
        )
    return counts


def _conditional(path: Path, schema: Schema, kind: str, table: pd.DataFrame) -> np.ndarray:
    tree, columns = schema.tree, schema.answer_columns(kind)
    fractions = _fill_unasked(path, tree, _numbers(path, table, columns), columns)
    wrong = ~((fractions >= 0) & (fractions <= 1))
    _refuse_cell(path, wrong, fractions, columns, "outside 0 to 1")
    if kind == "cumulative":
        _refuse_question(
            path,
            tree,
            broken_sums(tree, fractions),
            "don't sum to the share who reached it",
        )
    elif kind != "debiased":
        sums = fractions @ tree.membership.T
        _refuse_question(path, tree, (sums > 0) & (np.abs(sums - 1) > ROUNDING), "don't sum to 1")
    return to_conditional(tree, fractions)


def _numbers(path: Path, table: pd.DataFrame, columns: Sequence[str]) -> np.ndarray:
    values = np.empty((len(table), len(columns)))
    for at, column in enumerate(columns):
        given = table[column]
        # Truth values and dates count as numbers elsewhere; here they are somebody's slip.
        plain = pd.api.types.is_numeric_dtype(given) and not pd.api.types.is_bool_dtype(given)
        numbers = pd.to_numeric(given if plain else given.astype("string"), errors="coerce")
        lost = (numbers.isna() & given.notna()).to_numpy(bool)
        _refuse(path, lost, lambda row, c=column: f"{c} is {table[c].iloc[row]!r}, not a number")
        values[:, at] = numbers.to_numpy(float, na_value=np.nan)
    return values


def _fill_unasked(path: Path, tree: Tree, values: np.ndarray, columns: Sequence[str]) -> np.ndarray:
    """Return the values with 0 for the answers of a question that has none at all."""
    empty = np.isnan(values)
    unasked = (empty @ tree.membership.T == tree.membership.sum(axis=1)) @ tree.membership > 0
    _refuse_cell(path, empty & ~unasked, values, columns, "but other answers have a value")
    return np.where(empty, 0.0, values)


def _refuse(path: Path, wrong: np.ndarray, words: Callable[[int], str]) -> None:
    """Raise BadInput for the first wrong row, if there is one; `words` say what is wrong there."""
    if not wrong.any():
        return
    row = int(wrong.argmax())
    more = f" (and {int(wrong.sum()) - 1:,} more rows)" if wrong.sum() > 1 else ""
    # The header is row 1, in tables that have no such line too.
    raise BadInput(f"{path} row {row + 2}: {words(row)}{more}", "mend the table")


def _refuse_cell(
    path: Path, wrong: np.ndarray, values: np.ndarray, columns: Sequence[str], words: str
) -> None:
    def describe(row: int) -> str:
        at = int(wrong[row].argmax())
        return f"{columns[at]} is {values[row, at]:g}, {words}"

    _refuse(path, wrong.any(axis=1), describe)


def _refuse_question(path: Path, tree: Tree, wrong: np.ndarray, words: str) -> None:
    def describe(row: int) -> str:
        return f"the answers of question {tree.questions[int(wrong[row].argmax())].name} {words}"

    _refuse(path, wrong.any(axis=1), describe)
