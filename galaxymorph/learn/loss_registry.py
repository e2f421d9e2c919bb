"""The losses by name, without PyTorch, so that a command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """An entry of the registry; `target` is `fractions` (cumulative), `counts` or `shares`."""

    about: str
    target: str


LOSSES: dict[str, Loss] = {
    "mse": Loss("squared error of cumulative fractions", "fractions"),
    "cross-entropy": Loss("cross-entropy a question, weighted by who reached it", "fractions"),
    "dirichlet-multinomial": Loss("likelihood of vote counts", "counts"),
    "kl": Loss("divergence of class shares", "shares"),
}
