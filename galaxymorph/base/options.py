"""Options that Python and the command line share: fields of a dataclass that say what they are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import field
from typing import Any


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
        about: the help: what it is, and which default None stands for.
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
