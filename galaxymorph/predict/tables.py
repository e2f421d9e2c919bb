"""The table of a prediction: the same columns from every predictor."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Progress, as_utf8, setting
from galaxymorph.images import NO_CONTENT, Fault, NoContent
from galaxymorph.judge import calibrated_mean, with_scheme_columns
from galaxymorph.learn import (
    Recipe,
    deviation_columns,
    predicted_columns,
    prediction_table,
    target_of,
)
from galaxymorph.predict.failures import ERROR, STATUS, UNFAMILIAR
from galaxymorph.predict.images import Images, as_sources
from galaxymorph.zoo import fraction_intervals, to_conditional
from galaxymorph.zoo.band_files import without_band
from galaxymorph.zoo.columns import prefixed
from galaxymorph.zoo.image_files import galaxy_name

if TYPE_CHECKING:
    from galaxymorph.images import Source
    from galaxymorph.judge import OutlierReference
    from galaxymorph.predict.predictors.base import PredictionSets, Predictor

MODEL_ID = "model_id"
# Before the name of an answer, the ends of its vote fraction's interval.
LOW, HIGH = "low_", "high_"
# Columns of out-of-distribution scores.
SCORES = ("distance", "distance_rank", "energy")


def has_intervals(recipe: Recipe) -> bool:
    """Tell whether a recipe's predictions are distributions of vote fractions."""
    return bool(deviation_columns(recipe, ()))


def add_intervals(table: pd.DataFrame, recipe: Recipe, level: float) -> pd.DataFrame:
    """Return a table of predictions with `low_<answer>` and `high_<answer>` added.

    Args:
        table: with each answer's mean and `sd_<answer>`.
        recipe: whose predictions are distributions.
        level: the probability that a fraction is inside, see `zoo.fraction_intervals`.
    """
    means, deviations = predicted_columns(recipe, ()), deviation_columns(recipe, ())
    ends = fraction_intervals(table[means].to_numpy(), table[deviations].to_numpy(), level)
    added = [
        pd.DataFrame(values, columns=prefixed(prefix, means), index=table.index)
        for prefix, values in zip((LOW, HIGH), ends, strict=True)
    ]
    return pd.concat([table, *added], axis=1)


def predicted_table(
    predictor: Predictor, images: Images, sets: PredictionSets | None = None
) -> pd.DataFrame:
    """Return `galaxy`, `image` and the columns of `prediction_table`, a row an image.

    Pixels have no name: their galaxy is their place, from 0. Where an image has no galaxy in its
    frame there are `status` and `error` too, see `mask_failed`.

    Args:
        predictor: of the package, or an object with the same members.
        images: see `as_sources`.
        sets: from each model's uncalibrated probabilities to the column `set`.

    Raises:
        BadInput: an image can't be used.
    """
    sources, faults = as_sources(images), EmptyFrames()
    with Progress("predicting", len(sources), "images") as progress:
        by_model, scores = scored_outputs(predictor, sources, progress.advance, faults)
    outputs = calibrated_mean(by_model, predictor.calibrators)
    table = prediction_table(outputs, predictor.recipe, predictor.classes)
    table = with_tree_columns(table, predictor)
    if sets is not None:
        table["set"] = sets(by_model)
    if scores is not None:
        table = table.join(scores)
    if faults:
        table = mask_failed(table, faults)
    names = [as_utf8(image) if isinstance(image, str) else "" for image in sources]
    bands = predictor.recipe.flux_bands
    galaxies = [without_band(galaxy_name(name), bands) for name in names]
    table.insert(0, "galaxy", [name or str(at) for at, name in enumerate(galaxies)])
    table.insert(1, "image", names)
    return table


def with_tree_columns(table: pd.DataFrame, predictor: Predictor) -> pd.DataFrame:
    """Return a table of predictions with what calibrates the fractions of a decision tree.

    The classes of label schemes, which are fitted to the network's own fractions, are added, and
    the fractions are mapped, see `mapped_fractions`.
    """
    if target_of(predictor.recipe).tree is None:
        return table
    names = predicted_columns(predictor.recipe, predictor.classes)
    fractions = table[names].to_numpy()
    mapped = mapped_fractions(fractions, predictor)
    if mapped is not fractions:
        table[names] = mapped.astype(fractions.dtype)
    return with_scheme_columns(table, getattr(predictor, "schemes", ()), fractions)


def mapped_fractions(outputs: np.ndarray, predictor: Predictor) -> np.ndarray:
    """Return outputs, shape (n, outputs), as fractions of the first of a predictor's `vote_maps`.

    Without one, and of classes, they are unchanged.
    """
    maps, tree = getattr(predictor, "vote_maps", ()), target_of(predictor.recipe).tree
    return maps[0].apply(tree, outputs) if maps and tree else outputs


def with_entropy(table: pd.DataFrame, predictor: Predictor) -> pd.DataFrame:
    """Return a table of predictions with their `entropy`, see `prediction_entropy`."""
    means = table[predicted_columns(predictor.recipe, predictor.classes)].to_numpy(float)
    entropy = pd.Series(prediction_entropy(means, predictor.recipe), table.index)
    return table.assign(entropy=entropy.mask(np.isnan(means).all(axis=1)))


def completed(table: pd.DataFrame, predictor: Predictor, model: str) -> pd.DataFrame:
    """Return a table of predictions with the columns that a catalogue's has in every case.

    Args:
        table: see `predicted_table`.
        predictor: of the table.
        model: the id of the model.
    """
    status, error = (table.pop(name) if name in table else None for name in (STATUS, ERROR))
    table = with_entropy(table, predictor)
    table[MODEL_ID] = model
    table[STATUS] = "ok" if status is None else status
    table[ERROR] = pd.Series(None, table.index, dtype=object) if error is None else error
    return table


def prediction_entropy(shares: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the entropy of each prediction in nats, shape (n,).

    Of classes that is minus the sum of p log p. Of a decision tree it is the sum over questions of
    the share of volunteers who reach it times the entropy of its answers, which is the entropy of
    a volunteer's whole walk down the tree (chain rule: Cover & Thomas 2006, Elements of
    Information Theory, theorem 2.2.1). `judge` has it for whole runs, through scipy, without which
    ONNX files predict.
    """
    shares = np.asarray(shares, float)
    tree = target_of(recipe).tree
    conditional = shares if tree is None else to_conditional(tree, shares)
    with np.errstate(divide="ignore", invalid="ignore"):
        terms = np.where(conditional > 0, shares * np.log(conditional), 0.0)
    return -terms.sum(axis=1)


def scored_outputs(
    predictor: Predictor,
    sources: Sequence[Source],
    on_progress: Callable[[int], object] | None,
    faults: dict[int, Fault],
) -> tuple[np.ndarray, pd.DataFrame | None]:
    """Return `outputs_of_each`, and the scores of `OutlierReference` if the predictor adds them.

    Where it refuses images that are unlike its training galaxies, `faults` has them too.
    """
    reference: OutlierReference | None = getattr(predictor, "reference", None)
    on_outliers = getattr(predictor, "on_outliers", "ignore")
    if reference is None or on_outliers == "ignore":
        return predictor.outputs_of_each(sources, on_progress, faults), None
    from galaxymorph.predict.predictors.recording import record_embeddings

    whole: Predictor | None = getattr(predictor, "whole", None)
    if whole is None:
        with record_embeddings(predictor) as recorded:
            outputs = predictor.outputs_of_each(sources, on_progress, faults)
    else:
        # Of other crops, embeddings can't be compared with the reference.
        outputs = predictor.outputs_of_each(sources, on_progress, faults)
        with record_embeddings(whole) as recorded:
            whole.outputs_of_each(sources, None, dict(faults))
    scores = reference.scores(np.concatenate(recorded.plain))
    if on_outliers == "refuse":
        for at in np.flatnonzero(scores["distance"] > reference.usual[-1]).tolist():
            faults.setdefault(at, _unfamiliar(sources[at], float(scores["distance"][at])))
    return outputs, scores


def _unfamiliar(source: Source, distance: float) -> Fault:
    name = f"{source}: " if isinstance(source, str) else ""
    return Fault(
        NoContent(
            f"{name}unlike the galaxies that the model was trained on (distance {distance:.2f})",
            f"predict with {setting('outliers', True)} answers nevertheless",
            UNFAMILIAR,
        )
    )


class UnusableImage(BadInput):
    """An image can't be read, among several that are predicted."""


class EmptyFrames(dict[int, Fault]):
    """The faults of images without a galaxy, by their places; any other fault is raised."""

    def __setitem__(self, at: int, fault: Fault) -> None:
        if fault.status not in NO_CONTENT and fault.status != UNFAMILIAR:
            raise UnusableImage(fault) from fault.error
        super().__setitem__(at, fault)


def mask_failed(table: pd.DataFrame, faults: Mapping[int, Fault]) -> pd.DataFrame:
    """Return a table of predictions with `status` and `error`, and missing values where faults are.

    An image that is `UNFAMILIAR` has its out-of-distribution scores, which are the reason.

    Args:
        table: a row an image.
        faults: why an image can't be used, by its row.
    """
    failed, rows = np.isin(np.arange(len(table)), list(faults)), range(len(table))
    scored = np.array([at in faults and faults[at].status == UNFAMILIAR for at in rows], bool)
    table = pd.DataFrame(
        {
            name: column.mask(failed & ~scored if name in SCORES else failed)
            for name, column in table.items()
        }
    )
    table["status"] = [faults[at].status if at in faults else "ok" for at in rows]
    table["error"] = pd.Series(
        [str(faults[at]) if at in faults else None for at in rows], table.index, dtype=object
    )
    return table
