"""How good the predictions are, with bootstrap intervals: from a run's tables to its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from galaxymorph.base import Progress, write_json
from galaxymorph.learn import Run

RESAMPLES = 1000
LEVEL = 0.95


def judge_run(run: Run) -> dict:
    """Write the metrics of a trained run to `metrics.json` and return them."""
    metrics = run_metrics(run)
    write_json(run.path / "metrics.json", metrics)
    return metrics


def run_metrics(run: Run) -> dict:
    """Return the metrics of a trained run.

    For each part: `galaxies`, `macro_f1` and `accuracy` (value, low, high), a `per_class` table
    of precision, recall, F1 and support, and the `confusion` matrix (rows: true classes). A
    cross-validated run pools its folds, and adds each fold's macro-F1.
    """
    metrics = {
        "classes": run.classes,
        "interval": f"{LEVEL:.0%} percentile bootstrap over galaxies, {RESAMPLES} resamples",
    }
    for part in ("valid", "test"):
        # Folds draw their validation parts each for itself, so a galaxy can be in several.
        table = run.predictions(part).drop_duplicates("galaxy")
        metrics[part] = classification_metrics(table, run.classes, run.recipe.seed)
        if run.folds:
            metrics[part]["macro_f1_of_folds"] = [
                _scores(*_codes(fold, run.classes), len(run.classes))["macro_f1"]
                for _, fold in table.groupby("fold")
            ]
    return metrics


def classification_metrics(table: pd.DataFrame, classes: Sequence[str], seed: int) -> dict:
    """Return the metrics of one table of predictions, as `run_metrics` describes them.

    Args:
        table: the columns `label` and `predicted`, a row a galaxy.
        classes: every class, in order.
        seed: of the resampling.
    """
    true, predicted = _codes(table, classes)
    intervals = bootstrap(
        lambda rows: _scores(true[rows], predicted[rows], len(classes)), len(true), seed
    )
    support = np.bincount(true, minlength=len(classes))
    return {
        "galaxies": len(table),
        "macro_f1": intervals["macro_f1"],
        "accuracy": intervals["accuracy"],
        "per_class": {
            name: {
                **{score: intervals[f"{score}_{code}"] for score in ("precision", "recall", "f1")},
                "support": int(support[code]),
            }
            for code, name in enumerate(classes)
        },
        "confusion": confusion_matrix(true, predicted, labels=range(len(classes))).tolist(),
    }


def bootstrap(
    score: Callable[[np.ndarray], dict[str, float]], n: int, seed: int
) -> dict[str, dict[str, float | None]]:
    """Return each score with its percentile bootstrap interval.

    Args:
        score: from the positions of galaxies, some repeated, to named scores.
        n: the number of galaxies.
        seed: of the resampling.

    Returns:
        By name: `value` on the galaxies themselves, `low` and `high`, the central `LEVEL` of
        `RESAMPLES` resamples (Efron & Tibshirani 1993, chapter 13). A score that is NaN, since
        no galaxy says anything of it, has None for all three; resamples where it is are left out.
    """
    rng = np.random.default_rng(seed)
    value = score(np.arange(n))
    draws = []
    with Progress("bootstrap", RESAMPLES, "resamples") as progress:
        for _ in range(RESAMPLES):
            draws.append(score(rng.integers(0, n, n)))
            progress.advance()
    tails = pd.DataFrame(draws).quantile([(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return {
        name: {
            "value": _rounded(value[name]),
            "low": _rounded(tails[name].iloc[0]),
            "high": _rounded(tails[name].iloc[1]),
        }
        for name in value
    }


def _rounded(score: float) -> float | None:
    return None if np.isnan(score) else round(float(score), 6)


def _codes(table: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    order = pd.Index(classes)
    return order.get_indexer(table["label"]), order.get_indexer(table["predicted"])


def _scores(true: np.ndarray, predicted: np.ndarray, classes: int) -> dict[str, float]:
    # scikit-learn's precision_recall_fscore_support gives the same, but checks its arguments for
    # a hundred times as long, and the bootstrap asks a thousand times.
    counts = np.bincount(true * classes + predicted, minlength=classes**2)
    counts = counts.reshape(classes, classes)
    hits, said, are = counts.diagonal(), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall, f1 = (
        hits / _or_one(said),
        hits / _or_one(are),
        2 * hits / _or_one(said + are),
    )
    scores = {"macro_f1": f1.mean(), "accuracy": hits.sum() / counts.sum()}
    for name, values in (("precision", precision), ("recall", recall), ("f1", f1)):
        scores |= {f"{name}_{code}": value for code, value in enumerate(values)}
    return scores


def _or_one(counts: np.ndarray) -> np.ndarray:
    """Return counts as divisors: a score of a class that isn't there is 0, as its numerator is."""
    return np.maximum(counts, 1)
