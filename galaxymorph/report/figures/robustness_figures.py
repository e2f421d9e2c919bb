"""Figures of a run's robustness."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxymorph.images import frame_picture, galaxy_frame
from galaxymorph.judge import METRICS, Condition, RobustnessRecord, corrupted_light
from galaxymorph.learn import Recipe, Run, item_cut, target_of, with_images
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    label_lines,
    title_sheet,
    verdict_colour,
)
from galaxymorph.report.figures.panels import (
    Captioned,
    draw_intervals,
    draw_matrix,
    in_words,
    legend_below,
    name_rows,
    panels,
    values_of,
)
from galaxymorph.report.figures.style import (
    BLUE,
    COLUMN,
    DIFFERENCES,
    GREY,
    ORANGE,
    styled,
    write_figures,
)
from galaxymorph.report.metric_tables import change_in_words, corruption_label, metric_heading

# Pairs in the gallery of flips, in columns of so many.
FLIPS, COLUMNS = 15, 3


@styled
def draw_robustness(
    run: Run, scores: RobustnessRecord, table: pd.DataFrame, data: Path | None = None
) -> list[Path]:
    """Draw a heat map, the curves and the galaxies that flip into a run's `figures/`."""
    # Figures of an earlier suite.
    for old in run.figures.glob("robustness*.*"):
        old.unlink()
    if len(scores["severities"]) > 1:
        figures = {"robustness": heat_figure(scores), "robustness_curves": curves_figure(scores)}
    else:
        figures = {"robustness": points_figure(scores)}
    if target_of(run.recipe).chooses and table["flipped"].any():
        figures["robustness_flips"] = flips_figure(run, table, data)
    return write_figures(run.figures, figures)


def heat_figure(scores: RobustnessRecord) -> Captioned:
    """Return the loss of score by corruption and severity, the most harmful first."""
    severities = [str(severity) for severity in scores["severities"]]
    lost = {
        name: [record["severities"][severity]["drop"]["value"] for severity in severities]
        for name, record in scores["corruptions"].items()
    }
    names = sorted(lost, key=lambda name: -np.mean(lost[name]))
    # Plus 0, since there is a minus 0 too.
    values = np.array([lost[name] for name in names]).round(3) + 0.0
    texts = np.array([[f"{value:+.3f}" for value in row] for row in values])
    most = max(float(np.abs(values).max()), 0.1)
    figure = Figure(figsize=(COLUMN + 0.3, 1.1 + 0.24 * len(names)))
    axes = figure.subplots()
    rows = [corruption_label(name) for name in names]
    image = draw_matrix(axes, values, texts, (rows, severities), (DIFFERENCES, -most, most))
    headline = metric_heading(scores["headline"])
    clean = scores["clean"][scores["headline"]]["value"]
    axes.set(xlabel="severity", title=f"{headline}, {clean:.3f} clean")
    figure.colorbar(image, ax=axes, shrink=0.5, label="loss (below 0: gain)")
    return figure, (
        f"Loss of {headline} by corruption and severity ({change_in_words(scores['headline'])}), "
        f"the most harmful first: {scores['galaxies']:,} test galaxies, {clean:.3f} on clean "
        "images. Above 0 (red) is a loss."
    )


def curves_figure(scores: RobustnessRecord) -> Captioned:
    """Return the score by severity, with its interval, a panel a corruption."""
    headline, names = scores["headline"], list(scores["corruptions"])
    words = metric_heading(headline)
    figure, grid = panels(len(names), 4, 1.35, sharex=True, sharey=True)
    at = [0, *scores["severities"]]
    for axes, name in zip(grid, names, strict=True):
        records = [scores["clean"], *scores["corruptions"][name]["severities"].values()]
        low, value, high = values_of([record[headline] for record in records])
        axes.fill_between(at, low, high, color=BLUE, alpha=0.2, lw=0)
        axes.plot(at, value, color=BLUE, marker="o", label=words)
        axes.axhline(value[0], color=GREY, lw=0.8, ls=":", label=f"{words}, clean")
        if "ece" in scores["clean"]:
            error = [record["ece"]["value"] for record in records]
            axes.plot(at, error, color=ORANGE, marker="s", lw=1, label="calibration error")
        axes.set_title(corruption_label(name), fontweight="normal")
        axes.set_xticks(at, [str(severity) for severity in at])
        axes.grid(axis="y")
    bounded = headline in METRICS and METRICS[headline].limits[1] == 1
    grid[0].set_ylim(0, 1.02 if bounded else None)
    kind = scores["probabilities"]
    error_words = (
        f" and calibration error of {kind} (orange, squares)" if "ece" in scores["clean"] else ""
    )
    figure.supylabel(words, fontsize=8)
    figure.supxlabel("severity, 0 is clean", fontsize=8)
    legend_below(figure)
    return figure, (
        f"{words} with its 95 % interval (blue, circles){error_words} by severity of each "
        f"corruption, {scores['galaxies']:,} test galaxies. Dotted: clean images."
    )


def points_figure(scores: RobustnessRecord) -> Captioned:
    """Return the score of the clean images and of each corruption at one severity."""
    headline, (severity,) = scores["headline"], scores["severities"]
    records = {"clean": scores["clean"]} | {
        corruption_label(name): record["severities"][str(severity)]
        for name, record in scores["corruptions"].items()
    }
    figure = Figure(figsize=(COLUMN, 0.9 + 0.24 * len(records)))
    axes = figure.subplots()
    draw_intervals(axes, [record[headline] for record in records.values()], BLUE)
    clean = scores["clean"][headline]["value"]
    if clean is not None:
        axes.axvline(clean, color=GREY, lw=0.8, ls=":")
    name_rows(axes, list(records))
    words = metric_heading(headline)
    axes.set(title=f"Severity {severity}", xlabel=f"{words}, 95 % intervals")
    return figure, (
        f"{words} with its 95 % interval on clean images and under each corruption at severity "
        f"{severity}, {scores['galaxies']:,} test galaxies."
    )


def _picture(light: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return light as a picture; of flux a preview."""
    if recipe.pixels == "rgb":
        return light
    return np.asarray(frame_picture(light, recipe.flux_bands))


def flips_figure(run: Run, table: pd.DataFrame, data: Path | None) -> Captioned:
    """Return galaxies whose class changes, each clean and corrupted, the most confident first.

    They are right while clean, and one a corruption, at the least severity that changes any.
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
    tested = with_images(run.predictions("test"), data).drop_duplicates("galaxy")
    images = dict(zip(tested["galaxy"], tested["image"], strict=True))
    figure, places = contact_sheet(2 * len(shown), 2 * COLUMNS, 3)
    for at, row in enumerate(shown.to_dict("records")):
        galaxy, before = row["galaxy"], clean.loc[row["galaxy"]]
        frame = galaxy_frame(images[galaxy], item_cut(run.recipe), run.recipe.rendering)[None]
        condition = Condition(row["corruption"], row["severity"])
        title = f"{corruption_label(condition.corruption)}, {condition.severity}"
        pairs = ((Condition(), galaxy, before), (condition, title, row))
        for axes, (under, name, prediction) in zip(places[2 * at :], pairs, strict=False):
            light = corrupted_light(frame, [galaxy], under, run.recipe)[0].permute(1, 2, 0)
            axes.imshow(_picture(light.numpy(), run.recipe))
            answer = f"{in_words(prediction['predicted'])} {prediction['confidence']:.0%}"
            is_right = prediction["predicted"] == prediction["label"]
            label_image(axes, label_lines(name, [answer], 2 * COLUMNS), verdict_colour(is_right))
    title = "Galaxies whose class changes, clean and corrupted"
    of = f"{len(shown)} of {len(flipped):,}"
    title_sheet(figure, f"{title} ({of})")
    return figure, (
        f"{title}: {of}, each clean and under the mildest corruption that changes its class, with "
        "class and confidence."
    )
