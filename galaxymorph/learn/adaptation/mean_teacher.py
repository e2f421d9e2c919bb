"""Consistency training on unlabelled images: a mean teacher (Tarvainen & Valpola 2017, NeurIPS).

The teacher is the average of the weights of earlier steps. It predicts one random view of an
unlabelled image, and the network learns to predict the same of another view.
"""

from __future__ import annotations

import math

import torch

from galaxymorph.learn.adaptation.unlabelled import UnlabelledImages, UnlabelledLoss
from galaxymorph.learn.averaging import AverageWeights
from galaxymorph.learn.targets.tree_head import TreeHead, full_precision

# Part of the fit over which the weight of the consistency grows (ibid., appendix B.1).
RAMP = 0.3


class MeanTeacher(UnlabelledLoss):
    """Add the divergence of the network's prediction from the teacher's to the loss.

    Args:
        images: unlabelled.
        weight: of the divergence in the loss, once it has grown.
        average: the teacher.
        head: of the tree; None for classes.
    """

    def __init__(
        self,
        images: UnlabelledImages,
        weight: float,
        average: AverageWeights,
        head: TreeHead | None,
    ):
        super().__init__(images, weight)
        self.average, self.head = average, head

    def after_loss(self) -> None:
        if not self.training:
            return
        frames = self.images.draw(len(self.x))
        with torch.no_grad():
            teacher = self.average.averaged(self.images.view(frames))
        student = self.learn.model(self.images.view(frames))
        loss = divergence(student, teacher, self.head).mean()
        self.add(loss, self.weight * ramp(self.pct_train))


def ramp(progress: float) -> float:
    """Return the share of the consistency's weight at a share of the fit: exp(-5(1-t)^2)."""
    return math.exp(-5 * (1 - min(1.0, progress / RAMP)) ** 2)


def divergence(student: torch.Tensor, teacher: torch.Tensor, head: TreeHead | None) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of a prediction from the teacher's, shape (n,).

    Of a tree it is summed over the questions, each weighted by the share of volunteers that reach
    it by the teacher's prediction, as the loss of votes is.

    Args:
        student: logits, shape (n, outputs).
        teacher: logits of the same shape.
        head: of the tree; None for classes.
    """
    student, teacher = full_precision(student), full_precision(teacher)
    if head is None:
        logs, targets = teacher.log_softmax(1), teacher.softmax(1)
        return (targets * (logs - student.log_softmax(1))).sum(dim=1)
    head = head.to(student.device)
    logs = head.conditional(teacher).clamp_min(1e-12).log()
    predicted = head.conditional(student).clamp_min(1e-12).log()
    return (head(teacher) * (logs - predicted)).sum(dim=1)
