"""Losses of labels that tell less than votes: events on a galaxy's vote fractions.

A volunteer's majority, a class of a scheme or the most frequent answer is a statement on fractions
that aren't known. The model's cumulative fraction p is taken as the centre of a distribution of the
volunteers' fraction, logistic in log(p / (1 - p)), so that a fraction is at least c with the
probability s((logit(p) - logit(c)) / SPREAD), where s is the logistic function. This is the
likelihood of a censored observation (Tobin 1958, Econometrica 26, 24, with a logistic in place of a
normal distribution): its gradient is large where the model contradicts the label, and fades where
the model agrees, so that no fraction is pushed to 0 or 1, as a class's cross-entropy would.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from galaxymorph.base import BadInput
from galaxymorph.learn.sources.events import Event
from galaxymorph.learn.targets.tree_head import gathered, padded
from galaxymorph.zoo.tree import Tree

# Standard deviations of a volunteers' fraction about the model's: 0.9 in the logit (1.81 times
# SPREAD), of which the draw of 40 volunteers at p = 0.5 is 0.32; and 0.26 in the logarithm (1.28
# times LARGEST_SPREAD, of a Gumbel distribution).
SPREAD, LARGEST_SPREAD = 0.5, 0.2
# What volunteers always leave to the other side; it keeps logarithms and gradients finite.
FLOOR = 1e-3
# Log-probabilities are at most this, so that that of the opposite is finite.
LARGEST_LOG = -1e-6


class EventProbabilities(nn.Module):
    """The log-probability of some events under predicted fractions.

    Args:
        tree: the decision tree.
        events: whose conditions are on its answers.

    Raises:
        BadInput: the rule of a class is more than arithmetic on columns.
    """

    logits: torch.Tensor
    places: torch.Tensor
    used: torch.Tensor

    def __init__(self, tree: Tree, events: Sequence[Event]):
        super().__init__()
        self.columns = tree.columns
        self.values = [condition.value for event in events for condition in event.conditions]
        cuts = [min(part.least, 1 - FLOOR) for event in events for part in event.conditions]
        logits = torch.tensor([math.log(cut / (1 - cut)) for cut in cuts])
        self.register_buffer("logits", logits, persistent=False)
        members, at = np.zeros((len(events), len(cuts))), 0
        for place, event in enumerate(events):
            _require_arithmetic(event, tree)
            members[place, at : at + len(event.conditions)] = 1.0
            at += len(event.conditions)
        # Gathers and sums instead of a matrix product, which autocast would convert.
        places, used = padded(members)
        self.register_buffer("places", places.flatten(), persistent=False)
        self.register_buffer("used", used, persistent=False)

    def forward(self, fractions: torch.Tensor) -> torch.Tensor:
        """Return the log-probabilities, shape (n, events), of fractions, shape (n, answers).

        The conditions of an event are taken as independent.
        """
        by_answer = dict(zip(self.columns, fractions.unbind(1), strict=True))
        values = torch.stack([value(by_answer) for value in self.values], dim=1)
        values = FLOOR + (1 - 2 * FLOOR) * values
        margins = torch.logit(values.clamp_max(1 - FLOOR)) - self.logits
        logs = functional.logsigmoid(margins / SPREAD)
        return gathered(logs, self.places, self.used, 0.0).sum(dim=2)


def _require_arithmetic(event: Event, tree: Tree) -> None:
    fractions = {name: torch.full((2,), 0.5, requires_grad=True) for name in tree.columns}
    for condition in event.conditions:
        try:
            value = condition.value(fractions)
        except (TypeError, AttributeError, KeyError):
            value = None
        if not isinstance(value, torch.Tensor) or not value.requires_grad or value.shape != (2,):
            raise BadInput(
                f"{event.name}: its rule is more than arithmetic on columns of fractions",
                "give the meaning of its classes with answers=NAME:ANSWER>0.5|…",
            )


def event_loss(log_probabilities: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return minus the log-probability of each galaxy's labels, shape (n,), summed over events.

    Args:
        log_probabilities: that each event holds, shape (n, events).
        labels: 1 where it does, 0 where it doesn't, NaN where that is unknown.
    """
    log_probabilities = log_probabilities.clamp_max(LARGEST_LOG)
    opposite = torch.log(-torch.expm1(log_probabilities))
    losses = -torch.where(labels > 0.5, log_probabilities, opposite)
    return torch.where(labels.isnan(), torch.zeros_like(losses), losses).sum(dim=1)


def largest_loss(fractions: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return minus the log-probability that an answer has the largest fraction, shape (n,).

    The logarithms of volunteers' fractions have Gumbel distributions about the model's, by which
    that probability is a softmax (Luce 1959, Individual Choice Behavior).

    Args:
        fractions: cumulative, shape (n, answers).
        place: of the answer, NaN where it is unknown, shape (n,).
    """
    log = torch.log(FLOOR + (1 - FLOOR) * fractions)
    log_probabilities = (log / LARGEST_SPREAD).log_softmax(dim=1)
    chosen = log_probabilities.gather(1, place.nan_to_num(0).long()[:, None])[:, 0]
    return torch.where(place.isnan(), torch.zeros_like(chosen), -chosen)
