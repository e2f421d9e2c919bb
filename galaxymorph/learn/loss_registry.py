"""The losses by name, without PyTorch, so that a command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """An entry of the registry: what it is, what its target holds, and its class.

    `target` is `fractions` (cumulative), `counts` or `shares` (of classes); `module` the name of
    the `nn.Module` in `learn.losses`.
    """

    about: str
    target: str
    module: str


LOSSES: dict[str, Loss] = {
    "mse": Loss("squared error of cumulative fractions", "fractions", "MeanSquaredError"),
    "cross-entropy": Loss(
        "cross-entropy a question, weighted by who reached it", "fractions", "QuestionCrossEntropy"
    ),
    "dirichlet-multinomial": Loss("likelihood of vote counts", "counts", "DirichletMultinomial"),
    "kl": Loss("divergence of class shares", "shares", "KLDivergence"),
}
