"""A run without a network: predictions of any model in the files of a fit, and new ones of it."""

from __future__ import annotations

import shlex
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import (
    BadInput,
    did_you_mean,
    read_arrays,
    reading,
    replacing,
    require,
    require_key,
    write_json,
)
from galaxymorph.judge.calibration.calibrators import Calibrator
from galaxymorph.judge.calibration.description import UNCALIBRATED, load_calibration
from galaxymorph.judge.calibration.scheme_classes import with_scheme_columns
from galaxymorph.judge.calibration.stored_calibration import (
    calibrated_coverage,
    calibrated_predictions,
    sets_of,
)
from galaxymorph.judge.metrics.run_metrics import judge_run
from galaxymorph.judge.tables.joining import JudgedGalaxies
from galaxymorph.judge.tables.prediction_tables import (
    KINDS,
    PredictedGalaxies,
    Reading,
    open_predictions,
    read_predictions,
)
from galaxymorph.judge.tables.settings import JudgeSettings
from galaxymorph.learn import (
    Run,
    create_run,
    deviation_columns,
    fingerprint,
    new_run_folder,
    prediction_table,
    run_files,
    target_of,
    write_split,
    write_table,
)
from galaxymorph.learn.runs import target_columns
from galaxymorph.zoo import CALIBRATED, deviations, find_ids, prefixed
from galaxymorph.zoo.columns import CALIBRATION, TEST

# Of prediction sets, where a run was calibrated by a version that stored none.
COVERAGE = 0.9
# The test part's predictions of each forward pass, for `uncertainty`.
SAMPLES = "samples.npz"


def write_judged_run(path: Path, judged: JudgedGalaxies) -> Run:
    """Write predictions and labels as a run, with its metrics; return it.

    Raises:
        BadInput: the folder exists already or can't be made.
    """
    table = judged.table
    soft = target_of(judged.recipe).soft
    split = table[["galaxy", "image", "label", "split"]].assign(digest="")
    if soft:
        split = split.join(table[target_columns(table)])
    source = _place(judged.labels)
    data = {"path": source, "source": source, "fingerprint": fingerprint(split)}
    if soft:
        data["votes"] = "digests"
    record = {
        "predictions": _place(judged.predictions),
        "samples": len(judged.samples),
        "options": _options(judged.settings),
        **asdict(judged.reading),
    }
    with new_run_folder(path, is_fit=False) as folder:
        run = create_run(folder, judged.recipe, judged.classes, data, record)
        write_split(run, split)
        if soft:
            _write_means(run, split)
        if len(judged.rejected):
            write_table(run.path / run_files.REJECTED, judged.rejected)
        for part, rows in table.groupby("split", sort=False):
            file = run.path / run_files.predictions_file(str(part))
            write_table(file, rows.drop(columns="split").reset_index(drop=True))
        if len(judged.samples) > 1:
            at = np.flatnonzero(table["split"] == TEST)
            with replacing(run.path / SAMPLES) as temporary, temporary.open("wb") as stream:
                np.savez_compressed(stream, samples=judged.samples[:, at].astype(np.float32))
        judge_run(run)
    return Run(path)


def _options(settings: JudgeSettings) -> dict[str, object]:
    """Return the options that differ from their defaults, as the command line has them."""
    values = {each.name: (getattr(settings, each.name), each.default) for each in fields(settings)}
    return {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name, (value, default) in values.items()
        if value != default
    }


def judge_command(run: Run) -> str:
    """Return the command that judges a run's tables again."""
    record: dict[str, Any] = run.judged or {}
    words = ["python", "cli.py", "judge", str(record.get("predictions"))]
    if run.data["path"] != record.get("predictions"):
        words += ["--labels", run.data["path"]]
    for name, value in record.get("options", {}).items():
        flag = f"--{name.replace('_', '-')}"
        words += [flag] if value == "True" else [flag, value]
    return shlex.join(words)


def _place(source: str) -> str:
    """Return the absolute path of a table, or the words for one in memory."""
    return str(Path(source).absolute()) if Path(source).is_file() else source


def _write_means(run: Run, split: pd.DataFrame) -> None:
    """Write the mean fractions to which predictions are compared, of the calibration part if any.

    The galaxies that trained the model are unknown.
    """
    columns = target_columns(split)
    calibrating = split[split["split"] == CALIBRATION]
    means = (calibrating if len(calibrating) else split)[columns].mean()
    write_json(run.path / run_files.TRAIN_MEANS, means.dropna().to_dict())


def reading_of(run: Run) -> Reading:
    """Return how the predictions of a judged run were read.

    Raises:
        BadInput: its record is damaged.
    """
    record: dict[str, Any] = run.judged or {}
    with reading(run.path / run_files.RECIPE):
        columns = require_key(record, "columns", dict)
        for column in columns.values():
            require(column, str, "columns")
        kind = require_key(record, "kind", str)
        if kind not in KINDS or list(columns) != run.outputs:
            raise BadInput(f"{run.path}: its record of the judged table is damaged", "judge again")
        return Reading(
            require_key(record, "ids", str), columns, kind, require_key(record, "percent", bool)
        )


def stored_samples(run: Run) -> np.ndarray:
    """Return the test part's predictions of each pass, shape (samples, n, outputs).

    Raises:
        BadInput: the file is damaged.
    """
    means = run.predictions(TEST)[
        [target_of(run.recipe).prefix + name for name in run.outputs]
    ].to_numpy(float)
    path = run.path / SAMPLES
    if not path.exists():
        return means[None]
    samples = read_arrays(path, ["samples"], "judge the table again")["samples"].astype(float)
    if samples.shape[1:] != means.shape:
        raise BadInput(f"{path}: it belongs to other predictions", "judge the table again")
    return samples


def calibrate_table(run: Run, predictions: Path | pd.DataFrame) -> pd.DataFrame:
    """Return further predictions of a judged model, calibrated.

    Columns are `galaxy`, those of `prediction_table`, uncalibrated, and the ones that `calibrate`
    adds: of classes `calibrated_<class>` and `set`, with the calibrated `predicted` and
    `confidence`; of a tree `calibrated_<answer>`, by the first of its `VoteMap`s; of distributions
    `calibrated_sd_<answer>`; of the challenge's tree the classes of label schemes, see
    `SchemeClasses`.

    Args:
        run: judged, and calibrated.
        predictions: a table with the same columns as the one that was judged.

    Raises:
        BadInput: the table has other columns, or a row is at fault.
    """
    predicted = _read_again(run, predictions)
    calibration = load_calibration(run)
    if calibration == UNCALIBRATED:
        raise BadInput(f"{run.path}: it isn't calibrated", f"calibrate {run.path}")
    means, spreads = len(run.outputs), deviation_columns(run.recipe, run.classes)
    moments = predicted.moments if spreads else predicted.moments[:, :means]
    table = prediction_table(moments, run.recipe, run.classes)
    calibrators = calibration["calibrators"]
    if calibrators and spreads:
        values = deviations(*np.split(calibrators[0](moments), 2, axis=1))
        table = table.join(pd.DataFrame(values, columns=prefixed(CALIBRATED, spreads)))
    elif calibrators:
        table = table.join(_calibrated_classes(run, calibrators[0], moments))
        table = calibrated_predictions(run, table)
    tree = target_of(run.recipe).tree
    if calibration["vote_maps"] and tree:
        mapped = calibration["vote_maps"][0].apply(tree, moments)
        table = table.join(pd.DataFrame(mapped, columns=prefixed(CALIBRATED, run.outputs)))
    table = with_scheme_columns(table, calibration["schemes"], moments[:, :means])
    table.insert(0, "galaxy", predicted.read.ids.to_numpy(object))
    return table


def _calibrated_classes(run: Run, calibrator: Calibrator, values: np.ndarray) -> pd.DataFrame:
    """Return calibrated probabilities and prediction sets of uncalibrated probabilities."""
    values = values / values.sum(axis=1, keepdims=True)
    names = prefixed(CALIBRATED, run.classes)
    coverage = calibrated_coverage(run) or COVERAGE
    sets = sets_of(run, values[None], coverage)
    return pd.DataFrame(calibrator(values), columns=names).assign(set=sets)


def _read_again(run: Run, predictions: Path | pd.DataFrame) -> PredictedGalaxies:
    """Return further predictions, read as those that were judged."""
    how, source = reading_of(run), open_predictions(predictions)
    name = source.table.reference
    missing = [column for column in how.columns.values() if column not in source.columns]
    if missing:
        raise BadInput(
            f"{name}: column {missing[0]!r} is missing, which {run.path} was judged by",
            did_you_mean(missing[0], source.columns),
        )
    ids = how.ids if how.ids in source.table else find_ids(source.table)
    if ids is None:
        raise BadInput(f"{name}: no column {how.ids!r} of ids", "call it as in the judged table")
    again = Reading(ids, how.columns, how.kind, how.percent)
    predicted = read_predictions(source, again, target_of(run.recipe).tree)
    words = predicted.read.words
    if words:
        row, fault = next(iter(sorted(words.items())))
        more = f" (and {len(words) - 1:,} more)" if len(words) > 1 else ""
        raise BadInput(f"{name} row {row}: {fault}{more}", "correct it, or leave such rows out")
    return predicted
