"""Calibration of predicted distributions of vote fractions.

They are compared with volunteers' votes, and in simulations with the expected fractions that votes
were drawn from.
"""

from __future__ import annotations

import numpy as np

from galaxymorph.judge.metrics.bootstrap import Interval, mean_interval, proportion
from galaxymorph.judge.metrics.metric import METRICS, Metric
from galaxymorph.zoo import Tree, fraction_beta, fraction_intervals, known_fractions

# Of the intervals that are checked.
NOMINAL = 0.9


def interval_metrics(
    tree: Tree,
    mean: np.ndarray,
    deviation: np.ndarray,
    counts: np.ndarray,
    expected: np.ndarray | None,
    seed: int,
) -> dict:
    """Return the coverage of the predicted intervals of fractions.

    Args:
        tree: the decision tree.
        mean: predicted cumulative fractions, shape (n, answers).
        deviation: their predicted standard deviations.
        counts: volunteers' votes.
        expected: the fractions that the votes were drawn from, where they are known.
        seed: of the resampling.

    Returns:
        `nominal`, the level; `votes`, the share of votes inside the central interval of the
        distribution predicted for them, a number at its edge counting by the share of its
        probability inside; `width`, of the intervals of fractions, in the mean over
        answers; and, where it is known, `truth`, the share of expected fractions inside those.
        Each is value, low and high, see `bootstrap`; `per_answer` has votes and truth by column, of
        whole galaxies as `proportion`.
    """
    tail = (1 - NOMINAL) / 2
    below, at = _vote_steps(tree, mean, deviation, counts)
    # The chance that a rank drawn from the step is inside, rather than one draw.
    inside_step = np.minimum(below + at, 1 - tail) - np.maximum(below, tail)
    votes = np.divide(inside_step.clip(0), at, out=np.zeros_like(at), where=at > 0)
    low, high = fraction_intervals(mean, deviation, NOMINAL)
    inside = {"votes": votes.clip(0, 1)}
    if expected is not None:
        inside["truth"] = (expected >= low) & (expected <= high)
    # A question without votes is no test of its intervals.
    known = known_fractions(tree, counts)
    inside = {name: np.where(known, covered, np.nan) for name, covered in inside.items()}
    return {
        "nominal": NOMINAL,
        **{
            name: mean_interval(np.nanmean(covered, axis=1), seed)
            for name, covered in inside.items()
        },
        "width": mean_interval((high - low).mean(axis=1), seed),
        "per_answer": {
            column: {name: _of_answer(covered[:, number], seed) for name, covered in inside.items()}
            for number, column in enumerate(tree.columns)
        },
    }


def _of_answer(covered: np.ndarray, seed: int) -> Interval:
    """Return the share of an answer's galaxies covered, each yes, no or in part; NaN if unknown."""
    covered = covered[~np.isnan(covered)]
    if np.isin(covered, (0, 1)).all():
        return proportion(int(covered.sum()), len(covered))
    return mean_interval(covered, seed)


def vote_ranks(
    tree: Tree, mean: np.ndarray, deviation: np.ndarray, counts: np.ndarray, seed: int
) -> np.ndarray:
    """Return the probability integral transform of votes, shape (n, answers), 0 to 1.

    Of the N volunteers who answered the first question, the number who give an answer follows a
    beta-binomial distribution; a rank is drawn evenly from the step of its distribution function
    at the observed number, so that ranks are uniform where the prediction is right (Czado, Gneiting
    & Held 2009, Biometrics 65, 1254).

    Args:
        tree: the decision tree.
        mean: predicted cumulative fractions, shape (n, answers).
        deviation: their predicted standard deviations.
        counts: volunteers' votes.
        seed: of the draws.
    """
    below, at = _vote_steps(tree, mean, deviation, counts)
    return below + np.random.default_rng(seed).random(mean.shape) * at


def _vote_steps(
    tree: Tree, mean: np.ndarray, deviation: np.ndarray, counts: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the distribution function below the observed votes, and its step there."""
    from scipy.stats import betabinom

    volunteers, votes = _votes(tree, counts)
    a, b = fraction_beta(mean, deviation).args
    below, at = np.zeros(mean.shape), np.zeros(mean.shape)
    for number in range(int(votes.max()) + 1):
        # Beyond the votes, which are few of most answers, the step isn't needed.
        here = np.nonzero(number <= votes)
        step, found = betabinom.pmf(number, volunteers[here[0], 0], a[here], b[here]), votes[here]
        below[here] += np.where(number < found, step, 0)
        at[here] += np.where(number == found, step, 0)
    return below, at


def vote_nll(
    tree: Tree,
    mean: np.ndarray,
    deviation: np.ndarray,
    counts: np.ndarray,
    where: np.ndarray | None = None,
) -> np.ndarray:
    """Return the negative log-likelihood of each answer's votes, in nats, shape (n, answers).

    Of the beta-binomial distribution that `vote_ranks` has.

    Args:
        tree: the decision tree.
        mean: predicted cumulative fractions, shape (n, answers).
        deviation: their predicted standard deviations.
        counts: volunteers' votes.
        where: of that shape, the answers to return one after the other; all by default.
    """
    from scipy.stats import betabinom

    volunteers, votes = _votes(tree, counts)
    arrays = [votes, np.broadcast_to(volunteers, votes.shape), mean, deviation]
    if where is not None:
        arrays = [each[where] for each in arrays]
    votes, volunteers, mean, deviation = arrays
    return -betabinom.logpmf(votes, volunteers, *fraction_beta(mean, deviation).args)


def _votes(tree: Tree, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the number who answered the first question, shape (n, 1), and each answer's votes."""
    first = tree.membership[tree.asked_of_all.argmax()].astype(bool)
    volunteers = counts[:, first].sum(axis=1, keepdims=True).round()
    return volunteers, np.minimum(counts.round(), volunteers)


for name, metric in {
    "votes": Metric(
        f"{NOMINAL:.0%} intervals that contain the volunteers' votes",
        better="nominal",
        limits=(0.0, 1.0),
    ),
    "truth": Metric(
        f"{NOMINAL:.0%} intervals that contain the fractions from which votes were drawn",
        better="nominal",
        limits=(0.0, 1.0),
    ),
    "width": Metric(f"{NOMINAL:.0%} intervals' width", better="less", limits=(0.0, 1.0)),
}.items():
    METRICS.register(name, metric)
