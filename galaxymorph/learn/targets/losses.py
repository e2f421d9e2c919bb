"""Losses for vote fractions and vote counts, by name, and what the fractions are spread over.

Each loss is one number a galaxy, averaged over the batch; all take logits.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from galaxymorph.base import BadInput, use_one_of
from galaxymorph.learn.targets.loss_registry import LOSSES
from galaxymorph.learn.targets.tree_head import TreeHead, concentrations, full_precision
from galaxymorph.zoo import Tree, cumulative_moments


class GalaxyLoss(nn.Module):
    """A loss that is the mean over galaxies of `per_galaxy`.

    `reduction` may be set to `none` for the losses themselves, shape (n,), as fastai does.
    """

    def __init__(self):
        super().__init__()
        self.reduction = "mean"

    def forward(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        self.to(logits.device)
        # fastai's tensors carry their kind along, and refuse to be mixed with another.
        logits, target = (values.as_subclass(torch.Tensor) for values in (logits, target))
        logits = full_precision(logits)
        losses = self.per_galaxy(logits, target.to(logits.dtype))
        return losses.mean() if self.reduction == "mean" else losses

    def per_galaxy(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Return the loss of each galaxy, shape (n,)."""
        raise NotImplementedError

    def activation(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the prediction that the logits stand for."""
        raise NotImplementedError

    def moments(self, logits: torch.Tensor) -> torch.Tensor:
        """Return the prediction and, of a distribution, the mean square beside it."""
        return self.activation(logits)

    def invert(self, prediction: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        """Return logits that stand for a prediction; `like` are those of one similar to it."""
        raise NotImplementedError

    def observed(self, target: torch.Tensor) -> torch.Tensor:
        """Return what a prediction is to be compared with."""
        return target

    def known(self, target: torch.Tensor) -> torch.Tensor:
        """Return 1 for the outputs whose target is known and 0 for others, shape (n, outputs)."""
        return torch.ones_like(target)


class _TreeLoss(GalaxyLoss):
    link = "softmax"

    def __init__(self, tree: Tree):
        super().__init__()
        self.tree = tree
        self.head = TreeHead(tree, self.link)

    def activation(self, logits: torch.Tensor) -> torch.Tensor:
        return self.head.to(logits.device)(logits)

    def invert(self, prediction: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return self.head.to(like.device).invert(prediction, like)

    def known(self, target: torch.Tensor) -> torch.Tensor:
        # As `zoo.known_fractions` has it, on the device.
        if self.tree.zeros_are_known:
            return torch.ones_like(target)
        head = self.head.to(target.device)
        return (head.sum_own(target) > 0).to(target.dtype)[:, head.question]


class MeanSquaredError(_TreeLoss):
    """Mean squared error over the answers of cumulative fractions, shape (n, answers).

    Its root over a whole catalogue is the Kaggle challenge's score. Of a question that nobody was
    asked the target is unknown, and no part of the mean.
    """

    def per_galaxy(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return mean_square(self.head(logits), target, self.known(target))


class QuestionCrossEntropy(_TreeLoss):
    """Cross-entropy summed over questions, each weighted by the share of volunteers it reached.

    The target is cumulative fractions, shape (n, answers). A cumulative fraction is the share that
    reached the question times the conditional fraction, so it is the weight and the target in one:
    the loss is minus the sum over answers of the cumulative fraction times the log of the
    predicted conditional one, and a question that nobody reached adds nothing.
    """

    def per_galaxy(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -(target * self.head.log_softmax(logits)).sum(dim=1)


class DirichletMultinomial(_TreeLoss):
    """Negative log-likelihood of vote counts, shape (n, answers), summed over questions.

    The logits stand for Dirichlet `concentrations` (Walmsley et al. 2022, MNRAS 509, 3966). A
    question without votes adds nothing, neither to the loss nor to its gradient.
    """

    link = "dirichlet"

    def moments(self, logits: torch.Tensor) -> torch.Tensor:
        alpha = concentrations(logits).cpu().numpy()
        return torch.from_numpy(np.hstack(cumulative_moments(self.tree, alpha))).float()

    def per_galaxy(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        alpha = concentrations(logits)
        return -dirichlet_multinomial_log_prob(self.head, alpha, target).sum(dim=1)

    def observed(self, target: torch.Tensor) -> torch.Tensor:
        head = self.head.to(target.device)
        # A question without votes has shares of 0, whatever their sum is taken to be.
        asked = head.sum_own(target).clamp_min(1)
        return head.cumulative(target / asked[:, head.question])


class KLDivergence(GalaxyLoss):
    """Kullback-Leibler divergence of the softmax over classes from a target, shape (n, classes).

    The target's shares sum to 1; see `zoo.soft_targets`. Its mean over galaxies is what PyTorch
    calls `batchmean`.
    """

    def per_galaxy(self, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.kl_div(logits.log_softmax(dim=1), target, reduction="none").sum(dim=1)

    def activation(self, logits: torch.Tensor) -> torch.Tensor:
        return full_precision(logits).softmax(dim=1)

    def invert(self, prediction: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
        return prediction.clamp_min(torch.finfo(prediction.dtype).tiny).log()


def mean_square(predicted: torch.Tensor, target: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error of each galaxy over its known targets, shape (n,)."""
    squares = (predicted - target).square() * known
    return squares.sum(dim=1) / known.sum(dim=1).clamp_min(1)


def dirichlet_multinomial_log_prob(
    head: TreeHead, alpha: torch.Tensor, counts: torch.Tensor
) -> torch.Tensor:
    """Return the log-probability of the counts of each question, shape (n, questions).

    With N votes, k for each answer, and A the sum of the concentrations a: log G(N + 1) +
    log G(A) - log G(N + A) + the sum of log G(k + a) - log G(a) - log G(k + 1), G being the
    gamma function (the compound multinomial of Mosimann 1962, Biometrika 49, 65).

    Args:
        head: of the tree.
        alpha: concentrations, above 0, shape (n, answers).
        counts: numbers of votes, shape (n, answers).

    Logarithms of large gamma functions cancel: in single precision a question of 10,000 votes would
    be wrong by 0.01 nats or more. They are taken in double precision wherever there is one.
    """
    kind = alpha.dtype
    if alpha.device.type != "mps":
        alpha, counts = alpha.double(), counts.double()
    total, votes = head.sum_own(alpha), head.sum_own(counts)
    each = torch.lgamma(counts + alpha) - torch.lgamma(alpha) - torch.lgamma(counts + 1)
    found = (
        torch.lgamma(votes + 1)
        + torch.lgamma(total)
        - torch.lgamma(votes + total)
        + head.sum_own(each)
    )
    return found.to(kind)


MODULES = {
    "mse": MeanSquaredError,
    "cross-entropy": QuestionCrossEntropy,
    "dirichlet-multinomial": DirichletMultinomial,
    "kl": KLDivergence,
}


def make_loss(name: str, tree: Tree | None = None) -> GalaxyLoss:
    """Return a loss by its name.

    Args:
        name: one of `LOSSES`.
        tree: the decision tree, for a target that isn't shares of classes.

    Raises:
        BadInput: the name is unknown, or the loss needs a tree and has none.
    """
    if name not in LOSSES:
        raise BadInput(f"loss {name!r} is unknown", use_one_of(name, list(LOSSES)))
    make = MODULES[name]
    if LOSSES[name].target == "shares":
        return make()
    if tree is None:
        raise BadInput(f"loss {name!r} is for the answers of a decision tree", "use kl for classes")
    return make(tree)
