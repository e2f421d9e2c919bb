"""Figures of attribution maps and their tests, and of the effects of changed images."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from scipy.ndimage import gaussian_filter

from galaxymorph.base import safe_file_name
from galaxymorph.judge import ATTRIBUTION_METHODS, MOST_CORRELATION, Curves, ExplainedModel
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    title_sheet,
    verdict_colour,
)
from galaxymorph.report.figures.panels import draw_intervals, legend_below, name_rows, panels
from galaxymorph.report.figures.style import (
    BLUE,
    GREEN,
    GREY,
    HEAT,
    ORANGE,
    PAGE,
    PURPLE,
    RED,
    SERIES,
    styled,
    write_figure,
)

Rows = Sequence[Mapping[str, Any]]
PAIRS = 3
# Galaxies in a gallery of one class.
MOST = 6
# Maps are drawn smoothed by a Gaussian of this fraction of the frame's side, so that they are
# legible.
SMOOTHING = 1 / 48
FEATURE_COLOURS = {"arms": BLUE, "bar": ORANGE, "bulge": RED, "ring": GREEN, "companion": PURPLE}


def _order_colour(order: str) -> str:
    """Return the colour of an attribution method, or of another order of a frame's cells."""
    others = {"centre first": RED, "random": GREY}
    return others.get(order) or SERIES[list(ATTRIBUTION_METHODS).index(order) % len(SERIES)]


@styled
def draw_curves(path: Path, curves: Curves, galaxies: int) -> Path:
    """Draw deletion and insertion curves, a line an order, with bands of 95 % of the mean."""
    figure, grid = panels(2, 2, 2.7, sharex=True, sharey=True)
    kinds = (
        ("Deletion (lower is better)", curves.deletion),
        ("Insertion (higher is better)", curves.insertion),
    )
    for axes, (title, orders) in zip(grid, kinds, strict=True):
        for order, values in orders.items():
            mean, colour = values.mean(axis=0), _order_colour(order)
            half = 1.96 * values.std(axis=0) / np.sqrt(len(values))
            words, style = (
                (ATTRIBUTION_METHODS[order].label, "-")
                if order in ATTRIBUTION_METHODS
                else (order, "--")
            )
            axes.plot(curves.shares, mean, color=colour, ls=style, label=words)
            band: dict[str, Any] = {"lw": 0, "alpha": 0.15, "color": colour}
            axes.fill_between(curves.shares, mean - half, mean + half, **band)
        axes.set(title=title, ylim=(0, 1.02), xlim=(0, 1))
    grid[0].set(
        ylabel="probability of the predicted class", xlabel="fraction of the frame replaced by sky"
    )
    grid[1].set_xlabel("fraction of the frame shown")
    legend_below(figure, 5)
    caption = (
        "Probability of the predicted class as cells of the frame are replaced by sky (left) or "
        f"revealed (right) in the order of each map, {galaxies:,} galaxies, with 95 % "
        "bands. A map is informative if it does better than cells from the centre outward "
        "(dashed)."
    )
    return write_figure(path, figure, caption)


@styled
def draw_randomisation(path: Path, table: Rows) -> Path:
    """Draw the rank correlation of maps as weights become random, a line a method."""
    figure = Figure(figsize=(PAGE, 3.0))
    axes = figure.subplots()
    names: list[str] = []
    for method in dict.fromkeys(row["method"] for row in table):
        floor, *rows = (row for row in table if row["method"] == method)
        names = ["trained", *(row["random"] for row in rows)]
        scores = [row["correlation"] for row in rows]
        title, colour, at = (
            ATTRIBUTION_METHODS[method].label,
            _order_colour(method),
            range(1, len(names)),
        )
        draw_intervals(axes, scores, colour, at=at, fmt="o-", label=title)
        axes.plot([0, 1], [1, scores[0]["value"]], color=colour)
        label = f"{title}, another galaxy's map"
        axes.axhline(floor["correlation"]["value"], color=colour, ls=":", lw=1, label=label)
    axes.axhline(
        MOST_CORRELATION,
        color=GREY,
        lw=0.8,
        label=f"{MOST_CORRELATION:g}: largest value that passes",
    )
    axes.set_xticks(range(len(names)), names, rotation=25, ha="right")
    axes.set(xlabel="parts of the network with random weights", ylabel="rank correlation")
    axes.set_ylim(min(-0.3, axes.get_ylim()[0]), 1.02)
    legend_below(figure)
    caption = (
        "Rank correlation with the maps of the trained network as weights are randomised from the "
        "head downward. Maps that stay above the grey line reflect the image rather than the "
        "trained weights. Dotted: the correlation with the map of another galaxy."
    )
    return write_figure(path, figure, caption)


@styled
def draw_feature_attribution(path: Path, table: Rows, words: dict[str, str]) -> Path:
    """Draw the attribution on each feature relative to chance; hollow: the galaxy's light."""
    methods = list(dict.fromkeys(row["method"] for row in table))
    names = list(dict.fromkeys((row["answer"], row["feature"]) for row in table))
    height = 0.2 * len(names)
    figure, grid = panels(len(methods), len(methods), height, margin=0.9, sharey=True)
    for axes, method in zip(grid, methods, strict=True):
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
        name_rows(axes, [f"{words[answer]}: {feature}" for answer, feature in names])
    caption = (
        "Fraction of the attribution on true features, divided by the fraction of the frame that "
        "the feature covers; 1 is chance. Hollow circles: the same for the galaxy's light."
    )
    return write_figure(path, figure, caption)


@styled
def draw_effects(
    path: Path, table: Rows, name: str, caption: str, most: float | None = None
) -> Path:
    """Draw the fraction of predictions that change and the mean total variation, a row a change.

    Args:
        path: of the picture.
        table: rows with `changed` and `distance`, see `judge.explain.changes.Effect`.
        name: of the column that names the change.
        caption: the beginning of the figure's.
        most: the largest fraction with which a check passes.
    """
    figure = Figure(figsize=(0.75 * PAGE, 1.2 + 0.27 * len(table)))
    axes = figure.subplots()
    changed, distance = ([row[column] for row in table] for column in ("changed", "distance"))
    draw_intervals(axes, changed, BLUE, -0.12, label="fraction of predictions that change")
    means = "mean total variation distance of the probabilities"
    draw_intervals(axes, distance, ORANGE, 0.12, fmt="s", label=means)
    if most is not None:
        axes.axvline(most, color=GREY, lw=0.8, label=f"checks pass up to {most:.0%}")
    name_rows(axes, [f"{row[name]} ({row['galaxies']:,})" for row in table])
    axes.set_xlim(0, max(axes.get_xlim()[1], 2.5 * (most or 0.02)))
    axes.set_xlabel("fraction, and distance from 0 to 1, with 95 % intervals")
    legend_below(figure, 2)
    rest = f"fraction of predictions that change, and {means}, with 95 % intervals"
    return write_figure(path, figure, f"{caption}: {rest}. Galaxies in brackets.")


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
        image = model.picture(row)
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
    axes.imshow(image.mean(axis=2) / 255, cmap="gray", vmin=0, vmax=1)
    smooth = gaussian_filter(attribution, SMOOTHING * len(attribution))
    top = np.quantile(smooth, 0.995)
    if top <= 0:
        axes.text(0.5, 0.04, "none", ha="center", color="white", transform=axes.transAxes)
        return
    share = np.clip(smooth / top, 0, 1)
    axes.imshow(share, cmap=HEAT, vmin=0, vmax=1, alpha=0.8 * share**0.6)
