"""Metrics of predicted against volunteers' vote fractions, with bootstrap intervals.

A metric of a tree's answers or questions is a ratio of sums over galaxies, so that a resample is a
product of the galaxies' multiplicities and their terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from galaxymorph.judge.metrics.bootstrap import (
    Interval,
    bootstrap,
    bootstrap_one,
    bootstrap_together,
    mean_interval,
    proportion,
)
from galaxymorph.judge.metrics.expected_fractions import expected_fractions
from galaxymorph.judge.metrics.metric import METRICS, Metric, Predictions
from galaxymorph.learn import RMSE
from galaxymorph.zoo.tree import Tree, known_fractions, reached, to_conditional

# Volunteers agree where one answer has more than this fraction of the votes, and a question counts
# for a galaxy where at least half of all volunteers reached it: otherwise one volunteer who strayed
# down a path would count as agreement (Walmsley et al. 2022, MNRAS 509, 3966, table 1).
AGREED = 0.8
REACHED = 0.5
# Predicted fractions are at least these, so that a divergence stays finite: of classes, as the
# published targets are, and of answers, half a vote of the some 40 volunteers of a galaxy (Willett
# et al. 2013, MNRAS 435, 2835, section 2: 44 in the median), since votes tell no rarer ones.
SMALLEST, HALF_A_VOTE = 1e-8, 0.5 / 40
# A sum of squares up to here is rounding, of an answer that never varies.
CONSTANT = 1e-12

Estimates = dict[str, Interval]


def question_accuracy(predictions: Predictions) -> Estimates:
    """Return the accuracy of each question's most probable answer, where volunteers agree.

    See `agreed_galaxies`. By the question's name, with the interval of `proportion`.
    """
    tree = _tree_of(predictions)
    agreed = agreed_galaxies(tree, predictions.true)
    true, predicted = (
        np.nan_to_num(to_conditional(tree, fractions))
        for fractions in (predictions.true, predictions.predicted)
    )
    correct = np.column_stack(
        [
            true[:, answers].argmax(axis=1) == predicted[:, answers].argmax(axis=1)
            for answers in tree.membership.astype(bool)
        ]
    )
    hits, of = (agreed & correct).sum(axis=0), agreed.sum(axis=0)
    return {
        question.name: proportion(hits[at], of[at]) for at, question in enumerate(tree.questions)
    }


def question_kl(predictions: Predictions) -> Estimates:
    """Return the Kullback-Leibler divergence of each question's conditional fractions, by its name.

    Each galaxy is weighted by the fraction of volunteers who reached the question, see
    `question_divergence`.
    """
    tree = _tree_of(predictions)
    terms = {
        "kl": question_divergence(tree, predictions.true, predictions.predicted),
        "reached": reached_by_votes(tree, predictions.true),
    }
    names = [question.name for question in tree.questions]
    return _of_sums(
        terms, lambda sums: _ratio(sums["kl"], sums["reached"]), names, predictions.seed
    )


def answer_rmse(predictions: Predictions) -> Estimates:
    """Return the root-mean-square error of each answer's known fractions, by its column."""

    def rmse(sums: Mapping[str, np.ndarray]) -> np.ndarray:
        return np.sqrt(_ratio(sums["error"], sums["known"]))

    columns = _tree_of(predictions).columns
    return _of_sums(_error_terms(predictions), rmse, columns, predictions.seed)


def answer_r2(predictions: Predictions) -> Estimates:
    """Return the share of each answer's variance that is explained, by its column."""
    tree, true = _tree_of(predictions), predictions.true
    known = known_fractions(tree, true)
    # About the mean, or the variance of a rare answer would be lost in the subtraction.
    mean = np.where(known, true, 0.0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, true - mean, 0.0)
    terms = {**_error_terms(predictions), "value": centred, "square": np.square(centred)}

    def r2(sums: Mapping[str, np.ndarray]) -> np.ndarray:
        variance = sums["square"] - np.square(sums["value"]) / np.maximum(sums["known"], 1)
        return 1 - _ratio(sums["error"], np.where(variance > CONSTANT, variance, 0.0))

    return _of_sums(terms, r2, tree.columns, predictions.seed)


def root_mean(squares: np.ndarray, seed: int) -> Interval:
    """Return the root of the mean over galaxies of squared errors, shape (n,), as `bootstrap`."""
    return bootstrap_one(lambda rows: np.sqrt(squares[rows].mean()), len(squares), seed)


def agreed_galaxies(tree: Tree, true: np.ndarray) -> np.ndarray:
    """Return whether volunteers agree on a question, boolean, shape (n, questions).

    One answer has over 80 % of the votes, and half of the volunteers reached the question.
    """
    conditional = np.nan_to_num(to_conditional(tree, true))
    largest = [conditional[:, answers].max(axis=1) for answers in tree.membership.astype(bool)]
    return (np.column_stack(largest) > AGREED) & (reached_by_votes(tree, true) >= REACHED)


def entropy_correlation(true: np.ndarray, predicted: np.ndarray, seed: int) -> Interval:
    """Return Spearman's rank correlation of volunteers' and the predicted entropy, (n, classes)."""
    return rank_correlations(entropy(true), {"": entropy(predicted)}, seed)[""]


def rank_correlations(one: np.ndarray, others: Mapping[str, np.ndarray], seed: int) -> Estimates:
    """Return Spearman's rank correlation of one quantity with others, by their names.

    With the interval of `bootstrap`; unknown where either is constant.

    Args:
        one: shape (n,).
        others: by name, shape (n,).
        seed: of the resampling.
    """
    from scipy.stats import rankdata

    def correlations(rows: np.ndarray) -> dict[str, np.ndarray]:
        ranks = rankdata(one[rows], axis=1)
        return {
            name: _correlations(ranks, rankdata(other[rows], axis=1))
            for name, other in others.items()
        }

    return bootstrap_together(correlations, len(one), seed)


def kl_divergence(true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the divergence of predicted from true fractions in nats, shape (n,).

    A true fraction of 0 adds nothing; a predicted one counts as `SMALLEST` at least.
    """
    from scipy.special import rel_entr

    return rel_entr(true, np.maximum(predicted, SMALLEST)).sum(axis=1)


def entropy(fractions: np.ndarray) -> np.ndarray:
    """Return the entropy of fractions along the last axis, in nats."""
    from scipy.special import entr

    return entr(fractions).sum(axis=-1)


def question_entropy(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Return the entropy of each question's answers, weighted by the fraction who reached it.

    In nats, shape (n, questions). By the chain rule, their sum is the entropy of a volunteer's path
    through the tree, if answers are independent.
    """
    conditional = np.nan_to_num(to_conditional(tree, cumulative))
    entropies = [entropy(conditional[:, answers]) for answers in tree.membership.astype(bool)]
    return reached(tree, cumulative) * np.column_stack(entropies)


def question_divergence(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the divergence of predicted from true answers, weighted by who reached the question.

    In nats, shape (n, questions): of the conditional fractions, see `kl_divergence`. A predicted
    one counts as `HALF_A_VOTE` at least, or as the true one where that is less, so that the truth
    has no divergence and a question log(1 / HALF_A_VOTE), 4.4 nats, at most. Where the prediction
    is that nobody reaches the question, its answers count as equally probable.
    """
    conditional = np.nan_to_num(to_conditional(tree, true))
    conditional_predicted = to_conditional(tree, predicted)
    divergences = []
    for answers in tree.membership.astype(bool):
        p, q = conditional[:, answers], conditional_predicted[:, answers]
        q = np.where(np.isnan(q).any(axis=1, keepdims=True), 1 / answers.sum(), q)
        q = np.maximum(q, np.minimum(p, HALF_A_VOTE))
        divergences.append(kl_divergence(p, q))
    return reached_by_votes(tree, true) * np.column_stack(divergences)


def conditional_square_errors(
    tree: Tree, true: np.ndarray, predicted: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the squared errors of each galaxy's conditional fractions, and their weights.

    Both are sums over all answers, shape (n,); an answer's weight is the fraction of volunteers who
    reached its question. A predicted conditional fraction is 0 where nobody is to reach it.
    """
    weights = reached_by_votes(tree, true) @ tree.membership
    errors = np.nan_to_num(to_conditional(tree, predicted)) - np.nan_to_num(
        to_conditional(tree, true)
    )
    return (np.square(errors) * weights).sum(axis=1), weights.sum(axis=1)


def reached_by_votes(tree: Tree, true: np.ndarray) -> np.ndarray:
    """Return the fraction who reached each question, 0 where it has no vote at all."""
    return np.where(np.asarray(true) @ tree.membership.T > 0, reached(tree, true), 0.0)


def square_errors(tree: Tree, true: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each galaxy over the fractions that are known, shape (n,).

    Those of a question without votes aren't: see `known_fractions`.
    """
    known = known_fractions(tree, true)
    squares = np.where(known, np.square(predicted - true), 0.0)
    return squares.sum(axis=1) / np.maximum(known.sum(axis=1), 1)


def _error_terms(predictions: Predictions) -> dict[str, np.ndarray]:
    known = known_fractions(_tree_of(predictions), predictions.true)
    squares = np.square(predictions.predicted - predictions.true)
    return {"known": known.astype(float), "error": np.where(known, squares, 0.0)}


def _of_sums(
    terms: Mapping[str, np.ndarray],
    ratio: Callable[[Mapping[str, np.ndarray]], np.ndarray],
    names: Sequence[str],
    seed: int,
) -> Estimates:
    """Return the intervals of functions of sums over galaxies, by name.

    Args:
        terms: of each galaxy, shape (n, k).
        ratio: from their sums, shape (k,) each, to a value for each name.
        names: of the values.
        seed: of the resampling.
    """
    edges = np.cumsum([term.shape[1] for term in terms.values()])[:-1]
    stacked = np.hstack(list(terms.values()))
    n = len(stacked)

    def values(rows: np.ndarray) -> dict[str, float]:
        sums = np.split(np.bincount(rows, minlength=n) @ stacked, edges)
        return dict(zip(names, ratio(dict(zip(terms, sums, strict=True))), strict=True))

    return bootstrap(values, n, seed)


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    return np.divide(above, below, out=np.full_like(above, np.nan), where=below > 0)


def _correlations(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return Pearson's correlation of each row, NaN where either is constant."""
    one, other = (each - each.mean(axis=1, keepdims=True) for each in (one, other))
    spread = np.sqrt(np.square(one).sum(axis=1) * np.square(other).sum(axis=1))
    return np.clip(_ratio((one * other).sum(axis=1), spread), -1, 1)


def _tree_of(predictions: Predictions) -> Tree:
    if predictions.tree is None:
        raise TypeError("the predictions are not of a decision tree")
    return predictions.tree


def _squares(predictions: Predictions) -> np.ndarray:
    return square_errors(_tree_of(predictions), predictions.true, predictions.predicted)


def _rmse_gain(before: Predictions, after: Predictions) -> Interval:
    first, second = _squares(before), _squares(after)
    return bootstrap_one(
        lambda rows: np.sqrt(second[rows].mean()) - np.sqrt(first[rows].mean()),
        len(first),
        before.seed,
    )


def _divergence(predictions: Predictions) -> np.ndarray:
    return kl_divergence(predictions.true, predictions.predicted)


def _squared_shares(predictions: Predictions) -> np.ndarray:
    return np.square(np.subtract(predictions.predicted, predictions.true)).mean(axis=1)


def expected_of(predictions: Predictions) -> np.ndarray | None:
    """Return the fractions that votes were drawn from, see `expected_fractions`."""
    if predictions.run is None:
        return None
    folder = Path(predictions.run.data["path"])
    return expected_fractions(folder, list(predictions.table["galaxy"]), _tree_of(predictions))


def _expected_rmse(predictions: Predictions) -> Interval:
    squares = np.square(predictions.predicted - expected_of(predictions)).mean(axis=1)
    return root_mean(squares, predictions.seed)


DIVERGENCE, SQUARES = "percentile bootstrap of divergence and errors", "percentile bootstrap"
WILSON = "Wilson of accuracies"
for name, metric in {
    "kl": Metric(
        "Kullback-Leibler divergence",
        "of the predicted from the volunteers' shares, in nats, the mean over galaxies",
        "less",
        digits=4,
        short="divergence",
        family="distribution",
        headline=True,
        value=lambda predictions: _divergence(predictions).mean(),
        estimate=lambda predictions: mean_interval(_divergence(predictions), predictions.seed),
        difference=lambda before, after: mean_interval(
            _divergence(after) - _divergence(before), before.seed
        ),
        interval=DIVERGENCE,
    ),
    "mse": Metric(
        "mean squared error of shares",
        "over galaxies and classes",
        "less",
        digits=4,
        short="mean squared error",
        family="distribution",
        estimate=lambda predictions: mean_interval(_squared_shares(predictions), predictions.seed),
        interval=DIVERGENCE,
    ),
    "entropy_spearman": Metric(
        "rank correlation of entropies",
        "Spearman's, of the entropy of the predicted and of the volunteers' shares",
        "greater",
        (-1.0, 1.0),
        digits=4,
        family="distribution",
        estimate=lambda predictions: entropy_correlation(
            predictions.true, predictions.predicted, predictions.seed
        ),
        interval=DIVERGENCE,
    ),
    "rmse": Metric(
        "RMSE of vote fractions",
        "root-mean-square error over all answers and galaxies, the Kaggle challenge's score",
        "less",
        digits=4,
        short=RMSE.label,
        family="tree",
        headline=True,
        value=lambda predictions: np.sqrt(_squares(predictions).mean()),
        estimate=lambda predictions: root_mean(_squares(predictions), predictions.seed),
        difference=_rmse_gain,
        interval=SQUARES,
    ),
    "rmse_expected": Metric(
        "RMSE from the fractions from which votes were drawn",
        "known for simulated galaxies only",
        "less",
        digits=4,
        family="tree",
        estimate=_expected_rmse,
        applies=lambda predictions: expected_of(predictions) is not None,
        interval=SQUARES,
    ),
    "per_question.accuracy": Metric(
        "accuracy where agreed",
        "of the most probable answer, where over 80 % of volunteers agree, and half or more of all "
        "reached the question",
        "greater",
        (0.0, 1.0),
        family="tree",
        estimates=question_accuracy,
        interval=WILSON,
    ),
    "per_question.kl": Metric(
        "divergence",
        "Kullback-Leibler, of conditional fractions, in nats, weighted by the fraction of "
        "volunteers who reached the question",
        "less",
        family="tree",
        estimates=question_kl,
        interval=SQUARES,
    ),
    "per_answer.rmse": Metric(
        "RMSE",
        "root-mean-square error of an answer's vote fraction, over galaxies with votes",
        "less",
        family="tree",
        estimates=answer_rmse,
        interval=SQUARES,
    ),
    "per_answer.r2": Metric(
        "R²",
        "fraction of the variance of an answer's vote fraction that is explained",
        "greater",
        (-np.inf, 1.0),
        family="tree",
        estimates=answer_r2,
        interval=SQUARES,
    ),
}.items():
    METRICS.register(name, metric)
