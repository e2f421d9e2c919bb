"""Settings in messages, by the names that their reader knows: options, arguments or keys."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import PurePath

# From a setting's name and value, None without one, to the words for it; None to the interface's.
Words = Callable[[str, object], str | None]
# Options that messages name by one letter.
LETTERS = {"output": "-o"}


def setting(name: str, value: object = None) -> str:
    """Return a setting as the present interface names it, for a message.

    On the command line `setting("bands")` is `--bands`, `setting("flux", "stored")` is `--flux
    stored` and `setting("flips", False)` is `--no-flips`; in Python they are `bands`,
    `flux='stored'` and `flips=False`.

    Args:
        name: as Python has it, with underscores.
        value: that it has or should have.
    """
    named = _words.get()
    return (named and named(name, value)) or _interface(name, value)


def as_argument(name: str, value: object = None) -> str:
    """Return a setting as an argument of Python's functions."""
    value = str(value) if isinstance(value, PurePath) else value
    return name if value is None else f"{name}={value!r}"


def as_option(name: str, value: object = None) -> str:
    """Return a setting as an option of the command line."""
    dashed = name.replace("_", "-")
    if value is False:
        return f"--no-{dashed}"
    option = LETTERS.get(name, f"--{dashed}")
    return option if value is None or value is True else f"{option} {value}"


# Of the process, since threads don't inherit a context; and of a block of code.
_interface = as_argument
_words: ContextVar[Words | None] = ContextVar("words", default=None)


@contextmanager
def command_line_words() -> Iterator[None]:
    """Let `setting` name options meanwhile, in all threads."""
    global _interface
    before, _interface = _interface, as_option
    try:
        yield
    finally:
        _interface = before


@contextmanager
def naming_settings(words: Words) -> Iterator[None]:
    """Let `setting` return these words in a block, such as the keys of the file that it reads."""
    token = _words.set(words)
    try:
        yield
    finally:
        _words.reset(token)
