"""Figures of vote fractions: predicted against volunteers', entropies, and one galaxy's walk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from PIL import Image

from galaxymorph.base import BadInput, safe_file_name, setting
from galaxymorph.images import decode
from galaxymorph.judge import Questions, question_entropy, questions_of
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.report.figures.panels import (
    MANY,
    Captioned,
    draw_pairs,
    panels,
    rank_correlation,
    wrapped,
)
from galaxymorph.report.figures.style import (
    BLUE,
    COLUMN,
    GREY,
    ORANGE,
    PAGE,
    SMALL,
    styled,
    write_figure,
    write_figures,
)
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import known_fractions, likeliest_walk, reached

# Bins of the mean fractions, and galaxies that a mean takes.
MEAN_BINS, MEAN_LEAST = 8, 8
ANSWER_COLUMNS = 6
# Opacity of a question that no volunteer reached.
FAINT = 0.2
WALK_COLUMNS = 3


@styled
def draw_votes(run: Run, part: str = "test") -> list[Path]:
    """Draw predicted against volunteers' fractions and entropies; of classes, nothing."""
    if not target_of(run.recipe).soft:
        return []
    questions = questions_of(run, run.predictions(part))
    figures = {
        f"fractions_{part}": fractions_figure(questions, PARTS[part]),
        f"entropies_{part}": entropies_figure(questions, PARTS[part]),
    }
    return write_figures(run.figures, figures)


def fractions_figure(questions: Questions, words: str) -> Captioned:
    """Return predicted against volunteers' cumulative fractions: a panel an answer."""
    known = known_fractions(questions.tree, questions.true)
    answers = len(questions.tree.columns)
    columns = min(ANSWER_COLUMNS, answers)
    height = PAGE / columns + 0.35
    figure, grid = panels(answers, columns, height, margin=0.2, sharex=True, sharey=True)
    for at, axes in enumerate(grid):
        rows = known[:, at]
        true, predicted = questions.true[rows, at], questions.predicted[rows, at]
        if not len(true):
            axes.set_axis_off()
            continue
        draw_pairs(axes, true, predicted)
        _draw_means(axes, true, predicted)
        rmse = np.sqrt(np.mean((predicted - true) ** 2))
        title = f"{wrapped(questions.words(at), 108 // columns)}\nRMSE {rmse:.3f}"
        axes.set_title(title, fontsize=SMALL, fontweight="normal")
    figure.supxlabel("fraction of all volunteers", fontsize=8)
    figure.supylabel("predicted fraction", fontsize=8)
    return figure, (
        f"Predicted against observed vote fractions of every answer, {len(questions.true):,} "
        f"{words} galaxies{_brightness(len(questions.true))}. White points are the mean observed "
        "fraction at each prediction with its 95 % interval. On the orange line, predictions are "
        "unbiased."
    )


def _draw_means(axes: Axes, across: np.ndarray, up: np.ndarray) -> None:
    """Draw volunteers' mean fraction in bins of the prediction that have enough galaxies.

    Intervals are of the mean, 1.96 standard errors.
    """
    look: dict[str, Any] = {
        "fmt": "o",
        "color": "white",
        "markeredgecolor": "black",
        "ecolor": "black",
    }
    bins = np.minimum((up * MEAN_BINS).astype(int), MEAN_BINS - 1)
    for at in range(MEAN_BINS):
        inside = bins == at
        if inside.sum() < MEAN_LEAST:
            continue
        half = 1.96 * across[inside].std(ddof=1) / np.sqrt(inside.sum())
        mean = across[inside].mean(), up[inside].mean()
        axes.errorbar(*mean, xerr=half, markersize=3, lw=0.8, **look)


def entropies_figure(questions: Questions, words: str) -> Captioned:
    """Return the entropy of the model's answers against volunteers', in nats."""
    volunteers, model = (
        question_entropy(questions.tree, fractions).sum(axis=1)
        for fractions in (questions.true, questions.predicted)
    )
    figure = Figure(figsize=(COLUMN, COLUMN))
    axes = figure.subplots()
    draw_pairs(axes, volunteers, model, 1.05 * max(volunteers.max(), model.max()))
    rank = rank_correlation(volunteers, model)
    axes.set_title(f"{len(model):,} {words} galaxies{rank}")
    axes.set(
        xlabel="entropy of volunteers' votes (nats)", ylabel="entropy of the prediction (nats)"
    )
    return figure, (
        f"Entropy of the prediction against that of the volunteers' votes, {len(model):,} {words} "
        f"galaxies{rank}{_brightness(len(model))}."
    )


def _brightness(pairs: int) -> str:
    return "; brighter: more galaxies" if pairs >= MANY else ""


@styled
def draw_walk(run: Run, galaxy: str, data: Path | None = None) -> Path:
    """Draw one galaxy's walk down the tree, volunteers' and predicted fractions side by side.

    Args:
        run: trained on a soft target.
        galaxy: one of its validation or test part.
        data: where its catalogue is now, if it has moved.

    Raises:
        BadInput: the run predicts classes, or didn't predict that galaxy.
    """
    for part in reversed(run.scored_parts):
        table = run.predictions(part)
        row = table[table["galaxy"] == galaxy].head(1)
        if len(row):
            questions = questions_of(run, row)
            reference = with_images(row, data)["image"].iloc[0]
            if not reference:
                raise BadInput(
                    f"{setting('galaxy', galaxy)}: no image of it is known", "choose another"
                )
            image = decode(reference, run.recipe.rendering)
            caption = (
                f"Observed and predicted vote fractions of galaxy {galaxy}, by question. Fainter "
                "bars: fewer volunteers were asked the question."
            )
            path = run.figures / "walks" / f"{safe_file_name(galaxy)}.png"
            return write_figure(path, walk_figure(questions, galaxy, image), caption)
    # Raises BadInput for a run of classes.
    questions_of(run, table)
    raise BadInput(
        f"{setting('galaxy', galaxy)}: not in the validation or test part of {run.path}",
        "see its predictions_test.parquet",
    )


def walk_figure(questions: Questions, galaxy: str, image: Image.Image) -> Figure:
    """Return an image and the answers to each question on volunteers' or the model's path.

    Bars are conditional fractions, fainter the fewer volunteers reached the question.

    Args:
        questions: of one galaxy.
        galaxy: its name.
        image: of it.
    """
    tree = questions.tree
    walks = [
        likeliest_walk(tree, fractions[0]) for fractions in (questions.true, questions.predicted)
    ]
    order = [tree.membership[:, at].argmax() for walk in walks for at in walk]
    shown = list(dict.fromkeys(int(at) for at in order))
    rows = -(-len(shown) // WALK_COLUMNS)
    figure = Figure(figsize=(PAGE, max(2.6, 1.65 * rows)))
    left, right = figure.subfigures(1, 2, squeeze=False, width_ratios=(1, 3))[0]
    picture = left.subplots()
    picture.imshow(image)
    picture.set_axis_off()
    picture.set_title(f"Galaxy {galaxy}")
    grid = right.subplots(rows, WALK_COLUMNS, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for number, (axes, at) in enumerate(zip(grid.flat, shown, strict=False), 1):
        _draw_question(axes, questions, at, number, on_way=set(walks[0]))
    handles = [Rectangle((0, 0), 1, 1, color=colour) for colour in (BLUE, ORANGE)]
    left.legend(handles, ["volunteers", "model"], loc="outside lower center", ncols=2)
    return figure


def _draw_question(
    axes: Axes, questions: Questions, at: int, number: int, on_way: set[int]
) -> None:
    """Draw the answers of one question as pairs of bars, volunteers' likeliest in bold."""
    tree = questions.tree
    question, answers = tree.questions[at], np.flatnonzero(tree.membership[at])
    places = np.arange(len(answers))
    volunteers, model = (
        reached(tree, fractions)[0, at] for fractions in (questions.true, questions.predicted)
    )
    for share, reach, colour, shift in (
        (questions.true_share, volunteers, BLUE, -0.2),
        (questions.predicted_share, model, ORANGE, 0.2),
    ):
        lengths = np.nan_to_num(share[0, answers])
        alpha = FAINT + (1 - FAINT) * min(reach, 1.0)
        axes.barh(places + shift, lengths, height=0.38, color=colour, alpha=alpha)
    # More than four answers leave a line for each.
    letters = 12 if len(answers) <= 4 else 24
    names = [wrapped(answer.text, letters) for answer in question.answers]
    axes.set_yticks(places, names, fontsize=SMALL)
    for label, answer in zip(axes.get_yticklabels(), answers, strict=True):
        label.set_fontweight("bold" if answer in on_way else "normal")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.tick_params(axis="x", labelsize=SMALL)
    title = wrapped(f"{number}. {question.text or 'Which class?'}", 18)
    axes.set_title(title, fontsize=SMALL + 0.5)
    axes.set_xlabel(f"reached by {volunteers:.0%}\nmodel: {model:.0%}", fontsize=SMALL, color=GREY)
