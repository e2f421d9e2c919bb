"""Figures of what a network knows: probes by stage, Gini and M20, the map of its embedding."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from galaxymorph.judge import Subject, lotz_early_line, lotz_merger_line
from galaxymorph.report.figures import BLUE, GREEN, GREY, ORANGE, RED, STYLE, write_figure

COLOURS = (BLUE, ORANGE, GREEN, RED, "#CC79A7", "#56B4E9", "#F0E442", "black")
COLUMNS = 4
# The side of the map of thumbnails, in thumbnails, is at most this.
ACROSS = 20


def draw_probes(path: Path, table: list[dict]) -> Path:
    """Draw R² by stage, a panel a concept, with the probe of the pixels as a dotted line."""
    concepts = list(dict.fromkeys(row["concept"] for row in table))
    columns = min(COLUMNS, len(concepts))
    lines = -(-len(concepts) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            lines, columns, figsize=(2.7 * columns + 0.4, 2.5 * lines + 0.4),
            layout="constrained", sharey=True, squeeze=False,
        )  # fmt: skip
        for axes in grid.flat[len(concepts) :]:
            axes.set_axis_off()
        for axes, concept in zip(grid.flat, concepts, strict=False):
            pixels, *rows = (row for row in table if row["concept"] == concept)
            values = np.array([[row["r2"][k] for k in ("low", "value", "high")] for row in rows])
            stages = np.arange(1, len(rows) + 1)
            axes.errorbar(
                stages, values[:, 1], yerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T,
                color=BLUE, marker="o", ms=4, capsize=2,
            )  # fmt: skip
            axes.axhline(pixels["r2"]["value"], color=ORANGE, ls=":")
            axes.axhline(0, color=GREY, lw=0.6)
            axes.set_title(f"{concept} ({rows[0]['galaxies']:,})", fontsize=9)
            axes.set_xticks(stages)
            axes.set_ylim(-0.25, 1)
        for axes in grid[:, 0]:
            axes.set_ylabel("R², cross-validated")
        figure.supxlabel("stage of the trunk (dotted: from the pixels alone)", fontsize=9)
        return write_figure(figure, path)


def draw_gini_m20(path: Path, subject: Subject, table: pd.DataFrame) -> Path:
    """Draw Gini against M20, coloured by the network's answer, with the lines of Lotz et al."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(7, 5), layout="constrained")
        for answer, colour in zip(subject.answers, COLOURS, strict=False):
            rows = table[table["answer"] == answer]
            if rows.empty:
                continue
            label = f"{subject.words[answer]} ({len(rows):,})"
            axes.scatter(
                rows["m20"], rows["gini"], s=14, color=colour, lw=0, alpha=0.8, label=label
            )
        left, right = table["m20"].max() + 0.1, table["m20"].min() - 0.1
        m20 = np.linspace(right, left, 50)
        axes.plot(m20, lotz_merger_line(m20), color=GREY, lw=1.2)
        below = m20[lotz_early_line(m20) < lotz_merger_line(m20)]
        axes.plot(below, lotz_early_line(below), color=GREY, lw=1.2, ls="--")
        low, high = table["gini"].min() - 0.03, table["gini"].max() + 0.04
        # As in the literature, M20 rises to the left.
        axes.set(xlim=(left, right), ylim=(low, high), xlabel="M20", ylabel="Gini")
        axes.set_title("Measured on the 8-bit pictures, coloured by the model's answer")
        for words, x, y in (
            ("mergers", 0.03, 0.97), ("E, S0, Sa", 0.86, 0.97), ("Sb to Irr", 0.6, 0.03),
        ):  # fmt: skip
            axes.text(
                x, y, words, transform=axes.transAxes, color=GREY, fontsize=8, style="italic",
                va="top" if y > 0.5 else "bottom",
            )  # fmt: skip
        axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
        return write_figure(figure, path)


def draw_map(
    path: Path, subject: Subject, rows: np.ndarray, where: np.ndarray, shares: np.ndarray
) -> Path:
    """Draw galaxies where they are in the plane, at most one a cell, framed by their answer.

    Args:
        path: of the picture.
        subject: whose galaxies.
        rows: which of them.
        where: shape (n, 2).
        shares: of the variance that the two axes hold.
    """
    # By rank, so that crowded places get room; the order along both axes is kept.
    ranks = where.argsort(axis=0).argsort(axis=0) / max(len(where) - 1, 1)
    across = int(np.clip(np.sqrt(2 * len(where)), 3, ACROSS))
    cells = np.minimum((ranks * across).astype(int), across - 1)
    colours = dict(zip(subject.answers, COLOURS, strict=False))
    with plt.rc_context(STYLE):
        figure, (axes, right) = plt.subplots(
            1, 2, figsize=(13, 9), layout="constrained", width_ratios=(9, 3.4)
        )
        taken = set()
        for at, cell in enumerate(map(tuple, cells)):
            if cell in taken:
                continue
            taken.add(cell)
            image = subject.pixels([rows[at]])[0].permute(1, 2, 0).numpy()
            colour = colours.get(subject.table["answer"].iloc[rows[at]], GREY)
            x, y = cell
            axes.imshow(image, extent=(x + 0.06, x + 0.94, y + 0.06, y + 0.94))
            axes.add_patch(
                plt.Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, color=colour, lw=1.5)
            )
        axes.set(xlim=(0, across), ylim=(0, across), aspect="equal", xticks=[], yticks=[])
        axes.set_xlabel(f"rank along component 1 ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"rank along component 2 ({shares[1]:.0%})")
        axes.set_title(f"What the network makes of {len(rows):,} galaxies")
        answers = subject.table["answer"].iloc[rows].to_numpy()
        for answer in subject.answers:
            of = answers == answer
            label = f"{subject.words[answer]} ({of.sum():,})"
            right.scatter(*where[of].T, s=8, color=colours.get(answer, GREY), lw=0, label=label)
        right.set_box_aspect(1)
        right.set(xticks=[], yticks=[], xlabel="component 1", ylabel="component 2")
        right.set_title("Unranked", fontsize=9)
        right.legend(
            frameon=False, fontsize=9, loc="upper center", bbox_to_anchor=(0.5, -0.12),
            markerscale=2,
        )  # fmt: skip
        return write_figure(figure, path)


def draw_row(
    path: Path, subject: Subject, rows: np.ndarray, notes: list[str], title: str, columns: int = 6
) -> Path:
    """Draw galaxies in rows, with what volunteers and the network say, and a note each."""
    lines = -(-len(rows) // columns)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            lines, columns, figsize=(2.0 * columns, 2.6 * lines + 0.5), layout="constrained",
            squeeze=False,
        )  # fmt: skip
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, row, note in zip(grid.flat, rows, notes, strict=False):
            galaxy = subject.table.iloc[row]
            axes.imshow(subject.pixels([row])[0].permute(1, 2, 0).numpy())
            says = f"volunteers: {subject.words[galaxy['label']]}"
            answer = f"model: {subject.words[galaxy['answer']]} {galaxy['confidence']:.0%}"
            axes.set_title(
                f"{galaxy['galaxy']}  {note}\n{says}\n{answer}", fontsize=7.5, loc="left",
                fontweight="normal", color=GREEN if galaxy["right"] else RED,
            )  # fmt: skip
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        return write_figure(figure, path)
