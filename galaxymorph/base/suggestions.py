"""Suggestions for a name that is mistyped: of a column, an option, a command, an architecture."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

# Of a list in a message, how many names.
MOST_NAMES = 6
# Of which all are named, where one of them is near.
MOST_CHOICES = 20
# difflib's ratio from which a name may be meant: two letters swapped in three.
LEAST_RATIO = 0.66
# How much less the ratio of a name as near as the nearest may be.
AS_NEAR = 0.1
# Letters that a name may be longer or shorter, as a share.
LENGTH_SHARE = 1 / 3
# With fewer letters a name begins too many others.
LEAST_START = 4


def near_names(wanted: str, names: Sequence[str], most: int = 3) -> list[str]:
    """Return the names that a mistyped one may mean: those that begin with it, then the nearest.

    Letters and digits count alone, without capitals.

    Args:
        wanted: the input.
        names: to choose from, in the order of preference.
        most: how many are returned.
    """
    plain: dict[str, str] = {}
    for name in filter(None, names):
        plain.setdefault(_plain(name), name)
    typed = _plain(wanted)
    longer = max(1, round(LENGTH_SHARE * len(typed)))
    starts = [other for other in plain if len(typed) >= LEAST_START and other.startswith(typed)]
    ratios = {
        other: SequenceMatcher(None, other, typed).ratio()
        for other in plain
        if abs(len(other) - len(typed)) <= longer
    }
    least = max([LEAST_RATIO, *(ratio - AS_NEAR for ratio in ratios.values())])
    close = [other for other, ratio in ratios.items() if ratio >= least]
    close.sort(key=lambda other: -ratios[other])
    near = dict.fromkeys([*sorted(starts, key=len), *close])
    return [plain[other] for other in near][:most]


def similarity(one: str, other: str) -> float:
    """Return how alike two names are, 0 to 1."""
    return SequenceMatcher(None, _plain(one), _plain(other)).ratio()


def did_you_mean(wanted: str, names: Sequence[str], there: str = "it has") -> str:
    """Return a remedy for an unknown name: those that may be meant, or the names that there are.

    Args:
        wanted: the input.
        names: to choose from.
        there: words before a list of them.
    """
    if near := near_names(wanted, names):
        return f"did you mean {' or '.join(map(repr, near[:2]))}?"
    named = [name for name in names if name]
    return f"{there} {', '.join(named[:MOST_NAMES])}{'…' if len(named) > MOST_NAMES else ''}"


def use_one_of(wanted: object, names: Sequence[object], remedy: str = "") -> str:
    """Return a remedy for a value that isn't one of a few, with the nearest of them.

    Args:
        wanted: the value.
        names: the few.
        remedy: that names them, in place of the default.
    """
    words = [str(name) for name in names]
    near = near_names(str(wanted), words, most=1)
    if near and not remedy and len(words) > MOST_CHOICES:
        return f"did you mean {near[0]}?"
    remedy = remedy or f"use one of {', '.join(words)}"
    return f"{remedy}: did you mean {near[0]}?" if near else remedy


def _plain(name: str) -> str:
    return "".join(letter for letter in name.lower() if letter.isalnum())
