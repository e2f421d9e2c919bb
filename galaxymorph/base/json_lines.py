"""Lines of a JSON text's values, for messages on files that users write."""

from __future__ import annotations

import json
import re

# A key of an object or a position in a list, for each level from the outermost.
Place = tuple["str | int", ...]

_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+')


def json_lines(text: str) -> dict[Place, int]:
    """Return the line, from 1, where each value of a valid JSON text begins.

    Of a value in an object it is the line of its key.
    """
    lines: dict[Place, int] = {}
    # The keys and positions of the open objects and lists; of an object, None before a key.
    place: list[str | int | None] = []
    line, end = 1, 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        line, end = line + text.count("\n", end, match.start()), match.start()
        if token in "}]":
            place.pop()
        elif token == ",":
            last = place[-1]
            place[-1] = last + 1 if isinstance(last, int) else None
        elif token == ":":
            continue
        elif place and place[-1] is None:
            place[-1] = json.loads(token)
            lines[_fixed(place)] = line
        else:
            lines.setdefault(_fixed(place), line)
            if token in "{[":
                place.append(None if token == "{" else 0)
    return lines


def _fixed(place: list[str | int | None]) -> Place:
    return tuple(level for level in place if level is not None)
