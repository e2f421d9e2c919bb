"""Volunteers' uncertainty, and where a model's agrees with it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pandas as pd
from typing_extensions import NotRequired, TypedDict

from galaxymorph.base import BadInput, read_json, reading, require_key
from galaxymorph.judge.calibration.selective import KeptAtAccuracy
from galaxymorph.judge.metrics.bootstrap import Interval
from galaxymorph.judge.metrics.vote_fractions import entropy, question_entropy
from galaxymorph.learn import Run, label_words, predicted_columns, target_of, true_columns
from galaxymorph.zoo import TARGET, prefixed, read_catalogue, soft_label_catalogue

# Titles of the galleries by who is uncertain, the model or volunteers.
QUADRANTS = {
    "both_certain": "Uncertainty of model and volunteers below the median, and they agree",
    "both_uncertain": "Uncertainty of model and volunteers above the median",
    "model_uncertain": "Only the model's uncertainty above the median",
    "volunteers_uncertain": "Only the volunteers' uncertainty above the median",
}


def entropies_of(run: Run) -> Callable[[np.ndarray], np.ndarray]:
    """Return the entropy of a run's outputs, from shape (n, outputs) to (n,), in nats.

    Of a tree that is the entropy of a volunteer's path through it: see `question_entropy`.
    """
    tree = target_of(run.recipe).tree
    if tree is None:
        return entropy
    return lambda fractions: question_entropy(tree, fractions).sum(axis=1)


def volunteer_fractions(
    run: Run, table: pd.DataFrame, data: Path | None = None
) -> np.ndarray | None:
    """Return volunteers' fractions of a run's outputs, shape (n, outputs), or None if unknown.

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
    columns = prefixed(TARGET, run.classes)
    if set(columns) <= set(table):
        # Of a judged table, which has no catalogue of images.
        return table[columns].to_numpy(float)
    try:
        votes, classes = soft_label_catalogue(
            read_catalogue(data or run.data["path"]), run.recipe.scheme
        )
    except BadInput:
        # Plain labels, or a catalogue that was removed: no votes are known.
        return None
    fractions = votes.set_index("galaxy")[prefixed(TARGET, classes)]
    if classes != run.classes or not table["galaxy"].isin(fractions.index).all():
        return None
    return fractions.loc[table["galaxy"]].to_numpy(float)


class SourceRecord(TypedDict):
    """A source of uncertainty in `uncertainty.json`, see docs/uncertainty.md.

    `passes` through a network for an image, `seconds` for 1,000 images (None of a judged table),
    `scores` by metric,
    `kept_at_accuracy`, and the rank correlation of each kind of uncertainty with `volunteers`.
    """

    passes: int
    seconds: float | None
    scores: dict[str, Interval]
    kept_at_accuracy: NotRequired[dict[str, KeptAtAccuracy]]
    volunteers: NotRequired[dict[str, Interval]]


class UncertaintyRecord(TypedDict):
    """The content of `uncertainty.json`."""

    format: int
    galaxies: int
    sources: dict[str, SourceRecord]


def read_uncertainty(path: Path) -> UncertaintyRecord:
    """Return a run's `uncertainty.json`; format 2 called the key `volunteers` `people`."""
    record = read_json(path)
    with reading(path, "run uncertainty again"):
        for source in require_key(record, "sources", dict).values():
            if "people" in source:
                source["volunteers"] = source.pop("people")
    return cast(UncertaintyRecord, record)


def agreed(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Return whether the model's answer is the volunteers', of a tree to the first question."""
    target = target_of(run.recipe)
    if not target.soft:
        return (table["label"] == table["predicted"]).to_numpy()
    columns = slice(len(label_words(run.recipe)) or None)
    true, predicted = (
        table[names(run.recipe, run.classes)[columns]].to_numpy().argmax(axis=1)
        for names in (true_columns, predicted_columns)
    )
    return true == predicted


def uncertainty_quadrants(
    model: np.ndarray, volunteers: np.ndarray, agree: np.ndarray
) -> dict[str, np.ndarray]:
    """Return the positions of galaxies in the four quadrants of uncertainty, the clearest first.

    Uncertainties are compared by rank: half of the galaxies are uncertain to the model, and half to
    volunteers.

    Args:
        model: the model's uncertainty, shape (n,).
        volunteers: the volunteers' uncertainty.
        agree: whether they give the same answer, without which they aren't both certain.
    """
    from scipy.stats import rankdata

    model, volunteers = (rankdata(values) / len(values) for values in (model, volunteers))
    values = {
        "both_certain": np.where(agree, 0.5 - np.maximum(model, volunteers), -1),
        "both_uncertain": np.minimum(model, volunteers) - 0.5,
        "model_uncertain": np.minimum(model - 0.5, 0.5 - volunteers),
        "volunteers_uncertain": np.minimum(0.5 - model, volunteers - 0.5),
    }
    return {
        name: np.argsort(-value, kind="stable")[: int((value > 0).sum())]
        for name, value in values.items()
    }
