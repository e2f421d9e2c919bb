"""Galaxies that are noise but for a red patch, and a network that answers by the patch alone."""

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.judge import ExplainedModel
from galaxymorph.learn import Recipe

SIDE, PATCH = 64, 16


def red_network() -> nn.Module:
    """Return a network whose answer `red` grows with the red that exceeds green and blue."""
    trunk = nn.Sequential(
        nn.Sequential(nn.Conv2d(3, 8, 5, padding=2), nn.ReLU(), nn.AvgPool2d(4)),
        nn.Sequential(nn.Conv2d(8, 8, 1), nn.ReLU()),
    )
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        for weights in (*trunk.parameters(), *head.parameters()):
            weights.zero_()
        trunk[0][0].weight[0] = torch.tensor([2.0, -1.0, -1.0])[:, None, None] / 25
        trunk[0][0].bias[0] = -1.0
        trunk[1][0].weight[0, 0] = 1.0
        head[2].weight[1, 0] = 40.0
        head[2].bias[0] = 3.0
    return nn.Sequential(trunk, head).eval()


def planted(n: int = 6) -> tuple[ExplainedModel, np.ndarray]:
    """Return a model and where each galaxy's patch is, boolean of shape (n, SIDE, SIDE)."""
    rng = np.random.default_rng(5)
    frames = rng.integers(60, 90, (n, 3, SIDE, SIDE), dtype=np.uint8)
    where = np.zeros((n, SIDE, SIDE), bool)
    for at, (row, column) in enumerate(rng.integers(4, SIDE - PATCH - 4, (n, 2))):
        where[at, row : row + PATCH, column : column + PATCH] = True
        frames[at, 0][where[at]] = 240
    network = red_network()
    recipe = Recipe(size=SIDE, weights="none", frozen_epochs=0, unfreeze=0)
    table = pd.DataFrame({"galaxy": range(n), "answer": "red", "label": "red", "right": True})
    model = ExplainedModel(
        SimpleNamespace(recipe=recipe),
        network,
        network,
        table.assign(confidence=1.0),
        torch.from_numpy(frames),
        torch.full((n, 3), 75 / 255),
        where,
        np.zeros_like(where),
        ["plain", "red"],
        Path("nowhere"),
    )
    return model, where
