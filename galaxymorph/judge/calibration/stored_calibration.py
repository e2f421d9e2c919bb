"""Stored calibrations, of a run or an exported file, and their application to predictions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Damaged, read_json, reading, require, require_key, setting
from galaxymorph.judge.calibration.calibrators import (
    Calibrator,
    read_calibrators,
    write_calibrators,
)
from galaxymorph.judge.calibration.conformal import (
    cross_sets,
    least_calibrating,
    prediction_sets,
    set_thresholds,
    set_words,
)
from galaxymorph.judge.calibration.set_methods import SET_METHODS
from galaxymorph.judge.metrics.metric import true_codes
from galaxymorph.learn import Run, predicted_columns, run_files, target_of
from galaxymorph.zoo import CALIBRATED, PROBABILITY, prefixed, without_prefix

FORMAT = 1
# Of the adaptive sets' scores: 2 is randomised.
SCORE = 2


class Labelled(NamedTuple):
    """Uncalibrated probabilities, shape (n, classes), and positions of the true classes, (n,)."""

    probabilities: np.ndarray
    truth: np.ndarray


@dataclass(frozen=True)
class StoredSets:
    """How a run's prediction sets are made.

    Args:
        method: of `SET_METHODS`.
        coverage: the share of sets that are to hold the true class.
        thresholds: shape (folds, classes), infinite where every set has the class.
    """

    method: str
    coverage: float | None
    thresholds: np.ndarray


def load_calibrators(run: Run) -> list[Calibrator] | None:
    """Return a run's calibrators, one a fold or one of the run; None if it isn't calibrated.

    Raises:
        BadInput: the file is damaged or of another version.
    """
    path = run.path / run_files.CALIBRATION
    if not path.exists():
        return None
    record = read_json(path)
    with reading(path):
        calibrators = read_calibrators(record, len(run.outputs))
    if record.get("format") != FORMAT or len(calibrators) != len(run.splits):
        raise BadInput(
            f"{path}: it belongs to another run or version", f"calibrate {run.path} again"
        )
    return calibrators


def describe_calibrators(run: Run) -> dict[str, list]:
    """Return the entry of a run's calibrators in an exported file; nothing if there are none."""
    calibrators = load_calibrators(run)
    return {} if calibrators is None else {"calibrators": write_calibrators(calibrators)}


def described_calibrators(description: Mapping[str, Any], name: str) -> list[Calibrator] | None:
    """Return the calibrators in the description of an exported file of some name.

    Raises:
        BadInput: they are damaged, or of a method that this version doesn't have.
    """
    if "calibrators" not in description:
        return None
    with reading(name, "export it again"):
        return read_calibrators(description, len(description["outputs"]))


def stored_sets(run: Run) -> StoredSets | None:
    """Return how `calibrate` made a run's prediction sets; None of votes, or before it.

    Raises:
        BadInput: the file is damaged, or its sets are of a score that is no longer used.
    """
    path = run.path / run_files.CALIBRATION
    if not path.exists():
        return None
    with reading(path):
        record = require(read_json(path).get("sets", {}), dict, "sets")
        if not record:
            return None
        method = require_key(record, "method", str)
        if method not in SET_METHODS:
            raise Damaged(f"no method of sets is called {method!r}")
        if SET_METHODS[method].keeps_likeliest and record.get("score") != SCORE:
            raise BadInput(
                f"{path}: its prediction sets were made by an earlier version",
                f"calibrate {run.path} again",
            )
        # Former files have one row for all folds.
        rows = require_key(record, "thresholds", list)
        rows = rows if rows and isinstance(rows[0], list) else [rows]
        if len(rows) not in (1, len(run.splits)) or any(
            len(require(row, list, "thresholds")) != len(run.classes) for row in rows
        ):
            raise Damaged("thresholds aren't one a class")
        thresholds = [[_threshold(value) for value in row] for row in rows]
        coverage = record.get("coverage")
        if coverage is not None:
            coverage = require(coverage, float, "coverage")
        return StoredSets(method, coverage, np.array(thresholds, float))


def _threshold(value: object) -> float:
    """Return a threshold: null, or NaN of former files, is infinite."""
    number = np.inf if value is None else float(require(value, (int, float), "threshold"))
    return np.inf if np.isnan(number) else number


def calibrated_coverage(run: Run) -> float | None:
    """Return the coverage of the sets that a run was calibrated with, None of any other run."""
    sets = stored_sets(run)
    return sets.coverage if sets else None


def sets_of(
    run: Run, probabilities: np.ndarray, coverage: float, method: str | None = None
) -> list[str]:
    """Return the prediction sets of new galaxies, in words.

    Sets are built on uncalibrated probabilities, so that galaxies which calibrate them stay
    exchangeable with new ones. A run with one split is calibrated by split conformal prediction, on
    the mean of its models; new galaxies of a cross-validated run by CV+, see `cross_sets`.

    Args:
        run: trained, of classes.
        probabilities: every model's, uncalibrated, shape (models, n, classes).
        coverage: the share of sets that are to hold the true class.
        method: of `SET_METHODS`; by default the one that the run was calibrated with, or lac.
    """
    require_classes(run)
    if method is None:
        sets = stored_sets(run)
        method = sets.method if sets else next(iter(SET_METHODS))
    part = calibration_part(run)
    calibrating = [labelled_probabilities(run, fold.predictions(part)) for fold in run.splits]
    if run.folds:
        return set_words(cross_sets(calibrating, probabilities, coverage, method), run.classes)
    thresholds = set_thresholds(*calibrating[0], coverage, method)
    mean = np.mean(probabilities, axis=0)
    return set_words(prediction_sets(mean, thresholds, method), run.classes)


def too_few_for_sets(calibrating: int, coverage: float) -> list[str]:
    """Return a line where galaxies are so few that every set of some coverage is full."""
    least = least_calibrating(coverage)
    if calibrating >= least:
        return []
    return [
        f"sets at {coverage:g} take {least:,} calibration galaxies, but there are {calibrating}, "
        "so every set contains all classes"
    ]


def require_classes(run: Run) -> None:
    """Raise BadInput unless a run is trained on classes."""
    if target_of(run.recipe).soft:
        raise BadInput(
            f"{run.path}: prediction sets are of classes, and the target is {run.recipe.target}",
            f"fit with {setting('target', 'classes')}, or "
            f"{setting('loss', 'dirichlet-multinomial')} for intervals of fractions",
        )


def calibration_part(run: Run) -> str:
    """Return the part that a run is calibrated on: calibration, or valid where there is none."""
    split = run.splits[0].split["split"]
    return "calibration" if (split == "calibration").any() else "valid"


def labelled_probabilities(run: Run, table: pd.DataFrame) -> Labelled:
    """Return the uncalibrated probabilities of a table of predictions, rows summing to 1.

    Raises:
        BadInput: one is NaN or infinite.
    """
    probabilities = table[predicted_columns(run.recipe, run.classes)].to_numpy(float)
    bad = ~np.isfinite(probabilities).all(axis=1)
    if bad.any():
        raise BadInput(
            f"{run.path}: the prediction of galaxy {table['galaxy'][bad].iloc[0]} is not a number "
            f"({bad.sum():,} such)",
            f"its training diverged: fit again with a smaller {setting('lr')}",
        )
    probabilities = probabilities / probabilities.sum(axis=1, keepdims=True)
    return Labelled(probabilities, true_codes(table, run.classes))


def is_calibrated(table: pd.DataFrame) -> bool:
    """Tell whether a table of predictions has calibrated probabilities of classes.

    Calibrated deviations of vote fractions, `calibrated_sd_<answer>`, are none.
    """
    names = without_prefix(PROBABILITY, map(str, table))
    return any(name in table for name in prefixed(CALIBRATED, names))


def calibrated_predictions(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return predictions with calibrated `predicted` and `confidence`, as those of `predict`.

    Those of an uncalibrated run are unchanged.
    """
    if not is_calibrated(table):
        return table
    values = table[prefixed(CALIBRATED, run.classes)].to_numpy(float)
    best = np.array(run.classes, dtype=object)[values.argmax(axis=1)]
    return table.assign(predicted=best, confidence=values.max(axis=1))


def prediction_kind(run: Run) -> str:
    """Return in words whether a run's probabilities are calibrated, or that they are fractions."""
    if target_of(run.recipe).soft:
        return "vote fractions"
    if not (run.path / run_files.CALIBRATION).exists():
        return "uncalibrated probabilities"
    method = read_json(run.path / run_files.CALIBRATION).get("method")
    if method in (None, "none"):
        return "probabilities left unchanged by calibrate"
    return f"probabilities calibrated by {method}"
