"""Predictions of any model: a table of them and one of labels, judged as a run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from galaxymorph.api.calling import takes
from galaxymorph.api.options import JudgeOptions
from galaxymorph.api.paths import Place
from galaxymorph.api.runs import Run
from galaxymorph.base import BadInput, read_json, say, setting
from galaxymorph.judge import JudgeSettings, join_tables, write_judged_run
from galaxymorph.learn import free_name, run_files, say_fit_warnings
from galaxymorph.report import draw_run, write_report


@takes(JudgeOptions)
def judge(
    predictions: Place | pd.DataFrame, labels: Place | pd.DataFrame | None = None, **options: Any
) -> Run:
    """Judge predictions of any model by labels, as a run without a network; return the run.

    Whatever needs no network works on it: `calibrate`, `uncertainty`, `interpret`, `compare` and
    `report`.

    Args:
        predictions: class probabilities, vote fractions, Dirichlet concentrations or expected
            counts of votes: a table, or Zoobot's HDF5 file.
        labels: votes or class names, by the same ids. Default: the predictions have them too.

    Raises:
        BadInput: a table can't be read or joined, or the run's folder exists.

    Example:
        >>> import galaxymorph as gm
        >>> table = gm.open_run("exports/first").predictions("test")
        >>> run = gm.judge(table, name="judged", calibration=0)
        >>> run.metrics["accuracy"].value == gm.open_run("exports/first").metrics["accuracy"].value
        True
    """
    chosen = JudgeOptions(**options)
    settings = JudgeSettings(
        **{each.name: getattr(chosen, each.name) for each in fields(JudgeSettings)}
    )
    name = chosen.name
    if name is not None and (not name or Path(name).name != name):
        raise BadInput(
            f"{setting('name')} {name!r} is not a valid folder name", "leave out slashes"
        )
    judged = join_tables(_table(predictions), None if labels is None else _table(labels), settings)
    stem = "judged"
    if not isinstance(predictions, pd.DataFrame):
        stem = f"judged-{Path(predictions).name.split('.')[0]}"
    path = chosen.out / name if name else free_name(chosen.out, stem)
    run = write_judged_run(path, judged)
    say(f"{len(judged.table):,} galaxies: {_in_words(judged.reading.columns, judged.reading.kind)}")
    draw_run(run, read_json(run.path / run_files.METRICS))
    write_report(run)
    say_fit_warnings(run)
    return Run(run.path)


def _table(place: Place | pd.DataFrame) -> Path | pd.DataFrame:
    return place if isinstance(place, pd.DataFrame) else Path(place)


def _in_words(columns: Mapping[str, str], kind: str) -> str:
    first, *_, last = columns.values()
    return f"{kind} in the columns {first} to {last}"
