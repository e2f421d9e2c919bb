"""Names of outputs and of columns, and labels of a catalogue, by a recipe's target and loss.

Nothing here imports PyTorch or pandas.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from galaxymorph.base import setting
from galaxymorph.learn.recipe import Recipe, read_sources
from galaxymorph.learn.sources.events import event_columns
from galaxymorph.learn.targets.registry import TARGETS, Loss, Target
from galaxymorph.zoo.columns import COUNT, DEVIATION, SOURCE, TARGET, WEIGHT, prefixed
from galaxymorph.zoo.schemas import SCHEMAS

if TYPE_CHECKING:
    import pandas as pd

    from galaxymorph.learn.targets.registry import Labels
    from galaxymorph.zoo import Catalogue

# Columns of `history.csv`: the training losses of the main catalogue and of unlabelled images.
MAIN_LOSS, UNLABELLED_LOSS = "train_loss_main", "train_loss_unlabelled"


def target_of(recipe: Recipe) -> Target:
    """Return the target of a recipe, with the tree of the recipe's schema."""
    target = TARGETS[recipe.target]
    if target.tree is None:
        return target
    return replace(target, tree=SCHEMAS.find(recipe.schema).tree)


def loss_name(recipe: Recipe) -> str:
    """Return the name of a recipe's loss, by default its target's first."""
    return recipe.loss or next(iter(TARGETS[recipe.target].losses))


def loss_entry(recipe: Recipe) -> Loss:
    """Return the entry of a recipe's loss."""
    return TARGETS[recipe.target].losses.find(loss_name(recipe), setting("loss"))


def output_names(recipe: Recipe, classes: Sequence[str]) -> list[str]:
    """Return the names of the model's outputs: answers of a tree, or classes."""
    tree = target_of(recipe).tree
    return list(tree.columns if tree else classes)


def loss_words(recipe: Recipe) -> str:
    """Return the loss of a fit in words, with the class weights and label smoothing in it."""
    entry = loss_entry(recipe)
    if target_of(recipe).soft or loss_name(recipe) != "cross-entropy":
        return entry.words
    smoothing = f", label smoothing {recipe.label_smoothing:g}" if recipe.label_smoothing else ""
    return entry.words + ", class-weighted" * (recipe.class_weights > 0) + smoothing


def label_words(recipe: Recipe) -> dict[str, str]:
    """Return the words for the labels of a tree's galaxies, its first answers.

    There are none for classes and for a union of campaigns.
    """
    tree = target_of(recipe).tree
    if tree is None:
        return {}
    # The first questions of a union's campaigns have the same words.
    first = tree.questions[tree.roots[0]].answers if len(tree.roots) == 1 else ()
    return {answer.column: answer.text for answer in first}


def label_galaxies(catalogue: Catalogue, recipe: Recipe) -> Labels:
    """Return a catalogue's galaxies with their labels and targets, and the classes.

    Raises:
        BadInput: the catalogue lacks data for the target or the loss.
    """
    from galaxymorph.zoo import vote_counts

    table, classes = target_of(recipe).label(catalogue, recipe.scheme)
    if loss_entry(recipe).takes == "counts":
        table = table.join(vote_counts(catalogue))
    return table, classes


def loss_columns(recipe: Recipe, classes: Sequence[str]) -> list[str]:
    """Return the columns that the loss is computed from, one an output."""
    prefix = COUNT if loss_entry(recipe).takes == "counts" else TARGET
    return [prefix + name for name in output_names(recipe, classes)]


def training_columns(recipe: Recipe, classes: Sequence[str], table: pd.DataFrame) -> list[str]:
    """Return the columns of a table of galaxies that the loss of training is computed from.

    They are those of `loss_columns`; with further sources, also events, the weight, and the number
    of the source, in the order that `loss.SourcesLoss` takes.
    """
    columns = loss_columns(recipe, classes)
    tree = target_of(recipe).tree
    if WEIGHT not in table or tree is None:
        return columns
    return [*columns, *event_columns(read_sources(recipe), tree), WEIGHT, SOURCE]


def source_columns(sources: int) -> list[str]:
    """Return the columns of `history.csv` with the losses of the main and the further sources."""
    return [MAIN_LOSS, *(f"train_loss_also_{number}" for number in range(1, sources + 1))]


def loss_parts(recipe: Recipe) -> dict[str, str]:
    """Return the columns of `history.csv` with training losses by source, and the sources' names.

    Those of further sources begin with their number in `sources.csv`. There are none if the main
    catalogue alone trains.
    """
    parts = {}
    if recipe.also:
        further = enumerate(read_sources(recipe), 1)
        names = ["main", *(f"{number}: {Path(source.path).name}" for number, source in further)]
        parts = dict(zip(source_columns(len(recipe.also)), names, strict=True))
    if recipe.unlabelled:
        parts[UNLABELLED_LOSS] = "unlabelled"
    return parts


def true_columns(recipe: Recipe, classes: Sequence[str]) -> list[str]:
    """Return the columns of the true fractions, one an output; none for `classes`."""
    names = output_names(recipe, classes) if target_of(recipe).soft else []
    return prefixed(TARGET, names)


def deviation_columns(recipe: Recipe, classes: Sequence[str]) -> list[str]:
    """Return the columns of predictions' standard deviations; none if there are only means."""
    names = output_names(recipe, classes) if loss_entry(recipe).link == "dirichlet" else []
    return prefixed(DEVIATION, names)


def predicted_columns(recipe: Recipe, classes: Sequence[str]) -> list[str]:
    """Return the columns of predictions, one an output."""
    return [target_of(recipe).prefix + name for name in output_names(recipe, classes)]
