"""Figures of a calibration of classes: reliability, coverage of sets, risk against coverage."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxymorph.judge import Calibration, calibrated_predictions, prediction_kind, risk_coverage
from galaxymorph.judge.calibration.run_calibration import SetsRecord
from galaxymorph.learn import Run
from galaxymorph.report.figures.panels import Captioned, draw_intervals, legend_below
from galaxymorph.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    styled,
    write_figures,
)
from galaxymorph.report.metric_tables import bin_note, calibration_method
from galaxymorph.report.tables import interval_words


@styled
def draw_calibration(run: Run, calibration: Calibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    figures = {
        "reliability": reliability_figure(calibration),
        "coverage": coverage_figure(calibration.study, calibration.record["sets"]),
        "risk_coverage": risk_figure(run),
    }
    return write_figures(run.figures, figures)


def reliability_figure(calibration: Calibration) -> Captioned:
    """Return accuracy against confidence before and after, with intervals and counts.

    A run without a calibrator has a single panel.
    """
    record = calibration.record
    tables = {
        "before": (calibration.before, record["before"], ORANGE),
        "after": (calibration.after, record["after"], BLUE),
    }
    if record["method"] == "none":
        del tables["before"]
    number = len(tables)
    size = (PAGE if number > 1 else COLUMN, 3.2)
    figure = Figure(figsize=size)
    grid = figure.subplots(1, number, sharey=True, squeeze=False)
    least = min(table[["confidence", "low"]].min().min() for table, _, _ in tables.values())
    limits = (max(0, least - 0.05), 1.02)
    for axes, (when, (table, scores, colour)) in zip(grid[0], tables.items(), strict=True):
        axes.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        ends = table[["accuracy", "low", "high"]].to_numpy(float)
        intervals = [dict(zip(("value", "low", "high"), row, strict=True)) for row in ends]
        draw_intervals(axes, intervals, colour, at=table["confidence"].to_numpy())
        error = interval_words(scores["ece_equal_mass"])
        title = f"{when.capitalize()}: c" if number > 1 else "C"
        axes.set(
            title=f"{title}alibration error\n{error}", xlabel="confidence", xlim=limits, ylim=limits
        )
        axes.grid()
    grid[0, 0].set_ylabel("accuracy, 95 % intervals")
    counts = pd.concat([table["galaxies"] for table, _, _ in tables.values()])
    in_bin = f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()} to {counts.max()}"
    note = f" {note[:1].upper()}{note[1:]}." if (note := bin_note(record)) else ""
    return figure, (
        f"Reliability diagram ({calibration_method(record)}): accuracy against confidence of "
        f"{calibration.after['galaxies'].sum():,} test galaxies, {in_bin} in a bin. On the dotted "
        f"line, accuracy equals confidence.{note}"
    )


def coverage_figure(study: pd.DataFrame, sets: SetsRecord) -> Captioned:
    """Return the distribution of coverage over random splits, and its exact band.

    Args:
        study: see `judge.coverage_study`.
        sets: the record of the sets, in `calibration.json`.
    """
    coverage, band = sets["coverage"], sets["study"]["band"]
    figure = Figure(figsize=(PAGE, 3.0))
    left, right = figure.subplots(1, 2)
    groups = list(study.groupby(["method", "by_class"], sort=False))
    names = [
        f"{str(method).upper()}\n{'by class' if by else 'marginal'}" for (method, by), _ in groups
    ]
    band_words = "95 % of splits (marginal, scores without ties)"
    left.axhspan(band["low"], band["high"], color=GREEN, alpha=0.15, lw=0, label=band_words)
    left.axhline(coverage, color=GREEN, lw=1, label=f"nominal: {100 * coverage:g} %")
    look = {"whis": (2.5, 97.5), "showfliers": False, "medianprops": {"color": BLACK}}
    for axes, column in ((left, "coverage"), (right, "size")):
        values = [rows[column].to_numpy() for _, rows in groups]
        boxes = axes.boxplot(values, patch_artist=True, **look)["boxes"]
        for box, ((_, by_class), _) in zip(boxes, groups, strict=True):
            box.set(facecolor=ORANGE if by_class else BLUE, alpha=0.6)
        axes.set_xticks(range(1, len(names) + 1), names)
        axes.grid(axis="y")
    left.set(title="Coverage", ylabel="fraction of sets that contain the true class")
    right.set(title="Size", ylabel="classes per set")
    legend_below(figure)
    splits = len(study) // len(groups)
    return figure, (
        "Coverage and size of prediction sets by method (LAC: least ambiguous, APS: adaptive, "
        f"RAPS: regularised adaptive), over {splits} random splits into {sets['calibrating']:,} "
        f"calibration and {sets['tested']:,} test galaxies. Whiskers contain 95 % of the splits."
    )


def risk_figure(run: Run) -> Captioned:
    """Return the risk-coverage curve of the test part, by confidence."""
    table = calibrated_predictions(run, run.predictions("test"))
    wrong = (table["predicted"] != table["label"]).to_numpy()
    figure = Figure(figsize=(COLUMN, 3.0))
    axes = figure.subplots()
    kept, risk = risk_coverage(-table["confidence"].to_numpy(), wrong)
    axes.step(kept, risk, where="post", color=BLUE, label="by confidence")
    best = np.maximum(0, 1 - (1 - wrong.mean()) / kept)
    axes.plot(kept, best, color=GREEN, ls="--", label="best possible order")
    axes.axhline(wrong.mean(), color=GREY, ls=":", label="any order")
    axes.set(
        title=f"Misclassified among the accepted\nAURC {risk.mean():.4f}",
        xlabel="fraction of galaxies accepted, most confident first",
        ylabel="fraction misclassified",
        xlim=(0, 1),
        ylim=(0, None),
    )
    axes.grid()
    legend_below(figure)
    return figure, (
        "Fraction of misclassified galaxies among those accepted, most confident first: "
        f"{len(table):,} test galaxies, {prediction_kind(run)}. The area under the risk-coverage "
        f"curve (AURC) is {risk.mean():.4f}."
    )
