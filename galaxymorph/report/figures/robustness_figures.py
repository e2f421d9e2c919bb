"""Figures of a run's robustness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from galaxymorph.images import CORRUPTIONS, centre_frame, decode
from galaxymorph.judge import METRICS, Condition, seen_under
from galaxymorph.learn import Run, item_frame, target_of, with_images
from galaxymorph.report.figures.run_figures import (
    contact_sheet,
    label_image,
    label_lines,
    title_sheet,
)
from galaxymorph.report.figures.style import (
    BLUE,
    COLUMN,
    DIFFERENCES,
    GREY,
    ORANGE,
    PAGE,
    RIGHT,
    SMALL,
    STYLE,
    WRONG,
    intervals,
    save_figure,
)

# Pairs in the gallery of flips, in columns of so many.
FLIPS, COLUMNS = 15, 3


def draw_robustness(
    run: Run, scores: dict, table: pd.DataFrame, data: Path | None = None
) -> list[Path]:
    """Draw a heat map, the curves and the galaxies that flip into a run's `figures/`."""
    # What an earlier suite drew would stand beside scores that it isn't of.
    for old in run.figures.glob("robustness*.*"):
        old.unlink()
    with plt.rc_context(STYLE):
        if len(scores["severities"]) > 1:
            figures = {"robustness": heat_figure, "robustness_curves": curves_figure}
        else:
            figures = {"robustness": points_figure}
        drawn = [save_figure(run, name, *draw(scores)) for name, draw in figures.items()]
        if target_of(run.recipe).chooses and table["flipped"].any():
            drawn.append(save_figure(run, "robustness_flips", *flips_figure(run, table, data)))
    return drawn


def heat_figure(scores: dict) -> tuple[Figure, str]:
    """Return what each corruption and severity costs, the most harmful first."""
    severities = [str(severity) for severity in scores["severities"]]
    lost = {
        name: [found["severities"][each]["drop"]["value"] for each in severities]
        for name, found in scores["corruptions"].items()
    }
    names = sorted(lost, key=lambda name: -np.mean(lost[name]))
    # Plus 0, since there is a minus 0 too.
    values = np.array([lost[name] for name in names]).round(3) + 0.0
    figure, axes = plt.subplots(figsize=(COLUMN + 0.3, 1.1 + 0.24 * len(names)))
    most = max(float(np.abs(values).max()), 0.1)
    image = axes.imshow(
        values,
        cmap=DIFFERENCES,
        vmin=-most,
        vmax=most,
        aspect="auto",
        interpolation="nearest",
    )
    for row, column in np.ndindex(*values.shape):
        axes.text(
            column, row, f"{values[row, column]:+.3f}", ha="center", va="center", fontsize=SMALL,
            color="white" if abs(values[row, column]) > 0.6 * most else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(severities)), severities)
    axes.set_yticks(range(len(names)), [CORRUPTIONS[name].label for name in names])
    axes.spines[:].set_visible(False)
    headline = scores["headline"]
    words, clean = METRICS[headline].heading, scores["clean"][headline]["value"]
    axes.set(xlabel="severity", title=f"{words}, {clean:.3f} clean")
    figure.colorbar(image, ax=axes, shrink=0.5, label="lost (below 0: gained)")
    return figure, (
        f"What is lost of {words} by corruption and severity, the most harmful first: "
        f"{scores['galaxies']:,} test galaxies, {clean:.3f} on clean images. Above 0 (red) is a "
        "loss."
    )


def curves_figure(scores: dict) -> tuple[Figure, str]:
    """Return the score by severity, with its interval, a panel a corruption."""
    headline, names = scores["headline"], list(scores["corruptions"])
    columns = 4
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(PAGE, 1.35 * rows + 0.4), sharex=True, sharey=True, squeeze=False
    )
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    at = [0, *scores["severities"]]
    for axes, name in zip(grid.flat, names, strict=False):
        found = [scores["clean"], *scores["corruptions"][name]["severities"].values()]
        values = np.array([[each[headline][k] for k in ("low", "value", "high")] for each in found])
        axes.fill_between(at, values[:, 0], values[:, 2], color=BLUE, alpha=0.2, lw=0)
        axes.plot(at, values[:, 1], color=BLUE, marker="o")
        axes.axhline(values[0, 1], color=GREY, lw=0.8, ls=":")
        if "ece" in found[0]:
            error = [each["ece"]["value"] for each in found]
            axes.plot(at, error, color=ORANGE, marker="s", lw=1)
        axes.set_title(CORRUPTIONS[name].label, fontweight="normal")
        axes.set_xticks(at, ["0", *scores["severities"]])
        axes.grid(axis="y")
    grid[0, 0].set_ylim((0, 1.02) if METRICS[headline].limits[1] == 1 else (0, None))
    words = METRICS[headline].heading
    of = scores["probabilities"]
    error = f" and calibration error of {of} (orange, squares)" if "ece" in scores["clean"] else ""
    figure.supylabel(words, fontsize=8)
    figure.supxlabel("severity, 0 is clean", fontsize=8)
    return figure, (
        f"{words} with its 95 % interval (blue, circles){error} by severity of each corruption, "
        f"{scores['galaxies']:,} test galaxies. Dotted: clean images."
    )


def points_figure(scores: dict) -> tuple[Figure, str]:
    """Return the score of the clean images and of each corruption at one severity."""
    headline, (severity,) = scores["headline"], scores["severities"]
    found = {"clean": scores["clean"]} | {
        CORRUPTIONS[name].label: each["severities"][str(severity)]
        for name, each in scores["corruptions"].items()
    }
    figure, axes = plt.subplots(figsize=(COLUMN, 0.9 + 0.24 * len(found)))
    intervals(axes, [each[headline] for each in found.values()], BLUE)
    axes.axvline(scores["clean"][headline]["value"], color=GREY, lw=0.8, ls=":")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.grid(axis="x")
    words = METRICS[headline].heading
    axes.set(title=f"Severity {severity}", xlabel=f"{words}, 95 % intervals")
    return figure, (
        f"{words} with its 95 % interval on clean images and under each corruption at severity "
        f"{severity}, {scores['galaxies']:,} test galaxies."
    )


def flips_figure(run: Run, table: pd.DataFrame, data: Path | None) -> tuple[Figure, str]:
    """Return galaxies whose class changes, each clean and corrupted, the surest first.

    They are right while clean, and one a corruption, at the least severity that turns any.
    """
    clean = table[table["severity"] == 0].set_index("galaxy")
    right = clean.index[clean["label"] == clean["predicted"]]
    flipped = table[table["flipped"]]
    known = flipped[flipped["galaxy"].isin(right)]
    flipped = (known if len(known) else flipped).sort_values(
        ["severity", "confidence"], ascending=[True, False], kind="stable"
    )
    shown = flipped.drop_duplicates("corruption")
    more = flipped.drop(shown.index).drop_duplicates("galaxy")
    shown = pd.concat([shown, more]).head(FLIPS)
    images = with_images(run.predictions("test"), data).drop_duplicates("galaxy")
    images = images.set_index("galaxy")["image"]
    figure, places = contact_sheet(2 * len(shown), 2 * COLUMNS, 3)
    for at, row in enumerate(shown.itertuples(index=False)):
        image = decode(images[row.galaxy], run.recipe.rendering)
        frame = centre_frame(image, *item_frame(run.recipe))[None]
        before, words = clean.loc[row.galaxy], CORRUPTIONS[row.corruption].label
        for axes, condition, title, says, colour in (
            (places[2 * at], Condition(), row.galaxy, before,
             RIGHT if before["label"] == before["predicted"] else WRONG),
            (places[2 * at + 1], Condition(row.corruption, row.severity),
             f"{words}, {row.severity}", row, WRONG),
        ):  # fmt: skip
            pixels = seen_under(frame, [row.galaxy], condition, run.recipe)[0]
            axes.imshow(pixels.permute(1, 2, 0).numpy())
            label_image(axes, label_lines(title, [_says(says)], 2 * COLUMNS), colour)
    title = "Galaxies whose class changes, clean and corrupted"
    of = f"{len(shown)} of {len(flipped):,}"
    title_sheet(figure, f"{title} ({of})")
    return figure, (
        f"{title}: {of}, each clean and beside it under the mildest corruption that changes its "
        "class, with class and confidence."
    )


def _says(row) -> str:
    return f"{str(row.predicted).replace('_', ' ')} {row.confidence:.0%}"
