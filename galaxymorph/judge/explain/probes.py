"""Linear probes: how well each stage's embedding predicts properties of galaxies."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import TypedDict

import numpy as np
import pandas as pd
import torch

from galaxymorph.base import BadInput, Progress
from galaxymorph.judge.explain.explained_model import BATCH, ExplainedModel, normalised
from galaxymorph.judge.metrics.bootstrap import Interval, bootstrap_one
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


class Probe(TypedDict):
    """How well a stage's embedding of a number of galaxies predicts a concept: R²."""

    concept: str
    stage: str
    galaxies: int
    r2: Interval


def embeddings(model: ExplainedModel, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Return each stage's output averaged over the frame, shape (n, channels), from the first.

    The first entry is `pixels`, the image at `PIXELS` pixels a side.

    Args:
        model: whose network.
        rows: of the galaxies.
    """
    stages = {f"stage {at}": modules[-1] for at, modules in enumerate(stages_of(model.network), 1)}
    parts: dict[str, list[np.ndarray]] = {"pixels": [], **{name: [] for name in stages}}

    def keep(name: str) -> Callable:
        return lambda module, inputs, output: parts[name].append(_pooled(output))

    with (
        torch.inference_mode(),
        ExitStack() as hooks,
        Progress("embeddings", len(rows), "galaxies") as progress,
    ):
        for name, module in stages.items():
            hooks.callback(module.register_forward_hook(keep(name)).remove)
        for at in range(0, len(rows), BATCH):
            pixels = model.pixels(rows[at : at + BATCH])
            small = torch.nn.functional.adaptive_avg_pool2d(pixels, PIXELS)
            parts["pixels"].append(small.flatten(1).numpy())
            model.network(normalised(pixels, model.run.recipe))
            progress.advance(len(pixels))
    return {name: np.concatenate(arrays) for name, arrays in parts.items()}


def _pooled(output: torch.Tensor) -> np.ndarray:
    """Return the mean over the frame: of feature maps over rows and columns, or over tokens."""
    dims = {4: (2, 3), 3: (1,)}.get(output.dim(), ())
    return (output.mean(dim=dims) if dims else output).float().cpu().numpy()


def truth_of(model: ExplainedModel, rows: np.ndarray) -> pd.DataFrame | None:
    """Return the true parameters of simulated galaxies, a row each, or None for others.

    Raises:
        BadInput: a galaxy has no row.
    """
    truth = read_truth(model.data)
    if truth is None:
        return None
    galaxies = model.table["galaxy"].iloc[rows]
    missing = galaxies[~galaxies.isin(truth.index)]
    if len(missing):
        raise BadInput(
            f"{model.data / TRUTH}: no row for galaxy {missing.iloc[0]}",
            "simulate the galaxies again",
        )
    return truth.loc[galaxies].reset_index(drop=True)


def true_concepts(truth: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return `TRUE_CONCEPTS` by their words, shape (n,), NaN for galaxies without."""
    return {
        words: truth[name].where(has(truth)).to_numpy(float)
        for name, (words, has) in TRUE_CONCEPTS.items()
    }


def probe_table(
    embedded: dict[str, np.ndarray], concepts: dict[str, np.ndarray], seed: int
) -> list[Probe]:
    """Return how well ridge regression on each stage's embedding predicts each concept.

    `r2` is its cross-validated R² with an interval. Concepts that fewer than `LEAST` galaxies have
    are left out.

    Args:
        embedded: embeddings by stage, shape (n, channels).
        concepts: by their words, shape (n,), NaN where a galaxy has none.
        seed: of the folds and of the resampling.
    """
    known = {words: ~np.isnan(values) for words, values in concepts.items()}
    known = {words: has for words, has in known.items() if has.sum() >= LEAST}
    table: list[Probe] = []
    with Progress("probes", len(known) * len(embedded), "probes") as progress:
        for words, has in known.items():
            values = concepts[words][has]
            for stage, embedding in embedded.items():
                predicted = _cross_predicted(embedding[has], values, seed)
                r2 = _r2_interval(values, predicted, seed)
                table.append(
                    {"concept": words, "stage": stage, "galaxies": int(has.sum()), "r2": r2}
                )
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


def _r2_interval(true: np.ndarray, predicted: np.ndarray, seed: int) -> Interval:
    squares = np.square(true - predicted)

    def r2(rows: np.ndarray) -> float:
        return 1 - squares[rows].sum() / max(len(rows) * true[rows].var(), 1e-12)

    return bootstrap_one(r2, len(true), seed)
