"""The type of metrics, and the registry of all: the package's and those of plugins.

A metric that judges a run's predictions belongs to a family, and is computed for each target that
names that family (`learn.TARGETS`). Others, computed by `calibrate`, `robustness` or `uncertainty`,
have no family; their entry has their label, format and direction.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd

from galaxymorph.base import Registry
from galaxymorph.judge.metrics.bootstrap import Interval, bootstrap_one
from galaxymorph.learn import Run, Target, predicted_columns, target_of, true_columns
from galaxymorph.zoo import Tree

# `nominal`: near the value that the record states, such as the level of an interval.
Direction = Literal["greater", "less", "nominal"]
DIRECTIONS: dict[Direction | None, str] = {
    "greater": "greater is better",
    "less": "less is better",
    "nominal": "near the nominal value is better",
    None: "neither is better",
}
# Suffixes of a metric's name in `metrics.json`: its value in each fold, and their mean.
OF_FOLDS, OVER_FOLDS = "_of_folds", "_over_folds"


@dataclass(frozen=True, eq=False)
class Predictions:
    """Predictions of n galaxies beside their true classes or volunteers' vote fractions.

    Args:
        table: a row a galaxy; of classes with `label`, the true one, and `predicted`.
        classes: every class, in order.
        seed: of resampling.
        true: volunteers' fractions, shape (n, outputs); empty where the target is a class.
        predicted: the model's, of the same shape.
        tree: the decision tree whose answers the fractions are of.
        run: that predicted.
    """

    table: pd.DataFrame
    classes: Sequence[str] = ()
    seed: int = 0
    true: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    predicted: np.ndarray = field(default_factory=lambda: np.empty((0, 0)))
    tree: Tree | None = None
    run: Run | None = None

    @classmethod
    def of(cls, run: Run, table: pd.DataFrame) -> Predictions:
        """Return a table of a trained run's predictions."""
        target = target_of(run.recipe)
        true, predicted = true_and_predicted(run, table) if target.soft else (np.empty((0, 0)),) * 2
        return cls(table, run.classes, run.recipe.seed, true, predicted, target.tree, run)

    @cached_property
    def codes(self) -> tuple[np.ndarray, np.ndarray]:
        """The positions of the true and of the predicted classes, shape (n,) each."""
        return class_codes(self.table, self.classes)

    @cached_property
    def confusion(self) -> np.ndarray:
        """The number of galaxies by true class, a row, and predicted class."""
        return confusion_of(*self.codes, len(self.classes))

    def __len__(self) -> int:
        return len(self.table)

    def take(self, rows: np.ndarray) -> Predictions:
        """Return the predictions of some galaxies, by position."""
        true, predicted = (
            values[rows] if len(values) else values for values in (self.true, self.predicted)
        )
        return Predictions(
            self.table.iloc[rows], self.classes, self.seed, true, predicted, self.tree, self.run
        )


@dataclass(frozen=True)
class Metric:
    """An entry of `METRICS`. The entry's name is its key in the JSON files of a run.

    A name `per_class.recall` is of a metric that has a value for each class: the key `recall` of
    each entry of `per_class`; likewise `per_answer` and `per_question`.

    Args:
        label: in words.
        about: its definition, in one line.
        better: which values are better; None where neither are.
        limits: of its range.
        digits: after the decimal point.
        short: the label where there is little room, such as a table's heading.
        family: of targets whose predictions it judges; None for those of other commands.
        headline: whether runs of its family are judged by it first.
        value: from predictions to the value alone. Required of a headline.
        estimate: from predictions to the value with its interval. The default is the percentile
            bootstrap of `value`.
        estimates: in place of it, for `per_…` metrics, by item.
        applies: whether it can be computed of predictions.
        difference: from two predictions of the same galaxies to the value of the second minus that
            of the first, with its interval. The default is their paired bootstrap.
        interval: how the interval is made, in words.
    """

    label: str
    about: str = ""
    better: Direction | None = None
    limits: tuple[float, float] = (0.0, np.inf)
    digits: int = 3
    short: str = ""
    family: str | None = None
    headline: bool = False
    value: Callable[[Predictions], float] | None = None
    estimate: Callable[[Predictions], Interval] | None = None
    estimates: Callable[[Predictions], dict[str, Interval]] | None = None
    applies: Callable[[Predictions], bool] = field(default=lambda predictions: True)
    difference: Callable[[Predictions, Predictions], Interval] | None = None
    interval: str = ""

    @property
    def heading(self) -> str:
        """The label for a table's heading."""
        return self.short or self.label

    @property
    def direction(self) -> str:
        """Which values are better, in words."""
        return DIRECTIONS[self.better]

    def judge(self, predictions: Predictions) -> Interval:
        """Return the value with its interval."""
        if self.estimate is not None:
            return self.estimate(predictions)
        return bootstrap_one(
            lambda rows: self.point(predictions.take(rows)), len(predictions), predictions.seed
        )

    def point(self, predictions: Predictions) -> float:
        """Return the value alone, not rounded."""
        if self.value is None:
            raise TypeError(f"the metric {self.label!r} has no `value`")
        return float(self.value(predictions))

    def gain(self, before: Predictions, after: Predictions) -> Interval:
        """Return the value after minus that before, of predictions of the same galaxies."""
        if self.difference is not None:
            return self.difference(before, after)
        return bootstrap_one(
            lambda rows: self.point(after.take(rows)) - self.point(before.take(rows)),
            len(before),
            before.seed,
        )

    def loss(self, before: Predictions, after: Predictions) -> Interval:
        """Return by how much the value is worse after than before, of the same galaxies."""
        return self.gain(after, before) if self.better == "greater" else self.gain(before, after)


METRICS: Registry[Metric] = Registry(
    "metric",
    modules=[
        "galaxymorph.judge.metrics.classification",
        "galaxymorph.judge.metrics.vote_fractions",
        "galaxymorph.judge.calibration.reliability",
        "galaxymorph.judge.calibration.fraction_intervals",
        "galaxymorph.judge.calibration.conformal",
        "galaxymorph.judge.calibration.selective",
        "galaxymorph.judge.robustness.measurement",
        "galaxymorph.judge.robustness.corruption_errors",
        "galaxymorph.judge.uncertainty.decomposition",
    ],
)


def metrics_of(families: Sequence[str]) -> dict[str, Metric]:
    """Return the metrics of some families, such as those of a target, by name."""
    return {
        name: metric
        for family in families
        for name, metric in METRICS.items()
        if metric.family == family
    }


def item_metrics(families: Sequence[str], group: str) -> dict[str, Metric]:
    """Return the metrics of the items of a group, such as `per_class`, by their keys there."""
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): metric
        for name, metric in metrics_of(families).items()
        if name.startswith(prefix)
    }


def headline_of(target: Target) -> str:
    """Return the name of the metric by which runs of a target are judged first."""
    return next(name for name, metric in metrics_of(target.metrics).items() if metric.headline)


def metric_of(score: str) -> Metric | None:
    """Return the metric of a score in a run's JSON files, None where it has no entry.

    Args:
        score: its dotted path, such as `test.per_class.spiral.recall`. The last key that is a
            metric's name counts; `coverage_2` is the coverage of one class, and
            `macro_f1_over_folds` the macro-F1 over folds.
    """
    parts = score.split(".")
    for at in reversed(range(len(parts))):
        part = parts[at].removesuffix(OVER_FOLDS)
        group = next((part for part in reversed(parts[:at]) if part.startswith("per_")), None)
        for name in (f"{group}.{part}", part, part.rstrip("0123456789").rstrip("_")):
            if name in METRICS:
                return METRICS[name]
    return None


def true_and_predicted(run: Run, table: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return volunteers' and predicted vote fractions, each of shape (n, outputs)."""
    true, predicted = (
        table[columns(run.recipe, run.classes)].to_numpy(float)
        for columns in (true_columns, predicted_columns)
    )
    return true, predicted


def tree_of(run: Run) -> Tree:
    """Return the decision tree whose answers a run predicts.

    Raises:
        TypeError: it predicts classes.
    """
    tree = target_of(run.recipe).tree
    if tree is None:
        raise TypeError(f"{run.path}: its target {run.recipe.target} has no decision tree")
    return tree


def true_codes(table: pd.DataFrame, classes: Sequence[str]) -> np.ndarray:
    """Return the positions of the true classes, `label` of a table, shape (n,)."""
    return _codes(table["label"], classes)


def _codes(names: pd.Series, classes: Sequence[str]) -> np.ndarray:
    return pd.Index(classes).get_indexer(pd.Index(names))


def class_codes(table: pd.DataFrame, classes: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return the positions of the true and of the predicted classes, each of shape (n,).

    Args:
        table: the columns `label` and `predicted`, a row a galaxy.
        classes: every class, in order.
    """
    return _codes(table["label"], classes), _codes(table["predicted"], classes)


def confusion_of(true: np.ndarray, predicted: np.ndarray, classes: int) -> np.ndarray:
    """Return the number of galaxies by true class, a row, and predicted class.

    Args:
        true: positions of the true classes, shape (n,).
        predicted: of the predicted ones.
        classes: their number.
    """
    counts = np.bincount(true * classes + predicted, minlength=classes**2)
    return counts.reshape(classes, classes)
