"""Table and figures of how well the distributions of vote fractions are calibrated."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from galaxymorph.judge import NOMINAL, FractionCalibration
from galaxymorph.learn import Run, target_of
from galaxymorph.report.figures import BLUE, GREEN, GREY, ORANGE, STYLE, save_figure
from galaxymorph.report.tables import INTERVALS, interval_words, print_table
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
    rows = {"nll": "negative log-likelihood of votes, nats a galaxy"}
    rows |= {name: f"{NOMINAL:.0%} {words}" for name, words in INTERVALS.items()}
    for name, words in rows.items():
        if name in record["before"]:
            table.add_row(words, *(interval_words(record[when][name]) for when in COLOURS))
    print_table(table)


def draw_fraction_calibration(run: Run, calibration: FractionCalibration) -> list[Path]:
    """Draw a calibration into the run's `figures/`; return the files."""
    tree = target_of(run.recipe).tree
    with plt.rc_context(STYLE):
        return [
            save_figure(run, "interval_coverage", coverage_figure(tree, calibration.record)),
            save_figure(run, "vote_ranks", ranks_figure(tree, calibration)),
        ]


def coverage_figure(tree: Tree, record: dict) -> Figure:
    """Return how often each answer's interval holds votes and, where it is known, the truth."""
    held = {"votes": "volunteers' votes", "truth": "the fractions that votes are drawn from"}
    held = {name: words for name, words in held.items() if name in record["before"]}
    figure, axes = plt.subplots(
        1, len(held), figsize=(4.2 * len(held) + 2.2, 0.2 * len(tree.columns) + 1.3),
        layout="constrained", sharey=True, squeeze=False,
    )  # fmt: skip
    places = -np.arange(len(tree.columns))
    for panel, (name, words) in zip(axes[0], held.items(), strict=True):
        panel.axvline(NOMINAL, color=GREEN, lw=1)
        for shift, (when, colour) in zip((0.15, -0.15), COLOURS.items(), strict=True):
            scores = [record[when]["per_answer"][column][name] for column in tree.columns]
            value, low, high = (
                np.array([score[each] for score in scores], float)
                for each in ("value", "low", "high")
            )
            panel.errorbar(
                value, places + shift, xerr=np.array([value - low, high - value]).clip(0),
                fmt="o", color=colour, markersize=3.5, lw=1,
                label=f"{when}: {record[when][name]['value']:.3f} of all",
            )  # fmt: skip
        panel.set(title=f"{NOMINAL:.0%} intervals that hold\n{words}", xlabel="share of galaxies")
        panel.legend(frameon=False, fontsize=8, loc="lower left")
        panel.grid(axis="x", alpha=0.3)
        for edge in np.cumsum([len(question.answers) for question in tree.questions])[:-1]:
            panel.axhline(0.5 - edge, color=GREY, lw=0.5, alpha=0.5)
    says = [f"{q.name} {answer.says}" for q in tree.questions for answer in q.answers]
    axes[0, 0].set_yticks(places, says, fontsize=7)
    axes[0, 0].set_ylim(places[-1] - 0.7, 0.7)
    return figure


def ranks_figure(tree: Tree, calibration: FractionCalibration) -> Figure:
    """Return each question's histogram of vote ranks: flat where predictions mean what they say."""
    count = len(tree.questions)
    columns = min(4, count)
    rows = -(-count // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.7 * columns, 1.9 * rows + 0.6), layout="constrained",
        sharex=True, squeeze=False,
    )  # fmt: skip
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
        axes.set_title(f"{question.name} {question.asks}", fontsize=8, fontweight="normal")
        axes.set_ylim(0, None)
        axes.tick_params(labelsize=7)
    grid[0, 0].legend(frameon=False, fontsize=7)
    figure.supxlabel("probability integral transform of the votes", fontsize=9)
    figure.supylabel("density", fontsize=9)
    return figure
