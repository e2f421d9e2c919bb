"""Figures of what a network looks at: images beside overlays, curves, probes and maps."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from galaxymorph.judge import METHODS, Subject
from galaxymorph.report.figures import GREEN, RED, STYLE, write_figure

PAIRS = 4
# Galaxies in a gallery of one class.
MOST = 8
HEAT = "inferno"


def draw_maps(
    folder: Path, subject: Subject, method: str, rows: np.ndarray, maps: np.ndarray
) -> Iterator[Path]:
    """Draw a gallery for the right and one for the wrong answers of each class; yield the files.

    Args:
        folder: of the pictures.
        subject: whose galaxies they are.
        method: of `METHODS`.
        rows: which galaxies have maps.
        maps: shape (n, size, size).
    """
    table = subject.table.iloc[rows].reset_index(drop=True)
    for label in subject.answers:
        for right, words in ((True, "right"), (False, "wrong")):
            chosen = table[(table["label"] == label) & (table["right"] == right)]
            chosen = chosen.sort_values("confidence", ascending=False, kind="stable")
            if chosen.empty:
                continue
            at = _spread(chosen.index.to_numpy()) if right else chosen.index.to_numpy()[:MOST]
            title = (
                f"{METHODS[method].title}: {subject.words[label]}, answered {words} "
                f"({len(at)} of {len(chosen):,})"
            )
            path = folder / f"{label}_{words}.png"
            yield draw_overlays(path, subject, rows[at], maps[at], title)


def _spread(positions: np.ndarray) -> np.ndarray:
    """Return up to `MOST` positions, evenly from the most confident to the least."""
    return positions[
        np.linspace(0, len(positions) - 1, min(MOST, len(positions))).round().astype(int)
    ]


def draw_overlays(
    path: Path, subject: Subject, rows: np.ndarray, maps: np.ndarray, title: str
) -> Path:
    """Draw images, each beside itself under its map, brightest where the evidence is."""
    lines = -(-len(rows) // PAIRS)
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            lines, 2 * PAIRS, figsize=(PAIRS * 3.3, lines * 2.0 + 0.45),
            layout="constrained", squeeze=False,
        )  # fmt: skip
        for axes in grid.flat:
            axes.set_axis_off()
        for at, (row, found) in enumerate(zip(rows, maps, strict=True)):
            left, right = grid[at // PAIRS, 2 * (at % PAIRS) : 2 * (at % PAIRS) + 2]
            image = subject.pixels([row])[0].permute(1, 2, 0).numpy()
            left.imshow(image)
            overlay(right, image, found)
            galaxy = subject.table.iloc[row]
            left.set_title(
                f"{galaxy['galaxy']}\n{subject.words[galaxy['answer']]} {galaxy['confidence']:.0%}",
                fontsize=7.5, fontweight="normal", loc="left",
                color=GREEN if galaxy["right"] else RED,
            )  # fmt: skip
        figure.suptitle(title, x=0.01, ha="left", fontweight="bold")
        return write_figure(figure, path)


def overlay(axes, image: np.ndarray, found: np.ndarray) -> None:
    """Draw a map over a grey image; its brightest is its 99.5th percentile."""
    axes.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    top = np.quantile(found, 0.995)
    if top <= 0:
        axes.text(
            0.5, 0.04, "no evidence", ha="center", color="white", fontsize=7,
            transform=axes.transAxes,
        )  # fmt: skip
        return
    share = np.clip(found / top, 0, 1)
    axes.imshow(share, cmap=HEAT, vmin=0, vmax=1, alpha=0.75 * share**0.7)
