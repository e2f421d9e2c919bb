"""Figures of attribution maps: images, each beside itself under its map."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from scipy.ndimage import gaussian_filter

from galaxymorph.base import safe_file_name
from galaxymorph.judge import ATTRIBUTION_METHODS, ExplainedModel
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    title_sheet,
    verdict_colour,
)
from galaxymorph.report.figures.style import HEAT, styled, write_figure

PAIRS = 3
# Galaxies in a gallery of one class.
MOST = 6
# Maps are drawn smoothed by a Gaussian of this fraction of the frame's side, so that they are
# legible.
SMOOTHING = 1 / 48


def draw_maps(
    folder: Path, model: ExplainedModel, method: str, rows: np.ndarray, maps: np.ndarray
) -> Iterator[Path]:
    """Draw galleries of the right and the wrong predictions of each class; yield the files.

    Args:
        folder: of the pictures.
        model: whose galaxies they are.
        method: of `ATTRIBUTION_METHODS`.
        rows: which galaxies have maps.
        maps: shape (n, size, size).
    """
    table = model.table.iloc[rows].reset_index(drop=True)
    for label in model.answers:
        for right, words in ((True, "right"), (False, "wrong")):
            chosen = table[(table["label"] == label) & (table["right"] == right)]
            chosen = chosen.sort_values("confidence", ascending=False, kind="stable")
            if chosen.empty:
                continue
            at = _spread(chosen.index.to_numpy()) if right else chosen.index.to_numpy()[:MOST]
            title = (
                f"{ATTRIBUTION_METHODS[method].label}: {model.words[label]}, {words} predictions "
                f"({len(at)} of {len(chosen):,})"
            )
            path = folder / f"{safe_file_name(label)}_{words}.png"
            yield draw_overlays(path, model, rows[at], maps[at], title)


def _spread(positions: np.ndarray) -> np.ndarray:
    """Return up to `MOST` positions, evenly from the most confident to the least."""
    return positions[
        np.linspace(0, len(positions) - 1, min(MOST, len(positions))).round().astype(int)
    ]


@styled
def draw_overlays(
    path: Path, model: ExplainedModel, rows: np.ndarray, maps: np.ndarray, title: str
) -> Path:
    """Draw images, each beside itself under its map, brightest where the attribution is."""
    figure, places = contact_sheet(2 * len(rows), 2 * PAIRS, 2, 0.5)
    galaxies = model.table.iloc[rows].to_dict("records")
    for at, (row, galaxy, attribution) in enumerate(zip(rows, galaxies, maps, strict=True)):
        left, right = places[2 * at : 2 * at + 2]
        image = model.pixels([row])[0].permute(1, 2, 0).numpy()
        left.imshow(image)
        overlay(right, image, attribution)
        answer = f"{model.words[galaxy['answer']]} {galaxy['confidence']:.0%}"
        label_image(left, [str(galaxy["galaxy"]), answer], verdict_colour(galaxy["right"]))
    height = figure.get_figheight()
    bar = figure.add_axes((0.3, 0.36 / height, 0.4, 0.08 / height))
    label = "attribution to the predicted class, relative to the map's maximum"
    colours = ScalarMappable(Normalize(0, 1), HEAT)
    figure.colorbar(colours, cax=bar, orientation="horizontal", label=label)
    title_sheet(figure, title)
    caption = f"{title}. Each galaxy beside its map; confidences are of one view, uncalibrated."
    return write_figure(path, figure, caption)


def overlay(axes: Axes, image: np.ndarray, attribution: np.ndarray) -> None:
    """Draw a smoothed map over a grey image; its brightest is its 99.5th percentile."""
    axes.imshow(image.mean(axis=2), cmap="gray", vmin=0, vmax=1)
    smooth = gaussian_filter(attribution, SMOOTHING * len(attribution))
    top = np.quantile(smooth, 0.995)
    if top <= 0:
        axes.text(0.5, 0.04, "none", ha="center", color="white", transform=axes.transAxes)
        return
    share = np.clip(smooth / top, 0, 1)
    axes.imshow(share, cmap=HEAT, vmin=0, vmax=1, alpha=0.8 * share**0.6)
