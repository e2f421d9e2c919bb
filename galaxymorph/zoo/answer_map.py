"""Which answer of a schema each answer of a Zooniverse workflow is.

Tasks and answers are matched by their text. A file says what the text can't.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import shorten
from typing import Any

from galaxymorph.base import (
    BadInput,
    Damaged,
    did_you_mean,
    listed,
    read_json,
    reading,
    require,
    setting,
)
from galaxymorph.zoo.schemas import Schema
from galaxymorph.zoo.tree import Answer, Question

MOST_LISTED = 12
# A picture or a link in Markdown, of which a link's words are kept, and a tag of HTML.
_PICTURE = re.compile(r"!\[[^\]]*\]\([^)]*\)|<[^>]*>")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")
# What panoptes_aggregation makes of a picture at the beginning of an answer.
_PICTURE_SLUG = re.compile(r"^.*\b(?:png|jpe?g|gif|svg|webp)(?:-|$)")
# Numbers at the beginning of columns of Galaxy Zoo 2: t01_smooth_or_features_a01_smooth.
_NUMBER = re.compile(r"^[ta]\d\d ")


def plain_label(text: str) -> str:
    """Return the words of a label: lower-case, without pictures, mark-up and punctuation."""
    text = _LINK.sub(r"\1", _PICTURE.sub(" ", text))
    text = text.lower().replace("'", "").replace("’", "")
    return " ".join(re.findall(r"[^\W_]+", text))


def plain_slug(text: str) -> str:
    """Return the words of an answer in a column of panoptes_aggregation, see `plain_label`."""
    return plain_label(_PICTURE_SLUG.sub("", text).replace("-", " "))


@dataclass(frozen=True)
class _Task:
    """What a file says of a task: its question, unless its text does, and its answers."""

    question: Question | None
    answers: Mapping[str, Answer | None] = field(default_factory=dict)


@dataclass
class AnswerMap:
    """The positions of a workflow's answers in a schema's tree.

    `tasks` holds what a file says, by task or by its label; None for tasks that are left out.
    `unmatched` holds the labels without a counterpart so far.
    """

    schema: Schema
    tasks: Mapping[str, _Task | None] = field(default_factory=dict)
    unmatched: dict[str, None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        tree = self.schema.tree
        self._places = {answer.column: at for at, answer in enumerate(a for _, a in tree.answers)}
        self._questions = _by_words(tree.questions, _question_words)
        self._answers = {
            question.name: _by_words(question.answers, lambda a, q=question: _answer_words(q, a))
            for question in tree.questions
        }
        self._known: dict[tuple[str, str, str], int | None] = {}

    def position(self, task: str, label: str, value: str) -> int | None:
        """Return an answer's position in the tree's columns, None if it is left out.

        Args:
            task: its name in the workflow, such as T0.
            label: the text of its question.
            value: the text of the answer.
        """
        key = (task, label, value)
        if key not in self._known:
            self._known[key] = self._find(task, label, value)
        return self._known[key]

    def _find(self, task: str, label: str, value: str) -> int | None:
        given = self._given(task, label)
        if given is None and self._is_given(task, label):
            return None
        question = given.question if given and given.question else None
        question = question or self._questions.get(plain_label(label))
        if question is None:
            self.unmatched[_task_words(task, label)] = None
            return None
        words = plain_label(value)
        answers = given.answers if given else {}
        if words in answers:
            answer = answers[words]
            return None if answer is None else self._places[answer.column]
        answer = self._answers[question.name].get(words)
        if answer is None:
            self.unmatched[f"{task or label} answer {value!r}"] = None
            return None
        return self._places[answer.column]

    def _given(self, task: str, label: str) -> _Task | None:
        return self.tasks.get(task, self.tasks.get(plain_label(label)))

    def _is_given(self, task: str, label: str) -> bool:
        return task in self.tasks or plain_label(label) in self.tasks

    def match_by_answers(self, task: str, values: Iterable[str]) -> str:
        """Return the text of the only question that has all of these answers, else "".

        Args:
            task: its name; what a file says of it comes first.
            values: the texts of answers.
        """
        words = {plain_label(value) for value in values}
        alike = [q for q in self.schema.tree.questions if words <= self._answers[q.name].keys()]
        return alike[0].text if len(alike) == 1 and words and task not in self.tasks else ""

    def require_matched(self, export: str) -> None:
        """Raise BadInput that lists the labels without a counterpart, if there are any."""
        if not self.unmatched:
            return
        names = sorted(self.unmatched, key=_natural)
        raise BadInput(
            f"{export}: nothing in schema {self.schema.tree.name} is called "
            f"{listed(names, MOST_LISTED)}",
            f"say what they are in a file, {setting('map')} FILE, and null for what is to be left "
            "out",
        )


def read_answer_map(path: Path | None, schema: Schema) -> AnswerMap:
    """Return the map of a workflow to a schema, with what a JSON file says of it.

    The file has a key for a task, its name or its text: null to leave it out, the name of its
    question, or an object with `question` and `answers`, a text each with the schema's answer, or
    null.

    Raises:
        BadInput: the file can't be read, or names a question or an answer that there isn't.
    """
    if path is None:
        return AnswerMap(schema)
    remedy = "correct the file"
    record = read_json(path, remedy)
    tasks: dict[str, _Task | None] = {}
    with reading(path, remedy):
        for key, value in record.items():
            entry = _read_task(key, value, schema, path)
            tasks[key] = tasks[plain_label(key)] = entry
    return AnswerMap(schema, tasks)


def _read_task(key: str, value: object, schema: Schema, path: Path) -> _Task | None:
    if value is None:
        return None
    if isinstance(value, str):
        return _Task(_find_question(value, schema, path, key))
    record = require(value, dict, key)
    if unknown := sorted(record.keys() - {"question", "answers"}):
        raise Damaged(f"{key} has {unknown[0]!r}; only question and answers are known")
    name = record.get("question")
    question = None
    if name is not None:
        question = _find_question(require(name, str, "question"), schema, path, key)
    else:
        question = _by_words(schema.tree.questions, _question_words).get(plain_label(key))
    answers = require(record.get("answers", {}), dict, "answers")
    if answers and question is None:
        raise Damaged(f"{key} has answers, but no question")
    return _Task(
        question,
        {
            plain_label(text): _find_answer(answer, question, path, f"{key}: {text!r}")
            for text, answer in answers.items()
            if question is not None
        },
    )


def _find_question(name: str, schema: Schema, path: Path, key: str) -> Question:
    for question in schema.tree.questions:
        if name in (question.name, question.text):
            return question
    names = [question.name for question in schema.tree.questions]
    raise BadInput(
        f"{path}: {key} is {name!r}, no question of schema {schema.tree.name}",
        did_you_mean(name, names),
    )


def _find_answer(name: Any, question: Question, path: Path, key: str) -> Answer | None:
    if name is None:
        return None
    for answer in question.answers:
        if name in (answer.column, answer.text):
            return answer
    columns = [answer.column for answer in question.answers]
    raise BadInput(
        f"{path}: {key} is {name!r}, no answer to {question.name}", did_you_mean(str(name), columns)
    )


def _task_words(task: str, label: str) -> str:
    return f"{task} {shorten(plain_label(label), 60)!r}".strip() if label else task


def _natural(name: str) -> list[tuple[int, str]]:
    """Return a key that sorts T2 before T10."""
    return [(int(part or 0), rest) for part, rest in re.findall(r"(\d*)(\D*)", name)]


def _question_words(question: Question) -> list[str]:
    name = plain_label(question.name)
    return [plain_label(question.text), name, _NUMBER.sub("", name)]


def _answer_words(question: Question, answer: Answer) -> list[str]:
    column = plain_label(answer.column)
    short = column.removeprefix(plain_label(question.name)).strip()
    return [plain_label(answer.text), column, _NUMBER.sub("", f"{short} ").strip()]


def _by_words(items: Iterable[Any], words_of: Any) -> dict[str, Any]:
    """Return the items by each of their words that no other item has."""
    owners: dict[str, list[Any]] = {}
    for item in items:
        for words in dict.fromkeys(words_of(item)):
            owners.setdefault(words, []).append(item)
    return {words: own[0] for words, own in owners.items() if words and len(own) == 1}
