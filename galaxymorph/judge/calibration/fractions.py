"""Calibration of a run's distributions of vote fractions.

A network trained on few galaxies is overconfident of common answers, and underconfident of rare
ones. One factor a question, fitted to votes that it wasn't trained on, calibrates the variance of
its answers' fractions and leaves their means unchanged.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import write_json
from galaxymorph.judge.calibration.calibrators import Calibrator, write_calibrators
from galaxymorph.judge.calibration.fraction_intervals import interval_metrics, vote_nll, vote_ranks
from galaxymorph.judge.calibration.run_calibration import add_to_predictions
from galaxymorph.judge.calibration.stored_calibration import FORMAT, calibration_part
from galaxymorph.judge.metrics.bootstrap import LEVEL, RESAMPLES, mean_interval
from galaxymorph.judge.metrics.expected_fractions import expected_fractions
from galaxymorph.judge.metrics.metric import tree_of
from galaxymorph.learn import Run, deviation_columns, loss_columns, predicted_columns, run_files
from galaxymorph.zoo import CALIBRATED, Tree, deviations, known_fractions, prefixed

METHOD = "variance"
# Natural logarithms of the factors that are tried.
RANGE = (-4.0, 5.0)
# Of a factor's natural logarithm, before any vote: a normal distribution about 0, so that 95 % of
# factors lie from 0.37 to 2.7. The Fisher information of the logarithm of a variance is 1/2 a
# normal value, so that the prior weighs as much as the votes of eight galaxies for an answer.
WIDTH = 0.5
# Galaxies under which the factors are mostly the prior's.
FEW_GALAXIES = 20


@dataclass(frozen=True)
class FractionCalibration:
    """The record as in `calibration.json`, and `vote_ranks` before and after."""

    record: dict[str, Any]
    ranks_before: np.ndarray
    ranks_after: np.ndarray


def calibrate_fractions(run: Run) -> FractionCalibration:
    """Fit each model's factors to its calibration part, judge on test, store in the run.

    Writes `calibration.json`, and `calibrated_sd_<answer>` into the predictions of every part.

    Args:
        run: trained, of distributions: `--loss dirichlet-multinomial`.

    Raises:
        BadInput: the run isn't finished.
    """
    run.require_trained()
    tree, seed = tree_of(run), run.recipe.seed
    part = calibration_part(run)
    known = [_arrays(run, member.predictions(part)) for member in run.splits]
    calibrators = [fit_variance(tree, *arrays) for arrays in known]
    names = _calibrated_columns(run)

    def calibrated(member: Run, calibrator: Calibrator, table: pd.DataFrame) -> pd.DataFrame:
        mean, deviation, _ = _arrays(member, table)
        moments = calibrator(np.hstack([mean, mean**2 + deviation**2]))
        spread = deviations(*np.split(moments, 2, axis=1))
        return pd.DataFrame(spread, columns=names, index=table.index)

    add_to_predictions(run, calibrators, calibrated)
    test = run.predictions("test")
    mean, before, counts = _arrays(run, test)
    after = test[names].to_numpy(float)
    expected = expected_fractions(Path(run.data["path"]), list(test["galaxy"]), tree)
    record = {
        "format": FORMAT,
        "part": part,
        "galaxies": [len(arrays[0]) for arrays in known],
        "method": METHOD,
        "notes": _notes([len(arrays[0]) for arrays in known]),
        "calibrators": write_calibrators(calibrators),
        "questions": [question.name for question in tree.questions],
        "interval": f"{LEVEL:.0%} percentile bootstrap over test galaxies, {RESAMPLES} resamples",
        **{
            when: {
                "nll": mean_interval(vote_nll(tree, mean, spread, counts).sum(axis=1), seed),
                **interval_metrics(tree, mean, spread, counts, expected, seed),
            }
            for when, spread in (("before", before), ("after", after))
        },
    }
    write_json(run.path / run_files.CALIBRATION, record)
    ranks = (vote_ranks(tree, mean, spread, counts, seed) for spread in (before, after))
    return FractionCalibration(record, *ranks)


def fit_variance(
    tree: Tree, mean: np.ndarray, deviation: np.ndarray, counts: np.ndarray
) -> Calibrator:
    """Return the likeliest factors of the variance given votes, one a question.

    The maximum of the posterior density: the votes' likelihood, and a normal prior of the
    logarithm with mean 0, see `WIDTH`. With few galaxies factors stay near 1; the maximum of the
    likelihood alone ranges from 0.02 to 2 with five galaxies (`benchmarks/coverage.py`).

    Args:
        tree: the decision tree.
        mean: predicted cumulative fractions, shape (n, answers).
        deviation: their standard deviations.
        counts: volunteers' votes.
    """
    from scipy.optimize import minimize_scalar

    factors = np.ones(len(tree.columns))
    known = known_fractions(tree, counts)
    for answers in tree.membership.astype(bool):
        if not known[:, answers].any():
            continue

        def loss(power: float, where: np.ndarray = known & answers) -> float:
            wider = deviation * np.exp(power / 2)
            nats = vote_nll(tree, mean, wider, counts, where).sum()
            return float(nats) + power**2 / (2 * WIDTH**2)

        best = minimize_scalar(loss, bounds=RANGE, method="bounded", options={"xatol": 1e-4})
        factors[answers] = np.exp(best.x)
    return Calibrator(METHOD, {"factor": factors.tolist()})


def _notes(galaxies: list[int]) -> list[str]:
    """Return notes on few calibrating galaxies."""
    if min(galaxies) >= FEW_GALAXIES:
        return []
    return [
        f"{min(galaxies)} calibration galaxies are few, so variances stay close to those of "
        "the model"
    ]


def _arrays(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    mean, deviation, counts = (
        table[columns(run.recipe, run.classes)].to_numpy(float)
        for columns in (predicted_columns, deviation_columns, loss_columns)
    )
    return mean, deviation, counts


def _calibrated_columns(run: Run) -> list[str]:
    return prefixed(CALIBRATED, deviation_columns(run.recipe, run.classes))
