"""Simulated coverage of the intervals and promises that the program prints.

    python benchmarks/coverage.py                  # 3 minutes on two idle cores
    python benchmarks/coverage.py --runs 40 -o /tmp/small.json

Each entry draws data whose truth is known many times, and counts how often the interval holds it,
or the promise is kept. `tests/judge/test_coverage.py` runs it smaller. With 500 runs a coverage of
0.95 is known to 0.0097 (one standard error), with a fifth of them to 0.022.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from scipy.special import softmax

from galaxymorph.judge.calibration.calibrators import (
    choose_method,
    fit_calibrator,
    held_out_losses,
    nll,
)
from galaxymorph.judge.calibration.conformal import cross_sets, prediction_sets, set_thresholds
from galaxymorph.judge.calibration.fractions import fit_variance
from galaxymorph.judge.calibration.reliability import calibration_intervals
from galaxymorph.judge.calibration.selective import aurc, guaranteed_limit
from galaxymorph.judge.explain.physics import verdict
from galaxymorph.judge.metrics import bootstrap as resampling
from galaxymorph.judge.metrics.bootstrap import bootstrap, mean_interval, proportion
from galaxymorph.judge.metrics.classification import class_f1, f1_difference, macro_f1_interval
from galaxymorph.zoo import (
    SCHEMAS,
    cumulative_moments,
    deviations,
    draw_votes,
    fraction_intervals,
    to_conditional,
    to_cumulative,
)

RESULTS = Path(__file__).parent / "results" / "coverage.json"
RUNS = 500
# Of what resamples with scores that take a millisecond, a run in so many, and fewer resamples than
# the program's thousand, which costs under 0.01 of coverage.
SLOW, RESAMPLES = 5, 200
# From a random number generator to whether an interval holds the truth.
Trial = Callable[[np.random.Generator], bool]


def holds(interval: dict, truth: float) -> bool:
    """Return whether an interval holds a value."""
    return interval["low"] - 1e-9 <= truth <= interval["high"] + 1e-9


def share(trial: Trial, runs: int, seed: int) -> float:
    """Return the share of trials that hold."""
    rng = np.random.default_rng(seed)
    return float(np.mean([trial(rng) for _ in range(runs)]))


def drawn_classes(chances: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return a class of each galaxy, drawn from its chances."""
    below = chances.cumsum(axis=1) < rng.random((len(chances), 1))
    return below.sum(axis=1).clip(0, chances.shape[1] - 1)


def proportions(runs: int) -> dict[str, float]:
    """Wilson's interval of accuracy, recall and precision, by share and number."""

    def trial(n: int, truth: float) -> Trial:
        return lambda rng: holds(proportion(rng.binomial(n, truth), n), truth)

    cases = [(n, p) for n in (2, 4, 20, 200) for p in (0.5, 0.9, 0.97)]
    return {f"n {n}, true {p}": share(trial(n, p), 4 * runs, n) for n, p in cases}


def f1_scores(runs: int) -> dict[str, float]:
    """Macro-F1, one class's F1, and the paired difference of macro-F1, of classes of some sizes."""
    result = {}
    for counts in ((100, 30, 2), (100, 30, 4), (130, 40, 15), (20, 20, 20), (600, 300, 100)):
        for recalls in ((0.97, 0.9, 0.8), (0.99, 0.97, 0.97), (0.8, 0.7, 0.5)):
            shares = np.repeat((1 - np.array(recalls))[:, None] / 2, 3, axis=1)
            np.fill_diagonal(shares, recalls)
            expected = np.array(counts)[:, None] * shares
            f1 = 2 * expected.diagonal() / (expected.sum(axis=0) + expected.sum(axis=1))
            macro = f1.mean()

            def matrix(rng, counts=counts, shares=shares) -> np.ndarray:
                return np.stack(
                    [rng.multinomial(n, p) for n, p in zip(counts, shares, strict=True)]
                )

            name = f"classes of {', '.join(map(str, counts))}, recalls {recalls}"
            result[f"macro, {name}"] = share(
                lambda rng, m=matrix, t=macro: holds(macro_f1_interval(m(rng), 0), t), runs, 1
            )
            result[f"rarest, {name}"] = share(
                lambda rng, m=matrix, t=f1[-1]: holds(class_f1(m(rng), 2), t), runs, 2
            )
    return result | {"paired difference, classes of 120, 40, 15": _paired(runs)}


def _paired(runs: int) -> float:
    rng = np.random.default_rng(3)
    true = np.repeat([0, 1, 2], [120, 40, 15])
    gains, intervals = [], []
    for seed in range(runs):
        before = np.where(rng.random(len(true)) < 0.8, true, rng.integers(0, 3, len(true)))
        after = np.where(rng.random(len(true)) < 0.5, true, before)
        result = f1_difference(true, before, after, 3, seed)
        gains.append(result["value"])
        intervals.append(result)
    return float(np.mean([holds(item, np.mean(gains)) for item in intervals]))


def calibration_errors(runs: int) -> dict[str, float]:
    """Expected calibration error in bins of equal mass, of two classes overconfident by so much."""
    result = {}
    for n in (100, 200, 1000):
        for error in (0.0, 0.03, 0.086, 0.2):

            def trial(rng, n=n, error=error) -> bool:
                confidence = rng.uniform(0.7, 1, n)
                best = rng.integers(0, 2, n)
                wrong = rng.random(n) >= confidence - error
                first = np.where(best == 0, confidence, 1 - confidence)
                probabilities = np.column_stack([first, 1 - first])
                scores = calibration_intervals(
                    probabilities, np.where(wrong, 1 - best, best), 0
                ).scores
                return holds(scores["ece_equal_mass"], error)

            result[f"n {n}, true {error}"] = share(trial, max(20, runs // SLOW), n)
    return result


def means(runs: int) -> dict[str, float]:
    """Percentile bootstrap of means and of AURC: NLL, Brier score, RMSE's square, divergences."""
    result = {}
    for n in (20, 100, 1000):

        def skewed(rng, n=n) -> bool:
            return holds(mean_interval(rng.exponential(1, n), 0), 1.0)

        result[f"mean of exponential values, n {n}"] = share(skewed, runs, n)
    rng = np.random.default_rng(0)
    big = rng.random(200_000)
    truth = aurc(big, rng.random(len(big)) < 0.3 * big)

    def area(rng) -> bool:
        uncertainty = rng.random(200)
        wrong = rng.random(200) < 0.3 * uncertainty
        score = bootstrap(lambda rows: {"aurc": aurc(uncertainty[rows], wrong[rows])}, 200, 0)
        return holds(score["aurc"], truth)

    return result | {"AURC, n 200": share(area, max(20, runs // SLOW), 4)}


def selection(runs: int) -> dict[str, float]:
    """Share of calibrations whose kept galaxies are as accurate as promised, with 95 %."""
    result = {}
    for accuracy, n in ((0.9, 60), (0.9, 300), (0.95, 300), (0.99, 1000)):

        def trial(rng, accuracy=accuracy, n=n) -> bool:
            uncertainty = rng.random(n)
            # The chance of a mistake is u ** 2 / 2, and up to a limit u ** 2 / 6 in the mean.
            limit = guaranteed_limit(uncertainty, rng.random(n) < uncertainty**2 / 2, accuracy)
            return limit is None or 1 - limit**2 / 6 >= accuracy

        result[f"{accuracy:g}, {n} calibrating"] = share(trial, runs, n)
    return result


def prediction_set_coverage(runs: int) -> dict[str, float]:
    """Mean coverage of sets at 0.9, of a model of which one fold in five is four times as sharp."""
    powers, result = (0.7, 0.8, 1.0, 1.3, 4.0), {}
    for method in ("lac", "aps", "raps"):
        held: dict[str, list[float]] = {"split conformal": [], "CV+": [], "two classes": []}
        for seed in range(max(20, runs // SLOW)):
            rng = np.random.default_rng(seed)
            logits = rng.normal(0, 2, (800, 3))
            truth = drawn_classes(softmax(logits, axis=1), rng)
            item = [
                softmax(p * (logits + rng.normal(0, 0.5, logits.shape)), axis=1) for p in powers
            ]
            known = [
                (e[80 * k : 80 * k + 80], truth[80 * k : 80 * k + 80]) for k, e in enumerate(item)
            ]
            new, labels = np.stack([e[400:] for e in item]), (np.arange(400), truth[400:])
            held["CV+"].append(cross_sets(known, new, 0.9, method)[labels].mean())
            limits = set_thresholds(item[2][:400], truth[:400], 0.9, method)
            held["split conformal"].append(prediction_sets(new[2], limits, method)[labels].mean())
            two = softmax(rng.normal(0, 1.2, (800, 2)), axis=1)
            of_two = drawn_classes(two, rng)
            limits = set_thresholds(two[:400], of_two[:400], 0.9, method)
            own = prediction_sets(two[400:], limits, method)[np.arange(400), of_two[400:]]
            held["two classes"].append(own.mean())
        result |= {f"{method}, {name}": float(np.mean(item)) for name, item in held.items()}
    return result


def calibrators(runs: int) -> dict[str, float]:
    """Excess NLL over the bare model by the automatic choice, on 20,000 new galaxies, in nats."""
    result = {}
    for power in (1.0, 2.0):
        rng = np.random.default_rng(9)
        logits = rng.normal(0, 2, (20_000, 3))
        truth, new = drawn_classes(softmax(logits, axis=1), rng), softmax(power * logits, axis=1)
        for n in (12, 40, 130, 1000):
            excess = []
            for seed in range(max(10, runs // 20)):
                some = rng.normal(0, 2, (n, 3))
                own = drawn_classes(softmax(some, axis=1), rng)
                known = softmax(power * some, axis=1)
                method = choose_method(held_out_losses(known, own, seed))
                excess.append(nll(fit_calibrator(method, known, own)(new), truth) - nll(new, truth))
            result[f"overconfident by {power:g}, {n} calibrating"] = float(np.mean(excess))
    return result


def fractions(runs: int) -> dict[str, float]:
    """Least and most coverage over answers of 90 % intervals of fractions, by concentrations."""
    tree, result = SCHEMAS["galaxy-zoo-challenge"].tree, {}
    rng = np.random.default_rng(0)
    for low, high in ((0.05, 1), (1, 30), (5, 300)):
        alpha = np.exp(rng.uniform(np.log(low), np.log(high), (12, len(tree.columns))))
        mean, square = cumulative_moments(tree, alpha)
        ends = fraction_intervals(mean, deviations(mean, square), 0.9)
        inside = []
        for row, item in enumerate(alpha):
            gammas = np.maximum(rng.gamma(np.tile(item, (40 * runs, 1))), 1e-300)
            drawn = to_cumulative(tree, to_conditional(tree, gammas))
            inside.append(((drawn >= ends[0][row]) & (drawn <= ends[1][row])).mean(axis=0))
        for name, value in (("least", np.min), ("mean", np.mean), ("most", np.max)):
            result[f"concentrations {low:g} to {high:g}, {name}"] = float(value(inside))
    return result


def variance_factors(runs: int) -> dict[str, float]:
    """Least and most factor of the variance where 1 is true, over questions and draws."""
    tree, result = SCHEMAS["galaxy-zoo-challenge"].tree, {}
    for n in (5, 20, 100):
        rng, factors = np.random.default_rng(n), []
        for _ in range(max(5, runs // 25)):
            alpha = rng.uniform(1, 40, (n, len(tree.columns)))
            mean, square = cumulative_moments(tree, alpha)
            cumulative = to_cumulative(tree, to_conditional(tree, rng.gamma(alpha)))
            counts = draw_votes(tree, cumulative, np.full(n, 40), rng)
            found_ = fit_variance(tree, mean, deviations(mean, square), counts)
            factors.append(found_.parameters["factor"])
        result |= {
            f"{n} galaxies, least": float(np.min(factors)),
            f"{n} galaxies, most": float(np.max(factors)),
        }
    return result


def verdicts(runs: int) -> dict[str, float]:
    """Share of wrong verdicts of a physics check, by the true share that changes; exact."""
    from scipy.stats import binom

    result = {}
    for n in (20, 100, 500):
        given = np.array([verdict(proportion(k, n, "exact")) for k in range(n + 1)])
        for truth, wrong in ((0.1, "pass"), (0.04, "fail")):
            chance = binom(n, truth).pmf(np.arange(n + 1))[given == wrong].sum()
            result[f"n {n}, true {truth}, {wrong}"] = float(chance)
    return result


STUDIES: dict[str, Callable[[int], dict[str, float]]] = {
    "proportions (Wilson), nominal 0.95": proportions,
    "F1, nominal 0.95": f1_scores,
    "calibration errors, nominal 0.95": calibration_errors,
    "means and areas (percentile bootstrap), nominal 0.95": means,
    "accuracy of what is kept, nominal 0.95 or more": selection,
    "prediction sets, nominal 0.9": prediction_set_coverage,
    "choice of a calibrator, excess NLL": calibrators,
    "intervals of fractions, nominal 0.9": fractions,
    "variance factors, 1 is true": variance_factors,
    "wrong verdicts of physics checks, at most 0.025": verdicts,
}


def studies(runs: int, resamples: int = RESAMPLES) -> dict[str, dict[str, float]]:
    """Return the figures of every study.

    Args:
        runs: simulations of each; slow ones take a fifth.
        resamples: of a bootstrap.
    """
    before, resampling.RESAMPLES = resampling.RESAMPLES, resamples
    try:
        return {
            name: {case: round(value, 4) for case, value in study(runs).items()}
            for name, study in STUDIES.items()
        }
    finally:
        resampling.RESAMPLES = before


def main() -> None:
    """Run all studies, print them and write them as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("-o", "--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    start = time.perf_counter()
    result = studies(options.runs)
    for name, cases in result.items():
        print(name)
        for case, value in cases.items():
            print(f"  {value:7.4f}  {case}")
    record = {"runs": options.runs, "studies": result}
    options.output.write_text(json.dumps(record, indent=1) + "\n")
    print(f"{time.perf_counter() - start:.0f} s, {options.output}")


if __name__ == "__main__":
    main()
