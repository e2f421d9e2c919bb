"""Galleries of galaxies: top losses, mistakes, confusions and volunteers' disagreement."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from fastai.data.transforms import CategoryMap
from fastai.interpret import ClassificationInterpretation, Interpretation

from galaxymorph.base import Progress, safe_file_name
from galaxymorph.judge.calibration.stored_calibration import calibrated_predictions
from galaxymorph.judge.metrics.metric import class_codes
from galaxymorph.judge.metrics.questions import questions_of
from galaxymorph.judge.metrics.vote_fractions import question_divergence, question_entropy
from galaxymorph.learn import (
    Run,
    ShowProgress,
    join_targets,
    make_learner,
    target_of,
    with_images,
    with_targets,
)
from galaxymorph.zoo import Tree

Galleries = dict[str, tuple[str, pd.DataFrame]]


def galleries_of(run: Run, part: str = "test", data: Path | None = None) -> Galleries:
    """Return the galleries of a part by file name: a title, and the galaxies in order.

    Args:
        run: trained.
        part: valid or test.
        data: where its catalogue is now, if it has moved.
    """
    losses = calibrated_predictions(run, top_losses(run, part, data))
    if target_of(run.recipe).soft:
        losses = _with_question(run, losses, _divergence)
    predictions = calibrated_predictions(run, with_images(run.predictions(part), data))
    found = {f"top_losses_{part}": ("Largest values of the training loss", losses)}
    for family in target_of(run.recipe).metrics:
        found |= FAMILIES[family](run, predictions, part)
    return found


def _class_galleries(run: Run, predictions: pd.DataFrame, part: str) -> Galleries:
    mistakes = confident_mistakes(predictions)
    found = {f"confident_mistakes_{part}": ("Wrong, most confident first", mistakes)}
    for (true, predicted), galaxies in confusion_cells(predictions, run.classes).items():
        words = f"{run.recipe.truth.capitalize()}: {true}, model: {predicted}".replace("_", " ")
        name = f"{safe_file_name(true)}_as_{safe_file_name(predicted)}"
        found[f"confusion_{part}/{name}"] = (words, galaxies)
    return found


def _vote_galleries(run: Run, predictions: pd.DataFrame, part: str) -> Galleries:
    disagreed, overconfident = disagreements(run, predictions)
    return {
        f"disagreement_{part}": ("Volunteers disagree most", disagreed),
        f"overconfident_{part}": ("Volunteers disagree, the model doesn't", overconfident),
    }


# A family of scores, see `judge.metrics`, may have galleries of its own.
FAMILIES: dict[str, Callable[[Run, pd.DataFrame, str], Galleries]] = {
    "classification": _class_galleries,
    "distribution": _vote_galleries,
    "tree": _vote_galleries,
}


def disagreements(run: Run, predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the galaxies by the entropy of volunteers' votes, and by its excess over the model's.

    Each has the question that decides: its answer `says`, `volunteers` and `model`, the fractions
    of those asked who give it.
    """
    asked = questions_of(run, predictions)
    humans, model = (question_entropy(asked.tree, each) for each in (asked.true, asked.predicted))
    orders = ((humans.sum(axis=1), _contested), ((humans - model).sum(axis=1), _overlooked))
    first, second = (
        _with_question(run, predictions.iloc[np.argsort(-value, kind="stable")], which)
        for value, which in orders
    )
    return first, second


def most_contested(run: Run, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the question on which volunteers disagree most, as above."""
    return _with_question(run, predictions, _contested)


def _contested(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return question_entropy(tree, true)


def _overlooked(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return question_entropy(tree, true) - question_entropy(tree, predicted)


def _divergence(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    return question_divergence(tree, true, predicted)


def _with_question(run: Run, table: pd.DataFrame, value: Callable) -> pd.DataFrame:
    """Add what volunteers say most to the question of largest value, and how many do."""
    asked = questions_of(run, table)
    question = value(asked.tree, asked.true, asked.predicted).argmax(axis=1)
    own = asked.tree.membership[question] > 0
    answer = np.where(own, asked.true, -1).argmax(axis=1)
    rows = np.arange(len(table))
    return table.assign(
        says=[asked.says(at) for at in answer],
        volunteers=asked.true_share[rows, answer],
        model=asked.predicted_share[rows, answer],
    ).reset_index(drop=True)


def top_losses(run: Run, part: str = "test", data: Path | None = None) -> pd.DataFrame:
    """Return the galaxies of a part by falling loss, with predictions and `loss`.

    The losses are those of fastai's `ClassificationInterpretation`, of soft targets its
    `Interpretation`; a cross-validated run takes each galaxy from
    the fold that tested it, an ensemble the mean of its models' losses.

    Args:
        run: trained.
        part: valid or test.
        data: where its catalogue is now, if it has moved.
    """
    tables = []
    count = len(run.predictions(part)) * max(1, len(run.ensemble))
    with Progress("losses", count, "images") as progress:
        for each in run.splits:
            losses = np.mean([_losses(one, part, data, progress) for one in each.members], axis=0)
            tables.append(with_images(each.predictions(part), data).assign(loss=losses))
    return pd.concat(tables).sort_values("loss", ascending=False, kind="stable", ignore_index=True)


def _losses(run: Run, part: str, data: Path | None, progress: Progress) -> np.ndarray:
    """Return the loss of each galaxy of a part, in the split's order."""
    split = with_images(run.split, data)
    rows = with_targets(run, split[split["split"] == part], data)
    # The targets of galaxies that train are not needed, and unknown here.
    learn = make_learner(run, join_targets(split, rows), load=True)
    loader = learn.dls.test_dl(rows, with_labels=True)
    kind = Interpretation if target_of(run.recipe).soft else ClassificationInterpretation
    with learn.no_logging(), learn.added_cbs(ShowProgress(progress, training=False)):
        return kind.from_learner(learn, dl=loader).losses.numpy()


class StoredPredictions:
    """A run's table of predictions in place of the learner that fastai's interpretation asks.

    `ClassificationInterpretation` infers again for each confusion matrix, report and list of
    confusions. The run has its predictions already, and those of folds and ensembles, or calibrated
    ones, come from no single learner.
    """

    def __init__(self, table: pd.DataFrame, classes: Sequence[str]):
        self.true, self.predicted = map(torch.from_numpy, class_codes(table, classes))

    def get_preds(self, **options: object) -> tuple[None, torch.Tensor, torch.Tensor]:
        """Return no probabilities, and the positions of true and predicted classes."""
        return None, self.true, self.predicted


def interpret_classes(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> ClassificationInterpretation:
    """Return fastai's interpretation of stored predictions, without predicting again.

    Args:
        predictions: with `label`, `predicted` and perhaps `loss`, a row a galaxy.
        classes: every class, in order.
    """
    losses = predictions["loss"] if "loss" in predictions else np.zeros(len(predictions))
    loader = SimpleNamespace(vocab=CategoryMap(list(classes), sort=False), items=predictions)
    return ClassificationInterpretation(
        StoredPredictions(predictions, classes), loader, torch.tensor(np.asarray(losses, float))
    )


def confident_mistakes(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return the galaxies that are wrong, most confident first."""
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    return wrong.sort_values("confidence", ascending=False, kind="stable", ignore_index=True)


def confusion_cells(
    predictions: pd.DataFrame, classes: Sequence[str]
) -> dict[tuple[str, str], pd.DataFrame]:
    """Return the galaxies of each cell (true class, predicted class), most confident first.

    Cells of mistakes come first, the most frequent before others, as fastai's `most_confused` has
    them.
    """
    confused = interpret_classes(predictions, classes).most_confused()
    cells = dict.fromkeys((true, predicted) for true, predicted, _ in confused)
    cells |= dict.fromkeys(product(classes, classes))
    ordered = predictions.sort_values("confidence", ascending=False, kind="stable")
    return {
        (true, predicted): ordered[
            (ordered["label"] == true) & (ordered["predicted"] == predicted)
        ].reset_index(drop=True)
        for true, predicted in cells
    }
