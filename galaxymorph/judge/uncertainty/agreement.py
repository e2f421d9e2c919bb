"""Volunteers' uncertainty, and where a model's agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.judge.metrics.vote_fractions import entropy, question_entropy
from galaxymorph.learn import Run, predicted_columns, target_of, true_columns
from galaxymorph.zoo import TARGET, prefixed, read_catalogue, soft_label_catalogue

# Which of model and volunteers are uncertain: a gallery's title, by its file's name.
QUADRANTS = {
    "both_sure": "Model and volunteers are sure, and agree",
    "both_unsure": "Model and volunteers are unsure",
    "model_unsure": "Only the model is unsure",
    "people_unsure": "Only the volunteers are unsure",
}


def entropies_of(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """Return the entropy of a run's outputs, from shape (n, outputs) to (n,), in nats.

    Of a tree that is the entropy of a volunteer's whole walk: see `question_entropy`.
    """
    tree = target_of(run.recipe).tree
    if tree is None:
        return entropy
    return lambda fractions: question_entropy(tree, fractions).sum(axis=1)


def volunteer_fractions(
    run: Run, table: pd.DataFrame, data: Path | None = None
) -> np.ndarray | None:
    """Return volunteers' shares of a run's outputs, shape (n, outputs), or None if unknown.

    A run of classes takes them from the votes of its catalogue, by the scheme's rules.

    Args:
        run: trained.
        table: of its predictions.
        data: where its catalogue is now, if it has moved.
    """
    if target_of(run.recipe).soft:
        return table[true_columns(run.recipe, run.classes)].to_numpy(float)
    if run.recipe.labels_column:
        return None
    try:
        found, classes = soft_label_catalogue(
            read_catalogue(data or run.data["path"]), run.recipe.scheme
        )
    except BadInput:
        # Plain labels, or a catalogue that isn't there any more: nobody's votes are known.
        return None
    shares = found.set_index("galaxy")[prefixed(TARGET, classes)]
    if classes != run.classes or not table["galaxy"].isin(shares.index).all():
        return None
    return shares.loc[table["galaxy"]].to_numpy(float)


def agreed(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Return whether the model's answer is volunteers', of a tree to the first question."""
    target = target_of(run.recipe)
    if not target.soft:
        return (table["label"] == table["predicted"]).to_numpy()
    columns = slice(0, len(target.tree.questions[0].answers)) if target.tree else slice(None)
    said, predicted = (
        table[find(run.recipe, run.classes)[columns]].to_numpy().argmax(axis=1)
        for find in (true_columns, predicted_columns)
    )
    return said == predicted


def uncertainty_quadrants(
    model: np.ndarray, people: np.ndarray, agree: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the positions of galaxies in the four corners of uncertainty, the clearest first.

    Uncertainties are compared by rank, half of the galaxies being unsure in either's eyes.

    Args:
        model: the model's uncertainty, shape (n,).
        people: volunteers'.
        agree: whether they give the same answer; those who don't aren't both sure.
    """
    from scipy.stats import rankdata

    ours, theirs = (rankdata(uncertainty) / len(uncertainty) for uncertainty in (model, people))
    values = {
        "both_sure": np.where(agree, 0.5 - np.maximum(ours, theirs), -1),
        "both_unsure": np.minimum(ours, theirs) - 0.5,
        "model_unsure": np.minimum(ours - 0.5, 0.5 - theirs),
        "people_unsure": np.minimum(0.5 - ours, theirs - 0.5),
    }
    return {
        name: np.argsort(-value, kind="stable")[: int((value > 0).sum())]
        for name, value in values.items()
    }
