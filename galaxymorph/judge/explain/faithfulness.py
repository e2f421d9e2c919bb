"""Whether a map deserves belief: deletion and insertion, and a network of random weights."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass

import numpy as np
import torch
from scipy.integrate import trapezoid
from torch import nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from galaxymorph.base import Progress
from galaxymorph.judge.explain.attribution import attribute
from galaxymorph.judge.explain.attribution_methods import ATTRIBUTION_METHODS
from galaxymorph.judge.explain.explained_model import ExplainedModel, normalised, probabilities
from galaxymorph.judge.metrics.bootstrap import mean_interval
from galaxymorph.learn import side_by_side
from galaxymorph.learn.backbones.architectures import stages_of

# A frame is taken away in cells, this many a side; pixels at random would leave a galaxy to be
# seen through the gaps, which no map could be compared with.
CELLS = 16
STEPS = 16
# Beside the maps' orders: from the centre outward, which knows only that galaxies are in the
# middle, and at random.
CONTROLS = ("centre first", "random")
# A spread of logits over galaxies below this is rounding: random weights let no signal through.
DEAD = 1e-6
# Random weights must leave the maps a mean rank correlation below this with what they were.
UNLIKE = 0.5


@dataclass(frozen=True)
class Curves:
    """The answer's probability as the frame is taken away or filled, by a method or a control.

    Args:
        shares: of the frame, from 0 to 1, shape (k,).
        deletion: by order, shape (n, k).
        insertion: likewise.
    """

    shares: np.ndarray
    deletion: dict[str, np.ndarray]
    insertion: dict[str, np.ndarray]


def curves(subject: ExplainedModel, rows: np.ndarray, maps: dict[str, np.ndarray]) -> Curves:
    """Return deletion and insertion curves (Petsiuk et al. 2018, BMVC, section 3.2).

    Cells of the frame become sky, the one of most evidence first, or appear on a frame of sky.

    Args:
        subject: whose answers.
        rows: which galaxies.
        maps: of these by method, shape (n, size, size).
    """
    counts = np.linspace(0, CELLS**2, STEPS + 1).round().astype(int)
    rng = np.random.default_rng(subject.seed)
    # Drawn one galaxy after the other, whatever thread each is worked on by.
    ranks = [_ranks({m: each[at] for m, each in maps.items()}, rng) for at in range(len(rows))]
    with Progress("deletion and insertion", len(rows), "galaxies") as progress:

        def answers(at: int) -> dict[str, np.ndarray]:
            found = {
                order: _answers_along(subject, rows[at], each, counts)
                for order, each in ranks[at].items()
            }
            progress.advance()
            return found

        each_galaxy = side_by_side(answers, range(len(rows)))
    stacked = {
        order: np.stack([answers[order] for answers in each_galaxy]) for order in (*maps, *CONTROLS)
    }
    deletion, insertion = (
        {order: each[:, part] for order, each in stacked.items()} for part in (0, 1)
    )
    return Curves(counts / CELLS**2, deletion, insertion)


def _answers_along(
    subject: ExplainedModel, row: int, ranks: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the answer's probability as cells are deleted, and inserted, shape (2, k)."""
    pixels, sky = subject.pixels([row]), subject.sky[row].view(1, 3, 1, 1)
    first = torch.from_numpy(ranks < counts[:, None, None]).float()[:, None]
    first = F.interpolate(first, size=pixels.shape[-2:], mode="nearest")
    both = torch.cat([pixels * (1 - first) + sky * first, pixels * first + sky * (1 - first)])
    return probabilities(subject, both)[:, int(subject.targets([row])[0])].reshape(2, -1)


def _ranks(evidence: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return in which order cells go, 0 the first, shape (CELLS, CELLS), by method or control."""
    at = np.arange(CELLS) - (CELLS - 1) / 2
    values = {method: -by_cell(each[None])[0] for method, each in evidence.items()}
    values |= {"centre first": np.hypot(*np.meshgrid(at, at)), "random": np.zeros((CELLS, CELLS))}
    # Cells without evidence, and those at one distance, are in no order.
    ties = rng.permutation(CELLS**2)
    ranks = {}
    for order, value in values.items():
        rank = np.empty(CELLS**2, int)
        rank[np.lexsort((ties, value.ravel()))] = np.arange(CELLS**2)
        ranks[order] = rank.reshape(CELLS, CELLS)
    return ranks


def by_cell(maps: np.ndarray) -> np.ndarray:
    """Return the mean of maps over the frame's cells, shape (n, CELLS, CELLS)."""
    pooled = F.adaptive_avg_pool2d(torch.from_numpy(np.ascontiguousarray(maps))[:, None], CELLS)
    return pooled[:, 0].numpy()


def areas(found: Curves, seed: int) -> list[dict[str, object]]:
    """Return the mean areas under each method's curves with intervals, and gains over controls.

    A gain is how much less probability deletion leaves, or how much more insertion finds, than
    the control on the same galaxies: positive is better, for both.
    """
    table = []
    for kind, by_order, sign in (
        ("deletion", found.deletion, -1),
        ("insertion", found.insertion, 1),
    ):
        under = {order: trapezoid(each, found.shares, axis=1) for order, each in by_order.items()}
        for order, area in under.items():
            row: dict[str, object] = {"curve": kind, "order": order, "galaxies": len(area)}
            row["area"] = mean_interval(area, seed)
            for control in CONTROLS:
                gain = sign * (area - under[control])
                nothing = dict.fromkeys(("value", "low", "high"))
                row[f"gain over {control}"] = (
                    mean_interval(gain, seed) if order not in CONTROLS else nothing
                )
            table.append(row)
    return table


def randomisation(
    subject: ExplainedModel, method: str, rows: np.ndarray, maps: np.ndarray
) -> list[dict[str, object]]:
    """Return how much of the maps is left as weights become random, from the head down.

    The cascading check of Adebayo et al. 2018 (NeurIPS), section 3: Spearman's rank correlation of
    the maps, over the frame's cells, with those of the trained network, for the same answers. Every
    parameter is drawn anew: by its layer's own initialisation, or, where a layer has none, as layer
    scale and position embeddings, by a permutation of its values. BatchNorm's statistics are re-
    estimated on the galaxies, or signals would die from layer to layer; `signal` is the standard
    deviation of the logits over galaxies, and where it is rounding, `dead` says that the row shows
    nothing. A map without any evidence left counts as 0. The first row compares the trained
    network's maps of one galaxy with those of the next: what maps share because galaxies stand in
    the middle.

    Args:
        subject: whose network.
        method: of `ATTRIBUTION_METHODS`.
        rows: which galaxies.
        maps: of these by the trained network, shape (n, size, size).
    """
    before = by_cell(maps)
    first = _likeness("another galaxy's map", before, np.roll(before, 1, axis=0), subject.seed)
    table = [{**first, "signal": None, "dead": False}]
    network = deepcopy(subject.network)
    batch = normalised(subject.pixels(rows), subject.run.recipe.arch)
    stages = stages_of(network)
    names = ["head", *(f"… and stage {at}" for at in range(len(stages), 0, -1))]
    head = list(network.children())[1]
    parts = [[head], *reversed(stages)]
    with Progress(
        f"random weights, {ATTRIBUTION_METHODS[method].label}", len(parts), "stages"
    ) as progress:
        for name, part in zip(names, parts, strict=True):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(subject.seed)
                for module in part:
                    _randomise(module)
            _reestimate(network, batch)
            after = by_cell(attribute(subject, method, rows, network, quiet=True))
            signal = _signal(network, batch)
            row = _likeness(name, before, after, subject.seed)
            table.append({**row, "signal": signal, "dead": signal < DEAD})
            progress.advance()
    return table


def verdicts(found: dict) -> list[dict[str, object]]:
    """Return what the tests of each attribution method come to, the method to believe first.

    A method passes where its curves are no worse than those of cells from the centre outward (the
    95 % interval of neither gain is below 0), and where random weights of the head leave a mean
    rank correlation below `UNLIKE`. Those that pass come first, then those with fewer failures,
    then larger gains.

    Args:
        found: `deletion and insertion` and `random weights`, as in `explain.json`.
    """
    table = []
    for method in ATTRIBUTION_METHODS:
        gains = {
            row["curve"]: row["gain over centre first"]
            for row in found.get("deletion and insertion", ())
            if row["order"] == method
        }
        rows = [row for row in found.get("random weights", ()) if row["method"] == method]
        if len(gains) < 2 or len(rows) < 2:
            continue
        other, head = rows[0], rows[1]
        faults = [
            f"{curve} worse than cells from the centre outward"
            for curve, gain in gains.items()
            if gain["high"] < 0
        ]
        if head["dead"]:
            faults.append("no signal with a random head")
        elif head["correlation"]["value"] >= UNLIKE:
            faults.append("maps hardly depend on the trained head")
        table.append(
            {
                "method": method,
                "gain by deletion": gains["deletion"],
                "gain by insertion": gains["insertion"],
                "random head": head["correlation"],
                "another galaxy": other["correlation"],
                "passes": not faults,
                "verdict": "; ".join(faults) or "passes its tests",
                "_order": (len(faults), -sum(gain["value"] for gain in gains.values())),
            }
        )
    table.sort(key=lambda row: row.pop("_order"))
    return table


def _randomise(module: nn.Module) -> None:
    """Draw every parameter of a module anew."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
            continue
        for parameter in part.parameters(recurse=False):
            values = parameter.data.flatten()
            alone = values * torch.randn(1).to(values)
            drawn = values[torch.randperm(len(values))] if len(values) > 1 else alone
            parameter.data = drawn.view_as(parameter.data)


def _reestimate(network: nn.Module, batch: torch.Tensor) -> None:
    """Give BatchNorm the statistics of a batch under the weights as they are."""
    layers = [layer for layer in network.modules() if isinstance(layer, _BatchNorm)]
    if not layers or len(batch) < 2:
        return
    for layer in layers:
        layer.reset_running_stats()
        # None: the mean over all batches, here of one.
        layer.momentum = None
        layer.train()
    with torch.no_grad():
        network(batch)
    for layer in layers:
        layer.eval()


def _signal(network: nn.Module, batch: torch.Tensor) -> float:
    """Return the standard deviation of the logits over galaxies, the mean over logits."""
    with torch.no_grad():
        return float(network(batch).float().std(dim=0, correction=0).mean())


def _likeness(name: str, before: np.ndarray, after: np.ndarray, seed: int) -> dict[str, object]:
    from scipy.stats import spearmanr

    found = [
        spearmanr(b.ravel(), a.ravel()).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
        for b, a in zip(before, after, strict=True)
    ]
    blank = float(np.mean([np.ptp(a) <= 0 for a in after]))
    return {
        "random": name,
        "galaxies": len(found),
        "correlation": mean_interval(np.array(found), seed),
        "blank": blank,
    }
