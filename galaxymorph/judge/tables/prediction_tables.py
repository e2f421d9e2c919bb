"""Tables of predictions: class probabilities, or vote fractions in any of five forms."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, say, setting
from galaxymorph.judge.tables.zoobot_files import ZoobotFile, is_hdf5, read_zoobot
from galaxymorph.zoo import (
    CheckedRows,
    Table,
    Tree,
    broken_sums,
    cumulative_moments,
    frame_table,
    open_table,
    read_checked,
    to_conditional,
    to_cumulative,
)

# What columns of predictions may hold. All but the first are of a tree's answers: fractions of
# those who were asked, of all volunteers, concentrations of a Dirichlet distribution for each
# question, and expected numbers of votes.
KINDS = ("probabilities", "fractions", "cumulative", "concentrations", "counts")
# Endings of columns that tell concentrations or counts, which are numbers of any size.
ENDINGS = {
    "concentrations": ("_pred", "_concentration", "_concentrations", "_alpha"),
    "counts": ("_count", "_counts", "_votes"),
}
# Sums differ by so much from 1 where each of seven answers is rounded to two decimals.
ROUNDING = 0.03
# Cumulative fractions of a network without the tree's constraints sum to about 1.
LOOSE = 0.2
# Galaxies whose moments are computed together: each takes a matrix of all pairs of answers.
BATCH = 4096


@dataclass(frozen=True)
class PredictionSource:
    """An opened table of predictions, or the ids of Zoobot's file and its content."""

    table: Table
    zoobot: ZoobotFile | None = None

    @property
    def columns(self) -> list[str]:
        """The columns that may hold predictions."""
        return self.zoobot.answers if self.zoobot else self.table.columns

    def read(self, ids: str, columns: Sequence[str]) -> tuple[CheckedRows, np.ndarray]:
        """Return the rows, and the predictions of some columns, shape (samples, n, columns).

        A cell may be a JSON list with a number for each forward pass, as Zoobot writes it.

        Raises:
            BadInput: the table can't be read.
        """
        if self.zoobot is not None:
            at = [self.zoobot.answers.index(column) for column in columns]
            return read_checked(self.table, ids), self.zoobot.samples[:, :, at]
        first = next(self.table.pieces(columns[:1]), None)
        cells = None if first is None else first.frame[columns[0]].dropna().astype(str)
        if cells is not None and cells.str.lstrip().str.startswith("[").any():
            read = read_checked(self.table, ids, texts=columns)
            return read, _samples_of(read, columns)
        read = read_checked(self.table, ids, numbers=columns)
        return read, read.values(columns)[None]


def open_predictions(predictions: Path | pd.DataFrame) -> PredictionSource:
    """Open a table of predictions in any format of `open_table`, or Zoobot's HDF5.

    Raises:
        BadInput: it can't be read.
    """
    if isinstance(predictions, pd.DataFrame):
        return PredictionSource(frame_table(predictions, "the table of predictions"))
    zoobot = read_zoobot(predictions) if is_hdf5(predictions) else None
    if zoobot is None:
        return PredictionSource(open_table(predictions))
    return PredictionSource(
        frame_table(pd.DataFrame({"id_str": zoobot.ids}), str(predictions)), zoobot
    )


def _samples_of(read: CheckedRows, columns: Sequence[str]) -> np.ndarray:
    """Return the numbers in lists of JSON, shape (samples, n, columns); others are faults."""
    lists = [[_numbers(cell) for cell in read.texts[column]] for column in columns]
    passes = next((len(cell) for row in lists for cell in row if cell), 1)
    values = np.full((passes, len(read.rows), len(columns)), np.nan)
    for at, (column, cells) in enumerate(zip(columns, lists, strict=True)):
        wrong = np.array([cell is None or len(cell) != passes for cell in cells], bool)
        read.fault(wrong, f"{column} is no list of {counted(passes, 'number')}")
        for row in np.flatnonzero(~wrong):
            values[:, row, at] = cells[row]
    return values


def _numbers(cell: object) -> list[float] | None:
    try:
        values = json.loads(str(cell))
        return [float(value) for value in values] if isinstance(values, list) else None
    except (ValueError, TypeError):
        return None


@dataclass(frozen=True)
class Reading:
    """How the columns of a model's predictions are read, in its run's `recipe.json`.

    Args:
        ids: the column of ids.
        columns: of predictions, by class or answer in the order of the outputs.
        kind: one of `KINDS`.
        percent: whether the values are percentages.
    """

    ids: str
    columns: Mapping[str, str]
    kind: str
    percent: bool = False


@dataclass(frozen=True)
class PredictedGalaxies:
    """Predictions as this package has them, a row a galaxy in the table's order.

    Args:
        read: ids and faults.
        reading: how they were read.
        samples: of each forward pass, shape (samples, n, outputs): probabilities or cumulative
            fractions.
        moments: means, shape (n, outputs); of distributions also mean squares, behind them.
    """

    read: CheckedRows
    reading: Reading
    samples: np.ndarray
    moments: np.ndarray


def read_predictions(
    source: PredictionSource, reading: Reading, tree: Tree | None = None
) -> PredictedGalaxies:
    """Read predictions and check them; what is wrong with a row is a fault of it.

    Args:
        source: opened.
        reading: its `kind` is empty where it is to be recognised by the values.
        tree: whose answers the columns are; None for classes.

    Raises:
        BadInput: the table can't be read, or its kind isn't recognised.
    """
    columns = list(reading.columns.values())
    read, values = source.read(reading.ids, columns)
    kind, percent = reading.kind, reading.percent
    if not kind:
        kind, percent = _recognise(source, columns, values, tree)
    if percent:
        values = values / 100
    done = Reading(reading.ids, reading.columns, kind, percent)
    if tree is None:
        _check_probabilities(read, columns, values)
        return PredictedGalaxies(read, done, values, values.mean(axis=0))
    _require_values(read, columns, values, tree, kind)
    samples, moments = _fractions(read, values, tree, kind)
    return PredictedGalaxies(read, done, samples, moments)


def _recognise(
    source: PredictionSource, columns: Sequence[str], values: np.ndarray, tree: Tree | None
) -> tuple[str, bool]:
    """Return the kind of values, and whether they are percentages.

    Raises:
        BadInput: they may be concentrations or counts.
    """
    every = np.ones((1, len(columns)), bool) if tree is None else tree.membership > 0
    sums = np.stack([values[:, :, answers].sum(axis=2) for answers in every], axis=2)
    first = sums if tree is None else sums[:, :, tree.asked_of_all]
    total = float(np.nanmedian(first)) if np.isfinite(first).any() else np.nan
    percent = abs(total - 100) <= 100 * LOOSE
    if percent:
        say(f"{source.table.reference}: values are percentages, and are divided by 100")
    if tree is None:
        return "probabilities", percent
    scale = 100 if percent else 1
    if abs(total / scale - 1) <= LOOSE:
        whole = np.isnan(sums) | (sums == 0) | (np.abs(sums / scale - 1) <= ROUNDING)
        return ("fractions" if whole.all(axis=2).mean() > 0.5 else "cumulative"), percent
    for kind, endings in ENDINGS.items():
        if columns[0].endswith(endings) or (source.zoobot and kind == "concentrations"):
            return kind, False
    raise BadInput(
        f"{source.table.reference}: the answers of the first question sum to {total:.3g} in the "
        "median, so they are no fractions",
        f"give {setting('kind', 'concentrations')} (of Dirichlet distributions) or "
        f"{setting('kind', 'counts')} (expected votes)",
    )


def _fault_cells(
    read: CheckedRows, columns: Sequence[str], values: np.ndarray, wrong: np.ndarray, words: str
) -> None:
    """Add a fault to the rows with a wrong value, both of shape (samples, n, columns)."""

    def describe(row: int) -> str:
        sample, at = np.argwhere(wrong[:, row])[0]
        return f"{columns[at]} is {values[sample, row, at]:g}{words}"

    read.fault(np.asarray(wrong.any(axis=(0, 2))), describe)


def _check_probabilities(read: CheckedRows, columns: Sequence[str], values: np.ndarray) -> None:
    _fault_cells(read, columns, values, np.isnan(values), ", not a probability")
    outside = (values < 0) | (values > 1 + ROUNDING)
    if outside.any(axis=(0, 2)).mean() > 0.9:
        raise BadInput(
            f"{read.reference}: {columns[0]} to {columns[-1]} are no probabilities: most rows have "
            "values outside 0 to 1",
            "divide percentages by 100; of logits x, give exp(x) / sum exp(x)",
        )
    _fault_cells(read, columns, values, outside, ", outside 0 to 1")
    sums = values.sum(axis=2)
    wrong = ~(np.abs(sums - 1) <= ROUNDING).all(axis=0)
    read.fault(wrong, lambda row: f"the probabilities of its classes sum to {sums[0, row]:.3g}")


def _require_values(
    read: CheckedRows, columns: Sequence[str], values: np.ndarray, tree: Tree, kind: str
) -> None:
    """Add the faults of values of a tree's answers; a question without any value has none."""
    empty = np.isnan(values)
    missing = (empty @ tree.membership.T == tree.membership.sum(axis=1)) @ tree.membership > 0
    missing &= ~(tree.asked_of_all @ tree.membership > 0)
    _fault_cells(read, columns, values, empty & ~missing, ", but others have a value")
    least = {"concentrations": np.finfo(float).tiny}.get(kind, 0.0)
    most = np.inf if kind in ("concentrations", "counts") else 1 + ROUNDING
    ends = f"{'over' if least else 'at least'} 0" if np.isinf(most) else "from 0 to 1"
    wrong = ~empty & ~((values >= least) & (values <= most) & np.isfinite(values))
    _fault_cells(read, columns, values, wrong, f", and {kind} are {ends}")
    for question, answers in zip(tree.questions, tree.membership > 0, strict=True):
        sums = values[:, :, answers].sum(axis=2)
        if question.asked_of_all:
            read.fault((sums == 0).any(axis=0), f"all answers of {question.name} are 0")
        if kind == "fractions":
            differs = (sums > 0) & (np.abs(sums - 1) > ROUNDING)
            read.fault(
                differs.any(axis=0), f"the answers of question {question.name} don't sum to 1"
            )


def _fractions(
    read: CheckedRows, values: np.ndarray, tree: Tree, kind: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return cumulative fractions of each sample, and moments, see `PredictedGalaxies`."""
    sound = read.sound
    known = np.where(sound[:, None], values, np.nan)
    if kind == "cumulative":
        broken = broken_sums(tree, np.nan_to_num(known.mean(axis=0))).any(axis=1) & sound
        if broken.any():
            say(
                f"{read.reference}: in {broken.sum():,} rows, answers don't sum to the share who "
                "reached their question; they are judged as they are"
            )
        if not np.isnan(known[:, sound]).any():
            return known, known.mean(axis=0)
    if kind == "concentrations":
        return _of_concentrations(read, known, tree)
    conditional = np.stack([to_conditional(tree, np.nan_to_num(sample)) for sample in known])
    equal = 1 / (tree.membership.sum(axis=1) @ tree.membership)
    unknown = np.isnan(conditional)
    _say_unknown(read, unknown, tree)
    filled = np.where(unknown, equal, conditional)
    samples = np.stack([to_cumulative(tree, sample) for sample in filled])
    return samples, samples.mean(axis=0)


def _of_concentrations(
    read: CheckedRows, values: np.ndarray, tree: Tree
) -> tuple[np.ndarray, np.ndarray]:
    unknown = np.isnan(values)
    _say_unknown(read, unknown, tree)
    # A uniform distribution, of which nothing is known.
    alpha = np.where(unknown, 1.0, values)
    means, squares = np.empty_like(alpha), np.zeros(alpha.shape[1:])
    for sample in range(len(alpha)):
        for start in range(0, alpha.shape[1], BATCH):
            rows = slice(start, start + BATCH)
            means[sample, rows], square = cumulative_moments(tree, alpha[sample, rows])
            squares[rows] += square / len(alpha)
    return means, np.hstack([means.mean(axis=0), squares])


def _say_unknown(read: CheckedRows, unknown: np.ndarray, tree: Tree) -> None:
    """Print how many galaxies have questions without a prediction."""
    rows = (unknown.any(axis=0) & read.sound[:, None]).any(axis=1)
    if rows.any():
        say(
            f"{read.reference}: {counted(int(rows.sum()), 'galaxy')} without a "
            "prediction for some question, of which equal fractions of its answers are assumed"
        )
