"""A further source of labels as the user writes it: a path, and what its labels are.

Neither PyTorch nor pandas is imported here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from galaxymorph.base import BadInput, did_you_mean, setting
from galaxymorph.zoo.tree import Tree

# The kinds of fractions by the names that users give; see `zoo.schemas.KINDS`.
FRACTIONS = {
    "counts": "counts",
    "raw": "fraction",
    "weighted": "weighted",
    "debiased": "debiased",
    "cumulative": "cumulative",
}
# Of Kaggle's challenge, whose votes are of one kind.
ONLY_KIND = "cumulative"
KEY = re.compile(r"[a-z_]+=")


def fractions_setting(kind: str) -> str:
    """Return the setting `fractions` of a kind of vote fractions."""
    return next((name for name, each in FRACTIONS.items() if each == kind), "")


def votes_name(tree: Tree, fractions: str) -> str:
    """Return the name of a catalogue's votes, such as `galaxy-zoo-2-weighted`.

    Args:
        tree: of the catalogue's schema.
        fractions: their kind, one of `FRACTIONS`; empty if it isn't known.
    """
    return tree.name if fractions in ("", ONLY_KIND) else f"{tree.name}-{fractions}"


@dataclass(frozen=True)
class TrainingSource:
    """A catalogue whose galaxies train, and neither validate nor test.

    Its labels are votes, unless it has `labels`, `largest` or `attributes`.

    Args:
        path: of the catalogue.
        schema: of its votes; by default, that of the recipe.
        fractions: kind of vote fractions, one of `FRACTIONS`; by default, the schema's first that
            the table has.
        labels: column of class names.
        scheme: label scheme of these names.
        answers: in place of a scheme, the meaning of each name; see `events.read_meanings`.
        largest: column with the answer of the largest cumulative fraction.
        attributes: rules from columns of numbers to fractions; see `attributes.read_rules`.
        id: column of galaxy ids.
        weight: of each of its galaxies in the loss; one of the main catalogue has 1.
    """

    path: str
    schema: str | None = None
    fractions: str | None = None
    labels: str | None = None
    scheme: str | None = None
    answers: str | None = None
    largest: str | None = None
    attributes: str | None = None
    id: str | None = None
    weight: float = 1.0

    @property
    def has_votes(self) -> bool:
        """Whether its labels are votes."""
        return self.labels is self.largest is self.attributes is None

    def labels_in_words(self, schema: str) -> str:
        """Return what its labels are.

        Args:
            schema: of its votes, if it names none.
        """
        if self.has_votes:
            kinds = {None: "votes", "counts": "vote counts"}
            kind = kinds.get(self.fractions) or f"{self.fractions} vote fractions"
            return f"{kind} of the schema {self.schema or schema}"
        words = []
        if self.labels is not None:
            of = f"of the scheme {self.scheme}" if self.scheme else "that are statements on answers"
            words.append(f"classes {of} (column {self.labels})")
        if self.largest is not None:
            words.append(f"the answer with the largest fraction (column {self.largest})")
        if self.attributes is not None:
            words.append(f"attributes (rules {self.attributes})")
        return "; ".join(words)

    def __str__(self) -> str:
        """Return the source as `read_source` takes it."""
        settings = {each.name: getattr(self, each.name) for each in fields(self)[1:]}
        changed = {
            name: f"{value:g}" if isinstance(value, float) else value
            for name, value in settings.items()
            if value is not None and value != getattr(TrainingSource, name)
        }
        return ",".join([self.path, *(f"{name}={value}" for name, value in changed.items())])


KEYS = tuple(each.name for each in fields(TrainingSource))[1:]


def read_source(source: object) -> TrainingSource:
    """Return a source from `PATH[,key=value…]`, or from a mapping with the key `path`.

    Raises:
        BadInput: a key is unknown, a value can't be, or they don't go together.
    """
    if isinstance(source, TrainingSource):
        values = {each.name: getattr(source, each.name) for each in fields(source)}
    elif isinstance(source, Mapping):
        values = {str(key): value for key, value in source.items()}
    elif isinstance(source, str | Path):
        values = _split(str(source))
    else:
        raise BadInput(f"{setting('also')} {source!r} is no source", "give PATH[,key=value…]")
    path = values.pop("path", None)
    if not isinstance(path, str | Path) or not str(path):
        raise BadInput(f"{setting('also')} {source!r} has no path", "give PATH[,key=value…]")
    where = setting("also", path)
    for name, value in values.items():
        if name not in KEYS:
            raise BadInput(f"{where}: {name!r} is unknown", did_you_mean(name, KEYS, "keys are"))
        if name != "weight" and value is not None and not (isinstance(value, str) and value):
            raise BadInput(f"{where}: {name} is {value!r}", "give a word")
    values["weight"] = _weight(values.get("weight"), where)
    read = TrainingSource(str(path), **values)
    _require_sense(read, where)
    return read


def read_several(sources: object) -> list[TrainingSource]:
    """Return the sources of a setting, one or a list of them, see `read_source`."""
    several = as_several(sources)
    return [read_source(each) for each in (several if isinstance(several, tuple) else [sources])]


def as_several(value: object) -> object:
    """Return the value of a setting that may be given several times, a tuple if it can be one."""
    if value is None:
        return ()
    if isinstance(value, str | Path | Mapping | TrainingSource):
        return (value,)
    return tuple(value) if isinstance(value, list | tuple) else value


def _split(text: str) -> dict[str, object]:
    """Return the path and the settings of a text; commas before no key are part of a value."""
    pieces: list[str] = []
    for piece in text.split(","):
        if pieces and not KEY.match(piece):
            pieces[-1] += f",{piece}"
        else:
            pieces.append(piece)
    path, *settings = pieces
    names = [piece.partition("=")[0] for piece in settings]
    for name in names:
        if names.count(name) > 1:
            raise BadInput(f"{setting('also', path)}: {name} is given twice", "give it once")
    return {"path": path, **dict(piece.split("=", 1) for piece in settings)}


def _weight(value: object, where: str) -> float:
    try:
        weight = 1.0 if value is None else float(str(value))
    except ValueError:
        weight = math.nan
    if not 0 < weight <= 1000:
        raise BadInput(f"{where}: weight is {value!r}", "give a number over 0, up to 1000")
    return weight


def _require_sense(source: TrainingSource, where: str) -> None:
    if source.fractions is not None and source.fractions not in FRACTIONS:
        raise BadInput(
            f"{where}: fractions are {source.fractions!r}",
            did_you_mean(source.fractions, list(FRACTIONS), "kinds are"),
        )
    if source.labels is None:
        for name in ("scheme", "answers"):
            if getattr(source, name) is not None:
                raise BadInput(
                    f"{where}: {name} is of class names", "give their column, labels=COLUMN"
                )
    elif (source.scheme is None) == (source.answers is None):
        raise BadInput(
            f"{where}: what the class names in {source.labels!r} mean is "
            f"{'not given' if source.scheme is None else 'given twice'}",
            "give scheme=NAME, or answers=NAME:ANSWER>0.5|…",
        )
    if not source.has_votes:
        for name in ("schema", "fractions"):
            if getattr(source, name) is not None:
                raise BadInput(
                    f"{where}: {name} is of votes, and the source has other labels",
                    "leave out one of the two, or give the catalogue twice",
                )
