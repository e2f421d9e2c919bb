"""The metrics of a trained run: from its tables of predictions to `metrics.json`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from galaxymorph.base import write_json
from galaxymorph.judge.calibration.fraction_intervals import interval_metrics
from galaxymorph.judge.fit_checks import fit_warnings
from galaxymorph.judge.metrics.bootstrap import LEVEL, RESAMPLES, over_folds
from galaxymorph.judge.metrics.metric import OF_FOLDS, OVER_FOLDS, Predictions, metrics_of
from galaxymorph.judge.metrics.vote_fractions import agreed_galaxies, expected_of
from galaxymorph.learn import Run, Target, deviation_columns, loss_columns, run_files, target_of


def judge_run(run: Run) -> dict:
    """Write the metrics of a trained run to `metrics.json` and return them."""
    metrics = run_metrics(run)
    write_json(run.path / run_files.METRICS, metrics)
    return metrics


def run_metrics(run: Run) -> dict:
    """Return the metrics of a trained run.

    For each part those of its target's families, see `part_metrics`. Intervals are over galaxies,
    for the trained models as they are. A cross-validated run pools its folds, and adds each fold's
    headline score, `…_of_folds`, and their mean with an interval over galaxies and trainings,
    `…_over_folds`. `warnings` are the signs that the fit failed, see `fit_warnings`.
    """
    target = target_of(run.recipe)
    metrics: dict = {
        **({"classes": run.classes} if target.chooses else {}),
        "interval": interval_note(target),
    }
    for part in run.scored_parts:
        # Folds draw their validation parts each for itself, so a galaxy can be in several.
        table = run.predictions(part).drop_duplicates("galaxy")
        predictions = Predictions.of(run, table)
        metrics[part] = part_metrics(predictions, target.metrics)
        if deviations := _deviation_metrics(predictions):
            metrics[part]["intervals"] = deviations
        if run.folds:
            metrics[part] |= _fold_metrics(run, table)
    # The test part is the last.
    metrics["warnings"] = fit_warnings(run, metrics["test"], table)
    return metrics


def part_metrics(predictions: Predictions, families: Sequence[str]) -> dict:
    """Return the metrics of predictions by name, as `metrics.json` has those of a part.

    Beside `galaxies` and the metrics, of which those named `per_class.recall` stand by class and
    name in `per_class`: of classes each one's `support` and the `confusion` matrix, rows the true
    classes; of a tree the number of galaxies of each question on which volunteers `agreed`.

    Args:
        predictions: of a part.
        families: of metrics.
    """
    metrics: dict[str, Any] = {"galaxies": len(predictions)}
    items: dict[str, Any] = {}
    for name, metric in metrics_of(families).items():
        if not metric.applies(predictions):
            continue
        if metric.estimates is None:
            metrics[name] = metric.judge(predictions)
            continue
        group, _, key = name.rpartition(".")
        for item, value in metric.estimates(predictions).items():
            items.setdefault(group, {}).setdefault(item, {})[key] = value
    if "classification" in families:
        counts = predictions.confusion
        for name, support in zip(predictions.classes, counts.sum(axis=1), strict=True):
            items["per_class"][name]["support"] = int(support)
        items["confusion"] = counts.tolist()
    if predictions.tree is not None:
        agreed = agreed_galaxies(predictions.tree, predictions.true).sum(axis=0)
        for question, count in zip(predictions.tree.questions, agreed, strict=True):
            items["per_question"][question.name]["agreed"] = int(count)
    return metrics | items


def _fold_metrics(run: Run, table: pd.DataFrame) -> dict:
    """Return the headline metrics of each fold, and their mean over folds."""
    folds = [Predictions.of(run, fold) for _, fold in table.groupby("fold")]
    metrics: dict[str, Any] = {}
    for name, metric in metrics_of(target_of(run.recipe).metrics).items():
        if metric.headline:
            values = [metric.point(fold) for fold in folds]
            metrics |= {f"{name}{OF_FOLDS}": values, f"{name}{OVER_FOLDS}": over_folds(values)}
    return metrics


def _deviation_metrics(predictions: Predictions) -> dict | None:
    """Return `interval_metrics` of predicted distributions of vote fractions; None without any."""
    run, table, tree = predictions.run, predictions.table, predictions.tree
    if run is None or tree is None:
        return None
    spreads = deviation_columns(run.recipe, run.classes)
    votes = loss_columns(run.recipe, run.classes)
    # Runs from before deviations were predicted have none.
    if not spreads or not set(spreads + votes) <= set(table):
        return None
    deviation, counts = (table[names].to_numpy(float) for names in (spreads, votes))
    expected = expected_of(predictions)
    return interval_metrics(
        tree, predictions.predicted, deviation, counts, expected, predictions.seed
    )


def interval_note(target: Target) -> str:
    """Return in words how the intervals of a target's metrics are made."""
    metrics = metrics_of(target.metrics).values()
    methods = ", ".join(dict.fromkeys(each.interval for each in metrics if each.interval))
    return f"{LEVEL:.0%} over galaxies: {methods}, {RESAMPLES} resamples"
