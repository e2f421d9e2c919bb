"""Faithfulness of attribution maps: deletion and insertion, and networks of random weights."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, TypedDict

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
from galaxymorph.judge.metrics.bootstrap import Interval, mean_interval, unknown
from galaxymorph.learn import map_on_cores
from galaxymorph.learn.backbones.architectures import stages_of

# Cells a side in which a frame is deleted: a galaxy remains visible between single deleted pixels,
# which would make the random order no control.
CELLS = 16
STEPS = 16
# Orders of cells that maps are compared with: from the centre outward, as galaxies are centred, and
# at random.
CONTROLS = ("centre first", "random")
# A standard deviation of logits over galaxies below this is rounding: no signal reaches the head.
LEAST_SIGNAL = 1e-6
# Maps pass if their mean rank correlation with those under random weights is below this.
MOST_CORRELATION = 0.5


@dataclass(frozen=True)
class Curves:
    """The answer's probability as the frame is deleted or inserted, by a method or a control.

    Args:
        shares: of the frame, from 0 to 1, shape (k,).
        deletion: by order, shape (n, k).
        insertion: likewise.
    """

    shares: np.ndarray
    deletion: dict[str, np.ndarray]
    insertion: dict[str, np.ndarray]


CurveArea = TypedDict(
    "CurveArea",
    {
        "curve": str,
        "order": str,
        "galaxies": int,
        "area": Interval,
        "gain over centre first": Interval,
        "gain over random": Interval,
    },
)


class Similarity(TypedDict):
    """The rank correlation of maps with those of the trained network, see `randomisation`.

    `random` names the random layers, and `blank` is the fraction of empty maps.
    """

    random: str
    galaxies: int
    correlation: Interval
    blank: float
    signal: float | None
    dead: bool


Verdict = TypedDict(
    "Verdict",
    {
        "method": str,
        "gain by deletion": Interval,
        "gain by insertion": Interval,
        "random head": Interval,
        "another galaxy": Interval,
        "passes": bool,
        "verdict": str,
    },
)


def curves(model: ExplainedModel, rows: np.ndarray, maps: dict[str, np.ndarray]) -> Curves:
    """Return deletion and insertion curves (Petsiuk et al. 2018, BMVC, section 3.2).

    Cells of the frame become sky, the largest attribution first, or appear on a frame of sky.

    Args:
        model: whose answers.
        rows: of the galaxies.
        maps: of these by method, shape (n, size, size).
    """
    counts = np.linspace(0, CELLS**2, STEPS + 1).round().astype(int)
    rng = np.random.default_rng(model.seed)
    # Drawn in the order of galaxies, which threads would change.
    ranks = [
        _ranks({method: images[at] for method, images in maps.items()}, rng)
        for at in range(len(rows))
    ]
    with Progress("deletion and insertion", len(rows), "galaxies") as progress:

        def predict(at: int) -> dict[str, np.ndarray]:
            probabilities = {
                order: _answers_along(model, rows[at], rank, counts)
                for order, rank in ranks[at].items()
            }
            progress.advance()
            return probabilities

        galaxies = map_on_cores(predict, range(len(rows)))
    deletion, insertion = (
        {
            order: np.stack([probabilities[order][part] for probabilities in galaxies])
            for order in (*maps, *CONTROLS)
        }
        for part in (0, 1)
    )
    return Curves(counts / CELLS**2, deletion, insertion)


def _answers_along(
    model: ExplainedModel, row: int, ranks: np.ndarray, counts: np.ndarray
) -> np.ndarray:
    """Return the answer's probability as cells are deleted, and inserted, shape (2, k)."""
    pixels, sky = model.pixels([row]), model.sky[row].view(1, -1, 1, 1)
    first = torch.from_numpy(ranks < counts[:, None, None]).float()[:, None]
    first = F.interpolate(first, size=pixels.shape[-2:], mode="nearest")
    both = torch.cat([pixels * (1 - first) + sky * first, pixels * first + sky * (1 - first)])
    return probabilities(model, both)[:, int(model.targets([row])[0])].reshape(2, -1)


def _ranks(maps: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Return the ranks of cells, 0 the first, shape (CELLS, CELLS), by method or control.

    Args:
        maps: of one galaxy by method, shape (size, size).
        rng: of the random order, and of ties.
    """
    at = np.arange(CELLS) - (CELLS - 1) / 2
    values = {method: -by_cell(image[None])[0] for method, image in maps.items()}
    values |= {"centre first": np.hypot(*np.meshgrid(at, at)), "random": np.zeros((CELLS, CELLS))}
    # Cells without attribution, and those at one distance, are tied.
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


def areas(curves: Curves, seed: int) -> list[CurveArea]:
    """Return the mean areas under each method's curves with intervals, and gains over controls.

    A gain is by how much the area is smaller by deletion, or larger by insertion, than of the
    control on the same galaxies: positive is better, for both.
    """
    table: list[CurveArea] = []
    for kind, by_order, sign in (
        ("deletion", curves.deletion, -1),
        ("insertion", curves.insertion, 1),
    ):
        under = {
            order: trapezoid(curve, curves.shares, axis=1) for order, curve in by_order.items()
        }
        for order, area in under.items():
            over_centre, over_random = (
                unknown()
                if order in CONTROLS
                else mean_interval(sign * (area - under[control]), seed)
                for control in CONTROLS
            )
            table.append(
                {
                    "curve": kind,
                    "order": order,
                    "galaxies": len(area),
                    "area": mean_interval(area, seed),
                    "gain over centre first": over_centre,
                    "gain over random": over_random,
                }
            )
    return table


def randomisation(
    model: ExplainedModel, method: str, rows: np.ndarray, maps: np.ndarray
) -> list[Similarity]:
    """Return how similar maps stay as weights become random, from the head down.

    The cascading check of Adebayo et al. 2018 (NeurIPS), section 3: Spearman's rank correlation of
    the maps, over the frame's cells, with those of the trained network, for the same answers. Every
    parameter is drawn anew: by its layer's own initialisation, or, where a layer has none, as layer
    scale and position embeddings, by a permutation of its values. BatchNorm's statistics are re-
    estimated on the galaxies, or signals would die from layer to layer; `signal` is the standard
    deviation of the logits over galaxies; where it is rounding, the row is `dead`. An empty map
    counts as 0. The first row compares the trained network's maps of one galaxy with those of the
    next: the similarity that arises because galaxies are centred.

    Args:
        model: whose network.
        method: of `ATTRIBUTION_METHODS`.
        rows: of the galaxies.
        maps: of these by the trained network, shape (n, size, size).
    """
    before = by_cell(maps)
    next_galaxy = np.roll(before, 1, axis=0)
    table = [_similarity("another galaxy's map", before, next_galaxy, model.seed)]
    network = deepcopy(model.network)
    batch = normalised(model.pixels(rows), model.run.recipe)
    stages = stages_of(network)
    names = ["head", *(f"… and stage {at}" for at in range(len(stages), 0, -1))]
    head = list(network.children())[1]
    parts = [[head], *reversed(stages)]
    with Progress(
        f"random weights, {ATTRIBUTION_METHODS[method].label}", len(parts), "stages"
    ) as progress:
        for name, part in zip(names, parts, strict=True):
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(model.seed)
                for module in part:
                    _randomise(module)
            _reestimate(network, batch)
            after = by_cell(attribute(model, method, rows, network, quiet=True))
            signal = _signal(network, batch)
            table.append(_similarity(name, before, after, model.seed, signal))
            progress.advance()
    return table


def verdicts(record: Mapping[str, Any]) -> list[Verdict]:
    """Return the verdict of each attribution method's tests, the most faithful method first.

    A method passes where its curves are no worse than those of cells from the centre outward (the
    95 % interval of neither gain is below 0), and where random weights of the head leave a mean
    rank correlation below `MOST_CORRELATION`. Those that pass come first, then those with fewer
    failures, then larger gains.

    Args:
        record: `deletion and insertion` and `random weights`, as in `explain.json`.
    """
    table: list[tuple[tuple[int, float], Verdict]] = []
    for method in ATTRIBUTION_METHODS:
        gains = {
            row["curve"]: row["gain over centre first"]
            for row in record.get("deletion and insertion", ())
            if row["order"] == method
        }
        rows = [row for row in record.get("random weights", ()) if row["method"] == method]
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
        elif head["correlation"]["value"] >= MOST_CORRELATION:
            faults.append("maps hardly depend on the trained head")
        verdict: Verdict = {
            "method": method,
            "gain by deletion": gains["deletion"],
            "gain by insertion": gains["insertion"],
            "random head": head["correlation"],
            "another galaxy": other["correlation"],
            "passes": not faults,
            "verdict": "; ".join(faults) or "passes its tests",
        }
        table.append(((len(faults), -sum(gain["value"] for gain in gains.values())), verdict))
    return [verdict for _, verdict in sorted(table, key=lambda pair: pair[0])]


def _randomise(module: nn.Module) -> None:
    """Draw every parameter of a module anew."""
    for part in module.modules():
        reset = getattr(part, "reset_parameters", None)
        if callable(reset):
            reset()
            continue
        for parameter in part.parameters(recurse=False):
            values = parameter.data.flatten()
            single = values * torch.randn(1).to(values)
            drawn = values[torch.randperm(len(values))] if len(values) > 1 else single
            parameter.data = drawn.view_as(parameter.data)


def _reestimate(network: nn.Module, batch: torch.Tensor) -> None:
    """Give BatchNorm the statistics of a batch under the present weights."""
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


def _similarity(
    name: str, before: np.ndarray, after: np.ndarray, seed: int, signal: float | None = None
) -> Similarity:
    from scipy.stats import spearmanr

    correlations = [
        spearmanr(b.ravel(), a.ravel()).statistic if np.ptp(a) > 0 and np.ptp(b) > 0 else 0.0
        for b, a in zip(before, after, strict=True)
    ]
    blank = float(np.mean([np.ptp(a) <= 0 for a in after]))
    return {
        "random": name,
        "galaxies": len(correlations),
        "correlation": mean_interval(np.array(correlations), seed),
        "blank": blank,
        "signal": signal,
        "dead": signal is not None and signal < LEAST_SIGNAL,
    }
