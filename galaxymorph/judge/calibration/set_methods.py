"""Methods of conformal prediction sets: scores of classes, by name. Nothing here needs pandas."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from galaxymorph.base import Registry

# Regularised sets: the penalty of every class after the first (Angelopoulos et al. 2021, eq. 4).
PENALTY, UNPENALISED = 0.1, 1
# Of `_draws`: its period, and the least probability, whose logarithm is finite.
TURNS, LEAST = 100.0, 1e-40


def _lac(probabilities: np.ndarray) -> np.ndarray:
    return 1 - probabilities


def _aps(probabilities: np.ndarray) -> np.ndarray:
    order = np.argsort(-probabilities, axis=1, kind="stable")
    ordered = np.take_along_axis(probabilities, order, axis=1)
    before = np.cumsum(ordered, axis=1) - ordered
    scores = np.empty_like(before)
    np.put_along_axis(scores, order, before + _draws(probabilities)[:, None] * ordered, axis=1)
    return scores


def _raps(probabilities: np.ndarray) -> np.ndarray:
    return _aps(probabilities) + PENALTY * np.maximum(class_ranks(probabilities) - UNPENALISED, 0)


def class_ranks(probabilities: np.ndarray) -> np.ndarray:
    """Return the rank of each class, 1 the likeliest, shape (n, classes)."""
    return (-probabilities).argsort(axis=1, kind="stable").argsort(axis=1) + 1


def _draws(probabilities: np.ndarray) -> np.ndarray:
    """Return a number from 0 to 1 for each galaxy, shape (n,), a function of its probabilities.

    It takes the place of the uniform draw of randomised scores: the fractional part of a weighted
    sum of logarithms, which is nearly uniform over galaxies and hardly changes by rounding. A
    score may be any fixed function of a galaxy and a class, so that coverage holds for any
    distribution of these numbers.
    """
    logs = np.log(np.maximum(probabilities, LEAST))
    return (TURNS * logs @ np.sqrt(np.arange(2, logs.shape[1] + 2))) % 1


@dataclass(frozen=True)
class SetMethod:
    """An entry of `SET_METHODS`.

    Args:
        label: in words.
        scores: from probabilities, shape (n, classes), to the score of every class of every galaxy,
            of the same shape, low where the class fits.
        keeps_likeliest: whether sets always hold the most probable class. Otherwise a model that is
            right more often than the coverage has empty sets, of its most certain galaxies; with
            it, sets cover more.
    """

    label: str
    scores: Callable[[np.ndarray], np.ndarray]
    keeps_likeliest: bool = False


SET_METHODS: Registry[SetMethod] = Registry("method of prediction sets")
# 1 - p (Sadinle, Lei & Wasserman 2019).
SET_METHODS.register("lac", SetMethod("least ambiguous sets", _lac))
# The probability of all more probable classes and a random fraction of the class's (Romano, Sesia &
# Candès 2020, equations 5 to 7, as E in the proof of theorem 1).
SET_METHODS.register("aps", SetMethod("adaptive sets", _aps, keeps_likeliest=True))
# A penalty added (Angelopoulos et al. 2021, equation 4).
SET_METHODS.register("raps", SetMethod("regularised adaptive sets", _raps, keeps_likeliest=True))
