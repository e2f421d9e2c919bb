"""Calibration of a run: fitted to its calibration part, judged on its test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypedDict

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, setting, write_json
from galaxymorph.judge.calibration.calibrators import (
    CALIBRATORS,
    FEW_GALAXIES,
    Calibrator,
    CalibratorRecord,
    choose_method,
    class_counts,
    class_folds,
    fit_calibrator,
    held_out_losses,
    write_calibrators,
)
from galaxymorph.judge.calibration.conformal import (
    coverage_band,
    coverage_study,
    prediction_sets,
    set_intervals,
    set_thresholds,
)
from galaxymorph.judge.calibration.reliability import (
    BIASED,
    calibration_intervals,
    reliability_table,
    truth_scores,
)
from galaxymorph.judge.calibration.selective import KeptAtAccuracy, aurc, keep_at_accuracies
from galaxymorph.judge.calibration.stored_calibration import (
    FORMAT,
    SCORE,
    Labelled,
    calibration_part,
    labelled_probabilities,
    require_classes,
    sets_of,
    too_few_for_sets,
)
from galaxymorph.judge.metrics.bootstrap import (
    LEVEL,
    RESAMPLES,
    Interval,
    bootstrap_one,
    bootstrap_together,
)
from galaxymorph.judge.metrics.expected_fractions import class_chances
from galaxymorph.learn import Run, run_files, write_table
from galaxymorph.zoo import CALIBRATED, prefixed

ACCURACIES = (0.9, 0.95, 0.99)


class SelectiveRecord(TypedDict):
    """Selective prediction on the test part."""

    aurc: Interval
    kept_at_accuracy: dict[str, KeptAtAccuracy]


class StudyRecord(TypedDict):
    """Means of `coverage_study` by method, and the exact band of one split's coverage."""

    splits: int
    band: dict[str, float]
    methods: dict[str, dict[str, float]]


class SetsRecord(TypedDict):
    """The prediction sets of the test part, and the thresholds of new ones: see `StoredSets`."""

    method: str
    coverage: float
    classes: list[str]
    calibrating: int
    tested: int
    score: int
    thresholds: list[list[float | None]]
    test: dict[str, Interval]
    study: StudyRecord


class CalibrationRecord(TypedDict):
    """The content of `calibration.json` of a run of classes, see docs/uncertainty.md.

    `before` and `after` have the scores of uncalibrated and calibrated probabilities of the test
    part, see `CalibrationScores`.
    """

    format: int
    part: str
    galaxies: list[int]
    method: str
    held_out_nll: dict[str, float]
    notes: list[str]
    calibrators: list[CalibratorRecord]
    interval: str
    before: dict[str, Any]
    after: dict[str, Any]
    selective: SelectiveRecord
    sets: SetsRecord


@dataclass(frozen=True)
class Calibration:
    """The record of a calibration, and the tables that its figures draw.

    Args:
        record: as in `calibration.json`.
        before: see `reliability_table`, of uncalibrated probabilities.
        after: of calibrated ones.
        study: see `coverage_study`.
    """

    record: CalibrationRecord
    before: pd.DataFrame
    after: pd.DataFrame
    study: pd.DataFrame


def calibrate_run(
    run: Run, coverage: float = 0.9, method: str | None = None, sets: str = "lac"
) -> Calibration:
    """Fit calibrators and prediction sets, judge them on the test part, store all in the run.

    Each fold's model, or an ensemble's mean (Rahaman & Thiery 2021, arXiv:2007.08792), is
    calibrated on galaxies that neither trained nor selected it, see `calibration_part`. Writes
    `calibration.json`, and `calibrated_<class>` and `set` into the predictions of every part.

    Args:
        run: trained, of classes.
        coverage: the share of prediction sets that are to hold the true class.
        method: of `CALIBRATORS`; by default the simplest within one standard error of the least
            cross-validated NLL, of those that take so few galaxies.
        sets: how they are built, of `SET_METHODS`.

    Raises:
        BadInput: the run isn't finished or isn't of classes, or no calibrating galaxy is of a class
            that the method would exclude.
    """
    run.require_trained()
    require_classes(run)
    part, seed = calibration_part(run), run.recipe.seed
    calibrating, tested = (
        [labelled_probabilities(run, fold.predictions(name)) for fold in run.splits]
        for name in (part, "test")
    )
    counts = np.min([class_counts(fold.truth, len(run.classes)) for fold in calibrating], axis=0)
    if method:
        _require_every_class(method, counts, run.classes)
    losses = _joined_losses([held_out_losses(*fold, seed) for fold in calibrating])
    chosen = method or choose_method(losses)
    calibrators = [fit_calibrator(chosen, *fold) for fold in calibrating]
    _write_predictions(run, calibrators, coverage, sets)

    test = run.predictions("test")
    uncalibrated, truth = labelled_probabilities(run, test)
    calibrated = test[prefixed(CALIBRATED, run.classes)].to_numpy(float)
    chances = class_chances(run, list(test["galaxy"]), seed)
    study = _study(calibrating, tested, coverage, seed)
    fewest = min(len(fold.truth) for fold in calibrating)
    record: CalibrationRecord = {
        "format": FORMAT,
        "part": part,
        "galaxies": [len(fold.truth) for fold in calibrating],
        "method": chosen,
        "held_out_nll": {name: float(values.mean()) for name, values in losses.items()},
        "notes": _notes(counts, run.classes, method, chosen) + too_few_for_sets(fewest, coverage),
        "calibrators": write_calibrators(calibrators),
        "interval": f"{LEVEL:.0%} bootstrap over test galaxies, {RESAMPLES} resamples; of "
        "calibration errors about their debiased estimates",
        "before": _scores(uncalibrated, truth, chances, seed),
        "after": _scores(calibrated, truth, chances, seed),
        "selective": _selective(chosen, calibrating, Labelled(calibrated, truth), seed),
        "sets": _sets_record(run, calibrating, tested, coverage, sets, study),
    }
    write_json(run.path / run_files.CALIBRATION, record)
    before, after = (reliability_table(values, truth) for values in (uncalibrated, calibrated))
    return Calibration(record, before, after, study)


def _selective(
    method: str, calibrating: Sequence[Labelled], test: Labelled, seed: int
) -> SelectiveRecord:
    """Return the record of selective prediction.

    Args:
        method: by which the run is calibrated.
        calibrating: of each fold, its calibrating galaxies.
        test: calibrated probabilities of the test part.
        seed: of resampling and folds.
    """
    wrong = test.probabilities.argmax(axis=1) != test.truth
    confidence = test.probabilities.max(axis=1)
    area = bootstrap_one(lambda rows: aurc(-confidence[rows], wrong[rows]), len(wrong), seed)
    held_out = _out_of_fold(method, calibrating, seed)
    kept = keep_at_accuracies(held_out, (1 - confidence, wrong), ACCURACIES)
    return {"aurc": area, "kept_at_accuracy": kept}


def _study(
    calibrating: Sequence[Labelled], tested: Sequence[Labelled], coverage: float, seed: int
) -> pd.DataFrame:
    """Return `coverage_study` of each fold's calibrating and tested galaxies together."""
    parts = [
        (
            np.concatenate([fit.probabilities, test.probabilities]),
            np.concatenate([fit.truth, test.truth]),
            len(fit.truth),
        )
        for fit, test in zip(calibrating, tested, strict=True)
    ]
    return coverage_study(parts, coverage, seed)


def _sets_record(
    run: Run,
    calibrating: Sequence[Labelled],
    tested: Sequence[Labelled],
    coverage: float,
    method: str,
    study: pd.DataFrame,
) -> SetsRecord:
    """Return the record of the test part's sets, with separate thresholds for each fold.

    Args:
        run: trained, of classes.
        calibrating: of each fold, the galaxies that calibrate it.
        tested: those that test it.
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`.
        study: see `coverage_study`.
    """
    thresholds = [set_thresholds(*fold, coverage, method) for fold in calibrating]
    sets = [
        prediction_sets(fold.probabilities, limits, method)
        for fold, limits in zip(tested, thresholds, strict=True)
    ]
    truth = np.concatenate([fold.truth for fold in tested])
    sizes = [
        (len(fit.truth), len(test.truth)) for fit, test in zip(calibrating, tested, strict=True)
    ]
    return {
        "method": method,
        "coverage": coverage,
        "classes": run.classes,
        "calibrating": sum(calibrated for calibrated, _ in sizes),
        "tested": len(truth),
        "score": SCORE,
        "thresholds": [
            [float(limit) if np.isfinite(limit) else None for limit in limits]
            for limits in thresholds
        ],
        "test": set_intervals(np.concatenate(sets), truth, run.recipe.seed),
        "study": _study_record(study, sizes, coverage),
    }


def _study_record(
    study: pd.DataFrame, sizes: list[tuple[int, int]], coverage: float
) -> StudyRecord:
    mean, low, high = coverage_band(sizes, coverage)
    within = study["coverage"].between(low, high)
    methods = {}
    for (method, by_class), rows in study.groupby(["method", "by_class"], sort=False):
        means = rows.drop(columns=["method", "by_class"]).mean().dropna()
        name = f"{method}, {'by class' if by_class else 'marginal'}"
        methods[name] = {str(score): round(float(value), 6) for score, value in means.items()}
        if not by_class:
            methods[name]["splits_within_band"] = float(within[rows.index].mean())
    band = {"expected": mean, "low": low, "high": high}
    return {"splits": len(study) // len(methods), "band": band, "methods": methods}


def _write_predictions(
    run: Run, calibrators: Sequence[Calibrator], coverage: float, sets: str
) -> None:
    def calibrated(fold: Run, calibrator: Calibrator, table: pd.DataFrame) -> pd.DataFrame:
        probabilities = labelled_probabilities(fold, table).probabilities
        columns = prefixed(CALIBRATED, run.classes)
        added = pd.DataFrame(calibrator(probabilities), columns=columns, index=table.index)
        return added.assign(set=sets_of(fold, probabilities[None], coverage, sets))

    add_to_predictions(run, calibrators, calibrated)


def add_to_predictions(
    run: Run,
    calibrators: Sequence[Calibrator],
    columns: Callable[[Run, Calibrator, pd.DataFrame], pd.DataFrame],
) -> None:
    """Write columns into the predictions of every part of a run and of its folds.

    Args:
        run: trained.
        calibrators: one a split.
        columns: from a fold or the run, its calibrator and a table of its predictions to the
            columns to add, in place of those of the same names.
    """
    for part in ("valid", "calibration", "test"):
        if not (run.splits[0].path / run_files.predictions_file(part)).exists():
            continue
        tables = []
        for number, (fold, calibrator) in enumerate(zip(run.splits, calibrators, strict=True), 1):
            table = fold.predictions(part)
            added = columns(fold, calibrator, table)
            table = table.drop(columns=added.columns, errors="ignore").join(added)
            write_table(fold.path / run_files.predictions_file(part), table)
            tables.append(table.assign(fold=number))
        if run.folds:
            pooled = pd.concat(tables, ignore_index=True)
            write_table(run.path / run_files.predictions_file(part), pooled)


def _joined_losses(folds: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return each method's losses of all folds' galaxies, of methods that every fold can take."""
    common = [name for name in folds[0] if all(name in losses for losses in folds)]
    return {name: np.concatenate([losses[name] for losses in folds]) for name in common}


def _require_every_class(method: str, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Raise BadInput if a method would exclude a class, of which it has no galaxy."""
    if CALIBRATORS[method].of_each and not counts.min():
        raise BadInput(
            f"{setting('method', method)}: no calibration galaxy is in class "
            f"{classes[int(counts.argmin())]!r}",
            f"use {setting('method', 'temperature')}, or fit with a larger "
            f"{setting('calibration')}",
        )


def _notes(
    counts: np.ndarray, classes: Sequence[str], requested: str | None, chosen: str
) -> list[str]:
    """Return notes on few calibrating galaxies, a line each.

    Args:
        counts: of each class; of folds the least.
        classes: their names.
        requested: the method that the user gave.
        chosen: the method that is used.
    """
    n, notes = int(counts.sum()), []
    if n < FEW_GALAXIES:
        notes.append(
            f"{n} calibration galaxies are few, so probabilities and prediction sets are imprecise"
        )
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        notes.append(f"no calibration galaxy is in class {' or '.join(missing)}")
    if requested and not CALIBRATORS[requested].takes(counts):
        notes.append(
            f"warning: {setting('method', requested)} takes {CALIBRATORS[requested].least}, and "
            f"there are {n}, {counts.min()} of {classes[int(counts.argmin())]}: don't rely on it"
        )
    left_out = [
        f"{name} (needs {method.least})"
        for name, method in CALIBRATORS.items()
        if not method.takes(counts)
    ]
    if left_out and not requested:
        how = "probabilities left unchanged" if chosen == "none" else f"calibrated by {chosen}"
        notes.append(f"{how}; too few galaxies to try {', '.join(left_out)}")
    return notes


def _out_of_fold(
    method: str, calibrating: Sequence[Labelled], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 - confidence of the calibrating galaxies, and whether their class is wrong.

    Each is calibrated by a fit to the others, in folds, as new galaxies are.
    """
    uncertainty, wrong = [], []
    for probabilities, truth in calibrating:
        folds = class_folds(truth, seed)
        for fold in np.unique(folds):
            held_out = folds == fold
            fit = ~held_out if (~held_out).any() else held_out
            calibrator = fit_calibrator(method, probabilities[fit], truth[fit])
            calibrated = calibrator(probabilities[held_out])
            uncertainty.append(1 - calibrated.max(axis=1))
            wrong.append(calibrated.argmax(axis=1) != truth[held_out])
    return np.concatenate(uncertainty), np.concatenate(wrong)


def _scores(
    probabilities: np.ndarray, truth: np.ndarray, chances: np.ndarray | None, seed: int
) -> dict[str, Any]:
    """Return `CalibrationScores` as JSON, with `truth_scores` where true chances are known."""
    scores = calibration_intervals(probabilities, truth, seed).record
    if chances is None:
        return scores
    known = ~np.isnan(chances).any(axis=1)
    probabilities, chances = probabilities[known], chances[known]
    return scores | bootstrap_together(
        lambda rows: truth_scores(probabilities[rows], chances[rows], debiased=True),
        len(chances),
        seed,
        BIASED,
    )
