"""How good the predictions are, with bootstrap intervals: from a run's tables to its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import confusion_matrix

from galaxymorph.base import write_json
from galaxymorph.judge.intervals import interval_metrics
from galaxymorph.judge.resampling import LEVEL, RESAMPLES, bootstrap
from galaxymorph.judge.truth import expected_fractions
from galaxymorph.judge.vote_metrics import (
    distribution_metrics,
    kl_divergence,
    square_errors,
    tree_metrics,
)
from galaxymorph.learn import (
    Run,
    deviation_columns,
    loss_columns,
    predicted_columns,
    target_of,
    true_columns,
)


def judge_run(run: Run) -> dict:
    """Write the metrics of a trained run to `metrics.json` and return them."""
    metrics = run_metrics(run)
    write_json(run.path / "metrics.json", metrics)
    return metrics


def run_metrics(run: Run) -> dict:
    """Return the metrics of a trained run.

    For each part what the target's families say: see `classification_metrics`,
    `distribution_metrics` and `tree_metrics`. A cross-validated run pools its folds, and adds
    each fold's headline score.
    """
    families = [FAMILIES[name] for name in target_of(run.recipe).metrics]
    metrics = {
        **({"classes": run.classes} if target_of(run.recipe).chooses else {}),
        "interval": f"{LEVEL:.0%} percentile bootstrap over galaxies, {RESAMPLES} resamples",
    }
    for part in ("valid", "test"):
        # Folds draw their validation parts each for itself, so a galaxy can be in several.
        table = run.predictions(part).drop_duplicates("galaxy")
        metrics[part] = {}
        for family in families:
            metrics[part] |= family.metrics(run, table)
            if run.folds:
                folds = [family.headline(run, fold) for _, fold in table.groupby("fold")]
                metrics[part][f"{family.name}_of_folds"] = folds
    return metrics


@dataclass(frozen=True)
class Family:
    """Scores that go together: `metrics` of a run's table, and the one called `name` alone."""

    name: str
    metrics: Callable[[Run, pd.DataFrame], dict]
    headline: Callable[[Run, pd.DataFrame], float]


def _macro_f1(run: Run, table: pd.DataFrame) -> float:
    return _scores(*_codes(table, run.classes), len(run.classes))["macro_f1"]


def _kl(run: Run, table: pd.DataFrame) -> float:
    return float(kl_divergence(*true_and_predicted(run, table)).mean())


def _rmse(run: Run, table: pd.DataFrame) -> float:
    true, predicted = true_and_predicted(run, table)
    return float(np.sqrt(square_errors(target_of(run.recipe).tree, true, predicted).mean()))


def true_and_predicted(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return what volunteers said and the model's predictions, each of shape (n, outputs)."""
    columns = (find(run.recipe, run.classes) for find in (true_columns, predicted_columns))
    true, predicted = (table[names].to_numpy(float) for names in columns)
    return true, predicted


def _tree_metrics(run: Run, table: pd.DataFrame) -> dict:
    """Return `tree_metrics`; of a simulation `rmse_expected`, and of distributions `intervals`."""
    tree, seed = target_of(run.recipe).tree, run.recipe.seed
    true, predicted = true_and_predicted(run, table)
    found = tree_metrics(tree, true, predicted, seed)
    expected = expected_fractions(Path(run.data["path"]), table["galaxy"], tree)
    if expected is not None:
        errors = np.square(predicted - expected).mean(axis=1)
        found["rmse_expected"] = bootstrap(
            lambda rows: {"rmse": np.sqrt(errors[rows].mean())}, len(errors), seed
        )["rmse"]
    spreads = deviation_columns(run.recipe, run.classes)
    votes = loss_columns(run.recipe, run.classes)
    # Runs of before it was predicted have none.
    if spreads and set(spreads + votes) <= set(table):
        deviation, counts = (table[names].to_numpy(float) for names in (spreads, votes))
        found["intervals"] = interval_metrics(tree, predicted, deviation, counts, expected, seed)
    return found


# A family of scores is an entry here, one of tables and figures in `report`, and a name in
# `learn.TARGETS`.
FAMILIES: dict[str, Family] = {
    "classification": Family(
        "macro_f1",
        lambda run, table: classification_metrics(table, run.classes, run.recipe.seed),
        _macro_f1,
    ),
    "distribution": Family(
        "kl",
        lambda run, table: distribution_metrics(*true_and_predicted(run, table), run.recipe.seed),
        _kl,
    ),
    "tree": Family("rmse", _tree_metrics, _rmse),
}


def classification_metrics(table: pd.DataFrame, classes: Sequence[str], seed: int) -> dict:
    """Return the metrics of one table of predictions.

    `galaxies`, `macro_f1` and `accuracy` (value, low, high), a `per_class` table of precision,
    recall, F1 and support, and the `confusion` matrix (rows: true classes).

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


def class_scorer(
    table: pd.DataFrame, classes: Sequence[str]
) -> Callable[[np.ndarray], dict[str, float]]:
    """Return the scores of a table of predictions as a function of the rows that count."""
    true, predicted = _codes(table, classes)
    return lambda rows: _scores(true[rows], predicted[rows], len(classes))


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
