"""How many labels a model needs when it chooses whom to ask, against random choice.

    python cli.py survey simulate sky --n 3000 --survey sdss,decals --seed 77
    python benchmarks/active_learning.py sky -o benchmarks/results/active-learning.json

Galaxies are simulated, so that labels cost nothing, and a fifth of them test. A network of two
layers with dropout learns the three classes of `hubble`, of which irregular is rare, on the frozen
features of ImageNet's `tf_efficientnet_lite0`, first from a few random galaxies; then, round by
round, more are labelled: at random; those of the largest entropy; those of the largest mutual
information over passes with dropout (BALD; Walmsley et al. 2020, MNRAS 491, 1554); and those of
large mutual information that are unlike each other, as `triage` chooses. Every seed draws its own
test galaxies and its own first ones. Bands are 95 % intervals of the mean over seeds, and the
gains are paired by seed.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch
from scipy.stats import t as student
from sklearn.metrics import f1_score
from torch import nn

from galaxymorph.base import Progress, write_json
from galaxymorph.judge import choose_for_labelling, decompose_uncertainty
from galaxymorph.learn import (
    build_model,
    embed,
    environment,
    image_loader,
    make_recipe,
    serving_network,
)
from galaxymorph.learn.backbones.initial_weights import load_trunk
from galaxymorph.report.figures.panels import legend_below
from galaxymorph.report.figures.style import BLUE, GREEN, GREY, ORANGE, PAGE, STYLE, write_figure
from galaxymorph.zoo import read_catalogue, soft_label_catalogue

SCHEME = "hubble"
FIRST, STEP, ROUNDS = 40, 40, 12
TESTED = 0.2
HIDDEN, DROPOUT, STEPS, PASSES = 128, 0.5, 200, 20
SCORES = {"macro_f1": "macro-F1", "nll": "negative log-likelihood"}
COLOURS = {"random": GREY, "entropy": ORANGE, "information": GREEN, "information, diverse": BLUE}

# From uncertainty, features and a number to the positions that are asked.
Choice = Callable[..., np.ndarray]
CHOICES: dict[str, Choice] = {
    "random": lambda uncertainty, features, number, seed: np.random.default_rng(seed).permutation(
        len(features)
    )[:number],
    "entropy": lambda uncertainty, features, number, seed: np.argsort(-uncertainty.total)[:number],
    "information": lambda uncertainty, features, number, seed: np.argsort(-uncertainty.epistemic)[
        :number
    ],
    "information, diverse": lambda uncertainty, features, number, seed: choose_for_labelling(
        uncertainty.epistemic, features, number, seed
    ),
}


def main() -> None:
    """Measure, print, draw and save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sky", type=Path)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("-o", "--output", type=Path, required=True, help="JSON; a PNG beside it")
    arguments = parser.parse_args()
    features, labels, classes = learnt_from(arguments.sky)
    counts = dict(zip(classes, np.bincount(labels).tolist(), strict=True))
    print(f"{len(labels):,} galaxies: {counts}")
    result = {name: [] for name in CHOICES}
    with Progress("asking", arguments.seeds * len(CHOICES), "campaigns") as progress:
        for seed in range(arguments.seeds):
            for name, choose in CHOICES.items():
                result[name].append(campaign(features, labels, choose, seed))
                progress.advance()
    numbers = [FIRST + STEP * at for at in range(ROUNDS + 1)]
    curves = {
        name: {score: np.array([[r[score] for r in one] for one in runs]) for score in SCORES}
        for name, runs in result.items()
    }
    record = {
        "galaxies": counts,
        "seeds": arguments.seeds,
        "labels": numbers,
        "scores": {
            name: {score: banded(values) for score, values in by.items()}
            for name, by in curves.items()
        },
        "gain": {
            name: {score: banded(by[score] - curves["random"][score]) for score in SCORES}
            for name, by in curves.items()
            if name != "random"
        },
        "labels_to_reach_random's_last": {
            name: reached(by["macro_f1"], curves["random"]["macro_f1"], numbers)
            for name, by in curves.items()
        },
        "environment": environment(),
    }
    write_json(arguments.output, record)
    draw(record, arguments.output.with_suffix(".png"))
    for name in CHOICES:
        last = {score: record["scores"][name][score]["mean"][-1] for score in SCORES}
        print(name, last, record["labels_to_reach_random's_last"][name])
    print({name: {s: v["mean"][-1] for s, v in by.items()} for name, by in record["gain"].items()})


def learnt_from(sky: Path) -> tuple[torch.Tensor, np.ndarray, list[str]]:
    """Return a catalogue's features, shape (n, features), its labels as codes, and the classes."""
    recipe = make_recipe("small", {})
    table, classes = soft_label_catalogue(read_catalogue(sky), SCHEME)
    model = build_model(recipe, len(classes))
    load_trunk(model[0], recipe)
    network = serving_network(model, recipe)
    with Progress("features", len(table), "images") as progress:
        loader = image_loader(list(table["image"]), recipe)
        features, _ = embed(network, loader, progress.advance)
    features = (features - features.mean(axis=0)) / (features.std(axis=0) + 1e-6)
    labels = table["label"].map(classes.index).to_numpy()
    return torch.from_numpy(features), labels, classes


def campaign(features: torch.Tensor, labels: np.ndarray, choose: Choice, seed: int) -> list[dict]:
    """Return the test scores after each round of labelling."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    test, pool = np.split(order, [int(TESTED * len(order))])
    known, pool = np.split(pool, [FIRST])
    scores = []
    for round_number in range(ROUNDS + 1):
        torch.manual_seed(1000 * seed + round_number)
        network = trained(features[known], labels[known], int(labels.max()) + 1)
        mean = passes(network, features[test]).mean(axis=0)
        scores.append(
            {
                "macro_f1": f1_score(labels[test], mean.argmax(axis=1), average="macro"),
                "nll": -np.log(mean[np.arange(len(test)), labels[test]]).mean(),
            }
        )
        uncertainty = decompose_uncertainty(passes(network, features[pool]))
        asked = choose(uncertainty, features[pool].numpy(), STEP, 1000 * seed + round_number)
        known = np.concatenate([known, pool[asked]])
        pool = np.delete(pool, asked)
    return scores


def trained(features: torch.Tensor, labels: np.ndarray, classes: int) -> nn.Module:
    """Return a network that learnt some galaxies' labels."""
    network = nn.Sequential(
        nn.Dropout(DROPOUT),
        nn.Linear(features.shape[1], HIDDEN),
        nn.ReLU(),
        nn.Dropout(DROPOUT),
        nn.Linear(HIDDEN, classes),
    )
    optimiser = torch.optim.AdamW(network.parameters(), lr=1e-3, weight_decay=0.05)
    target = torch.from_numpy(labels)
    for _ in range(STEPS):
        loss = nn.functional.cross_entropy(network(features), target)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return network


def passes(network: nn.Module, features: torch.Tensor) -> np.ndarray:
    """Return predictions with dropout on, shape (passes, n, classes)."""
    with torch.inference_mode():
        return np.stack([network(features).softmax(dim=1).numpy() for _ in range(PASSES)])


def banded(values: np.ndarray) -> dict[str, list[float]]:
    """Return the mean over seeds, and its 95 % interval by Student's t, a value a round."""
    mean = values.mean(axis=0)
    half = student.ppf(0.975, len(values) - 1) * values.std(axis=0, ddof=1) / len(values) ** 0.5
    return {
        name: [round(float(value), 5) for value in item]
        for name, item in (("mean", mean), ("low", mean - half), ("high", mean + half))
    }


def reached(values: np.ndarray, random: np.ndarray, numbers: list[int]) -> int | None:
    """Return how many labels it takes for the mean to reach random choice's last one."""
    there = np.flatnonzero(values.mean(axis=0) >= random.mean(axis=0)[-1])
    return numbers[there[0]] if len(there) else None


def draw(record: dict, path: Path) -> None:
    """Draw the scores against the number of labels, with their bands."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, len(SCORES), figsize=(PAGE, 3.1))
        for axes, (score, words) in zip(grid, SCORES.items(), strict=True):
            for name, colour in COLOURS.items():
                result = record["scores"][name][score]
                axes.plot(record["labels"], result["mean"], color=colour, label=name)
                axes.fill_between(
                    record["labels"], result["low"], result["high"], color=colour, alpha=0.15, lw=0
                )
            axes.set(xlabel="galaxies labelled", ylabel=f"test {words}")
            axes.grid()
        legend_below(figure, 4)
        seeds = record["seeds"]
        caption = f"Score by number of labels, {seeds} campaigns each, bands of 95 % of the mean."
        write_figure(figure, path, caption)


if __name__ == "__main__":
    main()
