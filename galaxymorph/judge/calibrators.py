"""Functions that mend a model's probabilities, learnt from galaxies that it wasn't trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

# Keeps logarithms finite, as scikit-learn does.
LEAST = float(np.finfo(float).eps)
FOLDS = 5
# Of a fraction: the largest share of the variance that any distribution of its mean can have.
MOST_VARIANCE = 0.99

Parameters = Mapping[str, list]


@dataclass(frozen=True)
class Method:
    """An entry of the registry: `fit` learns JSON-ready parameters, `apply` uses them."""

    about: str
    fit: Callable[[np.ndarray, np.ndarray], dict[str, list]]
    apply: Callable[[np.ndarray, Parameters], np.ndarray]


@dataclass(frozen=True)
class Calibrator:
    """A method of `CALIBRATORS`, or `variance`, and what it learnt."""

    method: str
    parameters: Parameters

    def __call__(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities of shape (n, classes), rows summing to 1.

        The method `variance` is of moments of fractions, shape (n, 2 answers), see `learn.Link`.
        """
        return APPLY[self.method](np.asarray(probabilities, float), self.parameters)


def write_calibrators(calibrators: Sequence[Calibrator]) -> list[dict]:
    """Return calibrators as JSON takes them."""
    return [{"method": each.method, "parameters": each.parameters} for each in calibrators]


def read_calibrators(record: Mapping[str, list], outputs: int) -> list[Calibrator]:
    """Return the `calibrators` of a JSON object.

    Args:
        record: the object.
        outputs: how many outputs they are to mend.

    Raises:
        KeyError, TypeError, ValueError: they aren't what `write_calibrators` gives, of so many.
    """
    found = [Calibrator(each["method"], each["parameters"]) for each in record["calibrators"]]
    for each in found:
        if each.method not in APPLY:
            raise ValueError(f"method {each.method!r} is unknown")
        even = np.full((1, outputs * (2 if each.method == "variance" else 1)), 1 / outputs)
        mended = each(even)
        if mended.shape != even.shape or not np.isfinite(mended).all():
            raise ValueError(f"the parameters of {each.method} aren't of {outputs} outputs")
    return found


def fit_calibrator(method: str, probabilities: np.ndarray, truth: np.ndarray) -> Calibrator:
    """Learn a calibrator.

    Args:
        method: of `CALIBRATORS`.
        probabilities: the model's, shape (n, classes).
        truth: positions of the true classes, shape (n,).
    """
    return Calibrator(method, CALIBRATORS[method].fit(np.asarray(probabilities, float), truth))


def calibrated_mean(each: np.ndarray, calibrators: Sequence[Calibrator] | None) -> np.ndarray:
    """Return the calibrated mean over models, shape (n, classes).

    Args:
        each: the models' probabilities, shape (models, n, classes).
        calibrators: one a model, or a single one of the mean, as an ensemble has; None leaves the
            models as they are.
    """
    if calibrators is None:
        return each.mean(axis=0)
    if len(calibrators) == 1:
        return calibrators[0](each.mean(axis=0))
    return np.mean([mend(found) for mend, found in zip(calibrators, each, strict=True)], axis=0)


def held_out_nll(probabilities: np.ndarray, truth: np.ndarray, seed: int) -> dict[str, float]:
    """Return each method's cross-validated negative log-likelihood per galaxy.

    In up to `FOLDS` stratified folds; nothing where a class has a single galaxy.
    """
    from sklearn.model_selection import StratifiedKFold

    counts = np.bincount(truth)
    folds = min(FOLDS, int(counts[counts > 0].min()))
    if folds < 2:
        return {}
    cutter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    pairs = list(cutter.split(probabilities, truth))
    found = {}
    for method in CALIBRATORS:
        losses = np.concatenate(
            [
                _losses(
                    fit_calibrator(method, probabilities[fit], truth[fit])(probabilities[held]),
                    truth[held],
                )
                for fit, held in pairs
            ]
        )
        found[method] = float(losses.mean())
    return found


def choose_method(losses: Mapping[str, float]) -> str:
    """Return the method of least loss; temperature, the least that can be learnt, without any."""
    return min(losses, key=losses.__getitem__) if losses else "temperature"


def nll(probabilities: np.ndarray, truth: np.ndarray) -> float:
    """Return the mean negative log-likelihood of the true classes, in nats."""
    return float(_losses(probabilities, truth).mean())


def _losses(probabilities: np.ndarray, truth: np.ndarray) -> np.ndarray:
    return -_log(probabilities)[np.arange(len(truth)), truth]


def _log(probabilities: np.ndarray) -> np.ndarray:
    return np.log(np.clip(probabilities, LEAST, 1))


def _softmax(logits: np.ndarray) -> np.ndarray:
    from scipy.special import softmax

    return softmax(logits, axis=1)


def _fit_temperature(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, list]:
    from scipy.optimize import minimize_scalar

    logs = _log(probabilities)
    found = minimize_scalar(
        lambda power: nll(_softmax(np.exp(power) * logs), truth),
        bounds=(-5, 5),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return {"temperature": [float(np.exp(-found.x))]}


def _apply_temperature(probabilities: np.ndarray, parameters: Parameters) -> np.ndarray:
    return _softmax(_log(probabilities) / parameters["temperature"][0])


def _fit_vector(probabilities: np.ndarray, truth: np.ndarray) -> dict[str, list]:
    from scipy.optimize import minimize

    logs = _log(probabilities)
    count = logs.shape[1]
    known = np.eye(count)[truth]

    def loss(values: np.ndarray) -> tuple[float, np.ndarray]:
        scaled = _softmax(values[:count] * logs + values[count:])
        wrong = (scaled - known) / len(truth)
        return nll(scaled, truth), np.concatenate([(wrong * logs).sum(0), wrong.sum(0)])

    start = np.r_[np.ones(count), np.zeros(count)]
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
    each = np.stack([np.interp(column, start, end) for column, start, end in columns], axis=1)
    each = np.clip(each, LEAST, None)
    return each / each.sum(axis=1, keepdims=True)


def _apply_variance(moments: np.ndarray, parameters: Parameters) -> np.ndarray:
    mean, square = np.split(moments, 2, axis=1)
    variance = (square - mean**2) * np.array(parameters["factor"])
    # No distribution between 0 and 1 of some mean has a variance of mean * (1 - mean).
    return np.hstack([mean, mean**2 + np.clip(variance, 0, MOST_VARIANCE * mean * (1 - mean))])


# Guo et al. 2017 (arXiv:1706.04599), section 4, has the first two; Zadrozny & Elkan 2002 the third.
CALIBRATORS: dict[str, Method] = {
    "none": Method("the model as it is", lambda p, truth: {}, lambda p, parameters: p),
    "temperature": Method("one temperature for all", _fit_temperature, _apply_temperature),
    "vector": Method("a scale and a shift a class", _fit_vector, _apply_vector),
    "isotonic": Method("a rising curve a class", _fit_isotonic, _apply_isotonic),
}
APPLY = {name: method.apply for name, method in CALIBRATORS.items()} | {"variance": _apply_variance}
