"""Figures of what a network knows: probes by stage, Gini and M20, the map of its embedding."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

from galaxymorph.judge import Subject, lotz_early_line, lotz_merger_line
from galaxymorph.report.figures.run_figures import (
    broken,
    contact_sheet,
    label_image,
    label_lines,
    title_sheet,
)
from galaxymorph.report.figures.style import (
    BLUE,
    GREY,
    ORANGE,
    PAGE,
    RIGHT,
    SERIES,
    STYLE,
    WRONG,
    legend_below,
    write_figure,
)

MARKERS = "osD^vPX*"
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
            lines, columns, figsize=(PAGE, 1.6 * lines + 0.3), sharey=True, squeeze=False
        )
        for axes in grid.flat[len(concepts) :]:
            axes.set_axis_off()
        for axes, concept in zip(grid.flat, concepts, strict=False):
            pixels, *rows = (row for row in table if row["concept"] == concept)
            values = np.array([[row["r2"][k] for k in ("low", "value", "high")] for row in rows])
            stages = np.arange(1, len(rows) + 1)
            axes.errorbar(
                stages, values[:, 1], yerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T,
                color=BLUE, marker="o", capsize=1.5,
            )  # fmt: skip
            axes.axhline(pixels["r2"]["value"], color=ORANGE, ls=":")
            axes.axhline(0, color=GREY, lw=0.6)
            axes.set_title(broken(f"{concept} ({rows[0]['galaxies']:,})", 26), fontweight="normal")
            axes.set_xticks(stages)
            axes.set_ylim(-0.25, 1)
        for axes in grid[:, 0]:
            axes.set_ylabel("R²")
        figure.supxlabel("stage of the trunk", fontsize=8)
        caption = (
            "How well each stage's features predict a quantity linearly: cross-validated R² with "
            "95 % intervals, galaxies in brackets. Dotted: from the pixels alone."
        )
        return write_figure(figure, path, caption)


def draw_gini_m20(path: Path, subject: Subject, table: pd.DataFrame) -> Path:
    """Draw Gini against M20, coloured by the network's answer, with the lines of Lotz et al."""
    with plt.rc_context(STYLE):
        figure, axes = plt.subplots(figsize=(0.7 * PAGE, 3.8))
        for answer, look in _looks(subject).items():
            rows = table[table["answer"] == answer]
            if len(rows):
                label = f"{subject.words[answer]} ({len(rows):,})"
                axes.scatter(rows["m20"], rows["gini"], s=10, lw=0, alpha=0.8, label=label, **look)
        left, right = table["m20"].max() + 0.1, table["m20"].min() - 0.1
        m20 = np.linspace(right, left, 50)
        axes.plot(m20, lotz_merger_line(m20), color=GREY, lw=1, label="above: mergers")
        below = m20[lotz_early_line(m20) < lotz_merger_line(m20)]
        axes.plot(
            below, lotz_early_line(below), color=GREY, lw=1, ls="--",
            label="right of it: E, S0, Sa; left: Sb to Irr",
        )  # fmt: skip
        low, high = table["gini"].min() - 0.03, table["gini"].max() + 0.04
        # As in the literature, M20 rises to the left.
        axes.set(xlim=(left, right), ylim=(low, high), xlabel="M20", ylabel="Gini")
        legend_below(figure, 2)
        caption = (
            f"Gini and M20 of {len(table):,} galaxies, by the model's answer, with the lines of "
            "Lotz et al. (2008). Measured on 8-bit pictures, whose stretch lowers Gini: the lines "
            "tell where the literature's are and no more."
        )
        return write_figure(figure, path, caption)


def _looks(subject: Subject) -> dict[str, dict[str, str]]:
    """Return colour and marker of each answer."""
    pairs = zip(SERIES, MARKERS, strict=True)
    looks = ({"color": colour, "marker": marker} for colour, marker in pairs)
    return dict(zip(subject.answers, looks, strict=False))


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
    looks = _looks(subject)
    answers = subject.table["answer"].iloc[rows].to_numpy()
    with plt.rc_context(STYLE):
        figure, (axes, right) = plt.subplots(1, 2, figsize=(PAGE, 5.2), width_ratios=(9, 4))
        taken = set()
        for at, (x, y) in enumerate(map(tuple, cells)):
            if (x, y) in taken:
                continue
            taken.add((x, y))
            image = subject.pixels([rows[at]])[0].permute(1, 2, 0).numpy()
            colour = looks.get(answers[at], {"color": GREY})["color"]
            axes.imshow(image, extent=(x + 0.06, x + 0.94, y + 0.06, y + 0.94))
            axes.add_patch(
                plt.Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, color=colour, lw=1)
            )
        axes.set(xlim=(0, across), ylim=(0, across), aspect="equal", xticks=[], yticks=[])
        axes.set_xlabel(f"rank along component 1 ({shares[0]:.0%} of the variance)")
        axes.set_ylabel(f"rank along component 2 ({shares[1]:.0%})")
        for answer in subject.answers:
            of = answers == answer
            label = f"{subject.words[answer]} ({of.sum():,})"
            right.scatter(
                *where[of].T, s=6, lw=0, label=label, **looks.get(answer, {"color": GREY})
            )
        right.set_box_aspect(1)
        right.set(xticks=[], yticks=[], xlabel="component 1", ylabel="component 2")
        legend_below(figure, 4)
        caption = (
            f"The last stage's embedding of {len(rows):,} galaxies along its first two principal "
            "components: left the galaxies by rank, framed by the model's answer, right as they "
            "are."
        )
        return write_figure(figure, path, caption)


def draw_row(
    path: Path, subject: Subject, rows: np.ndarray, notes: list[str], title: str, columns: int = 6
) -> Path:
    """Draw galaxies in rows, with label and prediction, and a note each."""
    truth = subject.run.recipe.truth
    with plt.rc_context(STYLE):
        figure, places = contact_sheet(len(rows), columns, 5)
        for axes, row, note in zip(places, rows, notes, strict=False):
            galaxy = subject.table.iloc[row]
            axes.imshow(subject.pixels([row])[0].permute(1, 2, 0).numpy())
            right = galaxy["right"]
            lines = [
                f"{'✓' if right else '✗'} {subject.words[galaxy['answer']]} "
                f"{galaxy['confidence']:.0%}",
                f"{truth}: {subject.words[galaxy['label']]}", note,
            ]  # fmt: skip
            label_image(
                axes, label_lines(galaxy["galaxy"], lines, columns), RIGHT if right else WRONG
            )
        title_sheet(figure, title)
        return write_figure(figure, path, f"{title}. Confidences are of one view, uncalibrated.")
