"""How good the predictions are, with bootstrap intervals: from a run's tables to its metrics."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import write_json
from galaxymorph.judge.calibration.fraction_intervals import interval_metrics
from galaxymorph.judge.fit_checks import fit_warnings
from galaxymorph.judge.metrics.bootstrap import (
    LEVEL,
    RESAMPLES,
    bootstrap,
    over_folds,
    proportion,
    rounded,
    value_with_interval,
)
from galaxymorph.judge.metrics.expected_fractions import expected_fractions
from galaxymorph.judge.metrics.vote_metrics import (
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
    `distribution_metrics` and `tree_metrics`. Intervals of those are over galaxies, the models
    being what they are. A cross-validated run pools its folds, and adds each fold's headline score,
    `…_of_folds`, and their mean with an interval over galaxies and trainings, `…_over_folds`.
    `warnings` are the signs that the fit failed, see `fit_warnings`.
    """
    families = [FAMILIES[name] for name in target_of(run.recipe).metrics]
    metrics = {
        **({"classes": run.classes} if target_of(run.recipe).chooses else {}),
        "interval": interval_note(run),
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
                metrics[part][f"{family.name}_over_folds"] = over_folds(folds)
    # The test part is the last.
    metrics["warnings"] = fit_warnings(run, metrics["test"], table)
    return metrics


@dataclass(frozen=True)
class Family:
    """Scores that go together: `metrics` of a run's table, and the one called `name` alone."""

    name: str
    metrics: Callable[[Run, pd.DataFrame], dict]
    headline: Callable[[Run, pd.DataFrame], float]


def _macro_f1(run: Run, table: pd.DataFrame) -> float:
    return float(_f1(confusion_of(*class_codes(table, run.classes), len(run.classes))).mean())


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


# How each family's intervals are made.
INTERVALS = {
    "classification": "Wilson of proportions and F1, smoothed bootstrap within classes of macro-F1",
    "distribution": "percentile bootstrap of divergence and errors",
    "tree": "percentile bootstrap",
}


def interval_note(run: Run) -> str:
    """Return in words how the intervals of a run's scores are made."""
    made = ", ".join(INTERVALS[name] for name in target_of(run.recipe).metrics)
    return f"{LEVEL:.0%} over galaxies: {made}, {RESAMPLES} resamples"


def classification_metrics(table: pd.DataFrame, classes: Sequence[str], seed: int) -> dict:
    """Return the metrics of one table of predictions.

    `galaxies`, `macro_f1` and `accuracy` (value, low, high), a `per_class` table of precision,
    recall, F1 and support, and the `confusion` matrix (rows: true classes).

    Args:
        table: the columns `label` and `predicted`, a row a galaxy.
        classes: every class, in order.
        seed: of the resampling.
    """
    counts = confusion_of(*class_codes(table, classes), len(classes))
    hits, support, named = counts.diagonal(), counts.sum(axis=1), counts.sum(axis=0)
    return {
        "galaxies": len(table),
        **overall_scores(counts, seed),
        "per_class": {
            name: {
                "precision": proportion(hits[code], named[code]),
                "recall": proportion(hits[code], support[code]),
                "f1": class_f1(counts, code),
                "support": int(support[code]),
            }
            for code, name in enumerate(classes)
        },
        "confusion": counts.tolist(),
    }


def overall_scores(counts: np.ndarray, seed: int) -> dict[str, dict[str, float | None]]:
    """Return `macro_f1` and `accuracy` of a confusion matrix, value, low and high.

    Args:
        counts: the confusion matrix, rows the true classes.
        seed: of the resampling.
    """
    return {
        "macro_f1": macro_f1_interval(counts, seed),
        "accuracy": proportion(counts.diagonal().sum(), counts.sum()),
    }


def confusion_of(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return how many galaxies of each class, a row, are said to be each, shape (classes, classes).

    Args:
        true: positions of the true classes, shape (n,).
        predicted: of the predicted ones.
        classes: how many there are.
    """
    counts = np.bincount(true * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)


def class_f1(counts: np.ndarray, code: int) -> dict[str, float]:
    """Return the F1 of one class with its interval.

    F1 = 2 J / (1 + J), where J is the share of right ones among the galaxies that are of the class
    or said to be (Jaccard's index): a proportion, of which Wilson's interval is taken, the number
    of those galaxies as it is. Of none it counts as 0, as in the macro-F1, and may be anything.

    Args:
        counts: the confusion matrix, rows the true classes.
        code: of the class.
    """
    hits = counts[code, code]
    of = counts[code].sum() + counts[:, code].sum() - hits
    found = proportion(hits, of) if of else {"value": 0.0, "low": 0.0, "high": 1.0}
    return {end: rounded(2 * share / (1 + share)) for end, share in found.items()}


def macro_f1_interval(counts: np.ndarray, seed: int) -> dict[str, float]:
    """Return the mean F1 over classes with its interval, of new galaxies of the same classes.

    The galaxies of each class are drawn again on their own, from shares of predicted classes to
    which one galaxy is added that is spread evenly over the classes (a smoothed bootstrap, Efron &
    Tibshirani 1993, section 16.4): resamples of a class that is right every time are right every
    time otherwise, and its interval has no width. Simulated coverage of 95 % intervals is 0.92 to
    0.98 for classes of 1 to 600 (docs/statistics.md).

    Args:
        counts: the confusion matrix, rows the true classes.
        seed: of the draws.
    """
    classes, of_class = len(counts), counts.sum(axis=1)
    rng = np.random.default_rng(seed)
    shares = (counts + 1 / classes) / (of_class[:, None] + 1)
    draws = np.stack(
        [rng.multinomial(n, p, RESAMPLES) for n, p in zip(of_class, shares, strict=True)], axis=1
    )
    return value_with_interval(_f1(counts).mean(), _f1(draws).mean(axis=1))


def f1_difference(
    true: np.ndarray, before: np.ndarray, after: np.ndarray, classes: int, seed: int
) -> dict[str, float | None]:
    """Return by how much the macro-F1 rises from some predictions to others, with its interval.

    As `macro_f1_interval` has it, pairs of predictions being drawn in place of predictions.

    Args:
        true: positions of the true classes, shape (n,).
        before: of the classes that are predicted first.
        after: of those that are predicted then, of the same galaxies.
        classes: how many there are.
        seed: of the draws.
    """
    pairs = np.bincount((true * classes + before) * classes + after, minlength=classes**3)
    pairs = pairs.reshape(classes, classes**2)
    rng = np.random.default_rng(seed)
    shares = (pairs + 1 / classes**2) / (pairs.sum(axis=1, keepdims=True) + 1)
    draws = np.stack(
        [rng.multinomial(own.sum(), p, RESAMPLES) for own, p in zip(pairs, shares, strict=True)],
        axis=1,
    )

    def gain(counts: np.ndarray) -> np.ndarray:
        cube = counts.reshape(*counts.shape[:-1], classes, classes)
        return _f1(cube.sum(axis=-2)).mean(axis=-1) - _f1(cube.sum(axis=-1)).mean(axis=-1)

    return value_with_interval(gain(pairs), gain(draws))


def class_codes(table: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the true and of the predicted classes, each of shape (n,).

    Args:
        table: the columns `label` and `predicted`, a row a galaxy.
        classes: every class, in order.
    """
    order = pd.Index(classes)
    return order.get_indexer(table["label"]), order.get_indexer(table["predicted"])


def _f1(counts: np.ndarray) -> np.ndarray:
    """Return the F1 of each class from confusion matrices, shape (..., classes, classes).

    scikit-learn's gives the same, but checks its arguments for a hundred times as long.
    """
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    return 2 * hits / _or_one(counts.sum(axis=-2) + counts.sum(axis=-1))


def _or_one(counts: np.ndarray) -> np.ndarray:
    """Return counts as divisors: a score of a class that isn't there is 0, as its numerator is."""
    return np.maximum(counts, 1)
