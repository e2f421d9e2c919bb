"""Figures that judge maps: deletion and insertion, random weights, true masks, changed answers."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from galaxymorph.judge import METHODS, UNLIKE, Curves
from galaxymorph.report.figures import BLUE, GREEN, GREY, ORANGE, RED, STYLE, write_figure

METHOD_COLOURS = dict(zip(METHODS, (BLUE, ORANGE, GREEN), strict=True))
ORDER_COLOURS = METHOD_COLOURS | {"centre first": RED, "random": GREY}
FEATURE_COLOURS = {
    "arms": BLUE, "bar": ORANGE, "bulge": RED, "ring": GREEN, "companion": "#CC79A7",
}  # fmt: skip


def draw_curves(path: Path, found: Curves, table: list[dict]) -> Path:
    """Draw deletion and insertion curves, a line an order, with bands of 95 % of the mean."""
    area = {(row["curve"], row["order"]): row["area"]["value"] for row in table}
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            1, 2, figsize=(10, 4.2), layout="constrained", sharex=True, sharey=True
        )
        kinds = (
            ("deletion", found.deletion, "lower is better"),
            ("insertion", found.insertion, "higher is better"),
        )
        for axes, (kind, orders, better) in zip(grid, kinds, strict=True):
            for order, each in orders.items():
                mean, colour = each.mean(axis=0), ORDER_COLOURS[order]
                half = 1.96 * each.std(axis=0) / np.sqrt(len(each))
                words = METHODS[order].title if order in METHODS else order
                axes.plot(
                    found.shares, mean, color=colour, ls="-" if order in METHODS else "--",
                    label=f"{words}: {area[kind, order]:.2f}",
                )  # fmt: skip
                low, high = mean - half, mean + half
                axes.fill_between(found.shares, low, high, lw=0, alpha=0.15, color=colour)
            axes.set_title(f"{kind.capitalize()}, areas ({better})")
            axes.legend(frameon=False, fontsize=8)
            axes.set(ylim=(0, 1), xlim=(0, 1))
        grid[0].set(ylabel="probability of the answer", xlabel="share of the frame replaced by sky")
        grid[1].set_xlabel("share of the frame shown")
        return write_figure(figure, path)


def draw_randomisation(path: Path, table: list[dict]) -> Path:
    """Draw what is left of the maps as weights become random, a line a method."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 3.6), layout="constrained")
        for method in methods:
            floor, *rows = (row for row in table if row["method"] == method)
            scores = [row["correlation"] for row in rows]
            values = np.array([[s["low"], s["value"], s["high"]] for s in scores])
            colour = METHOD_COLOURS[method]
            axes.errorbar(
                np.arange(1, len(rows) + 1), values[:, 1],
                yerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T, color=colour, marker="o",
                capsize=2, label=METHODS[method].title,
            )  # fmt: skip
            axes.plot([0, 1], [1, values[0, 1]], color=colour)
            axes.axhline(floor["correlation"]["value"], color=colour, ls=":", lw=1)
        names = ["trained", *(row["random"] for row in rows)]
        axes.axhline(UNLIKE, color=GREY, lw=0.8)
        axes.set_xticks(range(len(names)), names, rotation=25, ha="right")
        axes.set(
            ylabel="rank correlation", ylim=(min(-0.3, axes.get_ylim()[0]), 1.02),
            title="What is left of the maps as weights become random",
        )  # fmt: skip
        axes.annotate(
            "dotted: another galaxy's map; over the grey line: hardly depends on what was learnt",
            (0, 0.01), xycoords="axes fraction", fontsize=7.5, color=GREY, va="bottom",
        )  # fmt: skip
        axes.legend(frameon=False, fontsize=8)
        return write_figure(figure, path)


def draw_looked_at(path: Path, table: list[dict], words: dict[str, str]) -> Path:
    """Draw how many times chance the evidence falls on each feature; hollow: where light is."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    names = list(dict.fromkeys((row["answer"], row["feature"]) for row in table))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            1, len(methods), figsize=(2.2 + 2.9 * len(methods), 1.3 + 0.3 * len(names)),
            layout="constrained", sharey=True, squeeze=False,
        )  # fmt: skip
        for axes, method in zip(grid[0], methods, strict=True):
            for row in (row for row in table if row["method"] == method):
                at, score = names.index((row["answer"], row["feature"])), row["times chance"]
                colour = FEATURE_COLOURS[row["feature"]]
                axes.plot([score["low"], score["high"]], [at, at], color=colour)
                axes.plot(score["value"], at, "o", color=colour, ms=5)
                axes.plot(row["light"]["value"], at, "o", mfc="none", mec=GREY, ms=6)
            axes.axvline(1, color=GREY, lw=0.8)
            axes.set_xscale("log")
            axes.set(title=METHODS[method].title, xlabel="times chance")
            axes.set_xticks([0.5, 1, 2, 5, 10, 20], ["0.5", "1", "2", "5", "10", "20"])
            axes.set_xlim(min(0.4, axes.get_xlim()[0]), max(12, axes.get_xlim()[1]))
            axes.grid(axis="x", alpha=0.3)
        labels = [f"{words[answer]}: {feature}" for answer, feature in names]
        grid[0, 0].set_yticks(range(len(names)), labels, fontsize=8)
        grid[0, 0].invert_yaxis()
        figure.suptitle(
            "Evidence on true features, over their area\n(hollow: the galaxy's light)",
            x=0.01, ha="left", fontweight="bold", fontsize=10,
        )  # fmt: skip
        return write_figure(figure, path)


def draw_effects(
    path: Path, table: list[dict], name: str, title: str, most: float | None = None
) -> Path:
    """Draw the share of answers that change and the mean total variation, a row a change.

    Args:
        path: of the picture.
        table: rows with `changed` and `distance`, see `judge.shortcuts.effect`.
        name: of the column that says what was changed.
        title: stands above.
        most: the share with which a check still passes.
    """
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(8, 1.3 + 0.42 * len(table)), layout="constrained")
        for column, words, colour, offset in (
            ("changed", "answers that change (share)", BLUE, -0.12),
            ("distance", "mean total variation", ORANGE, 0.12),
        ):
            values = np.array([[row[column][k] for k in ("low", "value", "high")] for row in table])
            axes.errorbar(
                values[:, 1], np.arange(len(table)) + offset,
                xerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T, fmt="o", color=colour,
                capsize=2, markersize=5, label=words,
            )  # fmt: skip
        if most is not None:
            axes.axvline(most, color=GREY, lw=0.8)
            label = f"passes up to {most:.0%}"
            axes.annotate(
                label, (most, 1), xycoords=("data", "axes fraction"), fontsize=8, color=GREY,
                xytext=(3, -1), textcoords="offset points", va="top",
            )  # fmt: skip
        names = [f"{row[name]} ({row['galaxies']:,})" for row in table]
        axes.set_yticks(range(len(table)), names, fontsize=9)
        axes.set_ylim(len(table) - 0.5, -0.8)
        axes.set_xlim(0, max(axes.get_xlim()[1], 2.5 * (most or 0.02)))
        axes.grid(axis="x", alpha=0.3)
        axes.set(title=f"{title}, 95 % intervals")
        axes.legend(
            frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.4, -0.09), ncols=2
        )
        return write_figure(figure, path)
