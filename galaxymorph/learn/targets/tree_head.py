"""Heads and links: from a network's logits to vote fractions that obey a decision tree."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from galaxymorph.base import Registry
from galaxymorph.learn.targets.tree import CONCENTRATIONS
from galaxymorph.zoo.tree import Tree


def concentrations(logits: torch.Tensor) -> torch.Tensor:
    """Return Dirichlet concentrations, which rise with the logits, in `CONCENTRATIONS`."""
    least, most = CONCENTRATIONS
    return least + (most - least) * torch.sigmoid(full_precision(logits))


def full_precision(values: torch.Tensor) -> torch.Tensor:
    """Return half-precision values in single precision, and others as they are."""
    return values.float() if values.dtype in (torch.bfloat16, torch.float16) else values


class TreeHead(nn.Module):
    """Turn logits into cumulative vote fractions, both of shape (n, answers).

    Within each question the answers' conditional fractions sum to 1; multiplied down the tree they
    become cumulative fractions, so that the answers of a question sum to the sum over the answers
    that lead to it, from however many questions. It has no weights, and computes in single
    precision at least, under automatic mixed precision too.

    Args:
        tree: the decision tree.
        link: one of `LINKS`: `softmax`, or `dirichlet`, the mean of a Dirichlet distribution with
            `concentrations`.

    Raises:
        BadInput: the link is unknown.
    """

    own_places: torch.Tensor
    own_used: torch.Tensor
    above_places: torch.Tensor
    above_used: torch.Tensor
    home: torch.Tensor
    question: torch.Tensor
    root: torch.Tensor

    def __init__(self, tree: Tree, link: str = "softmax"):
        super().__init__()
        LINKS.find(link)
        self.link = link
        self.zeros_are_known = tree.zeros_are_known
        self.steps = _steps(tree)
        leads = np.where(tree.asked_of_all[:, None], 0.0, tree.leads)
        # Gathers and sums instead of matrix products, which autocast would convert.
        for name, matrix in (("own", tree.membership), ("above", leads)):
            places, used = padded(matrix)
            self.register_buffer(f"{name}_places", places.flatten(), persistent=False)
            self.register_buffer(f"{name}_used", used, persistent=False)
        # A tree's answers are ordered by question, so those in use are in their order.
        home = torch.nonzero(self.own_used.flatten()).flatten()
        self.register_buffer("home", home, persistent=False)
        question = torch.from_numpy(tree.membership.argmax(axis=0))
        self.register_buffer("question", question, persistent=False)
        root = torch.from_numpy(tree.asked_of_all.astype(np.float32))
        self.register_buffer("root", root, persistent=False)

    def forward(self, logits: torch.Tensor) -> torch.Tensor:
        return self.cumulative(self.conditional(logits))

    def conditional(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the conditional fractions of each question, shape (n, answers)."""
        return LINKS[self.link].inverse(self, full_precision(logits))

    def log_softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the softmax within each question, shape (n, answers)."""
        return self._by_answer(self._by_question(full_precision(logits), -torch.inf).log_softmax(2))

    def cumulative(self, conditional: torch.Tensor) -> torch.Tensor:
        """Return the fractions of all volunteers, shape (n, answers)."""
        reach = self.root.to(conditional.dtype).expand(conditional.shape[0], -1)
        # A question is as deep as the longest path to it; each step follows all paths by one
        # question.
        for _ in range(self.steps):
            reach = self.root + self.sum_above(conditional * reach[:, self.question])
        return conditional * reach[:, self.question]

    def link_function(self, cumulative: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return logits whose prediction is the given cumulative fractions, shape (n, answers).

        Args:
            cumulative: fractions that obey the tree and that logits can express, such as a mean
                over several logits' predictions.
            like: logits of which the spread of a Dirichlet distribution is kept if possible.
        """
        return LINKS[self.link].function(self, cumulative, like)

    def known(self, cumulative: torch.Tensor) -> torch.Tensor:
        """Return 1 for the answers whose fraction is known and 0 for others, shape (n, answers).

        As `zoo.known_fractions`, on the device.
        """
        if self.zeros_are_known:
            return torch.ones_like(cumulative)
        return (self.sum_own(cumulative) > 0).to(cumulative.dtype)[:, self.question]

    def fractions_of_counts(self, counts: torch.Tensor) -> torch.Tensor:
        """Return the cumulative fractions of vote counts, both of shape (n, answers)."""
        # The fractions of a question without votes are 0 for any divisor.
        votes = self.sum_own(counts).clamp_min(1)
        return self.cumulative(counts / votes[:, self.question])

    def sum_own(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over each question's answers, shape (n, questions)."""
        return self._by_question(values, 0.0).sum(dim=2)

    def sum_above(self, values: torch.Tensor) -> torch.Tensor:
        """Return the sum over the answers that lead to each question, shape (n, questions)."""
        return gathered(values, self.above_places, self.above_used, 0.0).sum(dim=2)

    def share(self, values: torch.Tensor) -> torch.Tensor:
        """Return positive values as shares of their question's sum, shape (n, answers)."""
        return values / self.sum_own(values)[:, self.question]

    def softmax(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the softmax within each question, shape (n, answers)."""
        return self._by_answer(self._by_question(logits, -torch.inf).softmax(2))

    def _by_question(self, values: torch.Tensor, fill: float) -> torch.Tensor:
        return gathered(values, self.own_places, self.own_used, fill)

    def _by_answer(self, values: torch.Tensor) -> torch.Tensor:
        return values.flatten(1).index_select(1, self.home)


@dataclass(frozen=True)
class TreeLink:
    """A link of a tree's fractions and logits.

    Args:
        inverse: the inverse link, from the head and logits to conditional fractions.
        function: the link function, from the head, cumulative fractions and logits similar to
            theirs to logits.
    """

    inverse: Callable[[TreeHead, torch.Tensor], torch.Tensor]
    function: Callable[[TreeHead, torch.Tensor, torch.Tensor], torch.Tensor]


def _log(head: TreeHead, cumulative: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    # Factors common to a question's answers, such as the share that reached it, cancel.
    return cumulative.clamp_min(torch.finfo(cumulative.dtype).tiny).log()


def _dirichlet_mean(head: TreeHead, logits: torch.Tensor) -> torch.Tensor:
    return head.share(concentrations(logits))


def _dirichlet_logits(head: TreeHead, cumulative: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    least, most = CONCENTRATIONS
    fractions = head.share(cumulative.clamp_min(torch.finfo(cumulative.dtype).tiny))
    # Concentrations are fractions times their sum, and must be in the range. Those of a mean are,
    # since the largest of a question is at most `most / least` times its smallest.
    low = least / -head._by_question(-fractions, -torch.inf).amax(dim=2)
    high = most / head._by_question(fractions, -torch.inf).amax(dim=2)
    total = torch.minimum(torch.maximum(head.sum_own(concentrations(like)), low), high)
    alpha = (fractions * total[:, head.question]).clamp(least, most)
    return torch.logit((alpha - least) / (most - least))


LINKS: Registry[TreeLink] = Registry("link")
LINKS.register("softmax", TreeLink(TreeHead.softmax, _log))
LINKS.register("dirichlet", TreeLink(_dirichlet_mean, _dirichlet_logits))


def gathered(
    values: torch.Tensor, places: torch.Tensor, used: torch.Tensor, fill: float
) -> torch.Tensor:
    """Return the values of each question's answers, shape (n, questions, largest number)."""
    values = values.index_select(1, places).unflatten(1, used.shape)
    return values.masked_fill(~used, fill)


def padded(matrix: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the positions of each row's ones, padded to the longest row, and their mask."""
    rows = [np.flatnonzero(row) for row in matrix]
    longest = max(1, *map(len, rows))
    places = np.array([np.pad(row, (0, longest - len(row))) for row in rows])
    used = np.array([np.arange(longest) < len(row) for row in rows])
    return torch.from_numpy(places), torch.from_numpy(used)


def _steps(tree: Tree) -> int:
    """Return the number of questions before the deepest one, on the longest path to it."""
    depth = np.zeros(len(tree.questions), int)
    links = tree.leads @ tree.membership.T > 0
    for at in tree.walk:
        if links[at].any() and not tree.asked_of_all[at]:
            depth[at] = depth[links[at]].max() + 1
    return int(depth.max())
