"""A run's page and the page of several runs: one HTML file each, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, say, write_text
from galaxymorph.judge import (
    best_rows,
    compare_runs,
    paired_differences,
    require_distinct,
    unranked_runs,
)
from galaxymorph.learn import Run, fit_warnings, target_of, without_effect
from galaxymorph.report.card import write_card
from galaxymorph.report.figures.charts import interval_places, line_chart
from galaxymorph.report.figures.vote_figures import draw_votes
from galaxymorph.report.sections import HEADLINES, Page, gathered
from galaxymorph.report.server.markup import render
from galaxymorph.report.tables import difference_verdict, is_detail, score_name

FILE = "report.html"


def write_report(run: Run, data: Path | None = None, output: Path | None = None) -> Path:
    """Write the page of a run, and its model card, from whatever files it has; return the page.

    Args:
        run: trained.
        data: where its catalogue is now, if it has moved.
        output: by itself the run's `report.html`.

    Raises:
        BadInput: the fit isn't finished.
    """
    run.require_trained()
    if target_of(run.recipe).soft and not (run.figures / "fractions_test.png").exists():
        draw_votes(run)
    page = Page(run, data)
    sections = gathered(page)
    page.encode()
    output = output or run.path / FILE
    write_text(output, render("run.html", title=_name(run), sections=sections))
    write_card(run, render, data)
    return output


def write_comparison(runs: Sequence[Run], output: Path) -> Path:
    """Write the page that sets runs side by side; return its path.

    Raises:
        BadInput: fewer than two runs, one given twice, or one whose fit isn't finished.
    """
    require_distinct(runs)
    table = compare_runs(runs)
    names = _distinct_names(runs)
    name_of = dict(zip([str(run.path) for run in runs], names, strict=True))
    unranked = unranked_runs(runs)
    confusions = [gathered(Page(run), ["confusion"]) for run in runs]
    write_text(
        output,
        render(
            "comparison.html",
            title=f"{len(runs)} runs side by side",
            names=names,
            warnings=[
                (name, warning)
                for name, run in zip(names, runs, strict=True)
                for warning in fit_warnings(run)
            ],
            groups=_groups(table, runs, unranked),
            unranked=[name_of[path] for path in unranked],
            differences=_differences(runs, name_of),
            confusions=[
                (found[0]["content"], {**found[0]["content"]["matrices"][0], "words": name})
                for name, found in zip(names, confusions, strict=True)
                if found
            ],
            charts=_curves(runs, names),
            recipes=_differing_settings(runs),
        ),
    )
    return output


def _groups(
    table: pd.DataFrame, runs: Sequence[Run], unranked: Sequence[str]
) -> list[tuple[str, list, list]]:
    """Return by file the rows of main scores and of details: name, what's better, a cell a run."""
    groups, tree = {}, target_of(runs[0].recipe).tree
    for (file, name), scores in table.groupby(["file", "score"], sort=False):
        by_run = scores.assign(best=best_rows(scores, unranked)).set_index("run")
        cells = []
        for run in runs:
            if str(run.path) not in by_run.index:
                cells.append(None)
                continue
            row = by_run.loc[str(run.path)]
            low, high = (None if np.isnan(row[end]) else row[end] for end in ("low", "high"))
            cells.append(({"value": row["value"], "low": low, "high": high}, bool(row["best"])))
        words = HEADLINES.get(name.removeprefix("test."), (score_name(name, tree),))[0]
        rest = is_detail(name) or cells.count(None) > len(cells) - 2
        rows = groups.setdefault(file, ([], []))[rest]
        rows.append((words, _better(scores), cells))
    return [(file, *rows) for file, rows in groups.items()]


def _better(scores: pd.DataFrame) -> str:
    """Return which direction is better in words, or the value that is aimed at."""
    better, nominal = scores["better"].iloc[0], scores["nominal"].dropna().unique()
    if better != "nominal":
        return better or "neither"
    return f"near {nominal[0]:g}" if len(nominal) == 1 else "near nominal"


def _differences(runs: Sequence[Run], name_of: dict[str, str]) -> list[tuple]:
    """Return each paired difference: run, difference, its places on one scale, and a verdict."""
    found = paired_differences(runs)
    most = max((abs(each[end]) for each in found.values() for end in ("low", "high")), default=0)
    return [
        (name_of[path], each, interval_places(each, -most or -1, most or 1),
         difference_verdict(each))
        for path, each in found.items()
    ]  # fmt: skip


def _curves(runs: Sequence[Run], names: Sequence[str]) -> list:
    series = {}
    for run, name in zip(runs, names, strict=True):
        for member in run.members:
            history = member.history
            if history is not None:
                words = name if member is run else f"{name}, {run.part_word} {member.path.name}"
                series[words] = (history["epoch"], history["valid_loss"])
    chart = line_chart("Validation loss", series) if series else None
    return [chart] if chart else []


def _differing_settings(runs: Sequence[Run]) -> list[tuple[str, list[str]]]:
    settings = {
        name: ["–" if name in without_effect(run.recipe) else str(getattr(run.recipe, name))
               for run in runs]
        for name in vars(runs[0].recipe)
    }  # fmt: skip
    settings["data"] = [run.data["path"] for run in runs]
    settings["catalogue's fingerprint"] = [run.data["fingerprint"] for run in runs]
    return [(name, values) for name, values in settings.items() if len(set(values)) > 1]


def _distinct_names(runs: Sequence[Run]) -> list[str]:
    names = [_name(run) for run in runs]
    return names if len(set(names)) == len(names) else [str(run.path) for run in runs]


def _name(run: Run) -> str:
    return run.path.resolve().name


def refresh_report(run: Run, data: Path | None = None) -> None:
    """Write a run's page again after something was added to it, and say so.

    What was added stands, whether the page can be written or not.
    """
    try:
        say(f"report: {write_report(run, data)}")
    except BadInput as error:
        say(f"report: as it was ({error})")
