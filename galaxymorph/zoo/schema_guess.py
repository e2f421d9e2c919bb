"""A vote schema proposed from the columns of a table, and from its counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, listed, setting
from galaxymorph.zoo.checks import as_numbers
from galaxymorph.zoo.schema_files import Schema
from galaxymorph.zoo.schemas import SCHEMAS
from galaxymorph.zoo.tables import Table
from galaxymorph.zoo.tree import Answer, Question, Tree
from galaxymorph.zoo.votes import whole_schemas

# Endings of columns, the longest first, and the kind of an answer's values; totals have none.
ENDINGS = {
    "_total-votes": "",
    "_total_votes": "",
    "_total_count": "",
    "_total": "",
    "_weighted_fraction": "weighted",
    "_weighted": "weighted",
    "_fraction": "fraction",
    "_frac": "fraction",
    "_debiased": "debiased",
    "_count": "counts",
    "_counts": "counts",
    "_votes": "counts",
}
# Rows that are looked at, and the share of them in which a question's volunteers must be those of
# an answer: releases have counts that are rounded.
ROWS, AGREEMENT = 20_000, 0.9
# Answers of one question, and where its name ends in an answer's, the usual way first.
MOST_ANSWERS = 12
BOUNDARIES = (r"[_.]", r"[-_. ]", r"(?<=\d)(?=[A-Za-z]+\d+$)")
IDS = re.compile(r"(^|_)(id|id_str|objid|galaxyid|iauname|name)$|objid|^id", re.IGNORECASE)


@dataclass(frozen=True)
class SchemaGuess:
    """A proposed schema, and what to know of it, a line each.

    `known` is the name of the schema of the package or a plugin that has these columns, if any.
    """

    schema: Schema
    notes: list[str] = field(default_factory=list)
    known: str | None = None


@dataclass
class _Asked:
    """A question as its columns tell: answers by column, and values, shape (rows, answers)."""

    name: str
    answers: list[str]
    values: np.ndarray

    @property
    def totals(self) -> np.ndarray:
        return self.values.sum(axis=1)


def guess_schema(table: Table, name: str) -> SchemaGuess:
    """Propose a schema for a table of votes.

    Columns with a common beginning are one question's answers. Where there are counts, a question
    follows the answer whose volunteers it has, in nine rows of ten at least.

    Args:
        table: opened.
        name: of the schema.

    Raises:
        BadInput: no columns look like the answers of a question.
    """
    if known := whole_schemas(table):
        schema = known[0][0]
        words = (
            f"the columns are those of {schema.tree.name}: use "
            f"{setting('schema', schema.tree.name)}"
        )
        return SchemaGuess(schema, [words], schema.tree.name)
    kinds, values = _vote_columns(table)
    if not kinds:
        raise BadInput(
            f"{table.reference}: no columns that look like answers of questions",
            "answers of a question begin alike, such as bar_yes and bar_no, and have counts or "
            f"fractions; for class names use {setting('labels_column')}",
        )
    kind = "counts" if "counts" in kinds else next(iter(kinds))
    answers, patterns = kinds[kind][1], {each: found[0] for each, found in kinds.items()}
    same = {each: p for each, p in patterns.items() if set(kinds[each][1]) == set(answers)}
    asked = [
        _Asked(question, columns, np.stack([values[kind, column] for column in columns], axis=1))
        for question, columns in _questions(answers).items()
    ]
    ids = [column for column in table.columns if IDS.search(column)] or table.columns[:1]
    notes = [
        f"{counted(len(asked), 'question')} of {counted(len(answers), 'answer')}, by {kind}",
        "check texts, ids and paths before you use it",
    ]
    notes += _known_in_part(table, set(answers))
    leads, of_all, path_notes = _paths(asked) if kind == "counts" else _no_paths(asked, kind)
    tree = Tree(name, tuple(_question(each, leads, of_all) for each in asked))
    about = f"proposed from the columns of {table.reference.rpartition('/')[2]}"
    return SchemaGuess(Schema(about, tree, ids, same), notes + path_notes)


def _known_in_part(table: Table, answers: set[str]) -> list[str]:
    """Return a note on the known schema that has most of the answers, if it has half of them."""

    def shared(schema: Schema) -> int:
        return len(answers & set(schema.tree.columns))

    nearest = max(SCHEMAS.values(), key=shared)
    if 2 * shared(nearest) < len(answers):
        return []
    absent = [column for column in nearest.tree.columns if column not in answers]
    return [
        f"{counted(shared(nearest), 'answer')} of {len(answers)} are those of "
        f"{setting('schema', nearest.tree.name)}, of which the table lacks {listed(absent, 3)}; "
        f"its paths may be copied from the file (schema show {nearest.tree.name})"
    ]


def _vote_columns(
    table: Table,
) -> tuple[dict[str, tuple[str, list[str]]], dict[tuple[str, str], np.ndarray]]:
    """Return patterns and answers by kind, and the values by kind and answer, 0 where empty."""
    columns = [name for name in table.columns if name and not IDS.search(name)]
    pieces = [piece.frame for piece in _first_pieces(table, columns)]
    frame = pd.concat(pieces) if pieces else pd.DataFrame(columns=columns)
    found: dict[str, dict[str, list[str]]] = {}
    values: dict[tuple[str, str], np.ndarray] = {}
    for column in columns:
        numbers, wrong = as_numbers(frame[column], table.decimal)
        known = numbers[~np.isnan(numbers)]
        if wrong.any() or not len(known) or (known < 0).any():
            continue
        ending = next((each for each in ENDINGS if column.endswith(each)), None)
        kind = None if ending is None else ENDINGS[ending]
        if kind == "":
            continue
        if kind is None:
            whole = (known == np.round(known)).all()
            kind = "counts" if whole else "fraction" if (known <= 1).all() else None
        if kind is None or (kind != "counts" and (known > 1).any()):
            continue
        answer = column.removesuffix(ending or "")
        found.setdefault(kind, {}).setdefault("{answer}" + (ending or ""), []).append(answer)
        values[kind, answer] = np.nan_to_num(numbers)
    kinds = {}
    for kind, patterns in found.items():
        pattern, answers = max(patterns.items(), key=lambda each: len(each[1]))
        grouped = [name for names in _questions(answers).values() for name in names]
        if grouped:
            kinds[kind] = (pattern, grouped)
    return kinds, values


def _first_pieces(table: Table, columns: Sequence[str]) -> list:
    pieces, rows = [], 0
    for piece in table.pieces(columns):
        pieces.append(piece)
        rows += len(piece.frame)
        if rows >= ROWS:
            break
    return pieces


def _questions(answers: Sequence[str]) -> dict[str, list[str]]:
    """Return answers by question: the longest beginning that two or more share.

    Of codes without separators, such as t0a1, that is what precedes the last letters and digits.
    """
    for boundary in BOUNDARIES:
        if questions := _grouped(answers, boundary):
            return questions
    return {}


def _grouped(answers: Sequence[str], boundary: str) -> dict[str, list[str]]:
    ends = {answer: [at.start() for at in re.finditer(boundary, answer)] for answer in answers}
    starts = Counter(answer[:end] for answer in answers for end in ends[answer])
    questions: dict[str, list[str]] = {}
    for answer in answers:
        for end in reversed(ends[answer]):
            if 2 <= starts[answer[:end]] <= MOST_ANSWERS:
                questions.setdefault(answer[:end], []).append(answer)
                break
    return {name: columns for name, columns in questions.items() if len(columns) > 1}


def _paths(asked: Sequence[_Asked]) -> tuple[dict[str, str], set[str], list[str]]:
    """Return the question that each answer leads to, the questions asked of all, and notes."""
    first = max(asked, key=lambda each: each.totals.mean())
    after: dict[str, list[_Asked]] = {}
    following: list[tuple[str, _Asked]] = []
    of_all, unknown = {first.name}, []
    for question in asked:
        if question is first:
            continue
        share, parent = _parent(question, first, asked)
        if share < AGREEMENT:
            unknown.append(question.name)
            of_all.add(question.name)
        elif parent is None:
            of_all.add(question.name)
        elif parent.startswith("-"):
            following.append((parent[1:], question))
        else:
            after.setdefault(parent, []).append(question)
    leads: dict[str, str] = {}

    def connect(question: _Asked, then: str | None) -> None:
        for answer in question.answers:
            branch = after.get(answer, [])
            nexts = [*(each.name for each in branch), then][1:]
            if target := (branch[0].name if branch else then):
                leads[answer] = target
            for each, onward in zip(branch, nexts, strict=True):
                connect(each, onward)

    names = [question.name for _, question in following]
    connect(first, names[0] if names else None)
    for (ending, question), onward in zip(following, [*names, None][1:], strict=True):
        leads.pop(ending, None)
        connect(question, onward)
    notes = []
    if unknown:
        notes = [
            f"whom {listed(unknown, 4)} are asked isn't told by the counts: they are asked of all "
            "here, until you give the answers that lead to them"
        ]
    return leads, of_all, notes


def _parent(question: _Asked, first: _Asked, asked: Sequence[_Asked]) -> tuple[float, str | None]:
    """Return the share of rows that agree, and the answer before a question.

    It is None for a question of all, and an answer of the first with a minus for one of all others.
    """
    totals = question.totals
    candidates: list[tuple[float, str | None]] = [(_agreement(totals, first.totals), None)]
    for other in asked:
        if other is not question:
            candidates += [
                (_agreement(totals, other.values[:, at]), answer)
                for at, answer in enumerate(other.answers)
            ]
    candidates += [
        (_agreement(totals, first.totals - first.values[:, at]), f"-{answer}")
        for at, answer in enumerate(first.answers)
    ]
    return max(candidates, key=lambda each: each[0])


def _agreement(totals: np.ndarray, volunteers: np.ndarray) -> float:
    """Return the share of rows with equal numbers, among those where there is any."""
    some = (totals > 0) | (volunteers > 0)
    return float((totals == volunteers)[some].mean()) if some.any() else 0.0


def _no_paths(asked: Sequence[_Asked], kind: str) -> tuple[dict[str, str], set[str], list[str]]:
    words = (
        f"a table of {kind} values alone doesn't tell which question follows which answer: all are "
        'asked of all here, until you give "leads_to"'
    )
    return {}, {question.name for question in asked}, [words] if len(asked) > 1 else []


def _question(asked: _Asked, leads: dict[str, str], of_all: set[str]) -> Question:
    def words(text: str) -> str:
        return re.sub(r"[-_.]+", " ", text).strip() or text

    answers = tuple(
        Answer(column, words(column.removeprefix(asked.name)), leads.get(column))
        for column in asked.answers
    )
    question = Question(asked.name, words(asked.name), answers)
    return replace(question, asked_of_all=asked.name in of_all)
