"""Figures of uncertainty: its sources, and volunteers' beside the model's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxymorph.judge import (
    QUADRANTS,
    calibrated_predictions,
    most_contested,
    risk_coverage,
    uncertainty_quadrants,
)
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.predict import UncertaintyStudy
from galaxymorph.report.figures.contact_sheets import draw_gallery, pictured
from galaxymorph.report.figures.panels import (
    Captioned,
    legend_below,
    panels,
    rank_correlation,
    wrapped,
)
from galaxymorph.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RED,
    SKY,
    styled,
    write_figure,
)
from galaxymorph.report.metric_tables import risk_words

COLOURS = {"single": GREY, "views": BLUE, "dropout": ORANGE, "ensemble": GREEN, "samples": ORANGE}
# Of sources that plugins add, in order.
FURTHER = (PURPLE, SKY, BLACK)
# The most effective first: models trained separately, then views, which all runs have.
PREFERRED = ("ensemble", "samples", "views", "dropout", "single")
# Galaxies of no quadrant.
OTHERS = "At a median, or both below it and they disagree"


def preferred(sources: Collection[str]) -> str:
    """Return the preferred source of a run's uncertainty, of those that it has."""
    return next((source for source in PREFERRED if source in sources), next(iter(sources)))


@styled
def draw_uncertainty(
    run: Run, study: UncertaintyStudy, most: int = 20, data: Path | None = None
) -> list[Path]:
    """Draw a study into the run's `figures/`; return the files.

    Args:
        run: that was studied.
        study: of it.
        most: galaxies in a gallery.
        data: where its catalogue is now, if it has moved.
    """
    # Galleries of earlier studies, which may have had others.
    for former in run.figures.glob("corner_*.*"):
        former.unlink()
    path = run.figures / "uncertainty_sources.png"
    drawn = [write_figure(path, *sources_figure(run, study.table))]
    if "volunteer_entropy" not in study.table:
        return drawn
    source = preferred(study.record["sources"])
    model, volunteers = (
        study.table[name].to_numpy() for name in (f"{source}_total", "volunteer_entropy")
    )
    marked = uncertainty_quadrants(model, volunteers, study.table["agrees"].to_numpy())
    path = run.figures / "uncertainty_volunteers.png"
    drawn.append(write_figure(path, *volunteers_figure(model, volunteers, source, marked)))
    table = run.predictions("test").drop_duplicates("galaxy").reset_index(drop=True)
    table = calibrated_predictions(run, table)
    for name, rows in marked.items():
        if not len(rows):
            continue
        galaxies = with_images(table.iloc[rows], data)
        if pictured(galaxies).empty:
            continue
        if target_of(run.recipe).soft:
            galaxies = most_contested(run, galaxies)
        else:
            galaxies = galaxies.assign(share=study.table["volunteer_fraction"].to_numpy()[rows])
        path = run.figures / f"corner_{name}.png"
        drawn.append(draw_gallery(run, path, galaxies, QUADRANTS[name], most))
    return drawn


def sources_figure(run: Run, table: pd.DataFrame) -> Captioned:
    """Return risk-coverage curves by source, for total and epistemic uncertainty."""
    figure, grid = panels(2, 2, 2.8, sharey=True)
    # The optimal order depends on the source's mistakes.
    best_source = "views" if "views_risk" in table else "single"
    best = table[f"{best_source}_risk"].to_numpy()
    label = f"optimal order of {best_source}"
    names = [str(name).removesuffix("_risk") for name in table if str(name).endswith("_risk")]
    further = iter(FURTHER)
    colours = {name: COLOURS.get(name) or next(further, GREY) for name in names}
    for axes, kind in zip(grid, ("total", "epistemic"), strict=True):
        for source, colour in colours.items():
            if source == "single" and kind == "epistemic":
                continue
            columns = (table[f"{source}_{name}"].to_numpy() for name in (kind, "risk"))
            axes.step(*risk_coverage(*columns), where="post", color=colour, label=source)
        axes.plot(*risk_coverage(best, best), color=RED, lw=1, ls="--", label=label)
        axes.set(
            title=f"By {kind} uncertainty",
            xlabel="fraction of galaxies accepted, most certain first",
            xlim=(0, 1),
            ylim=(0, None),
        )
        axes.grid()
    risk = risk_words(run.recipe.target)
    grid[0].set_ylabel(risk)
    legend_below(figure)
    return figure, (
        f"{risk.capitalize()} among the accepted galaxies, most certain first, by source of "
        f"uncertainty: {len(table):,} test galaxies. Lower is better; the areas are in the table."
    )


def volunteers_figure(
    model: np.ndarray, volunteers: np.ndarray, source: str, marked: dict[str, np.ndarray]
) -> Captioned:
    """Return the model's uncertainty against volunteers', the galaxies of the four corners marked.

    Args:
        model: entropy of the predictive mean, shape (n,).
        volunteers: entropy of volunteers' votes.
        source: of the model's uncertainty.
        marked: positions of each corner.
    """
    figure = Figure(figsize=(COLUMN, 4.5))
    axes = figure.subplots()
    looks = ((GREEN, "o"), (RED, "s"), (ORANGE, "^"), (BLUE, "D"))
    for (name, rows), (colour, marker) in zip(marked.items(), looks, strict=True):
        look: dict[str, Any] = {"s": 8, "color": colour, "marker": marker, "alpha": 0.7, "lw": 0}
        label = f"{QUADRANTS[name]} ({len(rows):,})"
        axes.scatter(volunteers[rows], model[rows], label=label, **look)
    others = np.setdiff1d(np.arange(len(model)), np.concatenate([*marked.values()]))
    if len(others):
        label = f"{OTHERS} ({len(others):,})"
        look = {"s": 6, "color": GREY, "alpha": 0.35, "lw": 0}
        axes.scatter(volunteers[others], model[others], label=label, zorder=0, **look)
    axes.axhline(np.median(model), color=GREY, lw=0.8, ls=":")
    axes.axvline(np.median(volunteers), color=GREY, lw=0.8, ls=":")
    rank = rank_correlation(volunteers, model)
    axes.set(
        title=f"{len(model):,} test galaxies{rank}",
        xlabel="entropy of volunteers' votes (nats)",
        ylabel=wrapped(f"entropy of the prediction ({source}, nats)", 45),
    )
    legend_below(figure, 1)
    return figure, (
        f"Entropy of the model's prediction ({source}) against that of the volunteers' votes, "
        f"{len(model):,} test galaxies{rank}. Dotted lines are medians."
    )
