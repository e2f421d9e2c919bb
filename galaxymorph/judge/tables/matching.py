"""Columns of predictions by the names of classes or answers that they contain."""

from __future__ import annotations

from collections.abc import Sequence

from galaxymorph.base import BadInput, listed, setting
from galaxymorph.zoo import PROBABILITY

# Before and behind the name, the preferred first: the names alone, those of this package, of
# Zoobot's files, and of the releases of Galaxy Zoo DECaLS and DESI.
PREFERRED = (("", ""), (PROBABILITY, ""), ("", "_pred"), ("", "_concentration"), ("", "_fraction"))
PLACE = "{}"


def match_columns(
    available: Sequence[str], names: Sequence[str], pattern: str | None = None
) -> dict[str, str] | None:
    """Return the column of each name, all with the same words about it; None if there are none.

    Args:
        available: columns of the table that may hold predictions.
        names: of the classes or answers.
        pattern: of the columns, with `{}` for the name; by default any that fits.

    Raises:
        BadInput: several patterns fit, and none is preferred.
    """
    patterns = _patterns(available, names) if pattern is None else [_split(pattern)]
    fitting = [
        (before, after)
        for before, after in patterns
        if {f"{before}{name}{after}" for name in names} <= set(available)
    ]
    if not fitting:
        return None
    chosen = next((pair for pair in PREFERRED if pair in fitting), fitting[0])
    if len(fitting) > 1 and chosen not in PREFERRED:
        shown = [f"{before}{PLACE}{after}" for before, after in fitting]
        raise BadInput(
            f"several columns for each class or answer: {listed(shown)}",
            f"choose with {setting('columns')} {shown[0]!r}",
        )
    return {name: f"{chosen[0]}{name}{chosen[1]}" for name in names}


def _split(pattern: str) -> tuple[str, str]:
    if pattern.count(PLACE) != 1:
        raise BadInput(
            f"{setting('columns')} {pattern!r}: {PLACE} stands for the class or answer, once",
            "write it as in 'p_{}'",
        )
    before, _, after = pattern.partition(PLACE)
    return before, after


def _patterns(available: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    """Return what stands before and behind the longest name in the columns that contain it."""
    longest = max(names, key=len)
    pairs: dict[tuple[str, str], None] = {}
    for column in available:
        at = column.find(longest)
        while at >= 0:
            pairs[column[:at], column[at + len(longest) :]] = None
            at = column.find(longest, at + 1)
    return list(pairs)
