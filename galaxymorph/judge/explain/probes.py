"""What a network knows of a galaxy, and how early: linear probes from each stage's embedding."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack

import numpy as np
import pandas as pd
import torch

from galaxymorph.base import BadInput, Progress
from galaxymorph.judge.explain.explained_model import BATCH, ExplainedModel, normalised
from galaxymorph.judge.metrics.bootstrap import LEVEL, RESAMPLES
from galaxymorph.judge.metrics.expected_fractions import TRUTH, read_truth
from galaxymorph.learn.backbones.architectures import stages_of

# The side to which images are shrunk for the probe that any network should beat.
PIXELS = 16
FOLDS = 5
# Galaxies with a value, below which nothing is fitted.
LEAST = 40
# Strengths of the ridge that cross-validation within the training folds chooses from.
ALPHAS = np.logspace(0, 5, 11)

# A true parameter (a column of truth.parquet), in words, and which galaxies have it.
TRUE_CONCEPTS: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series]]] = {
    "bulge_index": ("Sersic index of the bulge", lambda t: t["bulge_fraction"] > 0.05),
    "bulge_fraction": ("bulge fraction", lambda t: t["kind"] != "artifact"),
    "inclination": ("inclination of disks", lambda t: t["disk_scale"] > 0),
    "arm_fraction": ("light in the arms of disks", lambda t: t["disk_scale"] > 0),
    "arm_pitch": ("pitch angle of arms", lambda t: t["arm_fraction"] > 0.05),
    "bar_fraction": ("bar strength of disks", lambda t: t["disk_scale"] > 0),
    "observed_redshift": ("redshift", lambda t: t["kind"] != "artifact"),
}


def embeddings(subject: ExplainedModel, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return each stage's output averaged over the frame, shape (n, channels), from the first.

    Before them stand `pixels`, the image itself at `PIXELS` pixels a side.

    Args:
        subject: whose network.
        rows: which galaxies.
    """
    stages = {
        f"stage {at}": modules[-1] for at, modules in enumerate(stages_of(subject.network), 1)
    }
    found: dict[str, list[np.ndarray]] = {"pixels": [], **{name: [] for name in stages}}

    def keep(name: str) -> Callable:
        return lambda module, inputs, output: found[name].append(_pooled(output))

    with (
        torch.inference_mode(),
        ExitStack() as hooks,
        Progress("embeddings", len(rows), "galaxies") as progress,
    ):
        for name, module in stages.items():
            hooks.callback(module.register_forward_hook(keep(name)).remove)
        for at in range(0, len(rows), BATCH):
            pixels = subject.pixels(rows[at : at + BATCH])
            small = torch.nn.functional.adaptive_avg_pool2d(pixels, PIXELS)
            found["pixels"].append(small.flatten(1).numpy())
            subject.network(normalised(pixels, subject.run.recipe.arch))
            progress.advance(len(pixels))
    return {name: np.concatenate(each) for name, each in found.items()}


def _pooled(output: torch.Tensor) -> np.ndarray:
    """Average over the frame: of feature maps over rows and columns, of tokens over them."""
    dims = {4: (2, 3), 3: (1,)}.get(output.dim(), ())
    return (output.mean(dim=dims) if dims else output).float().cpu().numpy()


def truth_of(subject: ExplainedModel, rows: np.ndarray) -> pd.DataFrame | None:
    """Return the true parameters of simulated galaxies, a row each, or None for others.

    Raises:
        BadInput: a galaxy has no row.
    """
    truth = read_truth(subject.data)
    if truth is None:
        return None
    galaxies = subject.table["galaxy"].iloc[rows]
    missing = galaxies[~galaxies.isin(truth.index)]
    if len(missing):
        raise BadInput(
            f"{subject.data / TRUTH}: no row of galaxy {missing.iloc[0]}", "simulate the sky again"
        )
    return truth.loc[galaxies].reset_index(drop=True)


def true_concepts(truth: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return `TRUE_CONCEPTS` by their words, shape (n,), NaN for galaxies without."""
    return {
        words: truth[name].where(has(truth)).to_numpy(float)
        for name, (words, has) in TRUE_CONCEPTS.items()
    }


def probe_table(
    found: dict[str, np.ndarray], concepts: dict[str, np.ndarray], seed: int
) -> list[dict[str, object]]:
    """Return how well a line through each stage's embedding tells each concept.

    `r2` is the cross-validated R² of ridge regression with its interval: 1 all of the variance
    among galaxies, 0 no more than their mean tells. Concepts that fewer than `LEAST` galaxies
    have are left out.

    Args:
        found: embeddings by stage, shape (n, channels).
        concepts: by their words, shape (n,), NaN where a galaxy has none.
        seed: of the folds and of the resampling.
    """
    known = {words: ~np.isnan(values) for words, values in concepts.items()}
    known = {words: has for words, has in known.items() if has.sum() >= LEAST}
    table = []
    with Progress("probes", len(known) * len(found), "probes") as progress:
        for words, has in known.items():
            values = concepts[words][has]
            for stage, embedding in found.items():
                predicted = _cross_predicted(embedding[has], values, seed)
                score = _r2_interval(values, predicted, seed)
                row = {"concept": words, "stage": stage, "galaxies": int(has.sum()), "r2": score}
                table.append(row)
                progress.advance()
    return table


def _cross_predicted(embedding: np.ndarray, values: np.ndarray, seed: int) -> np.ndarray:
    from sklearn.linear_model import RidgeCV
    from sklearn.model_selection import KFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    probe = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
    folds = KFold(FOLDS, shuffle=True, random_state=seed)
    return cross_val_predict(probe, embedding.astype(np.float64), values, cv=folds)


def _r2_interval(true: np.ndarray, predicted: np.ndarray, seed: int) -> dict[str, float]:
    rows = np.random.default_rng(seed).integers(0, len(true), (RESAMPLES, len(true)))
    rows = np.vstack([np.arange(len(true)), rows])
    error = np.square(true - predicted)[rows].sum(axis=1)
    spread = np.square(true[rows] - true[rows].mean(axis=1, keepdims=True)).sum(axis=1)
    scores = 1 - error / np.maximum(spread, 1e-12)
    low, high = np.quantile(scores[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {"value": round(float(scores[0]), 6), "low": round(low, 6), "high": round(high, 6)}
