"""Exports of Zooniverse: classifications, and the aggregations of panoptes_aggregation.

The classification export has a row a classification, with the answers as JSON
(https://help.zooniverse.org/next-steps/data-exports); an extraction has a row an answered task, a
reduction a row a subject and task with the numbers of votes
(https://aggregation-caesar.zooniverse.org). The subject export has the subjects' metadata.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from galaxymorph.base import BadInput, counted, did_you_mean, listed, say, setting
from galaxymorph.zoo.answer_map import AnswerMap, plain_slug
from galaxymorph.zoo.checks import as_numbers, as_text
from galaxymorph.zoo.tables import Table, open_table

CLASSIFICATIONS = (
    *("classification_id", "user_name", "workflow_id", "workflow_version", "created_at"),
    *("annotations", "subject_data", "subject_ids"),
)
EXTRACTIONS = ("classification_id", "user_name", "workflow_id", "task", "created_at", "subject_id")
REDUCTIONS = ("subject_id", "workflow_id", "task")
SUBJECTS = ("subject_id", "metadata")
# Who classified, in the order of preference; an anonymous name is a hash of the address.
NAMES = ("user_name", "user_id", "user_ip")
# Columns of extractions and reductions with an answer, and those that are none.
ANSWER = "data."
NO_ANSWERS = ("data.aggregation_version", "data.None")


@dataclass(frozen=True)
class Retirement:
    """When, as seconds since 1970, and why a subject was retired."""

    time: float
    reason: str


@dataclass
class Subject:
    """A subject's metadata, as text without the marks of hidden fields, and its retirement."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    retirement: Retirement | None = None


@dataclass
class Classification:
    """One volunteer's answers on one subject, as positions in the tree's columns."""

    volunteer: str
    subject: str
    time: float
    answers: frozenset[int]


@dataclass
class Export:
    """What an export has, of one workflow.

    `classifications` are by their id; `counts` are the votes of a reduction, by subject, shape
    (answers,), and None in an export of single classifications. `faults` are by row.
    """

    reference: str
    workflow: str = ""
    classifications: dict[str, Classification] = field(default_factory=dict)
    counts: dict[str, np.ndarray] | None = None
    subjects: dict[str, Subject] = field(default_factory=dict)
    faults: dict[int, str] = field(default_factory=dict)

    def require_sound(self) -> None:
        """Raise BadInput with the first fault and the number of all, if there are any."""
        if self.faults:
            row = min(self.faults)
            others = len(self.faults) - 1
            more = f" (and {counted(others, 'more row')})" if others else ""
            raise BadInput(
                f"{self.reference} row {row}: {self.faults[row]}{more}",
                f"download it again, or leave such rows out with {setting('skip_bad')}",
            )


class _Fault(Exception):
    """A row can't be used."""


def read_export(
    path: str | Path, answers: AnswerMap, workflow: str | None = None, versions: Sequence[str] = ()
) -> Export:
    """Return an export's classifications of one workflow, or its numbers of votes.

    Args:
        path: of a classification export, an extraction or a reduction, see `open_table`.
        answers: the workflow's answers in a schema.
        workflow: its id or its name; by default, the only one.
        versions: of the workflow, `28` or `28.30`; by default, all of them.

    Raises:
        BadInput: the file is no such table or lacks a column, has several workflows or none of
            that name, or has tasks or answers that the schema doesn't.
    """
    table = open_table(path)
    chosen = _Workflow(table, workflow, versions)
    if "annotations" in table or "subject_ids" in table:
        export = _read_classifications(table, answers, chosen)
    elif any(name.startswith(ANSWER) for name in table.columns):
        grouped = "classification_id" in table
        export = (_read_extractions if grouped else _read_reductions)(table, answers, chosen)
    else:
        _require_columns(table, CLASSIFICATIONS)
        raise AssertionError
    export.workflow = chosen.require_one()
    answers.require_matched(table.reference)
    return export


def read_subjects(path: str | Path, workflow: str) -> dict[str, Subject]:
    """Return the subjects of Zooniverse's subject export, by id.

    Args:
        path: of the export, which has a row a subject and workflow.
        workflow: the number of the one whose retirements are read.

    Raises:
        BadInput: it can't be read, lacks a column, or a row's metadata is no JSON.
    """
    table = open_table(path)
    _require_columns(table, SUBJECTS, "give a subject export of Zooniverse")
    optional = ("workflow_id", "retired_at", "retirement_reason")
    columns = [*SUBJECTS, *(name for name in optional if name in table)]
    subjects: dict[str, Subject] = {}
    faults: dict[int, str] = {}
    for row, cells in _rows(table, columns, faults):
        try:
            metadata = _metadata(_json(cells["metadata"], dict, "metadata"))
            subject = subjects.setdefault(cells["subject_id"], Subject(metadata))
            retired = cells.get("retired_at", "")
            if retired and cells.get("workflow_id", workflow) == workflow:
                reason = cells.get("retirement_reason", "")
                subject.retirement = Retirement(_time(retired), reason)
        except _Fault as fault:
            faults[row] = str(fault)
    Export(table.reference, faults=faults).require_sound()
    return subjects


class _Workflow:
    """The workflow and the versions that are read; counts all that there are."""

    def __init__(self, table: Table, workflow: str | None, versions: Sequence[str]):
        self.table, self.name, self.versions = table, workflow, tuple(versions)
        self.named: dict[str, str] = {}
        self.rows: Counter[str] = Counter()
        self.of_version: Counter[str] = Counter()
        if self.versions and "workflow_version" not in table:
            raise BadInput(
                f"{table.reference}: column 'workflow_version' is missing",
                f"leave out {setting('versions')}",
            )

    def columns(self) -> list[str]:
        """Return the columns that tell the workflow."""
        known = ("workflow_id", "workflow_name", "workflow_version")
        return [name for name in known if name in self.table]

    def has(self, cells: Mapping[str, str]) -> bool:
        """Count a row, and tell whether it is of the workflow and of one of the versions."""
        number, name = cells["workflow_id"], cells.get("workflow_name", "")
        self.named.setdefault(number, name)
        self.rows[number] += 1
        if self.name is not None and self.name.lower() not in (number.lower(), name.lower()):
            return False
        version = cells.get("workflow_version", "")
        self.of_version[version] += 1
        return not self.versions or bool({version, version.split(".")[0]} & set(self.versions))

    def require_one(self) -> str:
        """Return the number of the workflow that was read.

        Raises:
            BadInput: there are several or none, or no such version.
        """
        there = [
            f"{number} {self.named[number]!r} ({counted(rows, 'row')})"
            for number, rows in self.rows.most_common()
        ]
        reference = self.table.reference
        if not there:
            raise BadInput(f"{reference}: the table has no rows", "download the export again")
        if self.name is None and len(there) > 1:
            raise BadInput(
                f"{reference}: {len(there)} workflows, {listed(there)}",
                f"choose one with {setting('workflow')}",
            )
        if not self.of_version:
            raise BadInput(
                f"{reference}: no workflow is called {self.name!r}", f"it has {listed(there)}"
            )
        known = sorted(self.of_version)
        for version in self.versions:
            if not any(version in (name, name.split(".")[0]) for name in known):
                raise BadInput(
                    f"{reference}: no row is of version {version}", f"it has {listed(known)}"
                )
        majors = {version.split(".")[0] for version in known}
        if not self.versions and len(majors) > 1:
            counts = [f"{name} ({rows:,})" for name, rows in self.of_version.most_common()]
            say(f"{reference}: all versions count, {listed(counts)}; {setting('versions')} chooses")
        wanted = (self.name or next(iter(self.rows))).lower()
        numbers = [
            number
            for number, name in self.named.items()
            if wanted in (number.lower(), name.lower())
        ]
        if len(numbers) > 1:
            raise BadInput(
                f"{reference}: {len(numbers)} workflows are called {self.name!r}",
                f"give the number of one: {listed(numbers)}",
            )
        return numbers[0]


def _require_columns(
    table: Table,
    columns: Sequence[str],
    remedy: str = "give a classification export of Zooniverse, or a question extraction or "
    "reduction of panoptes_aggregation",
) -> None:
    missing = [name for name in columns if name not in table]
    if missing:
        others = [name for name in table.columns if name not in columns]
        more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
        raise BadInput(
            f"{table.reference}: column {missing[0]!r} is missing{more}",
            f"{remedy}: {did_you_mean(missing[0], others)}",
        )


def _rows(
    table: Table, columns: Sequence[str], faults: dict[int, str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield the number and the cells of every row, as text; add the unreadable ones to `faults`."""
    columns = list(dict.fromkeys(columns))
    for piece in table.pieces(columns):
        faults |= piece.faults
        texts = [as_text(piece.frame[name]).fillna("").astype(object) for name in columns]
        for row, *cells in zip(piece.frame.index, *texts, strict=True):
            yield int(row), dict(zip(columns, cells, strict=True))


def _read_classifications(table: Table, answers: AnswerMap, workflow: _Workflow) -> Export:
    _require_columns(table, CLASSIFICATIONS)
    export = Export(table.reference)
    names = [name for name in NAMES if name in table]
    parsed: dict[str, str] = {}
    for row, cells in _rows(table, [*CLASSIFICATIONS, *names, *workflow.columns()], export.faults):
        if not workflow.has(cells):
            continue
        try:
            subject = _subject_of(cells["subject_ids"])
            if parsed.get(subject) != cells["subject_data"]:
                export.subjects[subject] = _subject(cells["subject_data"], subject)
                parsed[subject] = cells["subject_data"]
            positions = _positions(_json(cells["annotations"], list, "annotations"), answers)
            _add(export, row, cells, subject, positions)
        except _Fault as fault:
            export.faults[row] = str(fault)
    return export


def _read_extractions(table: Table, answers: AnswerMap, workflow: _Workflow) -> Export:
    _require_columns(table, EXTRACTIONS)
    export = Export(table.reference)
    names = [name for name in NAMES if name in table]
    labels = _labels_of(table, answers)
    columns = [*EXTRACTIONS, *names, *workflow.columns()]
    for row, cells, votes in _voted(table, columns, export.faults):
        if not workflow.has(cells):
            continue
        task = cells["task"]
        given = [answers.position(task, labels.get(task, ""), plain_slug(name)) for name in votes]
        try:
            positions = frozenset(at for at in given if at is not None)
            _add(export, row, cells, cells["subject_id"], positions)
        except _Fault as fault:
            export.faults[row] = str(fault)
    return export


def _read_reductions(table: Table, answers: AnswerMap, workflow: _Workflow) -> Export:
    _require_columns(table, REDUCTIONS)
    export = Export(table.reference, counts={})
    assert export.counts is not None
    labels = _labels_of(table, answers)
    known: dict[tuple[str, str], int] = {}
    for row, cells, votes in _voted(table, [*REDUCTIONS, *workflow.columns()], export.faults):
        if not workflow.has(cells):
            continue
        subject, task = cells["subject_id"], cells["task"]
        if first := known.get((subject, task)):
            export.faults[row] = f"doubled subject {subject} with task {task}, first in row {first}"
            continue
        known[subject, task] = row
        counts = export.counts.setdefault(subject, np.zeros(len(answers.schema.tree.columns), int))
        for name, number in votes.items():
            at = answers.position(task, labels.get(task, ""), plain_slug(name))
            if number != round(number) or number < 0:
                export.faults[row] = f"{ANSWER}{name} is {number:g}, not a number of votes"
            elif at is not None:
                counts[at] += int(number)
    return export


def _voted(
    table: Table, columns: Sequence[str], faults: dict[int, str]
) -> Iterator[tuple[int, dict[str, str], dict[str, float]]]:
    """Yield a row's number, its cells, and the votes on each answer that has some."""
    columns = list(dict.fromkeys(columns))
    names = [name for name in table.columns if name.startswith(ANSWER) and name not in NO_ANSWERS]
    slugs = [name.removeprefix(ANSWER) for name in names]
    for piece in table.pieces([*columns, *names]):
        faults |= piece.faults
        texts = [as_text(piece.frame[name]).fillna("").astype(object) for name in columns]
        votes = np.zeros((len(piece.frame), len(names)))
        for at, name in enumerate(names):
            numbers, wrong = as_numbers(piece.frame[name], table.decimal)
            for row in piece.frame.index[wrong]:
                faults[int(row)] = f"{name} is {piece.frame.at[row, name]!r}, not a number"
            votes[:, at] = np.nan_to_num(numbers)
        for row, given, *cells in zip(piece.frame.index, votes, *texts, strict=True):
            if int(row) not in faults:
                chosen = {slugs[at]: float(given[at]) for at in np.flatnonzero(given)}
                yield int(row), dict(zip(columns, cells, strict=True)), chosen


def _labels_of(table: Table, answers: AnswerMap) -> dict[str, str]:
    """Return the text of each task's question, of those that their answers identify."""
    values: dict[str, set[str]] = {}
    for _, cells, votes in _voted(table, ["task"], {}):
        values.setdefault(cells["task"], set()).update(map(plain_slug, votes))
    labels = {task: answers.match_by_answers(task, names) for task, names in values.items()}
    shared = Counter(labels.values())
    return {task: label if shared[label] == 1 else "" for task, label in labels.items()}


def _add(
    export: Export, row: int, cells: Mapping[str, str], subject: str, positions: frozenset[int]
) -> None:
    """Add answers to the classification of a row; raise _Fault if that isn't complete."""
    if not subject:
        raise _Fault("subject_id is empty")
    name = next((cells[key] for key in NAMES if cells.get(key)), f"row {row}")
    number = cells["classification_id"] or f"row {row}"
    before = export.classifications.get(number)
    if before and (before.subject, before.volunteer) != (subject, name):
        raise _Fault(f"classification {number} is of another subject or volunteer in a row before")
    positions |= before.answers if before else frozenset()
    export.classifications[number] = Classification(
        name, subject, _time(cells["created_at"]), positions
    )


def _positions(annotations: Sequence[Any], answers: AnswerMap) -> frozenset[int]:
    """Return the positions of the answers to question tasks, the last ones of a repeated task."""
    given: dict[str, list[int | None]] = {}
    for task, label, values in _question_tasks(annotations):
        given[task or label] = [answers.position(task, label, value) for value in values]
    return frozenset(at for places in given.values() for at in places if at is not None)


def _question_tasks(annotations: Sequence[Any]) -> Iterator[tuple[str, str, list[str]]]:
    """Yield task, label and answers of question tasks, those in combined tasks too.

    Answers are text, or numbers where the workflow's text is unknown. Other tasks, such as
    drawings, have objects.
    """
    for annotation in annotations:
        if not isinstance(annotation, dict) or "value" not in annotation:
            raise _Fault(f"annotations holds {_short(annotation)}, no task with a value")
        value = annotation["value"]
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(item, dict) and "task" in item for item in values):
            yield from _question_tasks(values)
        elif not any(isinstance(item, (dict, list)) for item in values):
            label = str(annotation.get("task_label") or "")
            words = [_as_word(item) for item in values if item is not None and item != ""]
            yield str(annotation.get("task") or ""), label, words


def _subject_of(text: str) -> str:
    if not text.isdecimal():
        raise _Fault(f"subject_ids is {text!r}, not one number")
    return text


def _subject(text: str, number: str) -> Subject:
    """Return a subject's metadata and retirement from the JSON in a classification's row."""
    record = _json(text, dict, "subject_data").get(number)
    if not isinstance(record, dict):
        raise _Fault(f"subject_data has no subject {number}")
    retired = record.get("retired")
    retirement = None
    if isinstance(retired, dict) and retired.get("retired_at"):
        reason = retired.get("retirement_reason") or ""
        retirement = Retirement(_time(str(retired["retired_at"])), str(reason))
    return Subject(
        _metadata({key: value for key, value in record.items() if key != "retired"}), retirement
    )


def _metadata(record: Mapping[str, Any]) -> dict[str, str]:
    """Return metadata as text; the marks of hidden fields, #, // and !, are taken off the names."""
    return {
        key.lstrip("#/!").strip(): _as_word(value)
        for key, value in record.items()
        if value is not None and not isinstance(value, (dict, list))
    }


def _as_word(value: object) -> str:
    whole = isinstance(value, float) and value.is_integer() and abs(value) < 2**53
    return str(int(value) if whole else value).strip()  # type: ignore[call-overload]


def _json(text: str, kind: type[Any], name: str) -> Any:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        raise _Fault(f"{name} is no JSON ({error.msg}, character {error.pos + 1})") from error
    except RecursionError as error:
        raise _Fault(f"{name} is no JSON (nested too deep)") from error
    if not isinstance(value, kind):
        raise _Fault(f"{name} is {_short(value)}, no {kind.__name__}")
    return value


def _time(text: str) -> float:
    """Return seconds since 1970 of a time in UTC, such as 2018-02-20 10:44:42 UTC."""
    try:
        moment = datetime.fromisoformat(
            text.removesuffix("UTC").removesuffix("Z").strip().replace("T", " ")
        )
    except ValueError as error:
        raise _Fault(f"{text!r} is no time") from error
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=timezone.utc)
    return moment.timestamp()


def _short(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
