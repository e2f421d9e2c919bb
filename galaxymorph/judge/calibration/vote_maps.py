"""Vote fractions as the volunteers of one catalogue gave them.

Catalogues of the same questions differ in how votes were weighted and galaxies selected, so a
network that was trained on several predicts fractions between theirs. A map with a slope a question
and a shift an answer, fitted to a catalogue's votes on galaxies that trained nothing, turns them
into fractions of that catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np

from galaxymorph.base import (
    BadInput,
    Damaged,
    did_you_mean,
    read_json,
    reading,
    require,
    require_key,
    require_numbers,
    setting,
    write_json,
)
from galaxymorph.judge.metrics.bootstrap import Interval, bootstrap_one
from galaxymorph.judge.metrics.vote_fractions import (
    conditional_square_errors,
    reached_by_votes,
    root_mean,
    square_errors,
)
from galaxymorph.learn import Run, run_files, target_of
from galaxymorph.zoo import Tree, to_conditional, tree_softmax

# Galaxies from which a map is fitted: four in each fold.
FEWEST_FOR_MAP = 20
FOLDS = 5
# Keeps logarithms finite: a softmax in float32 ends at 0.
FLOOR = 1e-6
# Standard deviations before any vote, about 0: of shifts, and of a slope's logarithm, so that 95 %
# of slopes lie from 0.6 to 1.6. A galaxy counts as one vote on each question, since the network's
# errors, not the sampling of volunteers, limit what it tells.
SHIFT, SLOPE = 1.0, 0.25


class VoteMapRecord(TypedDict):
    """A map in `vote_maps.json`."""

    votes: str
    galaxies: int
    slopes: list[float]
    shifts: list[float]


@dataclass(frozen=True)
class VoteMap:
    """A map from a network's fractions to those of a catalogue's votes.

    Of an answer whose conditional fraction is predicted as p, the mapped one is proportional to
    exp(s log p + b) among the question's answers: vector scaling with one slope a question (Guo et
    al. 2017, ICML, section 4.2).

    Args:
        votes: name of the catalogue's votes, such as `galaxy-zoo-2-weighted`.
        galaxies: number that it was fitted to.
        slopes: s, shape (questions,).
        shifts: b, shape (answers,).
    """

    votes: str
    galaxies: int
    slopes: np.ndarray
    shifts: np.ndarray

    def apply(self, tree: Tree, fractions: np.ndarray) -> np.ndarray:
        """Return mapped cumulative fractions, which obey the tree; unchanged if s is 1 and b 0.

        Args:
            tree: the decision tree.
            fractions: predicted cumulative fractions, shape (n, answers).
        """
        if (self.slopes == 1).all() and not self.shifts.any():
            return fractions
        logits = self.shifts + (self.slopes @ tree.membership) * _logarithms(tree, fractions)
        return tree_softmax(tree, logits)

    @property
    def record(self) -> VoteMapRecord:
        """The map as JSON."""
        return {
            "votes": self.votes,
            "galaxies": self.galaxies,
            "slopes": self.slopes.round(6).tolist(),
            "shifts": self.shifts.round(6).tolist(),
        }


def fit_vote_map(
    tree: Tree, votes: str, predicted: np.ndarray, true: np.ndarray, seed: int
) -> tuple[VoteMap, dict[str, dict[str, Interval]]]:
    """Return the map of a catalogue's votes, and scores of galaxies that it wasn't fitted to.

    Slopes and shifts are the maximum a posteriori estimates by cross-entropy, weighted by the
    fraction of volunteers who reached a question, under normal priors, see `SHIFT`. If
    cross-validation finds no smaller cross-entropy than without a map, or with fewer galaxies than
    `FEWEST_FOR_MAP`, fractions are left as they are.

    Args:
        tree: the decision tree.
        votes: their name.
        predicted: cumulative fractions of galaxies that trained nothing, shape (n, answers).
        true: the volunteers' ones, likewise.
        seed: of the folds and the resampling.

    Returns:
        The map, and `before` and `after` it, cross-validated in five folds: `rmse` of the known
        fractions and `conditional_rmse`, that of conditional fractions weighted by the reach of the
        question.
    """
    questions, answers = tree.membership.shape
    fitted = VoteMap(votes, len(predicted), np.ones(questions), np.zeros(answers))
    held_out = _held_out(tree, votes, predicted, true, seed)
    if _cross_entropy(tree, held_out, true) < _cross_entropy(tree, predicted, true):
        fitted = _fitted(tree, votes, predicted, true)
    else:
        held_out = predicted
    when = {"before": predicted, "after": held_out}
    return fitted, {name: _scores(tree, true, values, seed) for name, values in when.items()}


def _held_out(
    tree: Tree, votes: str, predicted: np.ndarray, true: np.ndarray, seed: int
) -> np.ndarray:
    """Return fractions mapped by fits to the other folds; unchanged of too few galaxies."""
    from sklearn.model_selection import KFold

    if len(predicted) < FEWEST_FOR_MAP:
        return predicted
    mapped = np.empty_like(predicted)
    for fit, test in KFold(FOLDS, shuffle=True, random_state=seed).split(predicted):
        fold = _fitted(tree, votes, predicted[fit], true[fit])
        mapped[test] = fold.apply(tree, predicted[test])
    return mapped


def _fitted(tree: Tree, votes: str, predicted: np.ndarray, true: np.ndarray) -> VoteMap:
    from scipy.optimize import minimize
    from scipy.special import log_softmax

    logarithms, shares = _logarithms(tree, predicted), np.nan_to_num(to_conditional(tree, true))
    weights = reached_by_votes(tree, true) @ tree.membership
    slopes, shifts = np.ones(len(tree.questions)), np.zeros(len(tree.columns))
    for at, answers in enumerate(tree.membership.astype(bool)):

        def loss(
            values: np.ndarray,
            logs: np.ndarray = logarithms[:, answers],
            given: np.ndarray = shares[:, answers] * weights[:, answers],
        ) -> float:
            power, shift = values[0], values[1:]
            mapped = log_softmax(np.exp(power) * logs + shift, axis=1)
            prior = (power / SLOPE) ** 2 / 2 + np.square(shift / SHIFT).sum() / 2
            return float(prior - (given * mapped).sum())

        best = minimize(loss, np.zeros(1 + answers.sum()), method="BFGS").x
        slopes[at], shifts[answers] = np.exp(best[0]), best[1:]
    return VoteMap(votes, len(predicted), slopes, shifts)


def _logarithms(tree: Tree, fractions: np.ndarray) -> np.ndarray:
    """Return logarithms of conditional fractions; of a question that is not reached, 0."""
    conditional = np.asarray(to_conditional(tree, fractions), float)
    return np.log(np.where(np.isnan(conditional), 1.0, conditional.clip(FLOOR)))


def _cross_entropy(tree: Tree, predicted: np.ndarray, true: np.ndarray) -> float:
    weights = reached_by_votes(tree, true) @ tree.membership
    shares = np.nan_to_num(to_conditional(tree, true))
    return -float((weights * shares * _logarithms(tree, predicted)).sum())


def _scores(tree: Tree, true: np.ndarray, predicted: np.ndarray, seed: int) -> dict[str, Interval]:
    squares, weights = conditional_square_errors(tree, true, predicted)
    return {
        "rmse": root_mean(square_errors(tree, true, predicted), seed),
        "conditional_rmse": bootstrap_one(
            lambda at: float(np.sqrt(squares[at].sum() / weights[at].sum())), len(squares), seed
        ),
    }


def require_votes(maps: Sequence[VoteMap], votes: str, model: str) -> VoteMap:
    """Return the map of a catalogue's votes.

    Args:
        maps: of the model.
        votes: their name.
        model: its name, for an error.

    Raises:
        BadInput: the model has no such map.
    """
    names = [each.votes for each in maps]
    if votes in names:
        return maps[names.index(votes)]
    fault = f"{setting('votes', votes)}: {model} is not calibrated for such votes"
    if not names:
        raise BadInput(fault, f"leave it out, or calibrate its run with {setting('also')}")
    raise BadInput(fault, did_you_mean(votes, names, "it is for"))


def write_vote_maps(run: Run, record: Mapping[str, Any]) -> None:
    """Write `vote_maps.json`, see `calibrate_tree` of `predict`."""
    write_json(run.path / run_files.VOTE_MAPS, record)


def load_vote_maps(run: Run) -> list[VoteMap]:
    """Return a run's maps, none if it isn't calibrated or not of a tree.

    Raises:
        BadInput: the file is damaged.
    """
    path = run.path / run_files.VOTE_MAPS
    if not path.exists():
        return []
    return described_vote_maps(read_json(path), target_of(run.recipe).tree, str(path))


def describe_vote_maps(run: Run) -> dict[str, Any]:
    """Return the entry of a run's maps in an exported file; nothing if there are none."""
    maps = load_vote_maps(run)
    return {"vote_maps": [each.record for each in maps]} if maps else {}


def described_vote_maps(
    description: Mapping[str, Any], tree: Tree | None, name: str
) -> list[VoteMap]:
    """Return the maps in the description of an exported file of some name.

    Args:
        description: with or without `vote_maps`, records as `VoteMapRecord`.
        tree: whose answers the model predicts, None of classes.
        name: of the file, for errors.

    Raises:
        BadInput: they are damaged.
    """
    with reading(name, "calibrate and export it again"):
        records = require(description.get("vote_maps", []), list, "vote_maps")
        if tree is None:
            if records:
                raise Damaged("vote_maps are of a decision tree, and it predicts classes")
            return []
        return [_read(require(record, dict, "vote_maps"), tree) for record in records]


def _read(record: Mapping[str, Any], tree: Tree) -> VoteMap:
    slopes, shifts = (
        np.array(require_numbers(require_key(record, name, list), name), float)
        for name in ("slopes", "shifts")
    )
    if slopes.shape != (len(tree.questions),) or shifts.shape != (len(tree.columns),):
        raise Damaged("slopes and shifts aren't one a question and answer")
    if not (np.isfinite(slopes).all() and np.isfinite(shifts).all()):
        raise Damaged("a slope or a shift isn't a number")
    return VoteMap(
        require_key(record, "votes", str), require_key(record, "galaxies", int), slopes, shifts
    )
