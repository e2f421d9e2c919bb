"""Vote schemas as JSON: a decision tree, and the columns of a vote catalogue.

Every fault is told with its line, since users write such files too.
"""

from __future__ import annotations

import json
import string
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from graphlib import CycleError
from pathlib import Path
from typing import Any

from galaxymorph.base import BadInput, did_you_mean
from galaxymorph.base.json_lines import Place, json_lines
from galaxymorph.zoo.tree import Answer, Question, Tree

# What a catalogue's columns can hold. All but the last are of a question's own volunteers;
# `cumulative` is of all volunteers, see `zoo.tree`.
KINDS = ("counts", "fraction", "weighted", "debiased", "cumulative")
KEYS = (
    *("name", "about", "source", "ids", "columns", "totals", "zeros_are_known", "questions"),
    "unites",
)
QUESTION_KEYS = ("name", "text", "asked_of_all", "answers")
ANSWER_KEYS = ("column", "text", "leads_to", "shared")
MEMBER_KEYS = ("schema", "suffix")


@dataclass(frozen=True)
class Schema:
    """A catalogue's tree and its columns.

    `columns` gives, for each of the `KINDS` that the catalogue may have, the preferred one first,
    the pattern of an answer's column, with `{answer}` for the answer's name in the tree. `totals`
    are the patterns of a question's number of votes, with `{question}`; `ids` the columns that can
    name a galaxy. `source` says where the tree is from, and what was checked.
    """

    about: str
    tree: Tree
    ids: Sequence[str]
    columns: Mapping[str, str]
    totals: Sequence[str] = ()
    source: str = ""

    def answer_columns(self, kind: str) -> list[str]:
        """Return the columns of one of the `KINDS`, in the order of the tree's answers."""
        return [self.columns[kind].format(answer=answer) for answer in self.tree.columns]

    def total_columns(self) -> dict[str, tuple[str, ...]]:
        """Return, by question, the names that the column of its number of votes may have."""
        return {
            question.name: tuple(total.format(question=question.name) for total in self.totals)
            for question in self.tree.questions
        }


class Misplaced(Exception):
    """A fault of a schema's file, and the place of the value that has it."""

    def __init__(self, words: str, *place: str | int):
        super().__init__(words)
        self.place: Place = place


def parse_schema(text: str, where: str, find: Callable[[str], Schema]) -> Schema:
    """Return the schema that a JSON text describes.

    Args:
        text: as in `zoo/vote_schemas`.
        where: the file, for messages.
        find: returns the schema of a name, for unions.

    Raises:
        BadInput: it is no JSON, a value is missing, unknown or of another type, two columns have
            one name, or answers lead nowhere or in a circle. The message has the line.
    """
    remedy = "correct the file"
    try:
        record = json.loads(text)
    except json.JSONDecodeError as error:
        raise BadInput(f"{where} line {error.lineno}: no JSON ({error.msg})", remedy) from error
    except RecursionError as error:
        raise BadInput(f"{where}: no JSON (nested too deep)", remedy) from error
    try:
        return _Reader(find).schema(record)
    except Misplaced as fault:
        lines, place = json_lines(text), fault.place
        while place and place not in lines:
            place = place[:-1]
        raise BadInput(f"{where} line {lines.get(place, 1)}: {fault}", remedy) from fault


@dataclass(frozen=True)
class _Reader:
    """Reads a schema's record; faults are `Misplaced`."""

    find: Callable[[str], Schema]

    def schema(self, record: object) -> Schema:
        values = _object(record, KEYS)
        schema = Schema(
            _value(values, "about", str, default=""),
            self.tree(values),
            _words(values, "ids"),
            _columns(values),
            _words(values, "totals", []),
            _value(values, "source", str, default=""),
        )
        _require_patterns(schema.totals, "question", "totals")
        if not schema.ids:
            raise Misplaced("ids is empty: name the columns that can name a galaxy", "ids")
        _refuse_doubled_columns(schema)
        return schema

    def tree(self, values: Mapping[str, Any]) -> Tree:
        name = _value(values, "name", str)
        zeros_are_known = _value(values, "zeros_are_known", bool, default=False)
        if "unites" in values:
            if "questions" in values:
                raise Misplaced("a schema has either questions or unites", "unites")
            questions = self.united(values)
        else:
            if "questions" not in values:
                raise Misplaced("there are no questions")
            items = _list(values, "questions")
            questions = [_question(item, ("questions", place)) for place, item in enumerate(items)]
        _refuse_doubled(questions)
        tree = Tree(name, tuple(questions), zeros_are_known)
        _require_walk(tree)
        return tree

    def united(self, values: Mapping[str, Any]) -> list[Question]:
        """Return the questions of the schemas that a union names, with their suffixes."""
        questions: list[Question] = []
        for place, item in enumerate(_list(values, "unites")):
            here = ("unites", place)
            member = _object(item, MEMBER_KEYS, *here)
            name = _value(member, "schema", str, *here)
            suffix = _value(member, "suffix", str, *here, default="")
            try:
                tree = self.find(name).tree
            except BadInput as error:
                raise Misplaced(str(error), *here, "schema") from error
            questions += [_with_suffix(question, suffix) for question in tree.questions]
        return questions


def _with_suffix(question: Question, suffix: str) -> Question:
    """Return a question of a union: `bar_yes` becomes `bar-cd_yes` with the suffix `-cd`."""

    def answer(old: Answer) -> Answer:
        column = f"{question.name}{suffix}{old.column.removeprefix(question.name)}"
        if not old.column.startswith(question.name):
            column = old.column + suffix
        leads_to = old.leads_to and old.leads_to + suffix
        return replace(old, column=column, leads_to=leads_to)

    name, answers = question.name + suffix, tuple(map(answer, question.answers))
    return replace(question, name=name, answers=answers)


def _question(item: object, place: Place) -> Question:
    record = _object(item, QUESTION_KEYS, *place)
    name = _value(record, "name", str, *place)
    answers = []
    items = _list(record, "answers", *place)
    if len(items) < 2:
        raise Misplaced(f"question {name!r} has fewer than two answers", *place, "answers")
    for at, each in enumerate(items):
        here = (*place, "answers", at)
        answer = _object(each, ANSWER_KEYS, *here)
        shared = answer.get("shared")
        several = [shared] if isinstance(shared, str) else shared or []
        if not isinstance(several, list) or not all(isinstance(one, str) for one in several):
            raise Misplaced(f"shared is {shared!r}, not a name or a list of names", *here, "shared")
        leads_to = _value(answer, "leads_to", str, *here, default="") or None
        column, text = (_value(answer, key, str, *here) for key in ("column", "text"))
        answers.append(Answer(column, text, leads_to, tuple(several)))
    asked_of_all = _value(record, "asked_of_all", bool, *place, default=False)
    return Question(name, _value(record, "text", str, *place), tuple(answers), asked_of_all)


def _columns(values: Mapping[str, Any]) -> dict[str, str]:
    columns = _value(values, "columns", dict)
    if not columns:
        raise Misplaced(
            f"columns is empty: give a pattern for one of {', '.join(KINDS)}", "columns"
        )
    for kind, pattern in columns.items():
        if kind not in KINDS:
            words = f"columns of kind {kind!r}, which is none of {', '.join(KINDS)}"
            raise Misplaced(words, "columns", kind)
        if not isinstance(pattern, str):
            raise Misplaced(f"the pattern of {kind} is {pattern!r}, not text", "columns", kind)
        _require_patterns([pattern], "answer", "columns", kind)
    return columns


def _require_patterns(patterns: Sequence[str], field: str, *place: str | int) -> None:
    """Raise Misplaced for a pattern that hasn't just one field."""
    for pattern in patterns:
        try:
            fields = [name for _, name, _, _ in string.Formatter().parse(pattern) if name]
        except ValueError:
            fields = []
        if set(fields) != {field}:
            raise Misplaced(f"the pattern {pattern!r} has no {{{field}}} alone in it", *place)


def _refuse_doubled(questions: Sequence[Question]) -> None:
    """Raise Misplaced if two questions, or two answers' columns, have one name."""
    if not questions:
        raise Misplaced("there are no questions", "questions")
    names: set[str] = set()
    columns: dict[str, str] = {}
    for place, question in enumerate(questions):
        here = ("questions", place)
        if question.name in names:
            raise Misplaced(f"names of questions: {question.name!r} is there twice", *here, "name")
        names.add(question.name)
        for at, answer in enumerate(question.answers):
            if other := columns.get(answer.column):
                words = f"column {answer.column!r} is doubled: it is an answer of {other!r} too"
                raise Misplaced(words, *here, "answers", at, "column")
            columns[answer.column] = question.name


def _refuse_doubled_columns(schema: Schema) -> None:
    """Raise Misplaced if a column of the table would have two meanings."""
    known: dict[str, str] = {}
    every = [(kind, name) for kind in schema.columns for name in schema.answer_columns(kind)]
    every += [("totals", name) for names in schema.total_columns().values() for name in names]
    every += [("ids", name) for name in schema.ids]
    for kind, name in every:
        if name in known:
            raise Misplaced(
                f"column {name!r} is doubled: it is of {known[name]} and of {kind}",
                *(("columns", kind) if kind in schema.columns else (kind,)),
            )
        known[name] = kind


def _require_walk(tree: Tree) -> None:
    """Raise Misplaced if an answer leads nowhere or in a circle, or nothing leads to a question."""
    names = [question.name for question in tree.questions]
    reached = {question.name for question in tree.questions if question.asked_of_all}
    for place, question in enumerate(tree.questions):
        for at, answer in enumerate(question.answers):
            if answer.leads_to is not None and answer.leads_to not in names:
                hint = did_you_mean(answer.leads_to, names, "questions are")
                raise Misplaced(
                    f"answer {answer.column!r} leads to {answer.leads_to!r}, and no question is "
                    f"called that; {hint}",
                    *("questions", place, "answers", at, "leads_to"),
                )
            if answer.leads_to is not None:
                reached.add(answer.leads_to)
    try:
        tree.walk  # noqa: B018, which orders the questions
    except CycleError as error:
        circle = [names[at] for at in error.args[1]]
        place = names.index(circle[0])
        leading = [answer.leads_to for answer in tree.questions[place].answers]
        at = leading.index(circle[1]) if circle[1] in leading else 0
        raise Misplaced(
            f"answers lead in a circle: {' → '.join(circle)}",
            *("questions", place, "answers", at, "leads_to"),
        ) from error
    for place, name in enumerate(names):
        if name not in reached:
            words = (
                f'nothing leads to question {name!r}: give it "asked_of_all": true, or an answer'
            )
            raise Misplaced(f"{words} that leads to it", "questions", place, "name")


def _object(value: object, keys: Sequence[str], *place: str | int) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Misplaced(f"{_shown(value)} is no object", *place)
    for key in value:
        if key not in keys:
            words = f"{key!r} is unknown; {did_you_mean(key, keys, 'keys are')}"
            raise Misplaced(words, *place, key)
    return value


def _value(
    record: Mapping[str, Any], key: str, kind: type, *place: str | int, default: Any = None
) -> Any:
    """Return a record's value of a type; without a default it has to be there."""
    value = record.get(key)
    if value is None:
        if default is None:
            raise Misplaced(f"no {key}", *place)
        return default
    if not isinstance(value, kind):
        words = {str: "text", bool: "true or false", dict: "an object", list: "a list"}[kind]
        raise Misplaced(f"{key} is {_shown(value)}, not {words}", *place, key)
    if isinstance(value, str) and not value.strip() and default is None:
        raise Misplaced(f"{key} is empty", *place, key)
    return value


def _list(record: Mapping[str, Any], key: str, *place: str | int) -> list[Any]:
    return _value(record, key, list, *place)


def _words(record: Mapping[str, Any], key: str, default: list[str] | None = None) -> list[str]:
    words = _value(record, key, list, default=default)
    if not all(isinstance(word, str) for word in words):
        raise Misplaced(f"{key} is {_shown(words)}, not a list of words", key)
    if len(set(words)) < len(words):
        raise Misplaced(f"{key}: {_shown(words)} has one twice", key)
    return words


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def schema_record(schema: Schema) -> dict[str, Any]:
    """Return a schema as `parse_schema` takes it, for JSON; a union as its questions."""
    questions = []
    for question in schema.tree.questions:
        answers = [
            {
                "column": answer.column,
                "text": answer.text,
                **({"leads_to": answer.leads_to} if answer.leads_to else {}),
                **({"shared": list(answer.shared)} if answer.shared else {}),
            }
            for answer in question.answers
        ]
        first = {"name": question.name, "text": question.text}
        asked = {"asked_of_all": True} if question.asked_of_all else {}
        questions.append({**first, **asked, "answers": answers})
    return {
        "name": schema.tree.name,
        "about": schema.about,
        **({"source": schema.source} if schema.source else {}),
        "ids": list(schema.ids),
        "columns": dict(schema.columns),
        "totals": list(schema.totals),
        "zeros_are_known": schema.tree.zeros_are_known,
        "questions": questions,
    }


def schema_text(schema: Schema, indent: int | None = None) -> str:
    """Return a schema as JSON text."""
    return json.dumps(schema_record(schema), ensure_ascii=False, indent=indent)


def read_text(path: str | Path) -> str:
    """Return the text of a schema's file.

    Raises:
        BadInput: there is no such file, or it is no text.
    """
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except FileNotFoundError as error:
        raise BadInput(f"{path}: no such file", "give the path of a schema's JSON file") from error
    except UnicodeDecodeError as error:
        raise BadInput(f"{path}: no UTF-8 text", "give a schema's JSON file") from error
    except OSError as error:
        raise BadInput(f"{path}: can't be read ({error.strerror})", "give another") from error
