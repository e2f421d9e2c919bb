"""Tables and figures of a calibration: reliability diagrams, coverage, risk against coverage."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from galaxymorph.base import say
from galaxymorph.judge import METRICS, Calibration, risk_coverage, served, served_kind
from galaxymorph.learn import Run
from galaxymorph.report.figures.fraction_figures import print_fraction_calibration
from galaxymorph.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    STYLE,
    legend_below,
    save_figure,
)
from galaxymorph.report.tables import console, interval_words, print_table


def print_calibration(record: dict) -> None:
    """Print the scores before and after, and of classes how sets cover and what can be kept.

    Args:
        record: in `calibration.json`.
    """
    if record["part"] == "valid":
        say("the split has no calibration part: calibrated on validation, which chose the epoch")
    for note in record.get("notes", ()):
        say(note)
    if "selective" not in record:
        print_fraction_calibration(record)
        return
    counts = ", ".join(f"{n:,}" for n in record["galaxies"])
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Test part, {method_words(record)} on {counts} galaxies of {record['part']}",
    )
    for name in ("score", "before", "after", "if calibrated"):
        table.add_column(name, justify="left" if name == "score" else "right")
    perfect = record["after"].get("if_calibrated", {})
    for name in record["before"]:
        if name not in METRICS:
            continue
        band = perfect.get(name)
        table.add_row(
            METRICS[name].label,
            *(interval_words(record[when][name]) for when in ("before", "after")),
            f"{band['low']:.3f}–{band['high']:.3f}" if band else "",
        )
    print_table(table)
    for title, names, rows in set_tables(record):
        table = Table(box=box.SIMPLE_HEAD, title=title)
        for name in names:
            table.add_column(name, justify="left" if name == "method" else "right")
        for row in rows:
            table.add_row(*row)
        print_table(table)
    for accuracy, found in record["selective"]["kept_at_accuracy"].items():
        console().print(kept_words(accuracy, found))


def set_tables(record: dict) -> list[tuple[str, list[str], list[list[str]]]]:
    """Return tables of a calibration's prediction sets: the run's own, then those of random splits.

    Args:
        record: in `calibration.json`.

    Returns:
        Of each its title, the names of columns, and rows of cells; nothing of vote fractions.
    """
    sets = record.get("sets", {})
    if "study" not in sets:
        return []
    classes, study = sets["classes"], sets["study"]
    nominal, band = f"{100 * sets['coverage']:g} %", study["band"]
    names = ["method", "coverage", *classes, "size", "empty", "full"]
    each = ", each fold's by its own" if len(sets["thresholds"]) > 1 else ""
    own = (
        f"Prediction sets of this run at {nominal}, by {sets['calibrating']:,} galaxies of "
        f"{record['part']}{each}: {sets['tested']:,} test galaxies"
    )
    average = (
        f"For comparison, the mean over {study['splits']} random splits of these galaxies, not the "
        f"run's sets; 95 % band of one split {band['low']:.3f}–{band['high']:.3f}"
    )
    return [
        (own, names, [_set_row(f"{sets['method']}, marginal", sets["test"], len(classes))]),
        (average, names, [_set_row(*pair, len(classes)) for pair in study["methods"].items()]),
    ]


def _set_row(name: str, scores: dict, classes: int) -> list[str]:
    columns = (
        "coverage",
        *(f"coverage_{code}" for code in range(classes)),
        "size",
        "empty",
        "full",
    )
    return [name, *(_set_cell(scores.get(column)) for column in columns)]


def _set_cell(score: dict | float | None) -> str:
    if score is None:
        return "–"
    # Of averages, and of records of before there were intervals, a number.
    return interval_words(score) if isinstance(score, dict) else f"{score:.3f}"


def kept_words(accuracy: str, found: dict) -> str:
    """Return a line on what may be kept at an accuracy, see `judge.kept_at`."""
    asked, kept = f"{float(accuracy):.0%}", found["kept"]
    if kept["value"] is None:
        return (
            f"at {asked} accuracy no galaxy can be kept: to promise it takes {found['least']:,} "
            "calibrating galaxies or more, nearly all of them right"
        )
    reached = found["accuracy"]
    words = f"{interval_words(reached)} of them right" if reached["value"] is not None else "none"
    return (
        f"at {asked} accuracy (with 95 % confidence) you may keep "
        f"{kept['value']:.1%} ({kept['low']:.1%}–{kept['high']:.1%}) of the galaxies: {words}"
    )


def method_words(record: dict) -> str:
    """Return how a run is calibrated, of its record in `calibration.json`."""
    if record.get("method") == "none":
        return "probabilities kept as they are: no calibrator was chosen"
    return f"calibrated by {record['method']}" if record.get("method") else "calibrated"


def draw_calibration(run: Run, calibration: Calibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    sets = calibration.record["sets"]
    with plt.rc_context(STYLE):
        figures = {
            "reliability": reliability_figure(calibration),
            "coverage": coverage_figure(calibration.study, sets),
            "risk_coverage": risk_figure(run),
        }
        return [save_figure(run, name, *pair) for name, pair in figures.items()]


def reliability_figure(calibration: Calibration) -> tuple[Figure, str]:
    """Return accuracy against confidence before and after, with intervals and counts."""
    figure, axes = plt.subplots(1, 2, figsize=(PAGE, 3.2), sharey=True)
    panels = (("before", calibration.before, ORANGE), ("after", calibration.after, BLUE))
    least = max(0, min(table[["confidence", "low"]].min().min() for _, table, _ in panels) - 0.05)
    for panel, (when, table, colour) in zip(axes, panels, strict=True):
        panel.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        ends = np.abs(table[["low", "high"]].to_numpy() - table[["accuracy"]].to_numpy())
        panel.errorbar(
            table["confidence"], table["accuracy"], yerr=ends.T, fmt="o", color=colour, capsize=1.5
        )
        error = interval_words(calibration.record[when]["ece_equal_mass"])
        panel.set_title(f"{when.capitalize()}: calibration error\n{error}")
        panel.set(xlabel="confidence", xlim=(least, 1.02), ylim=(least, 1.02))
        panel.grid()
    counts = pd.concat([calibration.before["galaxies"], calibration.after["galaxies"]])
    number = calibration.before["galaxies"].sum()
    each = f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    axes[0].set_ylabel("accuracy, 95 % intervals")
    return figure, (
        f"Reliability before and after ({method_words(calibration.record)}): accuracy against "
        f"confidence of {number:,} test galaxies, {each} in a bin. On the dotted line a "
        "probability is what it says."
    )


def coverage_figure(study: pd.DataFrame, sets: dict) -> tuple[Figure, str]:
    """Return how coverage spreads over random splits, and the exact band it should keep to.

    Args:
        study: see `judge.coverage_study`.
        sets: the record of the sets, in `calibration.json`.
    """
    coverage, band = sets["coverage"], sets["study"]["band"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 3.0))
    groups = list(study.groupby(["method", "by_class"], sort=False))
    names = [f"{method.upper()}\n{'by class' if by else 'marginal'}" for (method, by), _ in groups]
    left.axhspan(
        band["low"], band["high"], color=GREEN, alpha=0.15, lw=0,
        label="95 % of splits (marginal, scores without ties)",
    )  # fmt: skip
    left.axhline(coverage, color=GREEN, lw=1, label=f"nominal: {100 * coverage:g} %")
    for axes, column in ((left, "coverage"), (right, "size")):
        drawn = axes.boxplot(
            [rows[column] for _, rows in groups], whis=(2.5, 97.5), showfliers=False,
            patch_artist=True, medianprops={"color": BLACK},
        )  # fmt: skip
        for patch, ((_, by_class), _) in zip(drawn["boxes"], groups, strict=True):
            patch.set_facecolor(ORANGE if by_class else BLUE)
            patch.set_alpha(0.6)
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.grid(axis="y")
    left.set(title="Coverage", ylabel="share of sets with the true class")
    right.set(title="Size", ylabel="classes in a set")
    legend_below(figure)
    splits = len(study) // len(groups)
    return figure, (
        f"Coverage and size of prediction sets by method, over {splits} random splits into "
        f"{sets['calibrating']:,} calibrating and {sets['tested']:,} test galaxies. Whiskers hold "
        "95 % of the splits."
    )


def risk_figure(run: Run) -> tuple[Figure, str]:
    """Return the share wrong among the most confident galaxies against how many are kept."""
    table = served(run, run.predictions("test"))
    wrong = (table["predicted"] != table["label"]).to_numpy()
    figure, axes = plt.subplots(figsize=(COLUMN, 3.0))
    kept, risk = risk_coverage(-table["confidence"].to_numpy(), wrong)
    axes.step(kept, risk, where="post", color=BLUE, label="by confidence")
    axes.plot(kept, np.maximum(0, 1 - (1 - wrong.mean()) / kept), color=GREEN, ls="--",
              label="best possible order")  # fmt: skip
    axes.axhline(wrong.mean(), color=GREY, ls=":", label="any order")
    axes.set(
        title=f"Mistakes among those kept, AURC {risk.mean():.4f}",
        xlabel="share of galaxies kept, most confident first",
        ylabel="share wrong",
        xlim=(0, 1.01),
        ylim=(0, None),
    )
    axes.grid()
    legend_below(figure)
    return figure, (
        f"Share of mistakes among the galaxies kept, the most confident first: {len(table):,} test "
        f"galaxies, {served_kind(run)}. The area under the curve is {risk.mean():.4f}."
    )
