"""Robustness of a run: metrics under each corruption and severity, and their losses."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Progress, Steps, setting
from galaxymorph.images import SEVERITIES, Corruption, corruptions_of
from galaxymorph.judge.calibration.conformal import prediction_sets, set_intervals
from galaxymorph.judge.calibration.reliability import confidence_error_interval
from galaxymorph.judge.calibration.stored_calibration import (
    calibrated_coverage,
    labelled_probabilities,
    load_calibrators,
    prediction_kind,
    stored_sets,
)
from galaxymorph.judge.metrics.bootstrap import mean_interval, proportion
from galaxymorph.judge.metrics.metric import METRICS, Metric, Predictions, headline_of, metrics_of
from galaxymorph.judge.metrics.run_metrics import interval_note
from galaxymorph.judge.robustness.conditions import CLEAN, SUITES, Condition
from galaxymorph.judge.robustness.records import (
    ConditionScores,
    CorruptionRecord,
    RobustnessRecord,
    Settings,
)
from galaxymorph.judge.robustness.tested_models import (
    TestedModels,
    condition_table,
    load_tested_models,
)
from galaxymorph.learn import Run, map_on_cores, require_views, target_of

# Of the time: reading the images, predicting and computing metrics, for the time left.
SHARES = (8, 100, 20)
# Views of `dihedral`: rotations by 90°, then the same mirrored.
ROTATIONS, VIEWS = 4, 8


def robustness_of(
    run: Run,
    suite: str = "full",
    severities: Sequence[int] = SEVERITIES,
    limit: int | None = None,
    views: int | None = None,
    adapt: bool = False,
    data: Path | None = None,
) -> tuple[RobustnessRecord, pd.DataFrame]:
    """Predict a run's test galaxies clean and corrupted; return the metrics and every prediction.

    Args:
        run: trained; a cross-validated one takes each galaxy from the fold that tested it.
        suite: of `SUITES`.
        severities: of a suite that leaves them open.
        limit: test this many galaxies, drawn with the run's seed.
        views: averaged; the default is the suite's.
        adapt: give each condition's images BatchNorm statistics of their own, see
            `adapt_batchnorm`.
        data: where the run's catalogue is now, if it has moved.

    Returns:
        The content of `robustness.json`, and a row a galaxy and condition: `galaxy`, `label`,
        `corruption`, `severity`, the prediction, and `flipped`, whether the class has changed.

    Raises:
        BadInput: the run isn't finished, images are missing, or the network has no BatchNorm.
    """
    settings = robustness_settings(run, suite, severities, views)
    target, registry = target_of(run.recipe), _registry(run)
    chosen = {name: registry[name] for name in SUITES[suite].corruptions or registry}
    with Steps(SHARES) as steps:
        steps.begin()
        tested = load_tested_models(run, limit, data)
        severities = settings["severities"]
        conditions = [Condition()]
        conditions += [Condition(name, severity) for name in chosen for severity in severities]
        steps.begin()
        table, by_view = _predict_all(run, tested, conditions, settings["views"], adapt)
        steps.begin()
        galaxies = by_view.shape[1]
        if target.chooses:
            classes = table["predicted"].to_numpy()
            table["flipped"] = classes != np.tile(classes[:galaxies], len(conditions))
        parts = dict(iter(table.groupby(["corruption", "severity"])))
        corruptions = _corruption_records(run, parts, chosen, severities)
        record: RobustnessRecord = {
            **settings,
            "galaxies": galaxies,
            "adapted": adapt,
            "probabilities": prediction_kind(run),
            "interval": interval_note(target),
            "headline": headline_of(target),
            "clean": _condition_scores(run, parts[CLEAN, 0]),
            "corruptions": corruptions,
            "mean_drop": _mean(record["mean"]["drop"] for record in corruptions.values()),
            "consistency": _consistency(run, by_view),
        }
        if coverage := calibrated_coverage(run):
            record["nominal"] = coverage
    return record, table


def robustness_settings(
    run: Run, suite: str, severities: Sequence[int], views: int | None
) -> Settings:
    """Return the settings of a measurement; BadInput for views that the recipe excludes."""
    entry = SUITES.find(suite, setting("suite"))
    registry = _registry(run)
    if foreign := [name for name in entry.corruptions or () if name not in registry]:
        raise BadInput(
            f"{setting('suite', suite)}: {foreign[0]} is a corruption of pictures, and {run.path} "
            "takes flux",
            "leave it out",
        )
    require_views(run.recipe, views)
    return {
        "suite": suite,
        "severities": list(entry.severities or sorted(set(severities))),
        "views": views or (run.recipe.views if entry.averages_views else 1),
    }


def _predict_all(
    run: Run, tested: list[TestedModels], conditions: list[Condition], views: int, adapt: bool
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return predictions under each condition, and those of clean images in each dihedral view.

    A row a galaxy and condition, in the order of conditions; and shape (8, n, outputs).
    """
    galaxies = sum(len(models.table) for models in tested)
    total = (len(conditions) * (1 + adapt) + VIEWS) * galaxies
    with Progress("robustness", total, "images") as progress:

        def predict(condition: Condition) -> pd.DataFrame:
            parts = [models.predict(condition, views, adapt, progress.advance) for models in tested]
            return condition_table(run, tested, condition, np.concatenate(parts))

        def predict_view(view: int) -> np.ndarray:
            parts = [models.predict_view(view, progress.advance) for models in tested]
            return np.concatenate(parts)

        tables = map_on_cores(predict, conditions)
        by_view = map_on_cores(predict_view, range(VIEWS))
    return pd.concat(tables, ignore_index=True), np.stack(by_view)


def _registry(run: Run) -> Mapping[str, Corruption]:
    """Return the corruptions of a run's images, by name."""
    return corruptions_of(run.recipe.pixels == "flux")


def _corruption_records(
    run: Run,
    parts: dict[Any, pd.DataFrame],
    corruptions: Mapping[str, Corruption],
    severities: Sequence[int],
) -> dict[str, CorruptionRecord]:
    """Return the metrics under each corruption, from predictions by corruption and severity."""
    clean = Predictions.of(run, parts[CLEAN, 0])
    headline = METRICS[headline_of(target_of(run.recipe))]
    records: dict[str, CorruptionRecord] = {}
    for name, corruption in corruptions.items():
        scores: dict[int, ConditionScores] = {
            severity: {
                **_condition_scores(run, parts[name, severity]),
                "drop": headline.loss(clean, Predictions.of(run, parts[name, severity])),
            }
            for severity in severities
        }
        records[name] = {
            "unit": corruption.strength,
            "severities": {
                str(severity): {"strength": corruption.strengths[severity - 1], **by_metric}
                for severity, by_metric in scores.items()
            },
            "mean": {
                metric: _mean(by_metric[metric]["value"] for by_metric in scores.values())
                for metric in next(iter(scores.values()))
            },
        }
    return records


def _condition_scores(run: Run, table: pd.DataFrame) -> ConditionScores:
    """Return the metrics of a condition's predictions with intervals.

    Those of a calibrated run are of the probabilities that `predict` gives; the prediction sets
    are those of `calibrate`, with thresholds from clean images.
    """
    target, predictions = target_of(run.recipe), Predictions.of(run, table)
    scores = {
        name: metric.judge(predictions)
        for name, metric in metrics_of(target.metrics).items()
        if metric.headline
    }
    if not target.chooses:
        return scores | {"error": scores[headline_of(target)]}
    counts, seed = predictions.confusion, run.recipe.seed
    probabilities, truth = labelled_probabilities(run, table)
    calibrators, sets = load_calibrators(run), stored_sets(run)
    calibrated = probabilities.copy()
    if calibrators is not None:
        folds = _fold_of(run, table, len(calibrators))
        for fold, calibrator in enumerate(calibrators):
            calibrated[folds == fold] = calibrator(probabilities[folds == fold])
    correct = (calibrated.argmax(axis=1) == truth).astype(float)
    scores |= {
        "accuracy": METRICS["accuracy"].judge(predictions),
        "error": proportion(counts.sum() - counts.diagonal().sum(), counts.sum()),
        "ece": confidence_error_interval(calibrated.max(axis=1), correct, seed),
    }
    if sets is not None:
        thresholds = sets.thresholds[_fold_of(run, table, len(sets.thresholds))]
        held = set_intervals(prediction_sets(probabilities, thresholds, sets.method), truth, seed)
        scores |= {"set_coverage": held["coverage"], "set_size": held["size"]}
    return scores


def _fold_of(run: Run, table: pd.DataFrame, folds: int) -> np.ndarray:
    """Return the position of the fold that tested each galaxy, shape (n,)."""
    if folds == 1:
        return np.zeros(len(table), int)
    tested = run.predictions("test").drop_duplicates("galaxy").set_index("galaxy")["fold"]
    return tested.loc[table["galaxy"]].to_numpy(int) - 1


def _consistency(run: Run, by_view: np.ndarray) -> dict[str, ConditionScores]:
    """Return how far rotations and mirroring change predictions, shape (8, n, outputs).

    `spread` is the mean over galaxies and outputs of the standard deviation over the views;
    `agree`, for classes, the share of galaxies whose class is the same in all of them.
    """
    views = {"rotation": by_view[:ROTATIONS][:, None], "mirroring": np.stack(np.split(by_view, 2))}
    consistency = {}
    for name, predictions in views.items():
        spread = predictions.std(axis=0).mean(axis=(0, 2))
        scores: ConditionScores = {"spread": mean_interval(spread, run.recipe.seed)}
        if target_of(run.recipe).chooses:
            codes = predictions.argmax(axis=-1)
            agree = (codes == codes[0]).all(axis=(0, 1))
            scores["agree"] = proportion(agree.sum(), len(agree))
        consistency[name] = scores
    return consistency


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(float(np.mean(known)), 4) if known else None


for name, metric in {
    "drop": Metric("loss of score", "clean minus corrupted, or the increase of an error", "less"),
    "mean_drop": Metric("mean drop", "over corruptions and severities", "less"),
    "error": Metric("error", "1 - accuracy, or RMSE", "less"),
    "ece": Metric("calibration error", "in bins of equal width", "less", (0.0, 1.0), short="ECE"),
    "set_coverage": Metric(
        "coverage of prediction sets",
        "fraction of prediction sets that contain the true class",
        "nominal",
        (0.0, 1.0),
        short="sets that contain the true class",
    ),
    "set_size": Metric(
        "size of prediction sets", "mean number of classes per set", "less", short="set size"
    ),
    "spread": Metric("spread", "standard deviation of predictions over views", "less", digits=4),
    "agree": Metric(
        "agree", "fraction of galaxies with the same class in all views", "greater", (0.0, 1.0)
    ),
}.items():
    METRICS.register(name, metric)
