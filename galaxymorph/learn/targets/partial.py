"""Losses of labels that tell less than votes: events on a galaxy's vote fractions.

A class of a scheme or the most frequent answer is a statement on fractions that aren't known: it
allows a set of them. The loss is the distance of the model's fractions from that set, as a
Kullback-Leibler divergence (the I-projection of Csiszar 1975, Annals of Probability 3, 146). It is
0 where the model agrees with the label, so that no fraction is pushed beyond what the label says,
as it would be by the cross-entropy of a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.learn.sources.events import Event
from galaxymorph.learn.targets.tree_head import gathered, padded
from galaxymorph.zoo.tree import Tree

# The distance of fractions from 0 and 1, which keeps logarithms and gradients finite.
FLOOR = 1e-3


class EventDistances(nn.Module):
    """The distances of predicted fractions from those with which events hold, and don't.

    Args:
        tree: the decision tree.
        events: whose conditions are on its answers.

    Raises:
        BadInput: the rule of a class is more than arithmetic on columns.
    """

    cuts: torch.Tensor
    places: torch.Tensor
    used: torch.Tensor

    def __init__(self, tree: Tree, events: Sequence[Event]):
        super().__init__()
        self.columns = tree.columns
        self.values = [condition.value for event in events for condition in event.conditions]
        cuts = [condition.least for event in events for condition in event.conditions]
        self.register_buffer("cuts", torch.tensor(cuts), persistent=False)
        members, at = np.zeros((len(events), len(cuts))), 0
        for place, event in enumerate(events):
            _require_arithmetic(event, tree)
            members[place, at : at + len(event.conditions)] = 1.0
            at += len(event.conditions)
        # Gathers and sums instead of a matrix product, which autocast would convert.
        places, used = padded(members)
        self.register_buffer("places", places.flatten(), persistent=False)
        self.register_buffer("used", used, persistent=False)

    def forward(self, fractions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the distances from an event's holding and from its opposite, shape (n, events).

        The first is the sum over the conditions that don't hold; the second, where all hold, the
        least over the conditions, since one that doesn't is enough.

        Args:
            fractions: cumulative, shape (n, answers).
        """
        by_answer = dict(zip(self.columns, fractions.unbind(1), strict=True))
        values = torch.stack([value(by_answer) for value in self.values], dim=1)
        divergences = divergence_of_fractions(self.cuts, values)
        zero = torch.zeros_like(divergences)
        below = torch.where(values < self.cuts, divergences, zero)
        above = torch.where(values < self.cuts, zero, divergences)
        holding = gathered(below, self.places, self.used, 0.0).sum(dim=2)
        opposite = gathered(above, self.places, self.used, torch.inf).amin(dim=2)
        return holding, opposite


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


def divergence_of_fractions(cut: torch.Tensor, fraction: torch.Tensor) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of yes and no with a fraction from those of another.

    Args:
        cut: the fraction of yes that is given.
        fraction: the model's.
    """
    cut, fraction = (values.clamp(max=1) * (1 - 2 * FLOOR) + FLOOR for values in (cut, fraction))
    return cut * (cut / fraction).log() + (1 - cut) * ((1 - cut) / (1 - fraction)).log()


def event_loss(holding: torch.Tensor, opposite: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Return the distance of each galaxy from what its labels allow, shape (n,), summed.

    Args:
        holding: distances of `EventDistances`, shape (n, events).
        opposite: likewise.
        labels: 1 where the event holds, 0 where it doesn't, NaN where that is unknown.
    """
    distances = torch.where(labels > 0.5, holding, opposite)
    return torch.where(labels.isnan(), torch.zeros_like(distances), distances).sum(dim=1)


def largest_loss(fractions: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
    """Return the distance from fractions of which a given answer's is the largest, shape (n,).

    That is the divergence of the answer's fraction from the largest, which is taken as a constant:
    only the answer itself is pushed.

    Args:
        fractions: cumulative, shape (n, answers).
        place: of the answer, NaN where it is unknown, shape (n,).
    """
    chosen = fractions.gather(1, place.nan_to_num(0).long()[:, None])[:, 0]
    distances = divergence_of_fractions(fractions.amax(dim=1).detach(), chosen)
    return torch.where(place.isnan(), torch.zeros_like(distances), distances)
