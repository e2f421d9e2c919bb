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
from galaxymorph.judge.calibration.stored_calibration import (
    calibrated_predictions,
    labelled_probabilities,
)
from galaxymorph.judge.metrics.metric import class_codes
from galaxymorph.judge.metrics.questions import Questions, questions_of
from galaxymorph.judge.metrics.vote_fractions import SMALLEST, question_divergence, question_entropy
from galaxymorph.learn import (
    Run,
    ShowProgress,
    join_targets,
    loss_words,
    make_learner,
    target_of,
    with_images,
    with_targets,
)

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
        questions = questions_of(run, losses)
        divergence = question_divergence(questions.tree, questions.true, questions.predicted)
        losses = _with_question(losses, questions, divergence)
    predictions = calibrated_predictions(run, with_images(run.predictions(part), data))
    words = {"valid": "validation"}.get(part, part)
    galleries = {f"top_losses_{part}": (f"Largest losses of the {words} part", losses)}
    for family in target_of(run.recipe).metrics:
        galleries |= FAMILIES[family](run, predictions, part)
    return galleries


def _class_galleries(run: Run, predictions: pd.DataFrame, part: str) -> Galleries:
    mistakes = confident_mistakes(predictions)
    galleries = {f"confident_mistakes_{part}": ("Wrong, most confident first", mistakes)}
    for (true, predicted), galaxies in confusion_cells(predictions, run.classes).items():
        words = f"{run.recipe.truth.capitalize()}: {true}, model: {predicted}".replace("_", " ")
        name = f"{safe_file_name(true)}_as_{safe_file_name(predicted)}"
        galleries[f"confusion_{part}/{name}"] = (words, galaxies)
    return galleries


def _vote_galleries(run: Run, predictions: pd.DataFrame, part: str) -> Galleries:
    disagreed, overconfident = disagreements(run, predictions)
    return {
        f"disagreement_{part}": ("Volunteers disagree most", disagreed),
        f"overconfident_{part}": (
            "Volunteers disagree more than the model predicts",
            overconfident,
        ),
    }


# Galleries by the family of metrics, see `Metric`.
FAMILIES: dict[str, Callable[[Run, pd.DataFrame, str], Galleries]] = {
    "classification": _class_galleries,
    "distribution": _vote_galleries,
    "tree": _vote_galleries,
}


def disagreements(run: Run, predictions: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the galaxies by the entropy of volunteers' votes, and by its excess over the model's.

    They are those whose votes have an entropy above the median; of the latter, those where it
    exceeds the model's. Each has the most frequent answer to its decisive question,
    `answer_words`, and the answer's conditional fractions, `volunteers` and `model`.
    """
    questions = questions_of(run, predictions)
    entropies, predicted = (
        question_entropy(questions.tree, fractions)
        for fractions in (questions.true, questions.predicted)
    )
    total, excess = entropies.sum(axis=1), (entropies - predicted).sum(axis=1)
    disagreed = total > np.median(total)

    def ranked(values: np.ndarray, of: np.ndarray, shown: np.ndarray) -> pd.DataFrame:
        order = np.argsort(-of, kind="stable")
        table = _with_question(predictions, questions, values)
        return table.iloc[order[shown[order]]].reset_index(drop=True)

    by_entropy = ranked(entropies, total, disagreed)
    return by_entropy, ranked(entropies - predicted, excess, disagreed & (excess > 0))


def most_contested(run: Run, predictions: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with the question of largest entropy, see `disagreements`."""
    questions = questions_of(run, predictions)
    entropies = question_entropy(questions.tree, questions.true)
    return _with_question(predictions, questions, entropies)


def _with_question(table: pd.DataFrame, questions: Questions, values: np.ndarray) -> pd.DataFrame:
    """Add the most frequent answer to the question of largest value, shape (n, questions)."""
    answers = questions.tree.membership[values.argmax(axis=1)] > 0
    answer = np.where(answers, questions.true, -1).argmax(axis=1)
    rows = np.arange(len(table))
    return table.assign(
        answer_words=[questions.words(at) for at in answer],
        volunteers=questions.true_share[rows, answer],
        model=questions.predicted_share[rows, answer],
    ).reset_index(drop=True)


def loss_definition(run: Run) -> str:
    """Return what the losses in galleries are, in words."""
    if run.judged is None:
        return f"the loss function of the fit ({loss_words(run.recipe)}) for that galaxy"
    if target_of(run.recipe).soft:
        return "the divergence of predicted from observed fractions, in nats"
    return "minus the logarithm of the label's probability"


def _judged_losses(run: Run, table: pd.DataFrame) -> np.ndarray:
    """Return the loss of each galaxy of a judged table, see `loss_definition`."""
    if target_of(run.recipe).soft:
        questions = questions_of(run, table)
        return question_divergence(questions.tree, questions.true, questions.predicted).sum(axis=1)
    values, truth = labelled_probabilities(run, table)
    return -np.log(np.maximum(values[np.arange(len(table)), truth], SMALLEST))


def top_losses(run: Run, part: str = "test", data: Path | None = None) -> pd.DataFrame:
    """Return the galaxies of a part by falling loss, with predictions and `loss`.

    The losses are those of fastai's `ClassificationInterpretation`, of soft targets its
    `Interpretation`; a cross-validated run takes each galaxy from the fold that tested it, an
    ensemble the mean of its models' losses.

    Args:
        run: trained.
        part: valid or test.
        data: where its catalogue is now, if it has moved.
    """
    if run.judged is not None:
        table = with_images(run.predictions(part), data)
        table = table.assign(loss=_judged_losses(run, table))
        return table.sort_values("loss", ascending=False, kind="stable", ignore_index=True)
    tables = []
    count = len(run.predictions(part)) * max(1, len(run.ensemble))
    with Progress("losses", count, "images") as progress:
        for fold in run.splits:
            losses = [_losses(member, part, data, progress) for member in fold.members]
            table = with_images(fold.predictions(part), data)
            tables.append(table.assign(loss=np.mean(losses, axis=0)))
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
    """A run's table of predictions in place of the learner of fastai's interpretation.

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
