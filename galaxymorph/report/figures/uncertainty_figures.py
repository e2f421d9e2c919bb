"""Tables and figures of uncertainty: its sources, and volunteers' beside the model's."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from rich import box
from rich.table import Table

from galaxymorph.judge import CORNERS, METRICS, corners, most_contested, risk_coverage, served
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.predict import UNCERTAINTY_SOURCES, UncertaintyStudy
from galaxymorph.report.figures.calibration_figures import kept_words
from galaxymorph.report.figures.run_figures import draw_gallery
from galaxymorph.report.figures.style import (
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    RED,
    STYLE,
    legend_below,
    save_figure,
)
from galaxymorph.report.tables import console, interval_words, print_table

COLOURS = {"single": GREY, "views": BLUE, "dropout": ORANGE, "ensemble": GREEN}
SCORES = ("nll", "ece_equal_mass", "accuracy", "macro_f1", "aurc_total", "aurc_epistemic")
# Models that were trained apart tell mistakes best, then views, which all runs have.
PREFERRED = ("ensemble", "views", "dropout", "single")
RISKS = {"classes": "share wrong", "soft3": "mean divergence", "tree": "mean squared error"}


def print_uncertainty(record: dict) -> None:
    """Print a row a source: its scores and what it costs, then its correlation with volunteers."""
    names = score_words(record)
    table = Table(
        box=box.SIMPLE_HEAD, title=f"Sources of uncertainty, {record['galaxies']:,} test galaxies"
    )
    table.add_column("source")
    for words in (*names.values(), "passes", "s for 1,000"):
        table.add_column(words, justify="right")
    for source, found in record["sources"].items():
        scores = ((name, found["scores"].get(name)) for name in names)
        table.add_row(
            source,
            *(
                interval_words(score, METRICS[name].digits) if score else "–"
                for name, score in scores
            ),
            str(found["passes"]),
            f"{found['seconds']:.1f}",
        )
    print_table(table)
    for source, found in record["sources"].items():
        for accuracy, kept in found.get("kept_at_accuracy", {}).items():
            console().print(f"{source}: {kept_words(accuracy, kept)}")
    if not any("people" in found for found in record["sources"].values()):
        return
    table = Table(box=box.SIMPLE_HEAD, title="Rank correlation with volunteers' entropy")
    for name in ("source", "total", "aleatoric", "epistemic"):
        table.add_column(name, justify="left" if name == "source" else "right")
    for source, found in record["sources"].items():
        table.add_row(source, *(interval_words(score) for score in found["people"].values()))
    print_table(table)


def preferred(sources: Collection[str]) -> str:
    """Return the source whose uncertainty stands for a run's, of those that it has."""
    return next(source for source in (*PREFERRED, *sources) if source in sources)


def score_words(record: dict) -> dict[str, str]:
    """Return the scores that a study's sources have, in words."""
    scores = [each["scores"] for each in record["sources"].values()]
    names = SCORES if "nll" in scores[0] else ("risk", *SCORES)
    return {name: METRICS[name].heading for name in names if any(name in each for each in scores)}


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
    drawn = []
    with plt.rc_context(STYLE):
        drawn.append(save_figure(run, "uncertainty_sources", *sources_figure(run, study.table)))
    if "people" not in study.table:
        return drawn
    source = preferred(study.record["sources"])
    model, people = (study.table[name].to_numpy() for name in (f"{source}_total", "people"))
    found = corners(model, people, study.table["agrees"].to_numpy())
    with plt.rc_context(STYLE):
        pair = people_figure(model, people, source, found)
        drawn.append(save_figure(run, "uncertainty_volunteers", *pair))
    table = run.predictions("test").drop_duplicates("galaxy").reset_index(drop=True)
    table = served(run, table)
    for name, rows in found.items():
        if not len(rows):
            continue
        galaxies = with_images(table.iloc[rows], data)
        if target_of(run.recipe).soft:
            galaxies = most_contested(run, galaxies)
        else:
            share = study.table["people_share"].to_numpy()[rows]
            galaxies = galaxies.assign(share=share)
        path = run.figures / f"corner_{name}.png"
        drawn.append(draw_gallery(run, path, galaxies, CORNERS[name], most))
    return drawn


def sources_figure(run: Run, table: pd.DataFrame) -> tuple[Figure, str]:
    """Return the risk of the galaxies kept against their share, by source and by kind."""
    figure, grid = plt.subplots(1, 2, figsize=(PAGE, 3.2), sharey=True)
    for axes, kind in zip(grid, ("total", "epistemic"), strict=True):
        for source in UNCERTAINTY_SOURCES:
            colour = COLOURS.get(source, RED)
            if f"{source}_{kind}" not in table or (source == "single" and kind == "epistemic"):
                continue
            uncertainty, risk = (
                table[f"{source}_{kind}"].to_numpy(),
                table[f"{source}_risk"].to_numpy(),
            )
            axes.step(*risk_coverage(uncertainty, risk), where="post", color=colour, label=source)
        # The mistakes of other sources are others, and so is their best order.
        source = "views" if "views_risk" in table else "single"
        best = table[f"{source}_risk"].to_numpy()
        words = f"best possible order of {source}"
        axes.plot(*risk_coverage(best, best), color=RED, lw=1, ls="--", label=words)
        axes.set(title=f"By {kind} uncertainty", xlabel="share of galaxies kept, the surest first")
        axes.set(xlim=(0, 1.01), ylim=(0, None))
        axes.grid()
    grid[0].set_ylabel(RISKS[run.recipe.target])
    legend_below(figure)
    return figure, (
        f"{RISKS[run.recipe.target].capitalize()} among the galaxies kept, the surest first, by "
        f"source of uncertainty: {len(table):,} test galaxies. Lower is better; the areas are in "
        "the table."
    )


def people_figure(
    model: np.ndarray, people: np.ndarray, source: str, found: dict[str, np.ndarray]
) -> tuple[Figure, str]:
    """Return the model's uncertainty against volunteers', the galaxies of the four corners marked.

    Args:
        model: entropy of the predictive mean, shape (n,).
        people: entropy of volunteers' votes.
        source: of the model's uncertainty.
        found: positions of each corner.
    """
    from scipy.stats import spearmanr

    figure, axes = plt.subplots(figsize=(COLUMN, 3.9))
    axes.scatter(people, model, s=6, color=GREY, alpha=0.35, lw=0)
    looks = zip(found.items(), ((GREEN, "o"), (RED, "s"), (ORANGE, "^"), (BLUE, "D")), strict=True)
    for (name, rows), (colour, marker) in looks:
        label = f"{CORNERS[name]} ({len(rows):,})"
        axes.scatter(
            people[rows], model[rows], s=8, color=colour, marker=marker, alpha=0.7, lw=0,
            label=label,
        )  # fmt: skip
    axes.axhline(np.median(model), color=GREY, lw=0.8, ls=":")
    axes.axvline(np.median(people), color=GREY, lw=0.8, ls=":")
    varies = np.ptp(model) > 0 and np.ptp(people) > 0
    rank = f", rank correlation {spearmanr(people, model).statistic:.2f}" if varies else ""
    axes.set(
        title=f"{len(model):,} test galaxies{rank}",
        xlabel="entropy of volunteers' votes (nats)",
        ylabel=f"entropy of the prediction ({source}, nats)",
    )
    legend_below(figure, 1)
    return figure, (
        f"Entropy of the model's prediction ({source}) against that of the volunteers' votes, "
        f"{len(model):,} test galaxies{rank}. Dotted lines are medians."
    )
