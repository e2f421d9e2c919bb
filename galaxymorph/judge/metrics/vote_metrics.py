"""How well predicted vote fractions agree with volunteers', with bootstrap intervals.

Every score of a tree is a ratio of sums over galaxies, so a resample is one product of how often
each galaxy was drawn with what it adds to the sums.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from galaxymorph.judge.metrics.bootstrap import bootstrap
from galaxymorph.zoo.tree import Tree, known_fractions, reached, to_conditional

# Volunteers agree where one answer has more than this share of those asked, and a question counts
# for a galaxy where at least half of all volunteers were asked: otherwise one volunteer who strayed
# down a path would count as agreement (Walmsley et al. 2022, MNRAS 509, 3966, table 1).
AGREED = 0.8
ASKED = 0.5
# Predicted shares are kept this far from 0, so that a divergence stays finite: of classes, as the
# published targets are, and of answers, half a vote of the some 40 volunteers of a galaxy (Willett
# et al. 2013, MNRAS 435, 2835, section 2: 44 in the median), since votes tell no rarer ones.
SMALLEST, HALF_A_VOTE = 1e-8, 0.5 / 40
# A sum of squares up to here is an answer's that never varies, and rounding.
CONSTANT = 1e-12


def tree_metrics(tree: Tree, true: np.ndarray, predicted: np.ndarray, seed: int) -> dict:
    """Return the scores of predicted against volunteers' cumulative fractions.

    Args:
        tree: the decision tree.
        true: volunteers' cumulative fractions, shape (n, answers).
        predicted: the model's, of the same shape.
        seed: of the resampling.

    Returns:
        `galaxies`; `rmse`, the root mean square error over all answers and galaxies (the Kaggle
        challenge's score), see `square_errors`; `per_answer`, by column, `rmse` and `r2`, the share
        of the variance that is explained, both over the galaxies that were asked; and
        `per_question`, by name: `accuracy` of the likeliest answer on the `agreed` galaxies, where
        one answer has over 80 % of the votes and half of the volunteers
        were asked; and `kl`, the Kullback-Leibler divergence of the predicted from the volunteers'
        conditional fractions, each galaxy weighted by the share who were asked. Scores are value,
        low and high, see `bootstrap`.
    """
    sums = {
        **_answer_terms(tree, np.asarray(true, float), np.asarray(predicted, float)),
        **_question_terms(tree, np.asarray(true, float), np.asarray(predicted, float)),
    }
    widths = np.cumsum([term.shape[1] for term in sums.values()])[:-1]
    stacked = np.hstack(list(sums.values()))
    n = len(stacked)

    def scores(rows: np.ndarray) -> dict[str, float]:
        drawn = np.bincount(rows, minlength=n) @ stacked
        return _ratios(tree, n, dict(zip(sums, np.split(drawn, widths), strict=True)))

    found = bootstrap(scores, n, seed)
    agreed = sums["agreed"].sum(axis=0)
    return {
        "galaxies": n,
        "rmse": found["rmse"],
        "per_answer": {
            column: {score: found[f"{score} {column}"] for score in ("rmse", "r2")}
            for column in tree.columns
        },
        "per_question": {
            question.name: {
                "accuracy": found[f"accuracy {question.name}"],
                "agreed": int(agreed[at]),
                "kl": found[f"kl {question.name}"],
            }
            for at, question in enumerate(tree.questions)
        },
    }


def distribution_metrics(true: np.ndarray, predicted: np.ndarray, seed: int) -> dict:
    """Return the scores of predicted against volunteers' shares of classes.

    Args:
        true: shares that sum to 1, shape (n, classes).
        predicted: the model's, of the same shape.
        seed: of the resampling.

    Returns:
        `galaxies`; `kl`, the mean Kullback-Leibler divergence of the predicted from the true
        shares; `mse`, the mean squared error over galaxies and classes; and `entropy_spearman`,
        Spearman's rank correlation of the predicted and the volunteers' entropy. Scores are value,
        low and high, see `bootstrap`.
    """
    from scipy.stats import rankdata

    divergence = kl_divergence(true, predicted)
    squared = np.square(np.subtract(predicted, true)).mean(axis=1)
    entropies = entropy(true), entropy(predicted)

    def scores(rows: np.ndarray) -> dict[str, float]:
        ranks = [rankdata(each[rows]) for each in entropies]
        return {
            "kl": divergence[rows].mean(),
            "mse": squared[rows].mean(),
            "entropy_spearman": _correlation(*ranks),
        }

    return {"galaxies": len(divergence), **bootstrap(scores, len(divergence), seed)}


def kl_divergence(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the divergence of predicted from true shares in nats, shape (n,).

    A true share of 0 adds nothing; a predicted one counts as `SMALLEST` at least.
    """
    from scipy.special import rel_entr

    return rel_entr(true, np.maximum(predicted, SMALLEST)).sum(axis=1)


def entropy(shares: np.ndarray) -> np.ndarray:
    """Return the entropy of shares, which are along the last axis, in nats."""
    from scipy.special import entr

    return entr(shares).sum(axis=-1)


def question_entropy(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Return the entropy of each question's answers, weighted by the share who were asked.

    In nats, shape (n, questions). By the chain rule their sum over the questions of a walk is the
    walk's own entropy, the questions' answers being independent of each other.
    """
    given = np.nan_to_num(to_conditional(tree, cumulative))
    each = [entropy(given[:, members]) for members in tree.membership.astype(bool)]
    return reached(tree, cumulative) * np.column_stack(each)


def question_divergence(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the divergence of predicted from true answers, weighted by the share who were asked.

    In nats, shape (n, questions): of the conditional fractions, see `kl_divergence`. A predicted
    one counts as `HALF_A_VOTE` at least, or as volunteers' own where that is less, so that the
    truth has no divergence and a question log(1 / HALF_A_VOTE), 4.4 nats, at most. Where the
    prediction is that nobody is asked, it says nothing of the answers, and even ones stand for
    it.
    """
    given = np.nan_to_num(to_conditional(tree, true))
    foretold = to_conditional(tree, predicted)
    divergence = []
    for members in tree.membership.astype(bool):
        theirs, ours = given[:, members], foretold[:, members]
        ours = np.where(np.isnan(ours).any(axis=1, keepdims=True), 1 / members.sum(), ours)
        ours = np.maximum(ours, np.minimum(theirs, HALF_A_VOTE))
        divergence.append(kl_divergence(theirs, ours))
    return _asked(tree, true) * np.column_stack(divergence)


def _asked(tree: Tree, true: np.ndarray) -> np.ndarray:
    """Return the share who were asked each question, 0 where it has no vote at all."""
    return np.where(np.asarray(true) @ tree.membership.T > 0, reached(tree, true), 0.0)


def square_errors(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each galaxy over the fractions that are known, shape (n,).

    Of a question that nobody was asked they aren't: see `known_fractions`.
    """
    known = known_fractions(tree, true)
    squares = np.where(known, np.square(predicted - true), 0.0)
    return squares.sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _answer_terms(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    known = known_fractions(tree, true)
    # About the mean, or the variance of a rare answer would be lost in the subtraction.
    mean = np.where(known, true, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, true - mean, 0.0)
    return {
        "galaxy": square_errors(tree, true, predicted)[:, None],
        "known": known.astype(float),
        "error": np.where(known, np.square(predicted - true), 0.0),
        "value": centred,
        "square": np.square(centred),
    }


def _question_terms(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> dict[str, np.ndarray]:
    asked = _asked(tree, true)
    given, foretold = (np.nan_to_num(to_conditional(tree, each)) for each in (true, predicted))
    best, right = [], []
    for members in tree.membership.astype(bool):
        best.append(given[:, members].max(axis=1))
        right.append(given[:, members].argmax(axis=1) == foretold[:, members].argmax(axis=1))
    agreed = (np.column_stack(best) > AGREED) & (asked >= ASKED)
    return {
        "agreed": agreed.astype(float),
        "right": (agreed & np.column_stack(right)).astype(float),
        "asked": asked,
        "kl": question_divergence(tree, true, predicted),
    }


def _ratios(tree: Tree, n: int, sums: Mapping[str, np.ndarray]) -> dict[str, float]:
    known = sums["known"]
    variance = sums["square"] - np.square(sums["value"]) / np.maximum(known, 1)
    by_answer = {
        "rmse": np.sqrt(_over(sums["error"], known)),
        "r2": 1 - _over(sums["error"], np.where(variance > CONSTANT, variance, 0.0)),
    }
    by_question = {
        "accuracy": _over(sums["right"], sums["agreed"]),
        "kl": _over(sums["kl"], sums["asked"]),
    }
    scores = {"rmse": float(np.sqrt(sums["galaxy"].sum() / n))}
    for name, values in by_answer.items():
        scores |= {f"{name} {at}": value for at, value in zip(tree.columns, values, strict=True)}
    for name, values in by_question.items():
        pairs = zip(tree.questions, values, strict=True)
        scores |= {f"{name} {question.name}": value for question, value in pairs}
    return scores


def _over(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _correlation(one: np.ndarray, other: np.ndarray) -> float:
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return np.nan
    return float(np.corrcoef(one, other)[0, 1])
