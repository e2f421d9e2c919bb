"""Figures that judge maps: deletion and insertion, random weights, true masks, changed answers."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from galaxymorph.judge import ATTRIBUTION_METHODS, UNLIKE, Curves
from galaxymorph.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    PURPLE,
    RED,
    STYLE,
    intervals,
    legend_below,
    write_figure,
)

COLOURS = (BLUE, ORANGE, GREEN, PURPLE)
CONTROL_COLOURS = {"centre first": RED, "random": GREY}
FEATURE_COLOURS = {
    "arms": BLUE, "bar": ORANGE, "bulge": RED, "ring": GREEN, "companion": PURPLE,
}  # fmt: skip


def _colour(order: str) -> str:
    """Return the colour of a method's lines, or of a control's."""
    if order in CONTROL_COLOURS:
        return CONTROL_COLOURS[order]
    return COLOURS[list(ATTRIBUTION_METHODS).index(order) % len(COLOURS)]


def draw_curves(path: Path, found: Curves, table: list[dict]) -> Path:
    """Draw deletion and insertion curves, a line an order, with bands of 95 % of the mean."""
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(1, 2, figsize=(PAGE, 3.1), sharex=True, sharey=True)
        kinds = (
            ("deletion", found.deletion, "lower is better"),
            ("insertion", found.insertion, "higher is better"),
        )
        for axes, (kind, orders, better) in zip(grid, kinds, strict=True):
            for order, each in orders.items():
                mean, colour = each.mean(axis=0), _colour(order)
                half = 1.96 * each.std(axis=0) / np.sqrt(len(each))
                words = ATTRIBUTION_METHODS[order].label if order in ATTRIBUTION_METHODS else order
                style = "-" if order in ATTRIBUTION_METHODS else "--"
                axes.plot(found.shares, mean, color=colour, ls=style, label=words)
                low, high = mean - half, mean + half
                axes.fill_between(found.shares, low, high, lw=0, alpha=0.15, color=colour)
            axes.set(title=f"{kind.capitalize()} ({better})", ylim=(0, 1.02), xlim=(0, 1))
        grid[0].set(ylabel="probability of the answer", xlabel="share of the frame replaced by sky")
        grid[1].set_xlabel("share of the frame shown")
        legend_below(figure, 5)
        caption = (
            f"The answer's probability as cells of the frame are replaced by sky (left) or shown "
            f"(right) in each map's order, {table[0]['galaxies']:,} galaxies, bands of 95 %. A map "
            "is worth believing where it does better than cells from the centre outward (dashed)."
        )
        return write_figure(figure, path, caption)


def draw_randomisation(path: Path, table: list[dict]) -> Path:
    """Draw what is left of the maps as weights become random, a line a method."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(PAGE, 3.0))
        for method in methods:
            floor, *rows = (row for row in table if row["method"] == method)
            scores = [row["correlation"] for row in rows]
            values = np.array([[s["low"], s["value"], s["high"]] for s in scores])
            colour = _colour(method)
            axes.errorbar(
                np.arange(1, len(rows) + 1), values[:, 1],
                yerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T, color=colour, marker="o",
                capsize=1.5, label=ATTRIBUTION_METHODS[method].label,
            )  # fmt: skip
            axes.plot([0, 1], [1, values[0, 1]], color=colour)
            axes.axhline(
                floor["correlation"]["value"], color=colour, ls=":", lw=1,
                label=f"{ATTRIBUTION_METHODS[method].label}, another galaxy's map",
            )  # fmt: skip
        names = ["trained", *(row["random"] for row in rows)]
        axes.axhline(UNLIKE, color=GREY, lw=0.8, label=f"{UNLIKE:g}: the most that passes")
        axes.set_xticks(range(len(names)), names, rotation=25, ha="right")
        axes.set(ylabel="rank correlation", ylim=(min(-0.3, axes.get_ylim()[0]), 1.02))
        legend_below(figure)
        caption = (
            "Rank correlation of maps with the trained network's as weights become random from the "
            "head down. Maps that stay above the grey line tell of the picture rather than of what "
            "was trained; dotted: the correlation with another galaxy's map."
        )
        return write_figure(figure, path, caption)


def draw_looked_at(path: Path, table: list[dict], words: dict[str, str]) -> Path:
    """Draw how many times chance the evidence falls on each feature; hollow: where light is."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    names = list(dict.fromkeys((row["answer"], row["feature"]) for row in table))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            1, len(methods), figsize=(PAGE, 0.9 + 0.2 * len(names)), sharey=True, squeeze=False
        )
        for axes, method in zip(grid[0], methods, strict=True):
            for row in (row for row in table if row["method"] == method):
                at, score = names.index((row["answer"], row["feature"])), row["times chance"]
                colour = FEATURE_COLOURS[row["feature"]]
                axes.plot([score["low"], score["high"]], [at, at], color=colour)
                axes.plot(score["value"], at, "o", color=colour)
                axes.plot(row["light"]["value"], at, "o", mfc="none", mec=GREY, ms=5)
            axes.axvline(1, color=GREY, lw=0.8)
            axes.set_xscale("log")
            axes.set(title=ATTRIBUTION_METHODS[method].label, xlabel="times chance")
            axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
            axes.set_xlim(min(0.4, axes.get_xlim()[0]), max(12, axes.get_xlim()[1]))
            axes.grid(axis="x")
        labels = [f"{words[answer]}: {feature}" for answer, feature in names]
        grid[0, 0].set_yticks(range(len(names)), labels)
        grid[0, 0].invert_yaxis()
        caption = (
            "Share of the attribution on true features over the feature's share of the frame: 1 is "
            "chance. Hollow circles: the same of the galaxy's light."
        )
        return write_figure(figure, path, caption)


def draw_effects(
    path: Path, table: list[dict], name: str, caption: str, most: float | None = None
) -> Path:
    """Draw the share of answers that change and the mean total variation, a row a change.

    Args:
        path: of the picture.
        table: rows with `changed` and `distance`, see `judge.shortcuts.effect`.
        name: of the column that says what was changed.
        caption: begins the figure's.
        most: the share with which a check still passes.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(0.75 * PAGE, 1.0 + 0.27 * len(table)))
        for column, words, colour, marker, shift in (
            ("changed", "share of answers that change", BLUE, "o", -0.12),
            ("distance", "mean total variation of probabilities", ORANGE, "s", 0.12),
        ):
            scores = [row[column] for row in table]
            intervals(axes, scores, colour, shift, fmt=marker, label=words)
        if most is not None:
            axes.axvline(most, color=GREY, lw=0.8, label=f"a check passes up to {most:.0%}")
        names = [f"{row[name]} ({row['galaxies']:,})" for row in table]
        axes.set_yticks(range(len(table)), names)
        axes.set_ylim(len(table) - 0.5, -0.5)
        axes.set_xlim(0, max(axes.get_xlim()[1], 2.5 * (most or 0.02)))
        axes.grid(axis="x")
        legend_below(figure, 2)
        rest = "share of answers that change and mean change of the probabilities"
        return write_figure(
            figure, path, f"{caption}: {rest}, 95 % intervals, galaxies in brackets."
        )
