"""Functions that calibrate a model's probabilities, fitted to galaxies that it wasn't trained on.

Every method has a least number of galaxies. Calibrated probabilities are mixed with one more
galaxy, which may be of any class: after n calibration galaxies, p becomes (n p + 1 / K) / (n + 1).
That is the mean of a Dirichlet distribution which begins with one galaxy spread evenly over the K
classes (Laplace's rule of succession with a weight of 1; Good 1965, The Estimation of
Probabilities, chapter 3). So no probability is under 1 / (K (n + 1)): n galaxies don't show that
anything is rarer. Their order stays, and no galaxy loses more than log((n + 1) / n) nats.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypedDict

import numpy as np

from galaxymorph.base import Damaged, Registry, require, require_key, require_numbers

# Keeps logarithms finite, as scikit-learn does.
LEAST = float(np.finfo(float).eps)
# A softmax in float32 ends at exactly 0 and 1.
LEAST_SOFTMAX = 1e-6
FOLDS = 5
# Galaxies under which accuracies are known to 0.1 at best (2 sigma, at an accuracy of a half).
FEW_GALAXIES = 100
# Of a fraction: the largest share of the variance that any distribution of its mean can have.
MOST_VARIANCE = 0.99
# Natural logarithms of 1 / temperature that are tried.
POWERS = (-5.0, 5.0)

Parameters = Mapping[str, list]


@dataclass(frozen=True)
class Method:
    """An entry of the registry.

    Args:
        label: in words.
        fit: from probabilities and true classes to JSON-ready parameters.
        apply: from probabilities and parameters to calibrated ones.
        galaxies: their least number.
        of_each: likewise, of each class.
        check: from stored parameters and the number of outputs; raises `Damaged`.
    """

    label: str
    fit: Callable[[np.ndarray, np.ndarray], dict[str, list]]
    apply: Callable[[np.ndarray, Parameters], np.ndarray]
    galaxies: int = 0
    of_each: int = 0
    check: Callable[[Parameters, int], None] = lambda parameters, outputs: None

    def takes(self, counts: np.ndarray) -> bool:
        """Return whether so many galaxies of each class are enough."""
        return counts.sum() >= self.galaxies and counts.min() >= self.of_each

    @property
    def least(self) -> str:
        """The least number in words."""
        words = [f"{self.galaxies:,}"] if self.galaxies else []
        words += [f"{self.of_each:,} of each class"] if self.of_each else []
        return " and ".join(words)


@dataclass(frozen=True)
class Calibrator:
    """A method of `CALIBRATORS`, or `variance`, and its fit.

    Args:
        method: its name.
        parameters: fitted.
        galaxies: the number that it was fitted to, from which the floor follows; 0 leaves none.
    """

    method: str
    parameters: Parameters
    galaxies: int = 0

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of shape (n, classes), rows summing to 1.

        The method `variance` is of moments of fractions, shape (n, 2 answers), see `learn.Link`.
        """
        calibrated = _method(self.method).apply(np.asarray(probabilities, float), self.parameters)
        if not self.galaxies:
            return calibrated
        return (self.galaxies * calibrated + 1 / calibrated.shape[1]) / (self.galaxies + 1)


class CalibratorRecord(TypedDict):
    """A `Calibrator` in JSON."""

    method: str
    parameters: Parameters
    galaxies: int


def write_calibrators(calibrators: Sequence[Calibrator]) -> list[CalibratorRecord]:
    """Return calibrators for JSON."""
    return [
        {"method": each.method, "parameters": each.parameters, "galaxies": each.galaxies}
        for each in calibrators
    ]


def read_calibrators(record: Mapping[str, list], outputs: int) -> list[Calibrator]:
    """Return the `calibrators` of a JSON object.

    Args:
        record: the object.
        outputs: how many outputs they calibrate.

    Raises:
        Damaged: they aren't a result of `write_calibrators`, or of another number of outputs.
    """
    entries = require_key(record, "calibrators", list)
    return [_read_calibrator(entry, outputs) for entry in entries]


def _read_calibrator(record: object, outputs: int) -> Calibrator:
    values = require(record, dict, "calibrator")
    name = require_key(values, "method", str)
    if name != VARIANCE and name not in CALIBRATORS:
        raise Damaged(f"method {name!r} is unknown")
    parameters = require_key(values, "parameters", dict)
    try:
        _method(name).check(parameters, outputs)
    except Damaged as error:
        raise Damaged(f"the parameters of {name}: {error}") from error
    # Files from before there was a floor don't state how many galaxies.
    galaxies = require(values.get("galaxies", 0), int, "galaxies")
    return Calibrator(name, parameters, galaxies)


def _finite_numbers(row: object, name: str, count: int | None = None) -> list[float]:
    """Return a row of finite numbers, as many as `count`, or at least one."""
    numbers = require_numbers(require(row, list, name), name)
    if not numbers or len(numbers) != (count or len(numbers)) or not np.isfinite(numbers).all():
        raise Damaged(f"{name} isn't {count or 'some'} finite numbers")
    return numbers


def _vectors(*names: str) -> Callable[[Parameters, int], None]:
    """Return a check that parameters of these names have a number for each output."""

    def check(parameters: Parameters, outputs: int) -> None:
        for name in names:
            _finite_numbers(require_key(parameters, name, list), name, outputs)

    return check


def _check_temperature(parameters: Parameters, outputs: int) -> None:
    values = _finite_numbers(require_key(parameters, "temperature", list), "temperature", 1)
    if values[0] <= 0:
        raise Damaged("temperature isn't above 0")


def _check_curves(parameters: Parameters, outputs: int) -> None:
    curves = [require_key(parameters, name, list) for name in ("from", "to")]
    if {len(rows) for rows in curves} != {outputs}:
        raise Damaged(f"the curves aren't of {outputs} outputs")
    for start, end in zip(*curves, strict=True):
        _finite_numbers(end, "to", len(_finite_numbers(start, "from")))


def fit_calibrator(method: str, probabilities: np.ndarray, truth: np.ndarray) -> Calibrator:
    """Return a calibrator fitted to galaxies.

    Args:
        method: of `CALIBRATORS`.
        probabilities: the model's, shape (n, classes).
        truth: positions of the true classes, shape (n,).

    Raises:
        ValueError: a probability is NaN or infinite.
    """
    probabilities = np.asarray(probabilities, float)
    if not np.isfinite(probabilities).all():
        raise ValueError("a probability is NaN or infinite")
    fitted = CALIBRATORS[method].fit(probabilities, truth)
    return Calibrator(method, fitted, 0 if method == "none" else len(truth))


def calibrated_mean(outputs: np.ndarray, calibrators: Sequence[Calibrator] | None) -> np.ndarray:
    """Return the calibrated mean over models, shape (n, classes).

    Args:
        outputs: the models' probabilities, shape (models, n, classes).
        calibrators: one a model, or a single one of the mean, as an ensemble has; None leaves the
            models as they are.
    """
    if calibrators is None:
        return outputs.mean(axis=0)
    if len(calibrators) == 1:
        return calibrators[0](outputs.mean(axis=0))
    pairs = zip(calibrators, outputs, strict=True)
    return np.mean([calibrator(model) for calibrator, model in pairs], axis=0)


def class_counts(truth: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of galaxies of each class, shape (classes,)."""
    return np.bincount(truth, minlength=classes)


def held_out_losses(
    probabilities: np.ndarray, truth: np.ndarray, seed: int
) -> dict[str, np.ndarray]:
    """Return each galaxy's cross-validated negative log-likelihood by method, shape (n,) each.

    Of the methods that take so few galaxies, in `FOLDS` folds, each class dealt out evenly over
    them. None, where no method but `none` takes so few.

    Args:
        probabilities: shape (n, classes).
        truth: shape (n,).
        seed: of the folds.
    """
    counts = class_counts(truth, probabilities.shape[1])
    methods = [name for name, method in CALIBRATORS.items() if method.takes(counts)]
    if len(methods) < 2:
        return {}
    folds = class_folds(truth, seed)
    losses = {name: np.empty(len(truth)) for name in methods}
    for fold in range(FOLDS):
        held_out = folds == fold
        for name in methods:
            calibrator = fit_calibrator(name, probabilities[~held_out], truth[~held_out])
            losses[name][held_out] = _losses(calibrator(probabilities[held_out]), truth[held_out])
    return losses


def class_folds(truth: np.ndarray, seed: int) -> np.ndarray:
    """Return the fold of each galaxy, shape (n,): those of a class are dealt out evenly."""
    order = np.random.default_rng(seed).permutation(len(truth))
    order = order[np.argsort(truth[order], kind="stable")]
    fold = np.empty(len(truth), int)
    fold[order] = np.arange(len(truth)) % FOLDS
    return fold


def choose_method(losses: Mapping[str, np.ndarray]) -> str:
    """Return the simplest method within one standard error of the best one.

    The rule of Breiman et al. 1984 (Classification and Regression Trees, section 3.4.3), with the
    standard error of the difference, galaxies in pairs. `none` where there is nothing to choose.

    Args:
        losses: of each galaxy by method, the simplest first, see `held_out_losses`.
    """
    if not losses:
        return "none"
    best = min(losses, key=lambda name: losses[name].mean())
    for name, values in losses.items():
        excess = values - losses[best]
        if excess.mean() <= excess.std(ddof=1) / np.sqrt(len(excess)):
            return name
    return best


def nll(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Return the mean negative log-likelihood of true classes, (..., n), in nats, shape (...)."""
    return _losses(probabilities, truth).mean(axis=-1)


def _losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    found = np.take_along_axis(probabilities, np.asarray(truth)[..., np.newaxis], axis=-1)[..., 0]
    return -_log(found)


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, LEAST, 1))


def _softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return softmax(logits, axis=1)


def _fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, list]:
    from scipy.optimize import minimize_scalar

    logs = _log(probabilities)
    best = minimize_scalar(
        lambda power: nll(_softmax(np.exp(power) * logs), truth),
        bounds=(POWERS[0], _most_power(logs)),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return {"temperature": [float(np.exp(-best.x))]}


def _most_power(logs: np.ndarray) -> float:
    """Return the logarithm of the largest 1 / temperature.

    If every galaxy is classified correctly, the likelihood rises without limit as the temperature
    falls. The mean confidence after n correct predictions of n is at most (n + 1) / (n + 2)
    (Laplace's rule of succession).
    """
    from scipy.optimize import brentq

    most = (len(logs) + 1) / (len(logs) + 2)

    def excess(power: float) -> float:
        return _softmax(np.exp(power) * logs).max(axis=1).mean() - most

    low, high = POWERS
    return brentq(excess, low, high) if excess(low) < 0 < excess(high) else high


def _apply_temperature(probabilities: np.ndarray, parameters: Parameters) -> np.ndarray:
    return _softmax(_log(probabilities) / parameters["temperature"][0])


def _fit_vector(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, list]:
    from scipy.optimize import minimize

    logs = _log(probabilities)
    count = logs.shape[1]
    one_hot = np.eye(count)[truth]
    start = np.r_[np.ones(count), np.zeros(count)]

    # A normal prior of unit width about the uncalibrated model: where classes are separated without
    # a mistake, the likelihood has no maximum.
    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = _softmax(values[:count] * logs + values[count:])
        wrong = (scaled - one_hot) / len(truth)
        offset = values - start
        slope = np.concatenate([(wrong * logs).sum(0), wrong.sum(0)]) + offset / len(truth)
        return nll(scaled, truth) + np.square(offset).sum() / (2 * len(truth)), slope

    best = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=[(-20, 20)] * 2 * count)
    return {"scale": best.x[:count].tolist(), "shift": best.x[count:].tolist()}


def _apply_vector(probabilities: np.ndarray, parameters: Parameters) -> np.ndarray:
    scale, shift = (np.array(parameters[name]) for name in ("scale", "shift"))
    return _softmax(scale * _log(probabilities) + shift)


def _fit_isotonic(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, list]:
    from sklearn.isotonic import IsotonicRegression

    curves = [
        IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(column, truth == code)
        for code, column in enumerate(probabilities.T)
    ]
    return {
        "from": [curve.X_thresholds_.tolist() for curve in curves],
        "to": [curve.y_thresholds_.tolist() for curve in curves],
    }


def _apply_isotonic(probabilities: np.ndarray, parameters: Parameters) -> np.ndarray:
    columns = zip(probabilities.T, parameters["from"], parameters["to"], strict=True)
    scores = np.stack([np.interp(column, start, end) for column, start, end in columns], axis=1)
    return _normalised(np.clip(scores, LEAST, None))


def _apply_variance(moments: np.ndarray, parameters: Parameters) -> np.ndarray:
    mean, square = np.split(moments, 2, axis=1)
    variance = (square - mean**2) * np.array(parameters["factor"])
    # No distribution between 0 and 1 of some mean has a variance of mean * (1 - mean).
    return np.hstack([mean, mean**2 + np.clip(variance, 0, MOST_VARIANCE * mean * (1 - mean))])


def _unchanged(probabilities: np.ndarray, parameters: Parameters) -> np.ndarray:
    return _normalised(np.maximum(probabilities, LEAST_SOFTMAX))


def _normalised(scores: np.ndarray) -> np.ndarray:
    return scores / scores.sum(axis=1, keepdims=True)


# The simplest first. Guo et al. 2017 (arXiv:1706.04599), section 4, has temperature and vector;
# Zadrozny & Elkan 2002 (KDD) isotonic. A parameter costs 1 / (2 n) nats a galaxy where the model
# was calibrated already (Wilks 1938): 20 galaxies a parameter keep that under 0.025 (vector: ten
# of each class for each of its two, Peduzzi et al. 1996, J. Clin. Epidemiol. 49, 1373). A step
# of an isotonic curve is a frequency of its few galaxies; scikit-learn's guide warns of it much
# under 1,000 (after Niculescu-Mizil & Caruana 2005, ICML, section 5, where it is best from there).
CALIBRATORS: Registry[Method] = Registry("calibrator")
CALIBRATORS.register("none", Method("the uncalibrated model", lambda p, truth: {}, _unchanged))
CALIBRATORS.register(
    "temperature",
    Method(
        "one temperature",
        _fit_temperature,
        _apply_temperature,
        galaxies=20,
        check=_check_temperature,
    ),
)
CALIBRATORS.register(
    "vector",
    Method(
        "one scale and one shift per class",
        _fit_vector,
        _apply_vector,
        of_each=20,
        check=_vectors("scale", "shift"),
    ),
)
CALIBRATORS.register(
    "isotonic",
    Method(
        "one increasing function per class",
        _fit_isotonic,
        _apply_isotonic,
        galaxies=1000,
        of_each=100,
        check=_check_curves,
    ),
)
# Of vote fractions: fitted by `calibrate_fractions`, and no choice for classes.
VARIANCE = "variance"
_VARIANCE = Method(
    "one variance factor per question",
    lambda moments, truth: {},
    _apply_variance,
    check=_vectors("factor"),
)


def _method(name: str) -> Method:
    return _VARIANCE if name == VARIANCE else CALIBRATORS[name]
