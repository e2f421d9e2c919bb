"""Errors of the input, in one line with a remedy."""

from collections.abc import Iterable

# Of a list in a message: it must fit on a screen.
MOST_LISTED = 8


class BadInput(Exception):
    """What a user gave can't be used: a file, a row or an option.

    The message is one line that names the thing at fault and, after a semicolon, what to do.
    The command line prints it without a traceback and exits with status 2. Settings in it are named
    by `setting`.

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
