"""Figures of vote fractions: predicted against volunteers', entropies, and one galaxy's walk."""

from __future__ import annotations

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure

from galaxymorph.base import BadInput, safe_file_name
from galaxymorph.images import decode
from galaxymorph.judge import Questions, question_entropy, questions_of
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.report.figures.run_figures import broken
from galaxymorph.report.figures.style import (
    BLUE,
    COLUMN,
    DENSITY,
    GREY,
    ORANGE,
    PAGE,
    SMALL,
    STYLE,
    save_figure,
)
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import known_fractions, likeliest_walk, reached

BINS = 25
# Of the mean fractions, and galaxies that a mean takes.
MEAN_BINS, MEAN_LEAST = 8, 8
ANSWER_COLUMNS = 6
# A question that nobody was asked is drawn as faint as this.
FAINT = 0.2
WALK_COLUMNS = 3


def draw_votes(run: Run, part: str = "test") -> list[Path]:
    """Draw predicted against volunteers' fractions and entropies; of classes, nothing."""
    if not target_of(run.recipe).soft:
        return []
    asked = questions_of(run, run.predictions(part))
    with plt.rc_context(STYLE):
        return [
            save_figure(run, f"fractions_{part}", *fractions_figure(asked, PARTS[part])),
            save_figure(run, f"entropies_{part}", *entropies_figure(asked, PARTS[part])),
        ]


def fractions_figure(asked: Questions, words: str) -> tuple[Figure, str]:
    """Return predicted against volunteers' cumulative fractions: a panel an answer, log density."""
    known = known_fractions(asked.tree, asked.true)
    answers = len(asked.tree.columns)
    columns = min(ANSWER_COLUMNS, answers)
    rows = -(-answers // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(PAGE, (PAGE / columns + 0.35) * rows + 0.2),
        sharex=True, sharey=True, squeeze=False,
    )  # fmt: skip
    for axes in grid.flat:
        axes.set_axis_off()
    for at, axes in zip(range(answers), grid.flat, strict=False):
        rows = known[:, at]
        true, predicted = asked.true[rows, at], asked.predicted[rows, at]
        if not len(true):
            continue
        _density(axes, true, predicted, 1.0)
        _mean_points(axes, true, predicted)
        rmse = np.sqrt(np.mean((predicted - true) ** 2))
        axes.set_title(
            f"{broken(asked.says(at), 120 // columns)}\nRMSE {rmse:.3f}",
            fontsize=SMALL, fontweight="normal",
        )  # fmt: skip
    figure.supxlabel("fraction of all volunteers", fontsize=8)
    figure.supylabel("predicted fraction", fontsize=8)
    return figure, (
        f"Predicted against volunteers' fractions of every answer, {len(asked.true):,} {words} "
        "galaxies (brighter: more of them). White points are the volunteers' mean at each "
        "prediction with its 95 % interval; on the orange line predictions are unbiased."
    )


def entropies_figure(asked: Questions, words: str) -> tuple[Figure, str]:
    """Return the entropy of the model's answers against volunteers', in nats."""
    from scipy.stats import spearmanr

    humans, model = (
        question_entropy(asked.tree, each).sum(axis=1) for each in (asked.true, asked.predicted)
    )
    figure, axes = plt.subplots(figsize=(COLUMN, COLUMN))
    _density(axes, humans, model, 1.05 * max(humans.max(), model.max()))
    # Where one never varies there is no correlation.
    varies = np.ptp(humans) > 0 and np.ptp(model) > 0
    rank = f", rank correlation {spearmanr(humans, model).statistic:.2f}" if varies else ""
    axes.set_title(f"{len(humans):,} {words} galaxies{rank}")
    axes.set(
        xlabel="entropy of volunteers' votes (nats)", ylabel="entropy of the prediction (nats)"
    )
    return figure, (
        f"Entropy of the prediction against that of the volunteers' votes, {len(humans):,} {words} "
        f"galaxies{rank}; brighter: more of them."
    )


def draw_walk(run: Run, galaxy: str, data: Path | None = None) -> Path:
    """Draw one galaxy's walk down the tree, volunteers' and predicted fractions side by side.

    Args:
        run: trained on a soft target.
        galaxy: one of its validation or test part.
        data: where its catalogue is now, if it has moved.

    Raises:
        BadInput: the run learnt classes, or didn't predict that galaxy.
    """
    for part in ("test", "valid"):
        table = run.predictions(part)
        row = table[table["galaxy"] == galaxy].head(1)
        if len(row):
            asked = questions_of(run, row)
            image = decode(with_images(row, data)["image"].iloc[0], run.recipe.rendering)
            with plt.rc_context(STYLE):
                caption = (
                    f"Volunteers' and predicted answers about galaxy {galaxy}, question by "
                    "question; the fainter a bar, the fewer volunteers the question was put to."
                )
                figure = walk_figure(asked, galaxy, image)
                return save_figure(run, f"walks/{safe_file_name(galaxy)}", figure, caption)
    questions_of(run, table)
    raise BadInput(
        f"--galaxy {galaxy}: not in the validation or test part of {run.path}",
        "see its predictions_test.parquet",
    )


def walk_figure(asked: Questions, galaxy: str, image) -> Figure:
    """Return an image and, for each question on volunteers' or the model's way, the answers.

    Bars are fractions of those asked, and fainter the fewer those were.

    Args:
        asked: of one galaxy.
        galaxy: its name.
        image: of it.
    """
    walks = [likeliest_walk(asked.tree, each[0]) for each in (asked.true, asked.predicted)]
    order = [asked.tree.membership[:, at].argmax() for walk in walks for at in walk]
    shown = list(dict.fromkeys(int(at) for at in order))
    rows = -(-len(shown) // WALK_COLUMNS)
    figure = plt.figure(figsize=(PAGE, max(2.6, 1.65 * rows)))
    left, right = figure.subfigures(1, 2, width_ratios=(1, 3))
    picture = left.subplots()
    picture.imshow(image)
    picture.set_axis_off()
    picture.set_title(f"Galaxy {galaxy}")
    grid = right.subplots(rows, WALK_COLUMNS, squeeze=False)
    for axes in grid.flat[len(shown) :]:
        axes.set_axis_off()
    for number, (axes, at) in enumerate(zip(grid.flat, shown, strict=False), 1):
        _draw_question(axes, asked, at, number, on_way=set(walks[0]))
    handles = [plt.Rectangle((0, 0), 1, 1, color=colour) for colour in (BLUE, ORANGE)]
    left.legend(handles, ["volunteers", "model"], loc="outside lower center", ncols=2)
    return figure


def _draw_question(axes, asked: Questions, at: int, number: int, on_way: set[int]) -> None:
    """Draw the answers of one question as pairs of bars, volunteers' likeliest in bold."""
    question = asked.tree.questions[at]
    answers = np.flatnonzero(asked.tree.membership[at])
    places = np.arange(len(answers))
    humans, model = (reached(asked.tree, each)[0, at] for each in (asked.true, asked.predicted))
    for share, reach, colour, shift in (
        (asked.true_share, humans, BLUE, -0.2),
        (asked.predicted_share, model, ORANGE, 0.2),
    ):
        lengths = np.nan_to_num(share[0, answers])
        alpha = FAINT + (1 - FAINT) * min(reach, 1.0)
        axes.barh(places + shift, lengths, height=0.38, color=colour, alpha=alpha)
    axes.set_yticks(
        places, [broken(answer.text, 12) for answer in question.answers], fontsize=SMALL
    )
    for label, answer in zip(axes.get_yticklabels(), answers, strict=True):
        label.set_fontweight("bold" if answer in on_way else "normal")
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05)
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0%}")
    axes.tick_params(axis="x", labelsize=SMALL)
    axes.set_title(broken(f"{number}. {question.text or 'Which class?'}", 18), fontsize=SMALL + 0.5)
    below = f"asked: {humans:.0%}\nmodel: {model:.0%}"
    axes.set_xlabel(below, fontsize=SMALL, color=GREY)


def _mean_points(axes, across: np.ndarray, up: np.ndarray) -> None:
    """Draw volunteers' mean fraction in bins of the prediction, those of a few galaxies left out.

    Intervals are of the mean, 1.96 standard errors.
    """
    bins = np.minimum((up * MEAN_BINS).astype(int), MEAN_BINS - 1)
    for at in range(MEAN_BINS):
        inside = bins == at
        if inside.sum() < MEAN_LEAST:
            continue
        half = 1.96 * across[inside].std(ddof=1) / np.sqrt(inside.sum())
        axes.errorbar(
            across[inside].mean(), up[inside].mean(), xerr=half, fmt="o", color="white",
            markeredgecolor="black", ecolor="black", markersize=3, lw=0.8,
        )  # fmt: skip


def _density(axes, across: np.ndarray, up: np.ndarray, most: float) -> None:
    axes.set_axis_on()
    axes.hist2d(
        across, up, bins=BINS, range=((0, most), (0, most)), cmap=DENSITY, norm=LogNorm(), cmin=1
    )
    axes.plot((0, most), (0, most), color=ORANGE, lw=1)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=SMALL)
