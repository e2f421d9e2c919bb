"""Table and figures of how well the distributions of vote fractions are calibrated."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from galaxymorph.judge import METRICS, NOMINAL, FractionCalibration
from galaxymorph.learn import Run, target_of
from galaxymorph.report.figures.run_figures import broken
from galaxymorph.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    SMALL,
    STYLE,
    intervals,
    legend_below,
    save_figure,
)
from galaxymorph.report.tables import interval_words, print_table
from galaxymorph.zoo import Tree

BINS = 10
COLOURS = {"before": ORANGE, "after": BLUE}


def print_fraction_calibration(record: dict) -> None:
    """Print how often intervals hold votes and truth, before and after, and the factors."""
    counts = ", ".join(f"{n:,}" for n in record["galaxies"])
    table = Table(
        box=box.SIMPLE_HEAD,
        title=f"Test part, variances calibrated on {counts} galaxies of {record['part']}",
    )
    for name in ("score", *COLOURS):
        table.add_column(name, justify="left" if name == "score" else "right")
    for name in record["before"]:
        if name in METRICS:
            values = (interval_words(record[when][name]) for when in COLOURS)
            table.add_row(METRICS[name].label, *values)
    print_table(table)


def draw_fraction_calibration(run: Run, calibration: FractionCalibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    tree = target_of(run.recipe).tree
    with plt.rc_context(STYLE):
        return [
            save_figure(run, "interval_coverage", *coverage_figure(tree, calibration.record)),
            save_figure(run, "vote_ranks", *ranks_figure(tree, calibration)),
        ]


def coverage_figure(tree: Tree, record: dict) -> tuple[Figure, str]:
    """Return how often each answer's interval holds votes and, where it is known, the truth."""
    held = {"votes": "volunteers' votes", "truth": "the fractions that votes are drawn from"}
    held = {name: words for name, words in held.items() if name in record["before"]}
    figure, axes = plt.subplots(
        1, len(held), figsize=(PAGE, 0.17 * len(tree.columns) + 1.0), sharey=True, squeeze=False
    )
    for panel, (name, words) in zip(axes[0], held.items(), strict=True):
        panel.axvline(NOMINAL, color=GREEN, lw=1)
        for shift, (when, colour), marker in zip((-0.15, 0.15), COLOURS.items(), "os", strict=True):
            scores = [record[when]["per_answer"][column][name] for column in tree.columns]
            total = record[when][name]["value"]
            label = f"{words}, {when}: {total:.3f} of all"
            intervals(panel, scores, colour, shift, fmt=marker, ms=3, lw=0.8, label=label)
        panel.set(title=f"Intervals that hold {words}", xlabel="share of galaxies")
        panel.grid(axis="x")
        for edge in np.cumsum([len(question.answers) for question in tree.questions])[:-1]:
            panel.axhline(edge - 0.5, color=GREY, lw=0.5, alpha=0.5)
    says = [broken(answer.text, 30) for q in tree.questions for answer in q.answers]
    axes[0, 0].set_yticks(range(len(says)), says, fontsize=SMALL)
    axes[0, 0].set_ylim(len(says) - 0.3, -0.7)
    legend_below(figure, 2)
    return figure, (
        f"How often the {NOMINAL:.0%} interval of each answer's fraction holds "
        f"{' and '.join(held.values())}, before and after calibration. On the green line an "
        "interval holds as often as it says."
    )


def ranks_figure(tree: Tree, calibration: FractionCalibration) -> tuple[Figure, str]:
    """Return each question's histogram of vote ranks: flat where predictions mean what they say."""
    columns = min(4, len(tree.questions))
    rows = -(-len(tree.questions) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(PAGE, 1.5 * rows + 0.4), sharex=True, squeeze=False
    )
    for axes in grid.flat:
        axes.set_axis_off()
    ranks = {"before": calibration.ranks_before, "after": calibration.ranks_after}
    for axes, question, own in zip(
        grid.flat, tree.questions, tree.membership.astype(bool), strict=False
    ):
        axes.set_axis_on()
        axes.axhline(1, color=GREEN, lw=1)
        for when, colour in COLOURS.items():
            density, edges = np.histogram(ranks[when][:, own], BINS, (0, 1), density=True)
            axes.stairs(density, edges, color=colour, label=when)
        axes.set_title(broken(question.text, 28), fontsize=SMALL, fontweight="normal")
        axes.set_ylim(0, None)
    figure.supxlabel("probability integral transform of the votes", fontsize=8)
    figure.supylabel("density", fontsize=8)
    legend_below(figure)
    return figure, (
        "Histograms of where the votes lie in their predicted distributions, a panel a question, "
        "before and after calibration. Calibrated predictions are flat (green)."
    )
