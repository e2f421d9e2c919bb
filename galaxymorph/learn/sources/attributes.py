"""Statements on vote fractions that follow from numbers in a table, such as experts' attributes."""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from galaxymorph.base import BadInput, Registry, setting
from galaxymorph.learn.sources.events import Meaning, read_statement
from galaxymorph.learn.sources.spec import TrainingSource
from galaxymorph.zoo.tree import Tree

if TYPE_CHECKING:
    import pandas as pd

# Rules of published catalogues, as `read_rules` takes them.
ATTRIBUTES: Registry[str] = Registry("set of attributes")

SIGNS: dict[str, Callable[[pd.Series, float], pd.Series]] = {
    ">=": operator.ge,
    "<=": operator.le,
    ">": operator.gt,
    "<": operator.lt,
}
COMPARISON = re.compile(r"\s*([^<>=]+?)\s*(>=|<=|>|<)\s*(-?[0-9.]+)\s*")
FORM = "COLUMN>=0.5&…:ANSWER>0.5&…"


@dataclass(frozen=True)
class Comparison:
    """A column of a table that is at least, at most, over or under a number."""

    column: str
    sign: str
    number: float

    def holds(self, values: pd.Series) -> pd.Series:
        """Return where it holds, which it doesn't where there is no value."""
        return SIGNS[self.sign](values, self.number)


@dataclass(frozen=True)
class AttributeRule:
    """What is known of a galaxy's fractions where all of some comparisons hold."""

    comparisons: tuple[Comparison, ...]
    meaning: Meaning


def source_rules(source: TrainingSource, tree: Tree) -> list[AttributeRule]:
    """Return the rules of a source's attributes; none if it has no such.

    Raises:
        BadInput: they are neither a known set nor readable.
    """
    where = setting("also", source.path)
    if source.attributes is None:
        return []
    if set(source.attributes) & set(":<>"):
        return read_rules(source.attributes, tree, where)
    if "Class1.1" not in tree.columns:
        raise BadInput(
            f"{where}: attributes={source.attributes} are rules on the challenge's answers",
            f"write rules on those of {tree.name}: attributes={FORM}",
        )
    return read_rules(ATTRIBUTES.find(source.attributes, where), tree, where)


def read_rules(text: str, tree: Tree, where: str) -> list[AttributeRule]:
    """Return the rules in a text such as `bar>=0.5&tilt<=0.5:Class3.1>0.5|bar<=0:!Class3.1>0.5`.

    Rules are separated by vertical bars. Each has comparisons of columns, a colon, and what follows
    from them on the cumulative fractions, with an exclamation mark where that isn't so.

    Raises:
        BadInput: the text isn't such, or names an answer that isn't in the tree.
    """
    rules = []
    for piece in text.split("|"):
        conditions, colon, statement = piece.partition(":")
        if not colon or not statement.strip():
            raise BadInput(f"{where}: attributes {piece.strip()!r} isn't {FORM}", "write it so")
        comparisons = [_read_comparison(word, where) for word in conditions.split("&")]
        rules.append(AttributeRule(tuple(comparisons), read_statement(statement, tree, where)))
    return rules


def _read_comparison(word: str, where: str) -> Comparison:
    match = COMPARISON.fullmatch(word)
    try:
        number = float(match[3]) if match else None
    except ValueError:
        number = None
    if match is None or number is None:
        raise BadInput(
            f"{where}: attribute {word.strip()!r} isn't COLUMN>=0.5",
            "compare a column with a number by >=, <=, > or <",
        )
    return Comparison(match[1], match[2], number)


# EFIGI (Baillard et al. 2011, A&A 532, A74): the Hubble type T, -6 to 11, and attributes of 0 to 1
# in quarters with a confidence interval (_inf, _sup), -1 where unknown. Only what both catalogues
# define alike is used, and where the interval leaves no doubt.
ATTRIBUTES.register(
    "efigi",
    "|".join(
        [
            # Ellipticals, and spirals whose arms can be seen.
            "T<=-4&T_sup<=-4:Class1.1>0.5",
            "T>=2&T<=8&Arm_Strength_inf>=0.25&Inclination<=0.5:Class2.2>0.5&Class4.1>0.5",
            "Arm_Strength>=0&Arm_Strength_sup<=0.25&Arm_Strength<=0:!Class4.1>0.5",
            # The inclination of disks is that of an edge-on one at 1.
            "T>=0&T<=9&Inclination>=1:Class2.1>0.5",
            "Inclination>=0&Inclination_sup<=0.5:!Class2.1>0.5",
            # The bar's length in parts of the disk's size D25.
            "T>=0&T<=9&Bar_Length_inf>=0.25&Bar_Length>=0.5&Inclination<=0.5:Class3.1>0.4",
            "Bar_Length>=0&Bar_Length<=0&Bar_Length_sup<=0.25:!Class3.1>0.5",
            # The share of light in the bulge, and departures from symmetry.
            "T>=2&Bulge_to_Total>=0&Bulge_to_Total_sup<=0.25:!Class5.4>0.2",
            "Perturbation_inf>=0.75:Class6.1>0.5",
        ]
    ),
)
