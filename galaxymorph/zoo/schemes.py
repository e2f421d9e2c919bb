"""Label schemes: rules from vote fractions to classes.

To add one, here or in a plugin, call `SCHEMES.register`: a value per class, computed from the
columns, and the value from which a galaxy is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from galaxymorph.base import Registry

if TYPE_CHECKING:
    import pandas as pd

# What keeps the logarithm of a target finite, by the definition of `soft3`.
FLOOR = 1e-8

Rule = Callable[["pd.DataFrame"], "pd.Series"]


@dataclass(frozen=True)
class Scheme:
    """A rule from cumulative vote fractions to classes.

    A galaxy's class is the one of the largest value, unless a class in `precedence` reaches the
    value given there. The galaxy is kept where the deciding value is at least `keep`.
    """

    about: str
    classes: Mapping[str, Rule]
    keep: float
    precedence: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Cuts:
    """A rule that is 1 where every column is at least its cut, and 0 elsewhere."""

    least: Mapping[str, float]

    def __call__(self, votes: pd.DataFrame) -> pd.Series:
        return (votes[list(self.least)] >= list(self.least.values())).all(axis=1).astype(float)


def _cuts(**least: float) -> Rule:
    return Cuts({f"Class{name[1:].replace('_', '.')}": cut for name, cut in least.items()})


SCHEMES: Registry[Scheme] = Registry("label scheme")

SCHEMES.register(
    "layer1",
    Scheme(
        "GalaxyMorph's own: p_elliptical = 1.1, p_spiral = 1.2 x 2.1, p_irregular = 1.2 x 6.1. "
        "Its spirals are edge-on disks, see docs/labels.md",
        {
            "elliptical": lambda votes: votes["Class1.1"],
            "spiral": lambda votes: votes["Class1.2"] * votes["Class2.1"],
            "irregular": lambda votes: votes["Class1.2"] * votes["Class6.1"],
        },
        keep=0.7,
    ),
)

SCHEMES.register(
    "hubble",
    Scheme(
        "The astronomer's three classes: elliptical = 1.1, spiral = 4.1 + 2.1 (arms, or seen "
        "edge-on), irregular = 8.4 + 8.3 + 8.6 (irregular, disturbed, merger). Questions 6 and "
        "8 are asked of every galaxy, so the three overlap: irregular from 0.5 up takes "
        "precedence over the largest",
        {
            "elliptical": lambda votes: votes["Class1.1"],
            "spiral": lambda votes: votes["Class4.1"] + votes["Class2.1"],
            "irregular": lambda votes: votes["Class8.4"] + votes["Class8.3"] + votes["Class8.6"],
        },
        keep=0.7,
        precedence={"irregular": 0.5},
    ),
)

SCHEMES.register(
    "gz2-five",
    Scheme(
        "The five clean classes of Zhu et al. 2019 (Ap&SS 364, 55), cuts on the columns as they "
        "stand in the file",
        {
            "smooth_round": _cuts(c1_1=0.469, c7_1=0.50),
            "smooth_inbetween": _cuts(c1_1=0.469, c7_2=0.50),
            "smooth_cigar": _cuts(c1_1=0.469, c7_3=0.50),
            "edge_on": _cuts(c1_2=0.430, c2_1=0.602),
            "spiral": _cuts(c1_2=0.430, c2_2=0.715, c4_1=0.619),
        },
        keep=1.0,
    ),
)


def class_values(scheme: Scheme, votes: pd.DataFrame) -> pd.DataFrame:
    """Return the value of every class (columns, not normalised) for every galaxy (rows)."""
    import pandas as pd

    return pd.DataFrame({name: rule(votes) for name, rule in scheme.classes.items()})


def soft_targets(scheme: Scheme, votes: pd.DataFrame) -> pd.DataFrame:
    """Return every class's value plus `FLOOR` as shares that sum to 1, for every galaxy.

    With `layer1` these are the targets called `soft3`. A galaxy without any value, as most are
    under the cuts of `gz2-five`, has equal shares.

    Args:
        scheme: the rule.
        votes: cumulative vote fractions, a column an answer, a row a galaxy.
    """
    values = class_values(scheme, votes) + FLOOR
    return values.div(values.sum(axis=1), axis=0)


def assign_labels(scheme: Scheme, votes: pd.DataFrame) -> pd.DataFrame:
    """Label every galaxy.

    Args:
        scheme: the rule.
        votes: cumulative vote fractions, a column an answer, a row a galaxy.

    Returns:
        The rows of `votes`, with `label` (a class), `value` (the one that decided) and `kept`.
    """
    import pandas as pd

    values = class_values(scheme, votes)
    label = np.array(values.columns)[values.to_numpy().argmax(axis=1)].astype(object)
    for name, least in scheme.precedence.items():
        label[(values[name] >= least).to_numpy()] = name
    deciding = values.to_numpy()[np.arange(len(values)), values.columns.get_indexer(label)]
    return pd.DataFrame(
        {"label": label, "value": deciding, "kept": deciding >= scheme.keep}, index=votes.index
    )
