"""Class probabilities of label schemes, from predicted vote fractions.

A model of the decision tree has no classes. A multinomial logistic regression on the logarithms of
its fractions, fitted on galaxies that trained nothing, gives the probability of every class of a
scheme, among galaxies that the scheme keeps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np
import pandas as pd

from galaxymorph.base import (
    Damaged,
    read_json,
    reading,
    require,
    require_key,
    require_words,
    write_json,
)
from galaxymorph.judge.calibration.conformal import (
    prediction_sets,
    set_intervals,
    set_thresholds,
    set_words,
)
from galaxymorph.judge.calibration.reliability import calibration_intervals
from galaxymorph.judge.calibration.set_methods import SET_METHODS
from galaxymorph.judge.metrics.bootstrap import Interval, unknown
from galaxymorph.judge.metrics.classification import macro_f1_interval
from galaxymorph.learn import Run, run_files
from galaxymorph.zoo import SCHEMES, assign_labels, softmax

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression

# Added to fractions before the logarithm: a third of a vote of Galaxy Zoo 2's median 40.
FLOOR = 0.01
# Galaxies of a class from which its scheme is fitted: two in each fold.
LEAST = 10
FOLDS = 5
# Method of the prediction sets: galaxies between classes, which a scheme doesn't keep and no
# calibration has, get sets of several classes, and none gets an empty one.
SETS = "aps"
# That of records before sets had a method.
FORMER_SETS = "lac"
# Inverse strengths of the regularisation, of which the one with the least held-out NLL is used.
STRENGTHS = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


class SchemeRecord(TypedDict):
    """A scheme in `scheme_classes.json`; weights have a row a class and a column an answer."""

    scheme: str
    classes: list[str]
    galaxies: dict[str, int]
    coverage: float
    sets: str
    threshold: float
    weights: list[list[float]]
    bias: list[float]


@dataclass(frozen=True)
class SchemeClasses:
    """Calibrated classes of a label scheme.

    Args:
        scheme: name of the scheme.
        classes: in order.
        galaxies: number of calibration galaxies of each class.
        coverage: the share of sets that are to hold the true class.
        sets: their method, of `SET_METHODS`.
        threshold: the largest score of a class in a prediction set, see `set_thresholds`.
        weights: of the logarithms of fractions plus `FLOOR`, shape (classes, answers).
        bias: shape (classes,).
    """

    scheme: str
    classes: list[str]
    galaxies: Mapping[str, int]
    coverage: float
    sets: str
    threshold: float
    weights: np.ndarray
    bias: np.ndarray

    def probabilities(self, fractions: np.ndarray) -> np.ndarray:
        """Return class probabilities, shape (n, classes).

        Args:
            fractions: predicted cumulative fractions, shape (n, answers).
        """
        return softmax(_features(fractions) @ self.weights.T + self.bias)

    def columns(self, fractions: np.ndarray) -> pd.DataFrame:
        """Return predicted class, confidence, prediction set and probabilities, a row a galaxy.

        The columns are `<scheme>`, `<scheme>_confidence`, `<scheme>_set` and
        `<scheme>_p_<class>`.
        """
        shares = self.probabilities(fractions)
        likeliest = np.array(self.classes, dtype=object)[shares.argmax(axis=1)]
        return pd.DataFrame(
            {
                self.scheme: likeliest,
                f"{self.scheme}_confidence": shares.max(axis=1),
                f"{self.scheme}_set": set_words(self.sets_of(shares), self.classes),
            }
            | {f"{self.scheme}_p_{name}": shares[:, at] for at, name in enumerate(self.classes)}
        )

    def sets_of(self, probabilities: np.ndarray) -> np.ndarray:
        """Return which classes are in each galaxy's prediction set, booleans.

        Args:
            probabilities: shape (n, classes), as the sets.
        """
        limits = np.full(len(self.classes), self.threshold)
        return prediction_sets(probabilities, limits, self.sets)

    @property
    def record(self) -> SchemeRecord:
        """The scheme as JSON."""
        return {
            "scheme": self.scheme,
            "classes": self.classes,
            "galaxies": dict(self.galaxies),
            "coverage": self.coverage,
            "sets": self.sets,
            "threshold": self.threshold,
            "weights": self.weights.round(6).tolist(),
            "bias": self.bias.round(6).tolist(),
        }


def scheme_labels(scheme: str, fractions: pd.DataFrame) -> np.ndarray:
    """Return the class of each galaxy by its volunteers, empty if the scheme doesn't keep it.

    Args:
        scheme: a registered label scheme.
        fractions: volunteers' cumulative fractions, a column an answer.
    """
    labels = assign_labels(SCHEMES.find(scheme), fractions)
    return labels["label"].where(labels["kept"], "").to_numpy(str)


def fit_scheme(
    scheme: str, fractions: np.ndarray, labels: np.ndarray, coverage: float, seed: int
) -> SchemeClasses | None:
    """Return a scheme's calibrated classes, None if a class has fewer than `LEAST` galaxies.

    The regression's regularisation has the least cross-validated NLL. Prediction sets take the
    scores of galaxies that their fold's regression wasn't fitted on (cross-conformal prediction:
    Vovk 2015, Annals of Mathematics and Artificial Intelligence 74, 9).

    Args:
        scheme: its name.
        fractions: predicted cumulative fractions of galaxies that trained nothing, shape
            (n, answers).
        labels: classes by volunteers, empty where there is none, shape (n,).
        coverage: the share of sets that are to hold the true class.
        seed: of the folds.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.preprocessing import StandardScaler

    classes = list(SCHEMES.find(scheme).classes)
    counts = {name: int((labels == name).sum()) for name in classes}
    if min(counts.values()) < LEAST:
        return None
    known = np.isin(labels, classes)
    scaler = StandardScaler().fit(_features(fractions[known]))
    values = scaler.transform(_features(fractions[known]))
    truth = np.array([classes.index(name) for name in labels[known]])
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=seed)

    def held_out(strength: float) -> np.ndarray:
        model = LogisticRegression(C=strength, max_iter=1000)
        return cross_val_predict(model, values, truth, cv=folds, method="predict_proba")

    predicted = [held_out(strength) for strength in STRENGTHS]
    losses = [
        -np.log(shares[np.arange(len(truth)), truth].clip(1e-12)).mean() for shares in predicted
    ]
    best = int(np.argmin(losses))
    model = LogisticRegression(C=STRENGTHS[best], max_iter=1000).fit(values, truth)
    weights, bias = _weights(model)
    weights = weights / scaler.scale_
    return SchemeClasses(
        scheme,
        classes,
        counts,
        coverage,
        SETS,
        float(set_thresholds(predicted[best], truth, coverage, SETS)[0]),
        weights,
        bias - weights @ scaler.mean_,
    )


def score_scheme(
    schemed: SchemeClasses, fractions: np.ndarray, labels: np.ndarray, seed: int
) -> dict[str, Interval]:
    """Return macro-F1, calibration error, coverage and mean size of the sets, with intervals.

    They are unknown without a galaxy that the scheme keeps.

    Args:
        schemed: the scheme.
        fractions: predicted cumulative fractions of galaxies that neither trained nor calibrated,
            shape (n, answers).
        labels: classes by volunteers, empty where there is none, shape (n,).
        seed: of the resampling.
    """
    from sklearn.metrics import confusion_matrix

    known = np.isin(labels, schemed.classes)
    if not known.any():
        return {name: unknown() for name in ("macro_f1", "ece_equal_mass", "coverage", "size")}
    truth = np.array([schemed.classes.index(name) for name in labels[known]])
    shares = schemed.probabilities(fractions[known])
    confusion = confusion_matrix(truth, shares.argmax(axis=1), labels=range(len(schemed.classes)))
    within = set_intervals(schemed.sets_of(shares), truth, seed)
    return {
        "macro_f1": macro_f1_interval(confusion, seed),
        "ece_equal_mass": calibration_intervals(shares, truth, seed).scores["ece_equal_mass"],
        "coverage": within["coverage"],
        "size": within["size"],
    }


def _weights(model: LogisticRegression) -> tuple[np.ndarray, np.ndarray]:
    """Return a regression's weights and bias with a row a class; of two classes it has one row."""
    if len(model.classes_) > 2:
        return model.coef_, model.intercept_
    return np.vstack([0 * model.coef_, model.coef_]), np.append(0.0, model.intercept_)


def _features(fractions: np.ndarray) -> np.ndarray:
    return np.log(np.asarray(fractions, float).clip(0) + FLOOR)


def write_scheme_classes(run: Run, record: Mapping[str, Any]) -> None:
    """Write `scheme_classes.json`, see `calibrate_tree` of `predict`."""
    write_json(run.path / run_files.SCHEME_CLASSES, record)


def load_scheme_classes(run: Run) -> list[SchemeClasses]:
    """Return a run's calibrated schemes, none if it isn't calibrated or not of a tree.

    Raises:
        BadInput: the file is damaged.
    """
    path = run.path / run_files.SCHEME_CLASSES
    if not path.exists():
        return []
    return described_schemes(read_json(path), len(run.outputs), str(path))


def describe_schemes(run: Run) -> dict[str, Any]:
    """Return the entry of a run's schemes in an exported file; nothing if there are none."""
    schemes = load_scheme_classes(run)
    return {"schemes": [each.record for each in schemes]} if schemes else {}


def described_schemes(
    description: Mapping[str, Any], answers: int, name: str
) -> list[SchemeClasses]:
    """Return the schemes in the description of an exported file of some name.

    Args:
        description: with or without `schemes`, records as `SchemeRecord`.
        answers: number of the model's outputs.
        name: of the file, for errors.

    Raises:
        BadInput: they are damaged.
    """
    with reading(name, "calibrate and export it again"):
        records = require(description.get("schemes", []), list, "schemes")
        return [_read(require(record, dict, "schemes"), answers) for record in records]


def _read(record: Mapping[str, Any], answers: int) -> SchemeClasses:
    classes = require_key(record, "classes", list)
    require_words(classes, "classes")
    weights = np.array(require_key(record, "weights", list), float)
    bias = np.array(require_key(record, "bias", list), float)
    if weights.shape != (len(classes), answers) or bias.shape != (len(classes),):
        raise Damaged("weights aren't one a class and answer")
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise Damaged("a weight isn't a number")
    return SchemeClasses(
        require_key(record, "scheme", str),
        classes,
        require_key(record, "galaxies", dict),
        float(require_key(record, "coverage", (int, float))),
        _method(record),
        float(require_key(record, "threshold", (int, float))),
        weights,
        bias,
    )


def _method(record: Mapping[str, Any]) -> str:
    method = require(record.get("sets", FORMER_SETS), str, "sets")
    if method not in SET_METHODS:
        raise Damaged(f"sets are of an unknown method {method!r}")
    return method


def with_scheme_columns(
    table: pd.DataFrame, schemes: Sequence[SchemeClasses], fractions: np.ndarray
) -> pd.DataFrame:
    """Return a table of predictions with the columns of `SchemeClasses.columns` added."""
    added = [each.columns(fractions).set_axis(table.index) for each in schemes]
    return pd.concat([table, *added], axis=1) if added else table
