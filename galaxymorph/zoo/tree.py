"""The Galaxy Zoo decision tree as data, and the arithmetic of its vote fractions.

A *cumulative* fraction is the share of all volunteers who gave an answer, so the answers of a
question sum to the probability of having reached it. A *conditional* fraction is the share among
those who were asked, so they sum to 1; it is undefined (NaN) where nobody was asked.
Tree and wording: Galaxy Zoo 2, Willett et al. 2013, MNRAS 435, 2835, table 2.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from graphlib import TopologicalSorter

import numpy as np

SUM_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Answer:
    """One answer of a question.

    Args:
        column: of the table.
        text: of the answer.
        leads_to: the question that follows.
        shared: names by which answers of several trees are the same, the most specific first, and
            last the column of the same answer in the challenge's tree, if it has such.
    """

    column: str
    text: str
    leads_to: str | None = None
    shared: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The column, and the names that other trees' answers may have too."""
        return self.column, *self.shared


@dataclass(frozen=True)
class Question:
    """One question; `asked_of_all` overrides the answers that lead to it."""

    name: str
    text: str
    answers: tuple[Answer, ...]
    asked_of_all: bool = False


@dataclass(frozen=True)
class Tree:
    """A decision tree; its questions stand in the order of the table's columns.

    `zeros_are_known`: whether the fractions of a question that nobody reached are known to be 0,
    as in the challenge, rather than unknown.
    """

    name: str
    questions: tuple[Question, ...]
    zeros_are_known: bool = False

    @cached_property
    def answers(self) -> list[tuple[Question, Answer]]:
        """Every answer behind its question, in the table's order."""
        return [(question, answer) for question in self.questions for answer in question.answers]

    @cached_property
    def columns(self) -> list[str]:
        """The answers' columns, in the table's order."""
        return [answer.column for _, answer in self.answers]

    @cached_property
    def membership(self) -> np.ndarray:
        """Which question an answer belongs to: 0 or 1, shape (questions, answers)."""
        return np.array(
            [
                [float(answer in question.answers) for _, answer in self.answers]
                for question in self.questions
            ]
        )

    @cached_property
    def leads(self) -> np.ndarray:
        """Which question an answer leads to: 0 or 1, shape (questions, answers)."""
        return np.array(
            [
                [float(answer.leads_to == question.name) for _, answer in self.answers]
                for question in self.questions
            ]
        )

    @cached_property
    def roots(self) -> list[int]:
        """The positions of questions that begin a walk: one, or one of each campaign in a union."""
        return np.flatnonzero(self.asked_of_all & ~self.leads.any(axis=1)).tolist()

    @cached_property
    def asked_of_all(self) -> np.ndarray:
        """Which questions everybody is asked: boolean, shape (questions,)."""
        return np.array([question.asked_of_all for question in self.questions])

    @cached_property
    def walk(self) -> list[int]:
        """The questions' positions in an order in which every answer leads onward."""
        places = {question.name: at for at, question in enumerate(self.questions)}
        before: dict[int, set[int]] = {at: set() for at in places.values()}
        for at, question in enumerate(self.questions):
            for answer in question.answers:
                if answer.leads_to:
                    before[places[answer.leads_to]].add(at)
        return list(TopologicalSorter(before).static_order())


def reached(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Return the probability that each question is reached.

    Args:
        tree: the decision tree, with A answers to Q questions.
        cumulative: cumulative fractions, shape (n, A).

    Returns:
        Shape (n, Q): the sum over the answers that lead to a question, 1 where all are asked.
    """
    return np.where(tree.asked_of_all, 1.0, np.asarray(cumulative, float) @ tree.leads.T)


def known_fractions(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Tell which fractions are known, boolean, shape (n, answers).

    Those of a question that nobody was asked aren't, except where a zero is a value: see `Tree`.

    Args:
        tree: the decision tree.
        cumulative: cumulative fractions, or numbers of votes, shape (n, answers).
    """
    cumulative = np.asarray(cumulative, float)
    if tree.zeros_are_known:
        return np.ones(cumulative.shape, bool)
    return cumulative @ tree.membership.T @ tree.membership > 0


def to_conditional(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Turn cumulative fractions into conditional ones, both of shape (n, answers).

    A question that nobody reached has NaN for each of its answers.
    """
    cumulative = np.asarray(cumulative, float)
    totals = cumulative @ tree.membership.T @ tree.membership
    return np.divide(cumulative, totals, out=np.full_like(cumulative, np.nan), where=totals > 0)


def to_cumulative(tree: Tree, conditional: np.ndarray) -> np.ndarray:
    """Turn conditional fractions into cumulative ones, both of shape (n, answers).

    NaN, the conditional fraction of a question that nobody reached, becomes 0.
    """
    conditional = np.nan_to_num(np.asarray(conditional, float))
    cumulative = np.zeros_like(conditional)
    for at in tree.walk:
        answers = tree.membership[at] > 0
        reach = 1.0 if tree.asked_of_all[at] else (cumulative @ tree.leads[at])[:, None]
        cumulative[:, answers] = reach * conditional[:, answers]
    return cumulative


def softmax(logits: np.ndarray) -> np.ndarray:
    """Return the softmax of each row, shape (n, k)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def tree_softmax(tree: Tree, logits: np.ndarray) -> np.ndarray:
    """Return cumulative fractions, the conditional ones being a softmax within each question.

    Args:
        tree: the decision tree.
        logits: shape (n, answers), as the fractions.
    """
    conditional = np.zeros(logits.shape)
    for answers in tree.membership.astype(bool):
        conditional[:, answers] = softmax(logits[:, answers])
    return to_cumulative(tree, conditional)


def shared_answers(source: Tree, tree: Tree) -> np.ndarray:
    """Tell which answers of one tree are which of another: 0 or 1, shape (answers, answers).

    Two answers are the same if they have a name in common, see `Answer.names`. Several of the
    source's may be one of the other tree, such as a strong and a weak bar. The column of an answer
    is 0 unless the source has all answers of its question. A tree within a union of several is
    that part of it alone.

    Args:
        source: the tree of the rows.
        tree: the tree of the columns.
    """
    if set(source.columns) <= set(tree.columns):
        return np.array([[float(one == other) for other in tree.columns] for one in source.columns])
    names = [set(answer.names) for _, answer in source.answers]
    known = set().union(*names)
    matrix = np.zeros((len(names), len(tree.columns)))
    at = 0
    for question in tree.questions:
        for wanted in _levels(question):
            if len(set(wanted)) == len(wanted) and known.issuperset(wanted):
                for place, name in enumerate(wanted, at):
                    matrix[[name in of_one for of_one in names], place] = 1.0
        at += len(question.answers)
    return matrix


def _levels(question: Question) -> list[list[str]]:
    """Return the names of a question's answers, from the most specific to the most general."""
    deepest = max(len(answer.names) for answer in question.answers)
    return [
        [answer.names[min(level, len(answer.names) - 1)] for answer in question.answers]
        for level in range(deepest)
    ]


def translate_fractions(source: Tree, tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Return the cumulative fractions of one tree as those of another, see `shared_answers`.

    Args:
        source: the tree of the fractions.
        tree: the other one.
        cumulative: of the source's answers, shape (n, answers).

    Returns:
        Shape (n, answers of `tree`): 0 for the answers of a question that the source doesn't have
        or that nobody reached, and of those below it. Where the source asks the same question in
        several campaigns, the mean of their fractions.
    """
    if source == tree:
        return np.asarray(cumulative, float)
    conditional = np.nan_to_num(to_conditional(source, cumulative))
    return to_cumulative(tree, to_conditional(tree, conditional @ shared_answers(source, tree)))


def draw_votes(
    tree: Tree, cumulative: np.ndarray, volunteers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Return numbers of votes that volunteers give on their ways down the tree.

    Args:
        tree: the decision tree.
        cumulative: the fractions that votes are drawn from, shape (n, answers).
        volunteers: of each galaxy, whole numbers of shape (n,), or (draws, n) for several ballots.
        rng: of the draws.

    Returns:
        Shape (*volunteers.shape, answers).
    """
    conditional = np.nan_to_num(to_conditional(tree, cumulative))
    counts = np.zeros((*np.shape(volunteers), len(tree.columns)), int)
    for at in tree.walk:
        answers = tree.membership[at] > 0
        reaching = volunteers
        if not tree.asked_of_all[at]:
            reaching = (counts @ tree.leads[at].astype(int)).astype(int)
        shares = conditional[:, answers]
        # A question that nobody is expected to reach is reached by nobody.
        shares = np.where(shares.sum(axis=1, keepdims=True) > 0, shares, 1 / answers.sum())
        counts[..., answers] = rng.multinomial(reaching, shares / shares.sum(axis=1, keepdims=True))
    return counts


def likeliest_walk(tree: Tree, cumulative: np.ndarray) -> list[int]:
    """Return the answers that most volunteers give on the way down, as positions in `columns`.

    Args:
        tree: the decision tree.
        cumulative: one galaxy's cumulative fractions, shape (answers,).

    Returns:
        An answer for each question on the way, then for those that everybody is asked and the way
        doesn't pass, and the questions they lead to.
    """
    names = [question.name for question in tree.questions]
    members = tree.membership.astype(bool)
    walked: dict[int, int] = {}
    for start in np.flatnonzero(tree.asked_of_all):
        at: int | None = int(start)
        while at is not None and at not in walked:
            places = np.flatnonzero(members[at])
            walked[at] = int(places[np.asarray(cumulative)[places].argmax()])
            onward = tree.answers[walked[at]][1].leads_to
            at = names.index(onward) if onward else None
    return list(walked.values())


def broken_sums(tree: Tree, cumulative: np.ndarray) -> np.ndarray:
    """Tell where a question's answers don't sum to the probability of having reached it.

    Args:
        tree: the decision tree.
        cumulative: cumulative fractions, shape (n, answers).

    Returns:
        Boolean, shape (n, questions): true where the sums differ by more than `SUM_TOLERANCE`.
    """
    sums = np.asarray(cumulative, float) @ tree.membership.T
    return ~(np.abs(sums - reached(tree, cumulative)) <= SUM_TOLERANCE)
