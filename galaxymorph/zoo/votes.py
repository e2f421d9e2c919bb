"""Reading volunteers' votes from a vote catalogue in any of the schemas.

Only the columns needed are read. Nothing is repaired: a row is sound, has a fault, or is without
votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from galaxymorph.base import BadInput, listed, near_names, setting, similarity, use_one_of
from galaxymorph.zoo.checks import CheckedRows, read_checked
from galaxymorph.zoo.schemas import KINDS, SCHEMAS, Schema
from galaxymorph.zoo.tables import Table, open_table
from galaxymorph.zoo.tree import Tree, broken_sums, to_conditional, to_cumulative

# Releases round fractions to three decimals, and a question has seven answers at most.
ROUNDING = 0.01
# The words of a fault of a row.
OUTSIDE = "outside 0 to 1"


@dataclass(frozen=True)
class Votes:
    """The votes of a catalogue, a row a galaxy in the table's order, a column an answer.

    Args:
        rows: the rows' numbers, ids and faults.
        schema: that the table follows.
        kind: of the columns that the fractions come from, one of `KINDS`.
        unvoted: of which galaxies the first question has no vote, boolean, shape (n,).
        counts: numbers of votes, shape (n, answers); None if the table has none.
        conditional: fractions of those who reached the question, shape (n, answers), NaN where
            nobody did.
        cumulative: fractions of all volunteers, shape (n, answers); the table's own, if it has
            such.
    """

    rows: CheckedRows
    schema: Schema
    kind: str
    unvoted: np.ndarray
    counts: np.ndarray | None
    conditional: np.ndarray
    cumulative: np.ndarray

    @property
    def galaxy(self) -> np.ndarray:
        """The ids, text, shape (n,)."""
        return self.rows.ids.to_numpy(object)


def read_votes(
    path: str | Path,
    schema: str | None = None,
    kind: str | None = None,
    id_column: str | None = None,
) -> Votes:
    """Read a vote catalogue whose every row is sound.

    Args:
        path: of the table, see `open_table`.
        schema: one of `SCHEMAS`; by default, the one whose columns the table has.
        kind: of the columns to take the fractions from, one of `KINDS`; by default, the schema's
            first that the table has. Debiased fractions of a question don't sum to 1 in the
            releases, so they are scaled to.
        id_column: that names the galaxies; by default, one of the schema's.

    Raises:
        BadInput: the table can't be read, follows no schema or lacks a column; an id is empty or
            doubled, or its digits are lost; a count is no whole number of votes, a fraction is
            outside 0 to 1, a question is answered in part, or its answers don't sum to its total.
    """
    votes = gather_votes(open_table(path), schema, kind, id_column)
    read = votes.rows
    if read.words:
        row, words = next(iter(read.words.items()))
        if row in read.unread:
            raise BadInput(f"{path}: not a readable table (row {row}: {words})", "correct it")
        others = len(read.words) - 1
        more = f" (and {others:,} more row{'s' if others > 1 else ''})" if others else ""
        raise BadInput(f"{path} row {row}: {words}{more}", "correct the table")
    return votes


def gather_votes(
    table: Table,
    schema: str | Schema | None = None,
    kind: str | None = None,
    id_column: str | None = None,
) -> Votes:
    """Return the rows of a vote catalogue, with their faults.

    Args:
        table: opened.
        schema: see `read_votes`; or a schema itself.
        kind: see `read_votes`.
        id_column: see `read_votes`.

    Raises:
        BadInput: the table can't be read, follows no schema or lacks a column.
    """
    rule, kind = _find_schema(table, schema, kind)
    ids = id_column_of(table, rule, id_column)
    has_counts = "counts" in rule.columns and not _absent(table, rule.answer_columns("counts"))
    totals = _totals(rule, table) if has_counts else {}
    numbers = [*rule.answer_columns(kind), *totals.values()]
    numbers += rule.answer_columns("counts") if has_counts else []
    read = read_checked(table, ids, numbers=list(dict.fromkeys(numbers)))
    unvoted = _unvoted(read, rule, "counts" if has_counts else kind, kind)
    counts = _counts(read, rule, totals, unvoted) if has_counts else None
    votes = counts
    if votes is None or kind != "counts":
        votes = _fractions(read, rule, kind, unvoted)
    conditional = to_conditional(rule.tree, votes)
    cumulative = votes if kind == "cumulative" else to_cumulative(rule.tree, conditional)
    return Votes(read, rule, kind, unvoted & read.sound, counts, conditional, cumulative)


def id_column_of(table: Table, schema: Schema, given: str | None = None) -> str:
    """Return the column that names a table's galaxies; raise BadInput if there is none."""
    candidates = [given] if given else list(schema.ids)
    for column in candidates:
        if column in table:
            return column
    shown = " or ".join(map(repr, candidates[:3]))
    near = near_names(candidates[0], table.columns)
    raise BadInput(
        f"{table.reference}: column {shown} is missing",
        f"give the column of galaxy ids with {setting('id_column')}: "
        + (f"did you mean {near[0]!r}?" if near else _columns_of(table)),
    )


def _absent(table: Table, columns: Sequence[str]) -> list[str]:
    return [column for column in columns if column not in table]


def _find_schema(table: Table, given: str | Schema | None, kind: str | None) -> tuple[Schema, str]:
    """Return the schema that has all columns of one kind in the table, and the kind."""
    if kind is not None and kind not in KINDS:
        raise BadInput(f"kind {kind!r} is unknown", use_one_of(kind, KINDS))
    named = SCHEMAS.find(given, setting("schema")) if isinstance(given, str) else given
    name = named.tree.name if named else None
    candidates = _candidates([named] if named else list(SCHEMAS.values()), kind)
    if not candidates:
        raise BadInput(
            f"{table.reference}: schema {name} has no {kind} columns", "leave out one of the two"
        )
    if whole := whole_schemas(table, candidates):
        return whole[0]
    _refuse_other_schema(table, name)
    present = [
        len(columns) - len(_absent(table, columns))
        for columns in (schema.answer_columns(other) for schema, other in candidates)
    ]
    schema, nearest = candidates[int(np.argmax(present))]
    missing = _absent(table, schema.answer_columns(nearest))
    if not max(present):
        raise BadInput(
            f"{table.reference}: without the {kind or 'vote'} columns of "
            f"{name or 'a known schema'} ({missing[0]} and the others)",
            near_schema(table, name) or _name_the_labels(table, schema),
        )
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    raise BadInput(
        f"{table.reference}: column {missing[0]!r} is missing{more}",
        f"schema {schema.tree.name} needs it for {nearest}"
        + _missing_remedy(table, schema, nearest),
    )


def _candidates(schemas: Sequence[Schema], kind: str | None) -> list[tuple[Schema, str]]:
    """Return schemas with each kind of their columns, or with one kind alone."""
    return [
        (schema, other)
        for schema in schemas
        for other in schema.columns
        if kind is None or other == kind
    ]


def whole_schemas(
    table: Table, candidates: Sequence[tuple[Schema, str]] | None = None
) -> list[tuple[Schema, str]]:
    """Return the schemas and kinds whose every column a table has, the likeliest first.

    That is the one of most answers, as a union of campaigns has the columns of each; then one of
    whose ids the table has.

    Args:
        table: opened.
        candidates: by default all.
    """
    if candidates is None:
        candidates = _candidates(list(SCHEMAS.values()), None)
    whole = [
        (schema, kind)
        for schema, kind in candidates
        if not _absent(table, schema.answer_columns(kind))
    ]

    def order(each: tuple[Schema, str]) -> tuple[int, bool]:
        schema = each[0]
        return -len(schema.tree.columns), not any(name in table for name in schema.ids)

    return sorted(whole, key=order)


def _name_the_labels(table: Table, schema: Schema) -> str:
    """Return the remedy for a table without votes."""
    ids = (
        ""
        if any(name in table for name in schema.ids)
        else f", and that of ids with {setting('id_column')}"
    )
    return (
        f"name the column of class names with {setting('labels_column')}{ids}, or another "
        f"{setting('schema')} (`schema guess` proposes one): {_columns_of(table)}"
    )


def _columns_of(table: Table) -> str:
    return f"it has {listed(filter(None, table.columns), 6)}"


def _refuse_other_schema(table: Table, name: str | None) -> None:
    """Raise BadInput if the table has all the votes of another schema than the one named."""
    whole = [entry for entry in whole_schemas(table) if name not in (None, entry[0].tree.name)]
    if whole:
        other = whole[0][0].tree.name
        raise BadInput(
            f"{table.reference}: its columns are those of {other}",
            f"did you mean {setting('schema', other)}?",
        )


def near_schema(table: Table, name: str | None) -> str:
    """Return the schema that a table's columns resemble, as a question, or ""."""
    best = 0.0, ""
    for schema in SCHEMAS.values():
        known = schema.tree.name
        for kind in schema.columns:
            first = [answer.column for answer in schema.tree.questions[0].answers]
            wanted = [schema.columns[kind].format(answer=answer) for answer in first]
            near = [(near_names(column, table.columns) or [""])[0] for column in wanted]
            alike = sum(map(similarity, wanted, near)) / len(wanted)
            if all(near) and alike > best[0]:
                best = alike, _as_question(table, wanted, near, "" if known == name else known)
    return best[1]


def _as_question(table: Table, wanted: Sequence[str], near: Sequence[str], schema: str) -> str:
    """Return what to do with a table that has columns like those of a schema.

    Args:
        table: whose columns they are.
        wanted: the schema's columns of the first question.
        near: those of the table that resemble them; one may be another of `wanted`.
        schema: its name, empty if it was given.
    """
    option = f"{setting('schema', schema)}? " if schema else ""
    renamed = [pair for pair in zip(wanted, near, strict=True) if pair[1] not in wanted]
    if renamed:
        its = "Its columns are" if schema else "its columns:"
        return f"did you mean {option}{its} {renamed[0][0]}, here {renamed[0][1]}: rename them"
    absent = _absent(table, wanted)
    return f"did you mean {option}{f'The table lacks {listed(absent)}' if absent else ''}".strip()


def _missing_remedy(table: Table, schema: Schema, kind: str) -> str:
    """Return the remedy for a table with some of a schema's columns."""
    needed = schema.answer_columns(kind)
    missing = _absent(table, needed)
    others = [column for column in table.columns if column not in needed]
    if near := near_names(missing[0], others):
        return f"; did you mean {near[0]!r}? Rename it"
    named = dict(zip(schema.tree.columns, needed, strict=True))
    whole = [
        question.name
        for question in schema.tree.questions
        if not _absent(table, [named[answer.column] for answer in question.answers])
    ]
    if len(whole) > 2 or not whole:
        return f"; {_columns_of(table)}"
    return (
        f"; it has the votes of {' and '.join(whole)} alone: add the other questions', or fit "
        f"plain classes with {setting('labels_column')} and {setting('id_column')}"
    )


def _totals(schema: Schema, table: Table) -> dict[str, str]:
    """Return, by question, the column of its number of votes, where the table has one."""
    there = {
        question: [name for name in names if name in table]
        for question, names in schema.total_columns().items()
    }
    return {question: names[0] for question, names in there.items() if names}


def _unvoted(read: CheckedRows, schema: Schema, kind: str, fractions: str) -> np.ndarray:
    """Tell of which galaxies every vote of the first question is empty or zero.

    In a union of campaigns, that of every campaign. The challenge's fractions are of volunteers
    that there were, so there a zero is a fault.
    """
    if fractions == "cumulative":
        return np.zeros(len(read.rows), bool)
    first = np.flatnonzero(schema.tree.membership[schema.tree.roots].any(axis=0))
    names = schema.answer_columns(kind)
    votes = read.values([names[at] for at in first])
    return ((votes == 0) | np.isnan(votes)).all(axis=1)


def _counts(
    read: CheckedRows, schema: Schema, totals: dict[str, str], unvoted: np.ndarray
) -> np.ndarray:
    columns = schema.answer_columns("counts")
    counts = _fill_unasked(read, schema.tree, columns, ~unvoted)
    wrong = ~((counts >= 0) & np.isfinite(counts) & (counts == np.round(counts)))
    _fault_cell(read, wrong, counts, columns, "not a number of votes")
    counts = np.where(wrong, 0.0, counts)
    for question, column in totals.items():
        at = [entry.name for entry in schema.tree.questions].index(question)
        total = np.nan_to_num(read.values([column])[:, 0])
        given = counts @ schema.tree.membership[at]
        _fault_total(read, column, total, given)
    return counts


def _fault_total(read: CheckedRows, column: str, total: np.ndarray, given: np.ndarray) -> None:
    def describe(row: int) -> str:
        return f"{column} is {total[row]:g}, but its answers have {given[row]:g} votes"

    read.fault(total != given, describe)


def _fractions(read: CheckedRows, schema: Schema, kind: str, unvoted: np.ndarray) -> np.ndarray:
    """Return the fractions as the table has them, 0 where there is none or a fault."""
    tree, columns = schema.tree, schema.answer_columns(kind)
    if kind == "cumulative":
        # Zero is a value there, and an empty cell isn't zero.
        fractions = read.values(columns)
        empty = np.isnan(fractions)
        read.fault(
            empty.any(axis=1), lambda row: f"{columns[int(empty[row].argmax())]} is empty or NaN"
        )
    else:
        fractions = _fill_unasked(read, tree, columns, ~unvoted)
    wrong = ~((fractions >= 0) & (fractions <= 1))
    _require_no_percentages(read.reference, tree, fractions, columns)
    _fault_cell(read, wrong, fractions, columns, OUTSIDE)
    fractions = np.where(wrong, 0.0, fractions)
    if kind == "cumulative":
        _fault_question(
            read, tree, broken_sums(tree, fractions), "don't sum to the share who reached it"
        )
    elif kind != "debiased":
        sums = fractions @ tree.membership.T
        _fault_question(read, tree, (sums > 0) & (np.abs(sums - 1) > ROUNDING), "don't sum to 1")
    return fractions


def _require_no_percentages(
    reference: str, tree: Tree, fractions: np.ndarray, columns: Sequence[str]
) -> None:
    """Raise BadInput if in most rows the answers of a question that all are asked sum to 100."""
    # Any other value is a fault of its row, and infinity must not reach the sums.
    percentage = (fractions >= 0) & (fractions <= 100 * (1 + ROUNDING))
    sums = np.where(percentage, fractions, 0.0) @ tree.membership[tree.asked_of_all > 0].T
    rows = (np.abs(sums / 100 - 1) <= ROUNDING).any(axis=1)
    if 2 * rows.sum() > len(rows):
        raise BadInput(
            f"{reference}: {columns[0]} to {columns[-1]} have values up to "
            f"{fractions[percentage].max():.4g}; vote fractions are from 0 to 1",
            "divide percentages by 100",
        )


def _fill_unasked(
    read: CheckedRows, tree: Tree, columns: Sequence[str], voted: np.ndarray
) -> np.ndarray:
    """Return the values with 0 for the answers of a question that has none at all."""
    values = read.values(columns)
    empty = np.isnan(values)
    unasked = (empty @ tree.membership.T == tree.membership.sum(axis=1)) @ tree.membership > 0
    partly = empty & ~unasked & voted[:, None]
    _fault_cell(read, partly, values, columns, "but other answers have a value")
    return np.where(empty, 0.0, values)


def _fault_cell(
    read: CheckedRows, wrong: np.ndarray, values: np.ndarray, columns: Sequence[str], words: str
) -> None:
    def describe(row: int) -> str:
        at = int(wrong[row].argmax())
        return f"{columns[at]} is {values[row, at]:g}, {words}"

    read.fault(np.asarray(wrong.any(axis=1)), describe)


def _fault_question(read: CheckedRows, tree: Tree, wrong: np.ndarray, words: str) -> None:
    def describe(row: int) -> str:
        return f"the answers of question {tree.questions[int(wrong[row].argmax())].name} {words}"

    read.fault(np.asarray(wrong.any(axis=1)), describe)
