"""The running average of a network's weights over the steps of training."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

import torch
from fastai.callback.core import Callback
from torch import nn

from galaxymorph.learn.distributed import unwrapped_model


class AverageWeights(Callback):
    """Average the weights and the statistics of BatchNorm over about the last ninth of the steps.

    After step t the average moves by a share of 9 / (10 + t) towards the weights: a power-law
    average (Karras et al. 2024, arXiv:2312.02696, section 3.1), which needs no time scale.

    Args:
        model: the network, as it is before the stage's first step.
        validate: whether epochs are validated with the average.
    """

    def __init__(self, model: nn.Module, validate: bool):
        self.averaged = deepcopy(model).eval().requires_grad_(False)
        self.validates, self.updates = validate, 0

    def before_fit(self) -> None:
        # fastai moves the network to the GPU as late as this.
        self.averaged.to(next(unwrapped_model(self.learn.model).parameters()).device)

    def after_batch(self) -> None:
        if not self.training:
            return
        self.updates += 1
        share = 9 / (10 + self.updates)
        averages, values = self._tensors()
        floating = [at for at, value in enumerate(values) if value.is_floating_point()]
        torch._foreach_lerp_(
            [averages[at] for at in floating], [values[at] for at in floating], share
        )
        for at, value in enumerate(values):
            if not value.is_floating_point():
                averages[at].copy_(value)

    def before_validate(self) -> None:
        self._exchange()

    def after_validate(self) -> None:
        self._exchange()

    def state_dict(self) -> dict[str, Any]:
        """Return a copy of the state on the CPU, for a checkpoint."""
        weights = self.averaged.state_dict()
        copies = {name: value.to("cpu", copy=True) for name, value in weights.items()}
        return {"updates": self.updates, "model": copies}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Load a state."""
        self.updates = int(state["updates"])
        self.averaged.load_state_dict(state["model"])

    @torch.no_grad()
    def _exchange(self) -> None:
        if not self.validates:
            return
        for average, value in zip(*self._tensors(), strict=True):
            kept = average.clone()
            average.copy_(value)
            value.copy_(kept)

    def _tensors(self) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        """Return the tensors of the average and of the network, in one order."""
        model = unwrapped_model(self.learn.model)
        averages = self.averaged.state_dict(keep_vars=False)
        values = model.state_dict(keep_vars=False)
        return list(averages.values()), list(values.values())
