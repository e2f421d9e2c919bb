"""Vote schemas: a decision tree, and the names of a vote catalogue's columns, from JSON files.

To add one, from a plugin or a script: `SCHEMAS.register(name, load_schema("my-tree.json"))`. The
order of the questions is the order of the columns; answers say which question follows, and a
question may be reached from several.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from graphlib import CycleError
from pathlib import Path
from typing import Any

from galaxymorph.base import Damaged, Registry, read_json, reading, require, require_key
from galaxymorph.base import require_words as words
from galaxymorph.zoo.tree import Answer, Question, Tree

# What a catalogue's columns can hold. All but the last are of a question's own volunteers;
# `cumulative` is of all volunteers, see `zoo.tree`.
KINDS = ("counts", "fraction", "weighted", "debiased", "cumulative")


@dataclass(frozen=True)
class Schema:
    """A catalogue's tree and its columns.

    `columns` gives, for each of the `KINDS` that the catalogue may have, the preferred one first,
    the pattern of an answer's column, with `{answer}` for the answer's name in the tree. `totals`
    are the patterns of a question's number of votes, with `{question}`; `ids` the columns that can
    name a galaxy.
    """

    about: str
    tree: Tree
    ids: Sequence[str]
    columns: Mapping[str, str]
    totals: Sequence[str] = ()

    def answer_columns(self, kind: str) -> list[str]:
        """Return the columns of one of the `KINDS`, in the order of the tree's answers."""
        return [self.columns[kind].format(answer=answer) for answer in self.tree.columns]

    def total_columns(self) -> dict[str, tuple[str, ...]]:
        """Return, by question, the names that the column of its number of votes may have."""
        return {
            question.name: tuple(total.format(question=question.name) for total in self.totals)
            for question in self.tree.questions
        }


SCHEMAS: Registry[Schema] = Registry("vote schema")


def load_schema(path: str | Path) -> Schema:
    """Return the vote schema in a JSON file, such as those in `zoo/vote_schemas`.

    Raises:
        BadInput: the file isn't there, is damaged, or its answers lead nowhere or in a circle.
    """
    remedy = "correct the file"
    record = read_json(path, remedy)
    with reading(path, remedy):
        columns = require_key(record, "columns", dict)
        for kind, pattern in columns.items():
            if kind not in KINDS:
                raise Damaged(f"columns of kind {kind!r}, which is none of {', '.join(KINDS)}")
            require(pattern, str, f"the pattern of {kind}")
        return Schema(
            require_key(record, "about", str),
            _read_tree(record),
            words(record.get("ids"), "ids"),
            columns,
            words(record.get("totals", []), "totals"),
        )


def _read_tree(record: Mapping[str, Any]) -> Tree:
    questions = [
        _read_question(require(question, dict, "question"))
        for question in require_key(record, "questions", list)
    ]
    zeros_are_known = require(record.get("zeros_are_known", False), bool, "zeros_are_known")
    tree = Tree(require_key(record, "name", str), tuple(questions), zeros_are_known)
    names = words([question.name for question in questions], "names of questions")
    words(tree.columns, "columns of answers")
    following = {answer.leads_to for question in questions for answer in question.answers}
    if unknown := sorted(name for name in following if name is not None and name not in names):
        raise Damaged(f"an answer leads to {unknown[0]!r}, and no question is called that")
    try:
        tree.walk  # noqa: B018, which orders the questions
    except CycleError as error:
        raise Damaged("answers lead in a circle") from error
    return tree


def _read_question(record: Mapping[str, Any]) -> Question:
    answers = []
    for item in require_key(record, "answers", list):
        answer = require(item, dict, "answer")
        for key in ("leads_to", "shared"):
            if answer.get(key) is not None:
                require(answer[key], str, key)
        column, text = require_key(answer, "column", str), require_key(answer, "text", str)
        answers.append(Answer(column, text, answer.get("leads_to"), answer.get("shared")))
    asked_of_all = require(record.get("asked_of_all", False), bool, "asked_of_all")
    return Question(
        require_key(record, "name", str),
        require_key(record, "text", str),
        tuple(answers),
        asked_of_all,
    )


for _path in sorted((Path(__file__).parent / "vote_schemas").glob("*.json")):
    SCHEMAS.register(_path.stem, load_schema(_path))
GALAXY_ZOO_CHALLENGE = SCHEMAS["galaxy-zoo-challenge"].tree
