"""Figures of embeddings: probes by stage, Gini and M20, and a map of galaxies."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from galaxymorph.judge import ExplainedModel, Probe, lotz_early_line, lotz_merger_line
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    label_lines,
    prediction_words,
    title_sheet,
    verdict_colour,
)
from galaxymorph.report.figures.panels import draw_intervals, legend_below, panels, wrapped
from galaxymorph.report.figures.style import (
    BLUE,
    GREY,
    MARKERS,
    ORANGE,
    PAGE,
    SERIES,
    SMALL,
    styled,
    write_figure,
)

# Panels of probes in a row, and galaxies in a row.
COLUMNS, ROW = 4, 6
# The side of the map of thumbnails, in thumbnails, is at most this.
ACROSS = 20


@styled
def draw_probes(path: Path, table: list[Probe]) -> Path:
    """Draw R² by stage, a panel a concept, with the probe of the pixels as a dotted line."""
    concepts = list(dict.fromkeys(row["concept"] for row in table))
    figure, grid = panels(len(concepts), COLUMNS, 1.6, margin=0.3, sharey=True)
    for axes, concept in zip(grid, concepts, strict=True):
        pixels, *rows = (row for row in table if row["concept"] == concept)
        stages = range(1, len(rows) + 1)
        draw_intervals(axes, [row["r2"] for row in rows], BLUE, at=stages, fmt="o-")
        if pixels["r2"]["value"] is not None:
            axes.axhline(pixels["r2"]["value"], color=ORANGE, ls=":")
        axes.axhline(0, color=GREY, lw=0.6)
        axes.set_title(wrapped(f"{concept} ({rows[0]['galaxies']:,})", 26), fontweight="normal")
        axes.set_xticks(stages)
        axes.set_ylim(-0.25, 1)
    for axes in grid[::COLUMNS]:
        axes.set_ylabel("R²")
    figure.supxlabel("stage of the trunk", fontsize=8)
    caption = (
        "Linear prediction of each quantity from the features of each stage: cross-validated R² "
        "with 95 % intervals, number of galaxies in brackets. Dotted: from the pixels alone."
    )
    return write_figure(path, figure, caption)


@styled
def draw_gini_m20(path: Path, model: ExplainedModel, table: pd.DataFrame) -> Path:
    """Draw Gini against M20, coloured by the network's answer, with the lines of Lotz et al."""
    figure = Figure(figsize=(0.7 * PAGE, 3.8))
    axes = figure.subplots()
    for answer, look in _looks(model).items():
        rows = table[table["answer"] == answer]
        if len(rows):
            label = f"{model.words[answer]} ({len(rows):,})"
            axes.scatter(rows["m20"], rows["gini"], s=10, lw=0, alpha=0.8, label=label, **look)
    left, right = table["m20"].max() + 0.1, table["m20"].min() - 0.1
    m20 = np.linspace(right, left, 50)
    axes.plot(m20, lotz_merger_line(m20), color=GREY, lw=1, label="above: mergers")
    below = m20[lotz_early_line(m20) < lotz_merger_line(m20)]
    label = "right of the line: E, S0, Sa; left: Sb to Irr"
    axes.plot(below, lotz_early_line(below), color=GREY, lw=1, ls="--", label=label)
    low, high = table["gini"].min() - 0.03, table["gini"].max() + 0.04
    # As in the literature, M20 rises to the left.
    axes.set(xlim=(left, right), ylim=(low, high), xlabel="M20", ylabel="Gini")
    legend_below(figure, 2)
    caption = (
        f"Gini and M20 of {len(table):,} galaxies by predicted class, with the lines of Lotz et "
        "al. (2008). The values are measured on 8-bit images, whose stretch lowers Gini, so the "
        "lines are for orientation only."
    )
    return write_figure(path, figure, caption)


def _looks(model: ExplainedModel) -> dict[str, dict[str, Any]]:
    """Return colour and marker of each answer."""
    pairs = zip(SERIES, MARKERS, strict=True)
    looks: list[dict[str, Any]] = [{"color": colour, "marker": mark} for colour, mark in pairs]
    return dict(zip(model.answers, looks, strict=False))


@styled
def draw_map(
    path: Path, model: ExplainedModel, rows: np.ndarray, where: np.ndarray, shares: np.ndarray
) -> Path:
    """Draw galaxies by their place in the plane, at most one a cell, framed by predicted class.

    Args:
        path: of the picture.
        model: whose galaxies.
        rows: of the galaxies.
        where: coordinates, shape (n, 2).
        shares: of the variance, of both axes.
    """
    # By rank, which spreads crowded places.
    ranks = where.argsort(axis=0).argsort(axis=0) / max(len(where) - 1, 1)
    across = int(np.clip(np.sqrt(2 * len(where)), 3, ACROSS))
    cells = np.minimum((ranks * across).astype(int), across - 1)
    looks, other = _looks(model), {"color": GREY}
    answers = model.table["answer"].iloc[rows].to_numpy()
    figure = Figure(figsize=(PAGE, 5.2))
    axes, right = figure.subplots(1, 2, width_ratios=(9, 4))
    # The first galaxy of each cell.
    _, firsts = np.unique(cells, axis=0, return_index=True)
    for at in np.sort(firsts):
        x, y = cells[at]
        image = model.picture(rows[at])
        colour = looks.get(answers[at], other)["color"]
        axes.imshow(image, extent=(x + 0.06, x + 0.94, y + 0.06, y + 0.94))
        frame = Rectangle((x + 0.04, y + 0.04), 0.92, 0.92, fill=False, color=colour, lw=1)
        axes.add_patch(frame)
    axes.set(xlim=(0, across), ylim=(0, across), aspect="equal", xticks=[], yticks=[])
    axes.set(xlabel="rank along component 1", ylabel="rank along component 2")
    for answer in model.answers:
        of_class = answers == answer
        label = f"{model.words[answer]} ({of_class.sum():,})"
        right.scatter(*where[of_class].T, s=6, lw=0, label=label, **looks.get(answer, other))
    right.set_box_aspect(1)
    right.tick_params(labelsize=SMALL)
    right.set_xlabel(f"component 1 ({shares[0]:.0%} of the variance)")
    right.set_ylabel(f"component 2 ({shares[1]:.0%} of the variance)")
    legend_below(figure, 4)
    caption = (
        f"Embeddings (last stage) of {len(rows):,} galaxies along its first two principal "
        f"components: on the left {len(firsts):,} of them by rank, framed by predicted class, one "
        "for each place that several share; on the right all."
    )
    return write_figure(path, figure, caption)


@styled
def draw_row(
    path: Path, model: ExplainedModel, rows: np.ndarray, notes: list[str], title: str
) -> Path:
    """Draw galaxies in rows, each with label, prediction and a note."""
    truth = model.run.recipe.truth
    figure, places = contact_sheet(len(rows), ROW, 5)
    galaxies = model.table.iloc[rows].to_dict("records")
    for axes, row, galaxy, note in zip(places, rows, galaxies, notes, strict=False):
        axes.imshow(model.picture(row))
        right, answer = galaxy["right"], model.words[galaxy["answer"]]
        lines = [
            prediction_words(right, answer, galaxy["confidence"]),
            f"{truth}: {model.words[galaxy['label']]}",
            note,
        ]
        label_image(axes, label_lines(galaxy["galaxy"], lines, ROW), verdict_colour(right))
    title_sheet(figure, title)
    return write_figure(path, figure, f"{title}. Confidences are of one view, uncalibrated.")
