"""Suggestions for a name that is mistyped: of a column, an option, a command, an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher, get_close_matches

# Of a list in a message, how many names.
MOST_NAMES = 6
# What a name is like, by difflib's ratio, or by one mistyped letter in so many.
LEAST_RATIO, LETTERS_A_SLIP = 0.75, 4
# With fewer letters a name with one mistyped is like too many others, or begins too many.
LEAST_LETTERS, LEAST_START = 3, 4


def near_names(wanted: str, names: Sequence[str], most: int = 3) -> list[str]:
    """Return the names that one is mistyped for, the nearest first.

    Letters count alone, without capitals, and a figure that is wrong as much as a letter. Of names
    as near the first is the one that comes first.

    Args:
        wanted: what was typed.
        names: that there are, in the order of preference.
        most: how many are returned.
    """
    plain = {_plain(name): name for name in reversed(names) if name}
    typed = _plain(wanted)
    slips = max(len(typed) / LETTERS_A_SLIP, len(typed) >= LEAST_LETTERS)
    alike = set(get_close_matches(typed, plain, n=max(len(plain), 1), cutoff=LEAST_RATIO))
    near = [other for other in plain if other in alike or abs(len(other) - len(typed)) <= slips]
    distances = {other: _distance(typed, other) for other in near}
    near = [other for other in near if other in alike or distances[other] <= slips]
    if len(typed) >= LEAST_START and all(distances[other] > 1 for other in near):
        starts = {other: len(other) for other in plain if other.startswith(typed)}
        near, distances = (list(starts), starts) if starts else (near, distances)
    # Built from the last to the first.
    near.reverse()
    return [plain[other] for other in sorted(near, key=distances.__getitem__)[:most]]


def similarity(one: str, other: str) -> float:
    """Return how alike two names are, 0 to 1."""
    return SequenceMatcher(None, _plain(one), _plain(other)).ratio()


def did_you_mean(wanted: str, names: Sequence[str], there: str = "it has") -> str:
    """Return a remedy for a name that isn't there: those that it is like, or what there is.

    Args:
        wanted: what was typed.
        names: that there are.
        there: what comes before them.
    """
    if near := near_names(wanted, names):
        return f"did you mean {' or '.join(map(repr, near[:2]))}?"
    named = [name for name in names if name]
    return f"{there} {', '.join(named[:MOST_NAMES])}{'…' if len(named) > MOST_NAMES else ''}"


def use_one_of(wanted: object, names: Sequence[object], remedy: str = "") -> str:
    """Return a remedy for a value that isn't one of a few, with the one that it is like.

    Args:
        wanted: the value.
        names: the few.
        remedy: that names them, in place of the usual words.
    """
    words = [str(name) for name in names]
    near = near_names(str(wanted), words, most=1)
    remedy = remedy or f"use one of {', '.join(words)}"
    return f"{remedy}: did you mean {near[0]}?" if near else remedy


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())


def _distance(one: str, other: str) -> int:
    """Return how many letters are left out, added, exchanged or swapped with their neighbour.

    The optimal string alignment distance, after Damerau 1964, Commun. ACM 7, 171.
    """
    before: list[int] = []
    last, row = before, list(range(len(other) + 1))
    for at, letter in enumerate(one, 1):
        last, before, row = before, row, [at]
        for to, mate in enumerate(other, 1):
            best = min(before[to] + 1, row[to - 1] + 1, before[to - 1] + (letter != mate))
            swapped = at > 1 and to > 1 and letter == other[to - 2] and one[at - 2] == mate
            row.append(min(best, last[to - 2] + 1) if swapped else best)
    return row[-1]
