"""Figures of how well the distributions of vote fractions are calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from galaxymorph.judge import NOMINAL, FractionCalibration
from galaxymorph.learn import Run, target_of
from galaxymorph.report.figures.panels import (
    Captioned,
    draw_intervals,
    legend_below,
    panels,
    wrapped,
)
from galaxymorph.report.figures.run_figures import name_answers
from galaxymorph.report.figures.style import BLUE, GREEN, ORANGE, SMALL, styled, write_figures
from galaxymorph.zoo import Tree

BINS = 10
COLOURS = {"before": ORANGE, "after": BLUE}


@styled
def draw_fraction_calibration(run: Run, calibration: FractionCalibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    tree = target_of(run.recipe).tree
    if tree is None:
        return []
    figures = {
        "interval_coverage": coverage_figure(tree, calibration.record),
        "vote_ranks": ranks_figure(tree, calibration),
    }
    return write_figures(run.figures, figures)


def coverage_figure(tree: Tree, record: dict) -> Captioned:
    """Return the coverage of each answer's interval, of votes and, where it is known, the truth."""
    kinds = {"votes": "volunteers' votes", "truth": "the fractions that votes are drawn from"}
    kinds = {name: words for name, words in kinds.items() if name in record["before"]}
    height = 0.17 * len(tree.columns)
    figure, grid = panels(len(kinds), len(kinds), height, margin=1.0, sharey=True)
    for axes, (name, words) in zip(grid, kinds.items(), strict=True):
        axes.axvline(NOMINAL, color=GREEN, lw=1)
        for shift, (when, colour), marker in zip((-0.15, 0.15), COLOURS.items(), "os", strict=True):
            scores = [record[when]["per_answer"][column][name] for column in tree.columns]
            label = f"{words}, {when}: {record[when][name]['value']:.3f} of all"
            draw_intervals(axes, scores, colour, shift, fmt=marker, ms=3, lw=0.8, label=label)
        axes.set(title=f"Intervals that contain {words}", xlabel="fraction of galaxies")
        name_answers(axes, tree)
    legend_below(figure, 2)
    return figure, (
        f"How often the {NOMINAL:.0%} interval of each answer's fraction contains "
        f"{' and '.join(kinds.values())}, before and after calibration. On the green line, the "
        "coverage is the nominal one."
    )


def ranks_figure(tree: Tree, calibration: FractionCalibration) -> Captioned:
    """Return each question's histogram of vote ranks, flat for calibrated predictions."""
    figure, grid = panels(len(tree.questions), 4, 1.5, sharex=True)
    ranks = {"before": calibration.ranks_before, "after": calibration.ranks_after}
    membership = tree.membership.astype(bool)
    for axes, question, columns in zip(grid, tree.questions, membership, strict=True):
        axes.axhline(1, color=GREEN, lw=1)
        for when, colour in COLOURS.items():
            density, edges = np.histogram(ranks[when][:, columns], BINS, (0, 1), density=True)
            axes.stairs(density, edges, color=colour, label=when)
        axes.set_title(wrapped(question.text, 28), fontsize=SMALL, fontweight="normal")
        axes.set_ylim(0, None)
    figure.supxlabel("probability integral transform of the votes", fontsize=8)
    figure.supylabel("density", fontsize=8)
    legend_below(figure)
    return figure, (
        "Probability integral transform of the votes, one panel per question, before and after "
        "calibration. It is flat (green) for calibrated predictions."
    )
