"""Options of Python and the command line: fields of a dataclass with their metadata."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from numbers import Integral, Real
from pathlib import Path
from typing import Any

from galaxymorph.base.errors import BadInput
from galaxymorph.base.suggestions import near_names, use_one_of


def option(
    about: str,
    default: Any = None,
    *,
    choices: Iterable[Any] = (),
    limits: tuple[float | None, float | None] = (None, None),
    metavar: str | None = None,
    flags: Sequence[str] = (),
    parse: Callable[[str], Any] | None = None,
    group: str = "",
) -> Any:
    """Return a dataclass field that a command has an option for, `--its-name`.

    Args:
        about: the help: its meaning, and that of the default None.
        default: of the field.
        choices: values that it can have; of a registry, its names when a command is run.
        limits: of a number, both included; open ones of a share between 0 and 1 are for `parse`.
        metavar: the value's name in the help.
        flags: in place of `--its-name`.
        parse: from the text of the command line to the value; raises BadInput.
        group: of the options in the help, if the command has groups.
    """
    metadata = {
        "about": about,
        "choices": choices,
        "limits": limits,
        "metavar": metavar,
        "flags": flags,
        "parse": parse,
        "group": group,
    }
    return field(default=default, metadata=metadata)


@dataclass(frozen=True)
class NamesIn:
    """The names in a registry, whose module is imported when they are read."""

    module: str
    registry: str

    def __iter__(self) -> Iterator[str]:
        return iter(getattr(importlib.import_module(self.module), self.registry))


def options_in(kind: type) -> list[Field[Any]]:
    """Return the options of a dataclass, then those of its bases, the nearest first."""
    order: dict[str, None] = {}
    for base in kind.__mro__:
        order |= dict.fromkeys(base.__dict__.get("__annotations__", {}))
    declared = {entry.name: entry for entry in fields(kind) if entry.metadata}
    return [declared[name] for name in order if name in declared]


def type_name(declared: Field[Any]) -> str:
    """Return the name of an option's type, `Path` of `Path | None`."""
    # It is text where annotations are postponed.
    kind = declared.type
    return (kind.__name__ if isinstance(kind, type) else str(kind)).split(" ")[0].rpartition(".")[2]


def is_multiple(declared: Field[Any]) -> bool:
    """Tell whether an option can be given several times: its type is a tuple, not of one text."""
    return type_name(declared).startswith("tuple") and not declared.metadata["parse"]


def read_options(kind: type, values: Mapping[str, Any], function: str) -> dict[str, Any]:
    """Return the value of each option of a dataclass, of those that aren't given the default.

    Args:
        kind: the dataclass.
        values: by name, as Python or the command line gives them.
        function: that takes them, for messages.

    Raises:
        BadInput: a value isn't one that the option can have.
        TypeError: there is no such option, as of any function of Python's.
    """
    declared = {entry.name: entry for entry in options_in(kind)}
    for name in values:
        if name not in declared:
            near = near_names(name, list(declared), most=1)
            remedy = f". Did you mean {near[0]!r}?" if near else ""
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}{remedy}")
    return {
        name: read_option(entry, values[name]) if name in values else entry.default
        for name, entry in declared.items()
    }


def read_option(declared: Field[Any], value: Any) -> Any:
    """Return an option's value with its type; None is the default.

    Raises:
        BadInput: it isn't one that the option can have.
    """
    if value is None:
        return declared.default
    if is_multiple(declared):
        values = [value] if isinstance(value, str) else value
        return tuple(_read_one(declared, item) for item in values)
    return _read_one(declared, value)


def _read_one(declared: Field[Any], value: Any) -> Any:
    about, name = declared.metadata, declared.name
    if parse := about["parse"]:
        listed = isinstance(value, Sequence) and not isinstance(value, str)
        text = ",".join(map(str, value)) if listed else str(value)
        return declared.default if text == "" else parse(text)
    if choices := list(about["choices"]):
        if value not in choices:
            raise BadInput(f"{name} {value!r} is unknown", use_one_of(value, choices))
        return value
    kind, (low, high) = type_name(declared), about["limits"]
    if kind == "Path":
        return Path(value) if isinstance(value, str | os.PathLike) else _refuse(name, value, "path")
    if kind == "int" and (not isinstance(value, Integral) or isinstance(value, bool)):
        _refuse(name, value, "whole number")
    if kind == "float" and (not isinstance(value, Real) or isinstance(value, bool)):
        _refuse(name, value, "number")
    if (low is not None and value < low) or (high is not None and value > high):
        raise BadInput(
            f"{name} {value!r} is out of range",
            f"give {low} or more" if high is None else f"give {low} to {high}",
        )
    return value


def _refuse(name: str, value: object, kind: str) -> Any:
    raise BadInput(f"{name} {value!r} is no {kind}", f"give a {kind}")
