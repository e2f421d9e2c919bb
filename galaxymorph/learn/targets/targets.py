"""What a model learns of a galaxy: its class, shares of classes, or every answer of the tree.

To add a target, add an entry to `TARGETS`. Nothing here imports PyTorch or pandas, so that a
command line can list the targets at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from galaxymorph.zoo.columns import PROBABILITY
from galaxymorph.zoo.tree import GALAXY_ZOO_CHALLENGE, Tree

if TYPE_CHECKING:
    import pandas as pd

    from galaxymorph.zoo import Catalogue

    Labels = tuple[pd.DataFrame, list[str]]


@dataclass(frozen=True)
class Target:
    """An entry of the registry.

    Args:
        about: in words.
        label: from a catalogue and a scheme's name to the galaxies, each with a `label`, by which
            the split is stratified, and to the classes; see `zoo.labels`.
        losses: the names of those that it can be learnt by, the default first.
        metrics: the families of scores that judge it, the first of them before the others.
        monitor: the column of `history.csv` that tells epochs apart.
        scores: every score in that file, losses aside, and its words.
        rises: whether more of `monitor` is better.
        prefix: of the columns of predictions; the output's name follows.
        chooses: whether the largest output says which class a galaxy has.
        soft: whether each galaxy's target is a vector rather than its `label`.
        tree: the decision tree whose answers are the outputs; by itself the classes are.
    """

    about: str
    label: Callable[[Catalogue, str], Labels]
    losses: tuple[str, ...]
    metrics: tuple[str, ...]
    monitor: str
    scores: Mapping[str, str]
    rises: bool = True
    prefix: str = PROBABILITY
    chooses: bool = True
    soft: bool = True
    tree: Tree | None = None


def _classes(catalogue: Catalogue, scheme: str) -> Labels:
    from galaxymorph.zoo import label_catalogue

    return label_catalogue(catalogue, scheme)


def _shares(catalogue: Catalogue, scheme: str) -> Labels:
    from galaxymorph.zoo import soft_label_catalogue

    return soft_label_catalogue(catalogue, scheme)


def _answers(catalogue: Catalogue, scheme: str) -> Labels:
    from galaxymorph.zoo import answer_catalogue

    return answer_catalogue(catalogue, scheme)


TARGETS: dict[str, Target] = {
    "classes": Target(
        "the class of a scheme, of the galaxies that it keeps",
        _classes,
        losses=("cross-entropy",),
        metrics=("classification",),
        monitor="f1_score",
        scores={"f1_score": "macro-F1", "accuracy": "accuracy"},
        soft=False,
    ),
    "soft3": Target(
        "the shares of a scheme's classes, of every galaxy",
        _shares,
        losses=("kl",),
        metrics=("distribution", "classification"),
        monitor="valid_loss",
        scores={"rmse": "RMSE"},
        rises=False,
    ),
    "tree": Target(
        "the vote fractions of all 37 answers, of every galaxy",
        _answers,
        # Cross-entropy is smallest at the expected fractions, as squared error is, and has no
        # flat places where a network is surely wrong.
        losses=("cross-entropy", "mse", "dirichlet-multinomial"),
        metrics=("tree",),
        monitor="rmse",
        scores={"rmse": "RMSE"},
        rises=False,
        prefix="",
        chooses=False,
        tree=GALAXY_ZOO_CHALLENGE,
    ),
}
