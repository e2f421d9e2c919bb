"""Warnings of a failed fit: one class for all, no better than chance, a rising loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict

import numpy as np
import pandas as pd
from scipy.stats import random_table

from galaxymorph.base import setting
from galaxymorph.judge.metrics.bootstrap import mean_interval
from galaxymorph.learn import Run, predicted_columns, target_of, true_columns

# A class counts as predicted for nearly all galaxies from this fraction, if it exceeds the true one
# by so much.
NEARLY_ALL, EXCESS = 0.95, 0.1
# Level of the permutation test, and its number of permutations.
SIGNIFICANCE, PERMUTATIONS = 0.05, 999
# Relative rise of the training loss that counts: with few galaxies less is noise.
RISE = 0.05
RETRY = (
    "check with `interpret` whether the labels are correct and numerous enough; then try another "
    "preset or more epochs (docs/recipes.md)"
)


CHECK_TABLES = (
    "check that the two tables' ids, class names and columns belong together, or label more "
    "galaxies"
)


class FitWarning(TypedDict):
    """A sign that a fit failed, and a remedy."""

    what: str
    remedy: str


def _warning(what: str, remedy: str = RETRY) -> FitWarning:
    return {"what": what, "remedy": remedy}


def fit_warnings(run: Run, metrics: dict, test: pd.DataFrame) -> list[FitWarning]:
    """Return the signs that a fit failed, each with `what` and `remedy`; none if it did not.

    Args:
        run: trained.
        metrics: of its test part, see `run_metrics`.
        test: its predictions of that part, each galaxy once.
    """
    target = target_of(run.recipe)
    warnings = _loss_warnings(run)
    if target.chooses:
        counts = np.asarray(metrics["confusion"])
        warnings += class_warnings(counts, run.classes, run.recipe.seed)
    if target.soft:
        warnings += _fraction_warnings(run, test)
    if run.judged is not None:
        return [_warning(warning["what"], CHECK_TABLES) for warning in warnings]
    return warnings


def class_warnings(counts: np.ndarray, classes: Sequence[str], seed: int) -> list[FitWarning]:
    """Return the signs that predicted classes are wrong.

    Chance is judged by a permutation test of macro-F1 (Ojala & Garriga 2010, JMLR 11, 1833,
    test 1): predictions are shuffled over the galaxies, which draws a confusion matrix of the same
    margins (Patefield 1981, Applied Statistics 30, 91). Predictions of one class alone, such as
    the most frequent, never pass it.

    Args:
        counts: the confusion matrix, rows the true classes, shape (classes, classes).
        classes: their names, in order.
        seed: of the permutations.
    """
    total, of_class, predicted = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    warnings: list[FitWarning] = []
    top = int(predicted.argmax())
    share, true_share = predicted[top] / total, of_class[top] / total
    if share >= NEARLY_ALL and (share - true_share >= EXCESS or share == 1 > true_share):
        words = f"{predicted[top]:,} of {total:,} test galaxies are predicted as {classes[top]!r}"
        warnings.append(_warning(f"{words}, but only {of_class[top]:,} are"))
    draws = random_table(of_class, predicted, seed=seed).rvs(PERMUTATIONS)
    # F1 = 2 hits / (true + predicted), and both margins stay. A class without either has none.
    margins = np.maximum(of_class + predicted, 1)
    score = np.mean(2 * counts.diagonal() / margins)
    chance = np.mean(2 * np.diagonal(draws, axis1=1, axis2=2) / margins, axis=1)
    p = (1 + np.sum(chance >= score - 1e-12)) / (1 + PERMUTATIONS)
    if p > SIGNIFICANCE:
        words = f"macro-F1 {score:.3f} on {total:,} test galaxies is not better than chance"
        warnings.append(_warning(f"{words}, {chance.mean():.3f} (permutation test, p {p:.2f})"))
    if missing := [name for name, count in zip(classes, of_class, strict=True) if not count]:
        words = f"there is no test galaxy of class {', '.join(map(repr, missing))}"
        remedy = (
            f"label more galaxies of this class, or use {setting('folds', 5)}, which tests every "
            "galaxy"
        )
        warnings.append(_warning(f"{words}, so its metrics are unknown", remedy))
    return warnings


def _loss_warnings(run: Run) -> list[FitWarning]:
    """Return a warning if the training loss of a network rose."""
    for member in run.members:
        history = member.history
        if history is None or len(history) < 2:
            continue
        losses = history["train_loss"].to_list()
        first, last = losses[0], losses[-1]
        # NaN is not below anything.
        if not last <= first * (1 + RISE):
            where = f" of {run.part_word} {member.path.name}" if run.part_word else ""
            what = f"the training loss{where} rose from {first:.3f} to {last:.3f}"
            return [_warning(what, f"give a smaller {setting('lr')}")]
    return []


def _fraction_warnings(run: Run, test: pd.DataFrame) -> list[FitWarning]:
    """Return a warning if the squared error isn't below that of the training galaxies' mean."""
    columns = true_columns(run.recipe, run.classes)
    mean = run.splits[0].train_means(columns)
    true = test[columns].to_numpy(float)
    predicted = test[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    gain = np.nanmean(np.square(true - mean) - np.square(true - predicted), axis=1)
    low = mean_interval(gain, run.recipe.seed)["low"]
    if low is not None and low > 0:
        return []
    words = f"the squared error on {len(test):,} test galaxies is not below that of the mean"
    others = "other" if run.judged else "the training"
    return [_warning(f"{words} fractions of {others} galaxies")]
