"""Events: statements on a galaxy's vote fractions, which class names and the like are.

A class name says that the fractions pass the scheme's cuts, without telling the fractions. Such an
event is trained on by the distance of the model's fractions from it, see `targets.partial`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from galaxymorph.base import BadInput, did_you_mean, setting, use_one_of
from galaxymorph.learn.sources.spec import TrainingSource
from galaxymorph.zoo.columns import EVENT, LARGEST
from galaxymorph.zoo.schemes import SCHEMES, Cuts, Scheme
from galaxymorph.zoo.tree import Tree

CONDITION = re.compile(r"\s*(.+?)\s*>=?\s*([0-9.]+)\s*")


@dataclass(frozen=True)
class Condition:
    """A value of the cumulative fractions that is at least a number.

    Args:
        value: from the fractions by answer, tensors of shape (n,), to the value, shape (n,).
        least: the number, over 0 and under 1.
    """

    value: Callable[[Any], Any]
    least: float


@dataclass(frozen=True)
class Event:
    """An event that all of some conditions hold; `name` identifies it."""

    name: str
    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Meaning:
    """What a class name says: that an event holds, or that it doesn't."""

    event: Event
    holds: bool = True


def source_meanings(source: TrainingSource, tree: Tree) -> dict[str, Meaning]:
    """Return the meaning of each class name of a source; none if it has no such column.

    Raises:
        BadInput: the scheme is unknown or of another tree, or `answers` isn't readable.
    """
    where = setting("also", source.path)
    if source.scheme is not None:
        scheme = SCHEMES.find(source.scheme, where)
        return {
            name: Meaning(_scheme_event(scheme, source.scheme, name, tree, where))
            for name in scheme.classes
        }
    return read_meanings(source.answers, tree, where) if source.answers is not None else {}


def read_meanings(text: str, tree: Tree, where: str) -> dict[str, Meaning]:
    """Return the meanings in a text such as `yes:Class1.2>0.5&Class4.1>0.5|no:!yes`.

    Each class name is followed by conditions on cumulative fractions, which all hold; or by the
    name of another class with an exclamation mark, whose conditions don't all hold.

    Raises:
        BadInput: the text isn't such, or names an answer that isn't in the tree.
    """
    meanings: dict[str, Meaning] = {}
    negations: dict[str, str] = {}
    for piece in text.split("|"):
        name, colon, words = (part.strip() for part in piece.partition(":"))
        if not (name and colon and words):
            raise BadInput(f"{where}: answers {piece!r} isn't NAME:ANSWER>0.5", "write it so")
        if name in meanings or name in negations:
            raise BadInput(f"{where}: answers has {name!r} twice", "give each class name once")
        if words.startswith("!"):
            negations[name] = words[1:].strip()
            continue
        meanings[name] = read_statement(words, tree, where)
    for name, other in negations.items():
        if other not in meanings:
            raise BadInput(f"{where}: answers {name}:!{other}", use_one_of(other, list(meanings)))
        meanings[name] = Meaning(meanings[other].event, holds=False)
    return meanings


def read_statement(text: str, tree: Tree, where: str) -> Meaning:
    """Return the meaning of conditions such as `Class1.2>0.5&Class4.1>0.5`, or with a ! before.

    Raises:
        BadInput: the text isn't such, or names an answer that isn't in the tree.
    """
    words, holds = text.strip().removeprefix("!"), not text.strip().startswith("!")
    conditions = [_read_condition(word, tree, where) for word in words.split("&")]
    return Meaning(_event_of_cuts(dict(conditions)), holds)


def source_events(sources: Iterable[TrainingSource], tree: Tree) -> list[Event]:
    """Return the distinct events of some sources, in order."""
    from galaxymorph.learn.sources.attributes import source_rules

    meanings = [
        meaning
        for source in sources
        for meaning in (
            *source_meanings(source, tree).values(),
            *(rule.meaning for rule in source_rules(source, tree)),
        )
    ]
    return list({meaning.event.name: meaning.event for meaning in meanings}.values())


def event_columns(sources: Sequence[TrainingSource], tree: Tree) -> list[str]:
    """Return the columns of labels that aren't votes, of the main catalogue's galaxies empty.

    Those of events are 1 where the event holds, 0 where it doesn't, and NaN where that is unknown;
    `LARGEST` is the position of the answer with the largest fraction, or NaN.
    """
    largest = [LARGEST] if any(source.largest is not None for source in sources) else []
    return [EVENT + event.name for event in source_events(sources, tree)] + largest


def _scheme_event(scheme: Scheme, scheme_name: str, name: str, tree: Tree, where: str) -> Event:
    if "Class1.1" not in tree.columns:
        raise BadInput(
            f"{where}: scheme {scheme_name} is a rule on the columns of Kaggle's challenge",
            "give the meaning of its classes with answers=NAME:ANSWER>0.5|… instead",
        )
    rule = scheme.classes[name]
    if isinstance(rule, Cuts):
        return _event_of_cuts(dict(rule.least))
    return Event(f"{scheme_name} {name}", (Condition(rule, scheme.keep),))


def _event_of_cuts(least: dict[str, float]) -> Event:
    words = " & ".join(f"{answer}>{cut:g}" for answer, cut in least.items())
    return Event(words, tuple(Condition(itemgetter(answer), cut) for answer, cut in least.items()))


def _read_condition(word: str, tree: Tree, where: str) -> tuple[str, float]:
    match = CONDITION.fullmatch(word)
    try:
        answer, least = (match[1], float(match[2])) if match else ("", 0.0)
    except ValueError:
        answer, least = "", 0.0
    if not answer or not 0 < least < 1:
        raise BadInput(
            f"{where}: condition {word.strip()!r} isn't ANSWER>0.5", "give a number between 0 and 1"
        )
    if answer not in tree.columns:
        raise BadInput(
            f"{where}: answer {answer!r} is unknown",
            did_you_mean(answer, tree.columns, "answers are"),
        )
    return answer, least
