"""Tables and figures of a calibration: reliability diagrams, coverage, risk against coverage."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from galaxymorph.judge import Calibration, risk_coverage
from galaxymorph.learn import Run
from galaxymorph.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE, save_figure
from galaxymorph.report.tables import console, interval_words, print_table

SCORES = {
    "nll": "negative log-likelihood",
    "ece_equal_mass": "calibration error, bins of equal mass",
    "ece_equal_width": "calibration error, bins of equal width",
    "ece_classwise": "calibration error, mean over classes",
    "brier": "Brier score",
    "reliability": "  its reliability (less is better)",
    "resolution": "  its resolution (more is better)",
    "uncertainty": "  its uncertainty (of the galaxies)",
    "ece_truth": "calibration error against the true chances",
    "truth_error": "mean distance from the true chances",
}


def print_calibration(record: dict) -> None:
    """Print the scores before and after, how sets cover, and what can be kept."""
    counts = ", ".join(f"{n:,}" for n in record["galaxies"])
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Test part, calibrated by {record['method']} on {counts} galaxies of "
        f"{record['part']}",
    )
    for name in ("score", "before", "after", "if calibrated"):
        table.add_column(name, justify="left" if name == "score" else "right")
    perfect = record["after"].get("if_calibrated", {})
    for name, words in SCORES.items():
        if name not in record["before"]:
            continue
        band = perfect.get(name)
        table.add_row(
            words,
            *(interval_words(record[when][name]) for when in ("before", "after")),
            f"{band['low']:.3f}–{band['high']:.3f}" if band else "",
        )
    print_table(table)
    sets, study = record["sets"], record["sets"]["study"]
    band = study["band"]
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Prediction sets at {100 * sets['coverage']:g} % over {study['splits']} random "
        f"splits; 95 % band of one split {band['low']:.3f}–{band['high']:.3f}",
    )
    for name in ("method", "coverage", *sets["classes"], "size", "empty", "full"):
        table.add_column(name, justify="left" if name == "method" else "right")
    for name, scores in study["methods"].items():
        by_class = (scores.get(f"coverage_{code}") for code in range(len(sets["classes"])))
        table.add_row(
            name,
            f"{scores['coverage']:.3f}",
            *("–" if value is None else f"{value:.3f}" for value in by_class),
            f"{scores['size']:.2f}",
            f"{scores['empty']:.1%}",
            f"{scores['full']:.1%}",
        )
    print_table(table)
    for accuracy, found in record["selective"]["kept_at_accuracy"].items():
        console().print(kept_words(accuracy, found))


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


def draw_calibration(run: Run, calibration: Calibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    sets = calibration.record["sets"]
    with plt.rc_context(STYLE):
        figures = {
            "reliability": reliability_figure(calibration),
            "coverage": coverage_figure(calibration.study, sets),
            "risk_coverage": risk_figure(run),
        }
        return [save_figure(run, name, figure) for name, figure in figures.items()]


def reliability_figure(calibration: Calibration) -> Figure:
    """Return accuracy against confidence before and after, with intervals and counts."""
    figure, axes = plt.subplots(1, 2, figsize=(9, 4.4), layout="constrained", sharey=True)
    panels = (("before", calibration.before, ORANGE), ("after", calibration.after, BLUE))
    least = min(table[["confidence", "low"]].min().min() for _, table, _ in panels)
    for panel, (when, table, colour) in zip(axes, panels, strict=True):
        panel.plot([0, 1], [0, 1], color=GREY, lw=1, ls=":")
        ends = np.abs(table[["low", "high"]].to_numpy() - table[["accuracy"]].to_numpy())
        panel.errorbar(
            table["confidence"], table["accuracy"], yerr=ends.T, fmt="o", color=colour,
            capsize=2, markersize=5,
        )  # fmt: skip
        found = calibration.record[when]["ece_equal_mass"]
        method = calibration.record["method"]
        title = "Before" if when == "before" else f"After: {method}"
        panel.set_title(f"{title}\nECE {interval_words(found)}")
        panel.set(xlabel="confidence", xlim=(max(0, least - 0.05), 1.02))
        panel.set_ylim(max(0, least - 0.05), 1.02)
        panel.grid(alpha=0.3)
    counts = calibration.before["galaxies"]
    words = f"{counts.min()}" if counts.nunique() == 1 else f"{counts.min()}–{counts.max()}"
    axes[0].set_ylabel("accuracy, 95 % intervals")
    figure.supxlabel(
        f"{counts.sum():,} test galaxies, {words} a point; dotted: probabilities that mean "
        "what they say",
        fontsize=8, color=GREY,
    )  # fmt: skip
    return figure


def coverage_figure(study: pd.DataFrame, sets: dict) -> Figure:
    """Return how coverage spreads over random splits, and the exact band it should keep to.

    Args:
        study: see `judge.coverage_study`.
        sets: the record of the sets, in `calibration.json`.
    """
    coverage, band = sets["coverage"], sets["study"]["band"]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    groups = list(study.groupby(["method", "by_class"], sort=False))
    names = [f"{method.upper()}\n{'by class' if by else 'marginal'}" for (method, by), _ in groups]
    left.axhspan(
        band["low"],
        band["high"],
        color=GREEN,
        alpha=0.15,
        label="95 % of splits (marginal, scores without ties)",
    )
    left.axhline(coverage, color=GREEN, lw=1, label=f"asked: {100 * coverage:g} %")
    for axes, column in ((left, "coverage"), (right, "size")):
        drawn = axes.boxplot(
            [rows[column] for _, rows in groups], whis=(2.5, 97.5), showfliers=False,
            patch_artist=True, medianprops={"color": "black"},
        )  # fmt: skip
        for patch, ((_, by_class), _) in zip(drawn["boxes"], groups, strict=True):
            patch.set_facecolor(ORANGE if by_class else BLUE)
            patch.set_alpha(0.6)
        axes.set_xticks(range(1, len(names) + 1), names, fontsize=8)
        axes.grid(axis="y", alpha=0.3)
    left.set(title="Coverage", ylabel="share of sets with the true class")
    right.set(title="Size", ylabel="classes in a set")
    # Room for the legend below the lowest whisker.
    bottom, top = left.get_ylim()
    left.set_ylim(bottom - 0.2 * (top - bottom), top)
    left.legend(frameon=False, fontsize=8, loc="lower left")
    splits = len(study) // len(groups)
    figure.supxlabel(
        f"{splits} random splits into {sets['calibrating']:,} galaxies that calibrate and "
        f"{sets['tested']:,} that test; whiskers hold 95 %",
        fontsize=8, color=GREY,
    )  # fmt: skip
    return figure


def risk_figure(run: Run) -> Figure:
    """Return the share wrong among the surest galaxies against how many are kept."""
    table = run.predictions("test")
    figure, axes = plt.subplots(figsize=(6, 4), layout="constrained")
    calibrated = table[[f"calibrated_{name}" for name in run.classes]].to_numpy(float)
    best = np.array(run.classes, dtype=object)[calibrated.argmax(axis=1)]
    wrong = (best != table["label"]).to_numpy()
    kept, risk = risk_coverage(-calibrated.max(axis=1), wrong)
    axes.step(kept, risk, where="post", color=BLUE, label="the model's order")
    axes.plot(kept, np.maximum(0, 1 - (1 - wrong.mean()) / kept), color=GREEN, lw=1, ls="--",
              label="the best order there is")  # fmt: skip
    axes.axhline(wrong.mean(), color=GREY, lw=1, ls=":", label="any order")
    axes.set(
        title=f"Mistakes among the galaxies kept, AURC {risk.mean():.4f}",
        xlabel="share of galaxies kept, the surest first",
        ylabel="share wrong",
        xlim=(0, 1.01),
        ylim=(0, None),
    )
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.3)
    return figure
