"""Calibration of a run: fitted to its calibration part, judged on its test part."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Damaged, read_json, reading, require, require_key, write_json
from galaxymorph.judge.calibration.calibrators import (
    CALIBRATORS,
    FEW,
    Calibrator,
    choose_method,
    class_counts,
    class_folds,
    fit_calibrator,
    held_out_losses,
    read_calibrators,
    write_calibrators,
)
from galaxymorph.judge.calibration.conformal import (
    coverage_band,
    coverage_study,
    cross_sets,
    least_calibrating,
    prediction_sets,
    set_intervals,
    set_thresholds,
    set_words,
)
from galaxymorph.judge.calibration.reliability import (
    BIASED,
    calibration_intervals,
    reliability_table,
    truth_scores,
)
from galaxymorph.judge.calibration.selective import aurc, keep_at_accuracies
from galaxymorph.judge.calibration.set_methods import SET_METHODS
from galaxymorph.judge.metrics.bootstrap import LEVEL, RESAMPLES, bootstrap
from galaxymorph.judge.metrics.expected_fractions import class_chances
from galaxymorph.judge.metrics.metric import true_codes
from galaxymorph.learn import Run, predicted_columns, target_of, write_table
from galaxymorph.zoo import CALIBRATED, PROBABILITY, prefixed, without_prefix

FORMAT = 1
FILE = "calibration.json"
ACCURACIES = (0.9, 0.95, 0.99)
# Of the adaptive sets' scores: 2 is randomised.
SCORE = 2


@dataclass(frozen=True)
class Calibration:
    """What `calibrate_run` found: its record as in `calibration.json`, and what is drawn of it."""

    record: dict
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
    part = calibration_part(run)
    known = [_arrays(run, member.predictions(part)) for member in run.splits]
    counts = np.min([class_counts(truth, len(run.classes)) for _, truth in known], axis=0)
    if method:
        _require_classes_of(method, counts, run.classes)
    losses = _joined_losses([held_out_losses(*pair, run.recipe.seed) for pair in known])
    chosen = method or choose_method(losses)
    calibrators = [fit_calibrator(chosen, *pair) for pair in known]
    _write_predictions(run, calibrators, coverage, sets)

    tested = [_arrays(run, member.predictions("test")) for member in run.splits]
    test = run.predictions("test")
    bare, truth = _arrays(run, test)
    calibrated = test[_calibrated_columns(run)].to_numpy(float)
    chances = class_chances(run, list(test["galaxy"]), run.recipe.seed)
    study = _study(known, tested, coverage, run.recipe.seed)
    record = {
        "format": FORMAT,
        "part": part,
        "galaxies": [len(pair[1]) for pair in known],
        "method": chosen,
        "held_out_nll": {name: float(each.mean()) for name, each in losses.items()},
        "notes": _notes(counts, run.classes, method, chosen)
        + too_few_for_sets(min(len(truth) for _, truth in known), coverage),
        "calibrators": write_calibrators(calibrators),
        "interval": f"{LEVEL:.0%} bootstrap over test galaxies, {RESAMPLES} resamples; of "
        "calibration errors about their debiased estimates",
        "before": _intervals(bare, truth, chances, run.recipe.seed),
        "after": _intervals(calibrated, truth, chances, run.recipe.seed),
        "selective": _selective(chosen, known, calibrated, truth, run.recipe.seed),
        "sets": {
            **_sets_of_tests(run, known, tested, coverage, sets),
            "study": _study_record(study, _sizes(known, tested), coverage),
        },
    }
    write_json(run.path / FILE, record)
    before, after = (reliability_table(each, truth) for each in (bare, calibrated))
    return Calibration(record, before, after, study)


# Probabilities, shape (n, classes), and positions of the true classes.
Known = tuple[np.ndarray, np.ndarray]


def _selective(
    method: str, known: Sequence[Known], calibrated: np.ndarray, truth: np.ndarray, seed: int
) -> dict:
    """Return the record of selective prediction: `aurc`, and what may be kept at an accuracy.

    Args:
        method: by which the run is calibrated.
        known: of each fold, its calibrating galaxies.
        calibrated: probabilities of the test part.
        truth: its classes.
        seed: of resampling and folds.
    """
    uncertainty = 1 - calibrated.max(axis=1)
    wrong = calibrated.argmax(axis=1) != truth
    area = bootstrap(
        lambda rows: {"aurc": aurc(-calibrated[rows].max(axis=1), wrong[rows])}, len(truth), seed
    )
    calibrating = _out_of_fold(method, known, seed)
    return area | {
        "kept_at_accuracy": keep_at_accuracies(calibrating, (uncertainty, wrong), ACCURACIES)
    }


def _sizes(known: Sequence[Known], tested: Sequence[Known]) -> list[tuple[int, int]]:
    """Return the number of calibrating and of tested galaxies of each fold."""
    return [(len(fit[1]), len(test[1])) for fit, test in zip(known, tested, strict=True)]


def _study(
    known: Sequence[Known], tested: Sequence[Known], coverage: float, seed: int
) -> pd.DataFrame:
    """Return `coverage_study` of each fold's calibrating and tested galaxies together."""
    parts = [
        (np.concatenate([fit, test]), np.concatenate([own, of_test]), len(own))
        for (fit, own), (test, of_test) in zip(known, tested, strict=True)
    ]
    return coverage_study(parts, coverage, seed)


def require_classes(run: Run) -> None:
    """Raise BadInput unless a run is trained on classes."""
    if target_of(run.recipe).soft:
        raise BadInput(
            f"{run.path}: its target is {run.recipe.target}, and calibration is of classes",
            "fit with --target classes, or --loss dirichlet-multinomial for intervals of fractions",
        )


def calibration_part(run: Run) -> str:
    """Return the part that a run is calibrated on: calibration, or valid where there is none."""
    split = run.splits[0].split["split"]
    return "calibration" if (split == "calibration").any() else "valid"


def load_calibrators(run: Run) -> list[Calibrator] | None:
    """Return a run's calibrators, one a fold or one of the run, or None.

    Raises:
        BadInput: the file is damaged or of another version.
    """
    path = run.path / FILE
    if not path.exists():
        return None
    record = read_json(path)
    with reading(path):
        found = read_calibrators(record, len(run.outputs))
    if record.get("format") != FORMAT or len(found) != len(run.splits):
        raise BadInput(f"{path}: not of this run and version", f"calibrate {run.path} again")
    return found


def describe_calibrators(run: Run) -> dict[str, list]:
    """Return what an exported file says of a run's calibrators: nothing, if there are none."""
    found = load_calibrators(run)
    return {} if found is None else {"calibrators": write_calibrators(found)}


def described_calibrators(about: dict, name: str) -> list[Calibrator] | None:
    """Return the calibrators that an exported file, by this name, speaks of.

    Raises:
        BadInput: they are damaged, or of a method that this version doesn't know.
    """
    if "calibrators" not in about:
        return None
    with reading(name, "export it again"):
        return read_calibrators(about, len(about["outputs"]))


def too_few_for_sets(calibrating: int, coverage: float) -> list[str]:
    """Return a line where galaxies are too few for sets of some coverage to tell anything."""
    least = least_calibrating(coverage)
    if calibrating >= least:
        return []
    return [
        f"sets at {coverage:g} take {least:,} calibrating galaxies, and there are {calibrating}: "
        "every set is full"
    ]


def _sets_of_tests(
    run: Run,
    known: Sequence[tuple[np.ndarray, np.ndarray]],
    tested: Sequence[tuple[np.ndarray, np.ndarray]],
    coverage: float,
    method: str,
) -> dict:
    """Return the record of the test part's sets, each fold's by its own thresholds.

    Args:
        run: trained, of classes.
        known: of each fold, probabilities and classes of the galaxies that calibrate it.
        tested: likewise of those that test it.
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`.
    """
    thresholds = [set_thresholds(*pair, coverage, method) for pair in known]
    found = [
        prediction_sets(bare, limits, method)
        for (bare, _), limits in zip(tested, thresholds, strict=True)
    ]
    truth = np.concatenate([truth for _, truth in tested])
    return {
        "method": method,
        "coverage": coverage,
        "classes": run.classes,
        "calibrating": sum(len(truth) for _, truth in known),
        "tested": len(truth),
        "score": SCORE,
        "thresholds": [_finite(limits) for limits in thresholds],
        "test": set_intervals(np.concatenate(found), truth, run.recipe.seed),
    }


def sets_of(run: Run, each: np.ndarray, coverage: float, method: str | None = None) -> list[str]:
    """Return the prediction sets of the bare models' probabilities, in words.

    Sets are built on bare probabilities, so that galaxies which calibrate them stay exchangeable
    with new ones. A run with one split is calibrated by split conformal prediction, on the mean of
    its models; new galaxies of a cross-validated run by CV+, see `cross_sets`.

    Args:
        run: trained, of classes.
        each: every model's probabilities, shape (models, n, classes).
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`; by default the one that the run was calibrated with, or lac.
    """
    require_classes(run)
    method = method or _set_method(run)
    part = calibration_part(run)
    known = [_arrays(run, member.predictions(part)) for member in run.splits]
    if run.folds:
        return set_words(cross_sets(known, each, coverage, method), run.classes)
    thresholds = set_thresholds(*known[0], coverage, method)
    return set_words(prediction_sets(np.mean(each, axis=0), thresholds, method), run.classes)


def calibrated_coverage(run: Run) -> float | None:
    """Return the coverage of the sets that a run was calibrated with, None of any other run."""
    return sets_record(run).get("coverage")


def sets_record(run: Run) -> dict:
    """Return what `calibrate` wrote of a run's prediction sets: nothing, of votes or before it.

    `thresholds` is an array, shape (folds, classes), infinite where every galaxy's set has the
    class.

    Raises:
        BadInput: the file is damaged, or its sets are of a score that is no longer used.
    """
    path = run.path / FILE
    if not path.exists():
        return {}
    record = read_json(path)
    with reading(path):
        found = require(record.get("sets", {}), dict, "sets")
        if not found:
            return {}
        if require_key(found, "method", str) not in SET_METHODS:
            raise Damaged(f"no method of sets is called {found['method']!r}")
        if SET_METHODS[found["method"]].keeps_likeliest and found.get("score") != SCORE:
            raise BadInput(
                f"{path}: its sets are of an earlier version", f"calibrate {run.path} again"
            )
        # Files of before each fold had its own have one row.
        rows = require_key(found, "thresholds", list)
        rows = rows if rows and isinstance(rows[0], list) else [rows]
        if len(rows) not in (1, len(run.splits)) or any(
            len(require(row, list, "thresholds")) != len(run.classes) for row in rows
        ):
            raise Damaged("thresholds aren't one a class")
        limits = np.array(
            [
                [
                    np.nan if each is None else require(each, (int, float), "threshold")
                    for each in row
                ]
                for row in rows
            ],
            float,
        )
        return found | {"thresholds": np.where(np.isnan(limits), np.inf, limits)}


def _set_method(run: Run) -> str:
    return sets_record(run).get("method", next(iter(SET_METHODS)))


def _arrays(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    probabilities = table[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise BadInput(
            f"{run.path}: the prediction of galaxy {table['galaxy'][bad].iloc[0]} is no number "
            f"({bad.sum():,} such)",
            "its training diverged: fit again with a smaller --lr",
        )
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return probabilities, true_codes(table, run.classes)


def is_calibrated(table: pd.DataFrame) -> bool:
    """Tell whether a table of predictions has calibrated probabilities of classes.

    Calibrated deviations of vote fractions, `calibrated_sd_<answer>`, are none.
    """
    names = without_prefix(PROBABILITY, map(str, table))
    return any(name in table for name in prefixed(CALIBRATED, names))


def calibrated_predictions(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with `predicted` and `confidence` as `predict` gives them: calibrated.

    Those of a run that isn't calibrated are as they were.
    """
    if not is_calibrated(table):
        return table
    values = table[_calibrated_columns(run)].to_numpy(float)
    best = np.array(run.classes, dtype=object)[values.argmax(axis=1)]
    return table.assign(predicted=best, confidence=values.max(axis=1))


def prediction_kind(run: Run) -> str:
    """Return in words what a run's probabilities are: calibrated or not; of fractions, those."""
    if target_of(run.recipe).soft:
        return "vote fractions"
    if not (run.path / FILE).exists():
        return "uncalibrated probabilities"
    method = read_json(run.path / FILE).get("method")
    if method in (None, "none"):
        return "probabilities kept as they are by calibrate"
    return f"probabilities calibrated by {method}"


def _calibrated_columns(run: Run) -> list[str]:
    return prefixed(CALIBRATED, run.classes)


def _write_predictions(
    run: Run, calibrators: Sequence[Calibrator], coverage: float, sets: str
) -> None:
    def calibrated(member: Run, calibrator: Calibrator, table: pd.DataFrame) -> pd.DataFrame:
        bare = _arrays(member, table)[0]
        found = pd.DataFrame(calibrator(bare), columns=_calibrated_columns(run), index=table.index)
        return found.assign(set=sets_of(member, bare[None], coverage, sets))

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
        columns: from a fold or the run, its calibrator and a table of its predictions to what is
            added, in place of columns of the same names.
    """
    for part in ("valid", "calibration", "test"):
        if not (run.splits[0].path / f"predictions_{part}.parquet").exists():
            continue
        tables = []
        for number, (member, calibrator) in enumerate(zip(run.splits, calibrators, strict=True), 1):
            table = member.predictions(part)
            added = columns(member, calibrator, table)
            table = table.drop(columns=added.columns, errors="ignore").join(added)
            write_table(member.path / f"predictions_{part}.parquet", table)
            tables.append(table.assign(fold=number))
        if run.folds:
            pooled = pd.concat(tables, ignore_index=True)
            write_table(run.path / f"predictions_{part}.parquet", pooled)


def _joined_losses(each: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """Return each method's losses of all folds' galaxies, of methods that every fold can take."""
    common = [name for name in each[0] if all(name in losses for losses in each)]
    return {name: np.concatenate([losses[name] for losses in each]) for name in common}


def _require_classes_of(method: str, counts: np.ndarray, classes: Sequence[str]) -> None:
    """Raise BadInput if a method would learn that a class doesn't exist."""
    if CALIBRATORS[method].of_each and not counts.min():
        raise BadInput(
            f"--method {method}: no calibrating galaxy is {classes[int(counts.argmin())]!r}",
            "use --method temperature, or fit with a larger --calibration",
        )


def _notes(counts: np.ndarray, classes: Sequence[str], asked: str | None, chosen: str) -> list[str]:
    """Return what is to be said of few calibrating galaxies, a line each.

    Args:
        counts: of each class; of folds the least.
        classes: their names.
        asked: the method that was asked for.
        chosen: the method that was taken.
    """
    n, notes = int(counts.sum()), []
    if n < FEW:
        notes.append(f"{n} calibrating galaxies are few: probabilities and sets are known roughly")
    missing = [name for name, count in zip(classes, counts, strict=True) if not count]
    if missing:
        notes.append(f"no calibrating galaxy is {' or '.join(missing)}")
    if asked and not CALIBRATORS[asked].takes(counts):
        notes.append(
            f"warning: --method {asked} takes {CALIBRATORS[asked].least}, and there are {n}, "
            f"{counts.min()} of {classes[int(counts.argmin())]}: don't rely on it"
        )
    left_out = [
        f"{name} (takes {method.least})"
        for name, method in CALIBRATORS.items()
        if not method.takes(counts)
    ]
    if left_out and not asked:
        notes.append(
            f"calibrated by {chosen}; left out for too few galaxies: {', '.join(left_out)}"
        )
    return notes


def _out_of_fold(
    method: str, known: Sequence[tuple[np.ndarray, np.ndarray]], seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return 1 - confidence, and whether it is wrong, of the galaxies that calibrate.

    Each by a calibrator that was fitted to the others, in folds, as new galaxies are.
    """
    uncertainty, wrong = [], []
    for probabilities, truth in known:
        folds = class_folds(truth, seed)
        for fold in np.unique(folds):
            held = folds == fold
            fit = ~held if (~held).any() else held
            calibrator = fit_calibrator(method, probabilities[fit], truth[fit])
            found = calibrator(probabilities[held])
            uncertainty.append(1 - found.max(axis=1))
            wrong.append(found.argmax(axis=1) != truth[held])
    return np.concatenate(uncertainty), np.concatenate(wrong)


def _intervals(
    probabilities: np.ndarray, truth: np.ndarray, chances: np.ndarray | None, seed: int
) -> dict:
    found = calibration_intervals(probabilities, truth, seed)
    if chances is None:
        return found
    known = ~np.isnan(chances).any(axis=1)
    probabilities, chances = probabilities[known], chances[known]
    return found | bootstrap(
        lambda rows: truth_scores(probabilities[rows], chances[rows], debiased=True),
        len(chances),
        seed,
        BIASED,
    )


def _finite(values: np.ndarray) -> list[float | None]:
    return [float(value) if np.isfinite(value) else None for value in values]


def _rounded(scores: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 6) for name, value in scores.items()}


def _study_record(study: pd.DataFrame, sizes: list[tuple[int, int]], coverage: float) -> dict:
    mean, low, high = coverage_band(sizes, coverage)
    within = study["coverage"].between(low, high)
    methods = {}
    for (method, by_class), rows in study.groupby(["method", "by_class"], sort=False):
        means = rows.drop(columns=["method", "by_class"]).mean().dropna()
        name = f"{method}, {'by class' if by_class else 'marginal'}"
        methods[name] = _rounded({str(name): float(value) for name, value in means.items()})
        if not by_class:
            methods[name]["splits_within_band"] = float(within[rows.index].mean())
    band = {"expected": mean, "low": low, "high": high}
    return {"splits": len(study) // len(methods), "band": band, "methods": methods}
