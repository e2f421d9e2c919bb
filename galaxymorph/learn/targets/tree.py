"""The target `tree`: the cumulative vote fractions of every answer of a decision tree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from galaxymorph.learn.targets.registry import RMSE, TARGETS, Loss, Target, register_loss
from galaxymorph.learn.targets.vote_shares import make_metrics
from galaxymorph.zoo.schemas import GALAXY_ZOO_CHALLENGE

if TYPE_CHECKING:
    import torch

    from galaxymorph.learn.targets.registry import Labels
    from galaxymorph.learn.targets.tree_head import TreeHead
    from galaxymorph.zoo import Catalogue


# The range of the Dirichlet concentrations: at least 1, so that a fraction's distribution has one
# peak, and at most 100, more than enough for the 40 or so volunteers of a galaxy (Walmsley et al.
# 2022, MNRAS 509, 3966).
CONCENTRATIONS = (1.0, 100.0)


def label_answers(catalogue: Catalogue, scheme: str) -> Labels:
    """Return every galaxy with the fractions of all answers; see `zoo.answer_catalogue`."""
    from galaxymorph.zoo import answer_catalogue

    return answer_catalogue(catalogue, scheme)


def question_cross_entropy(
    head: TreeHead, logits: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Return the cross-entropy summed over questions, each weighted by the share it reached.

    A cumulative fraction is the share of volunteers that reached the question times the
    conditional fraction, so it is the weight and the target in one: the loss is minus the sum over
    answers of the cumulative fraction times the log of the predicted conditional one, and a
    question that nobody reached adds nothing.
    """
    return -(target * head.log_softmax(logits)).sum(dim=1)


def mean_squared_error(head: TreeHead, logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return the mean squared error over the answers of cumulative fractions, shape (n,).

    Its root over a whole catalogue is the Kaggle challenge's score. The answers to a question that
    no volunteer reached are unknown, and not in the mean.
    """
    from galaxymorph.learn.targets.loss import mean_square

    return mean_square(head(logits), target, head.known(target))


def dirichlet_multinomial(
    head: TreeHead, logits: torch.Tensor, target: torch.Tensor
) -> torch.Tensor:
    """Return the negative log-likelihood of vote counts, shape (n,), summed over questions.

    The logits stand for Dirichlet `concentrations` (Walmsley et al. 2022, MNRAS 509, 3966). A
    question without votes adds nothing, neither to the loss nor to its gradient.
    """
    from galaxymorph.learn.targets.tree_head import concentrations

    return -dirichlet_multinomial_log_prob(head, concentrations(logits), target).sum(dim=1)


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

    Logarithms of large gamma functions cancel: in single precision the result for 10,000 votes is
    wrong by 0.01 nats or more. Double precision is used on devices that have it.
    """
    dtype = alpha.dtype
    if alpha.device.type != "mps":
        alpha, counts = alpha.double(), counts.double()
    total, votes = head.sum_own(alpha), head.sum_own(counts)
    answers = (counts + alpha).lgamma() - alpha.lgamma() - (counts + 1).lgamma()
    log_prob = (
        (votes + 1).lgamma() + total.lgamma() - (votes + total).lgamma() + head.sum_own(answers)
    )
    return log_prob.to(dtype)


TARGETS.register(
    "tree",
    Target(
        words="vote fractions of all answers, for all galaxies",
        label=label_answers,
        metrics=("tree",),
        monitor=RMSE,
        epoch_metrics=(RMSE,),
        make_metrics=make_metrics,
        prefix="",
        chooses=False,
        tree=GALAXY_ZOO_CHALLENGE,
    ),
)
# The default: cross-entropy is smallest at the expected fractions, as squared error is, and its
# gradient doesn't vanish for confident errors.
register_loss(
    "cross-entropy",
    Loss(
        "cross-entropy of each question, weighted by the fraction of volunteers who reached it",
        ("tree",),
        question_cross_entropy,
    ),
)
register_loss("mse", Loss("squared error of cumulative fractions", ("tree",), mean_squared_error))
register_loss(
    "dirichlet-multinomial",
    Loss(
        "likelihood of vote counts",
        ("tree",),
        dirichlet_multinomial,
        link="dirichlet",
        takes="counts",
    ),
)
