"""The losses by name, without PyTorch, so that a command line can list them at once."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Loss:
    """An entry of the registry.

    `target` is `fractions` (cumulative), `counts` or `shares`; `link` says what makes fractions of
    logits, see `TreeHead`.
    """

    about: str
    target: str
    link: str = "softmax"


# The range of the Dirichlet concentrations: at least 1, so that a fraction's distribution has one
# peak, and at most 100, more than enough for the 40 or so volunteers of a galaxy (Walmsley et al.
# 2022, MNRAS 509, 3966).
CONCENTRATIONS = (1.0, 100.0)

LOSSES: dict[str, Loss] = {
    "mse": Loss("squared error of cumulative fractions", "fractions"),
    "cross-entropy": Loss("cross-entropy a question, weighted by who reached it", "fractions"),
    "dirichlet-multinomial": Loss("likelihood of vote counts", "counts", "dirichlet"),
    "kl": Loss("divergence of class shares", "shares"),
}
