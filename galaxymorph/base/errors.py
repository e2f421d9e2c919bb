"""Errors of the input, in one line with a remedy."""

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

# Of a list in a message: it must fit on a screen.
MOST_LISTED = 8
# A command, which stays as it is, or an option in a message.
_OPTION = re.compile(
    r"`[^`]*`|python cli\.py .*|"
    r"(?<![^\s('\"])(?:-(?P<output>o)|--(?P<no>no-)?(?P<name>[a-z][a-z-]*))\b"
)
# Of the process, since threads don't inherit a context.
_on_command_line = False


@contextmanager
def command_line_words() -> Iterator[None]:
    """Let messages name options as the command line has them.

    They are written so, `--id-column`; outside this context they name the argument of Python's
    function, `id_column`.
    """
    global _on_command_line
    before, _on_command_line = _on_command_line, True
    try:
        yield
    finally:
        _on_command_line = before


def interface_words(text: str) -> str:
    """Return a message with its options as the present interface has them."""
    return text if _on_command_line else _OPTION.sub(_argument, text)


def _argument(option: re.Match[str]) -> str:
    if option["output"]:
        return "output"
    if not option["name"]:
        return option[0]
    return option["name"].replace("-", "_") + ("=False" if option["no"] else "")


class BadInput(Exception):
    """What a user gave can't be used: a file, a row or an option.

    The message is one line that names the thing at fault and, after a semicolon, what to do.
    The command line prints it without a traceback and exits with status 2. In Python, arguments
    take the place of the options in it, see `interface_words`.

    Example:
        >>> import galaxymorph as gm
        >>> try:
        ...     gm.open_run("nowhere")
        ... except gm.BadInput as error:
        ...     print(error)
        nowhere: no such run; give a folder in exports/
    """

    def __init__(self, fault: object, remedy: str = ""):
        super().__init__(one_line(f"{fault}; {remedy}" if remedy else str(fault)))

    def __str__(self) -> str:
        return interface_words(super().__str__())


class MissingFile(BadInput):
    """There is no such file, or no such member of an archive."""

    status = "missing"


def as_utf8(name: str) -> str:
    """Return a file's name with whatever isn't UTF-8 in it as escapes, so that a table takes it."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(text: str) -> str:
    """Return the text with line breaks and whatever else doesn't print as escapes."""
    # Names are from files and archives of any origin, and may contain control characters.
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, such as `1 galaxy` or `2,000 galaxies`."""
    if number == 1:
        return f"1 {noun}"
    regular = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
    return f"{number:,} {plural or regular}"


def listed(names: Iterable[object], most: int = MOST_LISTED) -> str:
    """Return names with commas, of many the first and how many more there are."""
    words = [str(name) for name in names]
    more = f" and {len(words) - most:,} more" if len(words) > most else ""
    return ", ".join(words[:most]) + more
