"""Figures of a run's robustness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from galaxymorph.images import CORRUPTIONS, centre_frame, decode
from galaxymorph.judge import Condition, seen_under
from galaxymorph.learn import Run, item_frame, target_of, with_images
from galaxymorph.report.figures import BLUE, GREY, ORANGE, RED, STYLE, save_figure
from galaxymorph.report.tables import HEADLINE_WORDS

# Pairs in the gallery of flips, in columns of so many.
FLIPS, COLUMNS = 18, 3


def draw_robustness(
    run: Run, scores: dict, table: pd.DataFrame, data: Path | None = None
) -> list[Path]:
    """Draw a heat map, the curves and the galaxies that flip into a run's `figures/`."""
    # What an earlier suite drew would stand beside scores that it isn't of.
    for old in run.figures.glob("robustness*.png"):
        old.unlink()
    with plt.rc_context(STYLE):
        if len(scores["severities"]) > 1:
            figures = {"robustness": heat_figure, "robustness_curves": curves_figure}
        else:
            figures = {"robustness": points_figure}
        drawn = [save_figure(run, name, draw(scores)) for name, draw in figures.items()]
        if target_of(run.recipe).chooses and table["flipped"].any():
            drawn.append(save_figure(run, "robustness_flips", flips_figure(run, table, data)))
    return drawn


def heat_figure(scores: dict) -> Figure:
    """Return what each corruption and severity costs, the most harmful first."""
    severities = [str(severity) for severity in scores["severities"]]
    gained = {
        name: [-found["severities"][each]["drop"]["value"] for each in severities]
        for name, found in scores["corruptions"].items()
    }
    names = sorted(gained, key=lambda name: np.mean(gained[name]))
    # Plus 0, since there is a minus 0 too.
    values = np.array([gained[name] for name in names]).round(3) + 0.0
    figure, axes = plt.subplots(
        figsize=(2.6 + 0.75 * len(severities), 1.3 + 0.32 * len(names)), layout="constrained"
    )
    most = max(float(np.abs(values).max()), 0.1)
    image = axes.imshow(values, cmap="RdBu", vmin=-most, vmax=most, aspect="auto")
    for row, column in np.ndindex(*values.shape):
        axes.text(
            column, row, f"{values[row, column]:+.3f}", ha="center", va="center", fontsize=8,
            color="white" if abs(values[row, column]) > 0.6 * most else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(severities)), severities)
    axes.set_yticks(range(len(names)), [CORRUPTIONS[name].words for name in names])
    axes.spines[:].set_visible(False)
    headline = scores["headline"]
    clean = scores["clean"][headline]["value"]
    axes.set_xlabel("severity")
    words = HEADLINE_WORDS[headline]
    figure.suptitle(
        f"{words[0].upper()}{words[1:]} lost or gained, {clean:.3f} clean\n"
        f"{scores['galaxies']:,} test galaxies",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    bar = figure.colorbar(image, ax=axes, shrink=0.6)
    bar.set_label("gained; below 0: lost")
    return figure


def curves_figure(scores: dict) -> Figure:
    """Return the score by severity, with its interval, a panel a corruption."""
    headline, names = scores["headline"], list(scores["corruptions"])
    columns = 6
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(2.1 * columns + 0.6, 1.75 * rows + 0.7), layout="constrained",
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    for axes in grid.flat[len(names) :]:
        axes.set_axis_off()
    at = [0, *scores["severities"]]
    for axes, name in zip(grid.flat, names, strict=False):
        found = [scores["clean"], *scores["corruptions"][name]["severities"].values()]
        values = np.array([[each[headline][k] for k in ("low", "value", "high")] for each in found])
        axes.fill_between(at, values[:, 0], values[:, 2], color=BLUE, alpha=0.2, lw=0)
        axes.plot(at, values[:, 1], color=BLUE, marker="o", markersize=3.5)
        axes.axhline(values[0, 1], color=GREY, lw=0.8, ls=":")
        if "ece" in found[0]:
            error = [each["ece"]["value"] for each in found]
            axes.plot(at, error, color=ORANGE, marker="s", markersize=2.5, lw=1)
        axes.set_title(CORRUPTIONS[name].words, fontsize=9, fontweight="normal")
        axes.set_xticks(at, ["clean", *scores["severities"]])
        axes.grid(axis="y", alpha=0.25)
    classes = headline == "macro_f1"
    grid[0, 0].set_ylim((0, 1.02) if classes else (0, None))
    second = " and calibration error (orange)" if "ece" in scores["clean"] else ""
    figure.suptitle(
        f"{HEADLINE_WORDS[headline]} (blue, 95 % intervals){second}\nby severity, "
        f"{scores['galaxies']:,} test galaxies",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    return figure


def points_figure(scores: dict) -> Figure:
    """Return the score of the clean images and of each corruption at one severity."""
    headline, (severity,) = scores["headline"], scores["severities"]
    found = {"clean": scores["clean"]} | {
        CORRUPTIONS[name].words: each["severities"][str(severity)]
        for name, each in scores["corruptions"].items()
    }
    values = np.array([[each[headline][k] for k in ("low", "value", "high")]
                       for each in found.values()])  # fmt: skip
    figure, axes = plt.subplots(figsize=(6.5, 1.3 + 0.36 * len(found)), layout="constrained")
    axes.errorbar(
        values[:, 1], range(len(found)), xerr=np.abs(values[:, [0, 2]] - values[:, [1]]).T,
        fmt="o", color=BLUE, capsize=2, markersize=5,
    )  # fmt: skip
    axes.axvline(values[0, 1], color=GREY, lw=0.8, ls=":")
    axes.set_yticks(range(len(found)), list(found))
    axes.invert_yaxis()
    axes.grid(axis="x", alpha=0.3)
    axes.set(
        title=f"Severity {severity}, {scores['galaxies']:,} test galaxies",
        xlabel=f"{HEADLINE_WORDS[headline]}, 95 % intervals",
    )
    return figure


def flips_figure(run: Run, table: pd.DataFrame, data: Path | None) -> Figure:
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
    rows = -(-len(shown) // COLUMNS)
    figure, grid = plt.subplots(
        rows, 2 * COLUMNS, figsize=(2 * COLUMNS * 1.75, rows * 2.05 + 0.4), layout="constrained",
        squeeze=False,
    )  # fmt: skip
    for axes in grid.flat:
        axes.set_axis_off()
    places = grid.reshape(-1, 2)
    for (left, right_axes), row in zip(places, shown.itertuples(index=False), strict=False):
        image = decode(images[row.galaxy], run.recipe.rendering)
        frame = centre_frame(image, *item_frame(run.recipe))[None]
        before = clean.loc[row.galaxy]
        words = CORRUPTIONS[row.corruption].words
        for axes, condition, title, colour in (
            (left, Condition(), f"{row.galaxy}\n{_says(before)}", GREY),
            (right_axes, Condition(row.corruption, row.severity),
             f"{words}, {row.severity}\n{_says(row)}", RED),
        ):  # fmt: skip
            seen = seen_under(frame, [row.galaxy], condition, run.recipe)[0]
            axes.imshow(seen.permute(1, 2, 0).numpy(), interpolation="nearest")
            axes.set_title(title, fontsize=7.5, fontweight="normal", loc="left", color=colour)
    figure.suptitle(
        f"Galaxies whose class changes, clean and corrupted ({len(shown)} of {len(flipped):,})",
        x=0.01, ha="left", fontsize=11, fontweight="bold",
    )  # fmt: skip
    return figure


def _says(row) -> str:
    return f"{str(row.predicted).replace('_', ' ')} {row.confidence:.0%}"
