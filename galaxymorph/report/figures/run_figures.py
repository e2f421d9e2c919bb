"""The figures of a run: learning curves, confusion matrices, scores by class, galleries."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxymorph.base import read_json
from galaxymorph.images import decode
from galaxymorph.judge import served_kind
from galaxymorph.learn import Run, loss_name, loss_words, target_of
from galaxymorph.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    ORANGE,
    PAGE,
    PURPLE,
    RIGHT,
    SHARES,
    SMALL,
    STYLE,
    WRONG,
    intervals,
    legend_below,
    save_figure,
    write_figure,
)
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import Tree

# Images in a row of a contact sheet; inches of the room between them, of its title, and of the
# lines and letters below an image.
COLUMNS, GAP, TITLE, LINE, LETTER = 5, 0.07, 0.28, 0.125, 0.053


def draw_run(run: Run, metrics: dict) -> list[Path]:
    """Draw what every fit ends with, into the run's `figures/`; return the files.

    A run that has lost a `history.csv` has no curves.
    """
    drawn = []
    with plt.rc_context(STYLE):
        if all(member.history is not None for member in run.members):
            drawn.append(save_figure(run, "learning_curves", *learning_curves(run)))
        for family in target_of(run.recipe).metrics:
            for name, pair in FAMILIES[family](run, metrics).items():
                drawn.append(save_figure(run, name, *pair))
    return drawn


def redraw(run: Run) -> list[Path]:
    """Draw again what a finished run's scores and predictions give, as `draw_run` and `draw_votes`.

    A model that is judged with others has none of them.
    """
    from galaxymorph.report.figures.vote_figures import draw_votes

    if not (run.path / "metrics.json").exists():
        return []
    return draw_run(run, read_json(run.path / "metrics.json")) + draw_votes(run)


Captioned = tuple[Figure, str]


def _classification_figures(run: Run, metrics: dict) -> dict[str, Captioned]:
    truth = run.recipe.truth
    confusions = {
        f"confusion_{part}": confusion_figure(metrics, part, words, truth)
        for part, words in PARTS.items()
    }
    return {**confusions, "scores_by_class": scores_figure(metrics)}


def _tree_figures(run: Run, metrics: dict) -> dict[str, Captioned]:
    tree = target_of(run.recipe).tree
    return {"scores_by_answer": answers_figure(tree, metrics["test"])}


# A family of scores, see `judge.metrics`, and what is drawn of it; `report.votes` draws the rest.
FAMILIES: dict[str, Callable[[Run, dict], dict[str, Captioned]]] = {
    "classification": _classification_figures,
    "distribution": lambda run, metrics: {},
    "tree": _tree_figures,
}


def kept_epoch(run: Run) -> int:
    """Return the epoch whose weights a trained run with one split has, counted from 1."""
    target, history = target_of(run.recipe), run.history
    scores = history[target.monitor] * (1 if target.rises else -1)
    best = run.recipe.keep == "best" and scores.notna().any()
    return int(history["epoch"].loc[scores.idxmax()] if best else history["epoch"].iloc[-1])


def learning_curves(run: Run) -> Captioned:
    """Return losses and validation scores by epoch; of several models a line each."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(PAGE, 2.6))
    members, target = run.members, target_of(run.recipe)
    scores = zip(target.epoch_metrics.items(), ((GREEN, "^"), (PURPLE, "D")), strict=False)
    lines = [
        (left, "train_loss", BLUE, "o", "training loss"),
        (left, "valid_loss", ORANGE, "s", "validation loss"),
        *((right, column, *look, f"validation {words}") for (column, words), look in scores),
    ]
    for member in members:
        history, kept = member.history, kept_epoch(member)
        for axes, column, colour, marker, words in lines:
            axes.plot(
                history["epoch"], history[column], color=colour, marker=marker, label=words,
                alpha=1.0 if len(members) == 1 else 0.5,
            )  # fmt: skip
            at = history.loc[history["epoch"] == kept, column]
            axes.plot(
                [kept] * len(at), at, "o", ms=8, mfc="none", mec=BLACK, mew=0.8, label="kept epoch"
            )
    history = members[0].history
    frozen = int((history["stage"] == "frozen").sum())
    losses = pd.concat([each.history for each in members])[["train_loss", "valid_loss"]].to_numpy()
    # A likelihood can be over 1, and its logarithm's negative below 0.
    if 0 < 30 * losses.min() < losses.max():
        left.set_yscale("log")
    for axes, title, label in (
        (left, "Loss", loss_axis(run)),
        (right, "Validation score", score_axis(run)),
    ):
        if 0 < frozen < len(history):
            axes.axvline(frozen + 0.5, color=GREY, linestyle=":", linewidth=1, label="fine-tuning")
        axes.set(title=title, xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
    legend_below(figure)
    kept = f"; the weights of epoch {kept_epoch(members[0])} are kept" if len(members) == 1 else ""
    thaw = f" The trunk is frozen up to epoch {frozen}." if 0 < frozen < len(history) else ""
    return figure, (
        f"Losses ({loss_words(run.recipe)}) and validation scores by epoch{kept}.{thaw}"
    )


def loss_axis(run: Run) -> str:
    """Return the label of an axis of a run's losses, which has room for a few words."""
    words = loss_words(run.recipe)
    return words if len(words) < 40 else f"loss: {loss_name(run.recipe)}"


def score_axis(run: Run) -> str:
    """Return the label of an axis of a run's validation scores."""
    return ", ".join(target_of(run.recipe).epoch_metrics.values())


def confusion_figure(metrics: dict, part: str, words: str, truth: str) -> Captioned:
    """Return a confusion matrix: counts, and the share of each true class.

    Args:
        metrics: of a run.
        part: of it.
        words: the part's name.
        truth: who says the true class.
    """
    classes = [_words(name) for name in metrics["classes"]]
    counts = np.array(metrics[part]["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = COLUMN if len(classes) <= 4 else PAGE
    figure, axes = plt.subplots(figsize=(side, side * 0.9))
    axes.imshow(shares, cmap=SHARES, vmin=0, vmax=1, interpolation="nearest")
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column, row, f"{counts[row, column]:,}\n{shares[row, column]:.1%}",
            ha="center", va="center", fontsize=8 if len(classes) <= 8 else SMALL,
            color="white" if shares[row, column] > 0.55 else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.spines[:].set_visible(False)
    score = metrics[part]["macro_f1"]
    number = metrics[part]["galaxies"]
    axes.set(xlabel="model", ylabel=truth)
    f1 = f"macro-F1 {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    axes.set_title(f"{number:,} {words} galaxies\n{f1}")
    return figure, (
        f"Confusion matrix of {number:,} {words} galaxies, {f1}. Rows: {truth}; columns: model; "
        "percentages are of a row."
    )


def scores_figure(metrics: dict) -> Captioned:
    """Return precision, recall and F1 of each class on the test part, with their intervals."""
    per_class = metrics["test"]["per_class"]
    figure, axes = plt.subplots(figsize=(COLUMN, 1.2 + 0.4 * len(per_class)))
    for offset, (score, words, colour, marker) in enumerate(
        (("precision", "precision", BLUE, "o"), ("recall", "recall", ORANGE, "s"),
         ("f1", "F1", GREEN, "D"))
    ):  # fmt: skip
        values = [scores[score] for scores in per_class.values()]
        intervals(axes, values, colour, 0.2 * (offset - 1), fmt=marker, label=words)
    names = [f"{_words(name)} ({scores['support']:,})" for name, scores in per_class.items()]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(xlabel="test score, 95 % intervals")
    axes.set_xlim(right=1.01)
    axes.grid(axis="x")
    legend_below(figure)
    return figure, (
        "Precision, recall and F1 of each class on the test part with 95 % intervals; galaxies "
        "of the class in brackets."
    )


def answers_figure(tree: Tree, scores: dict) -> Captioned:
    """Return the RMSE of each answer and the accuracy of each question, with their intervals."""
    answers = [(question, answer) for question in tree.questions for answer in question.answers]
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(PAGE, 1.2 + 0.17 * len(answers)), width_ratios=(3, 2)
    )
    intervals(left, [scores["per_answer"][answer.column]["rmse"] for _, answer in answers], BLUE)
    left.set_yticks(
        range(len(answers)), [broken(answer.text, 30) for _, answer in answers], fontsize=SMALL
    )
    starts = np.cumsum([len(question.answers) for question in tree.questions])[:-1]
    for start in starts:
        left.axhline(start - 0.5, color=GREY, lw=0.5)
    total = scores["rmse"]["value"]
    left.axvline(total, color=ORANGE, lw=1, label=f"RMSE of all answers: {total:.4f}")
    left.set(title="RMSE of vote fractions", xlabel="RMSE, 95 % intervals", xlim=(0, None))
    questions = [scores["per_question"][question.name] for question in tree.questions]
    intervals(right, [question["accuracy"] for question in questions], GREEN)
    names = [
        f"{broken(question.text, 30)}\n({found['agreed']:,})"
        for question, found in zip(tree.questions, questions, strict=True)
    ]
    right.set_yticks(range(len(names)), names, fontsize=SMALL)
    right.set(title="Accuracy where agreed", xlabel="share", xlim=(None, 1.01))
    for axes, rows in ((left, answers), (right, names)):
        axes.set_ylim(len(rows) - 0.4, -0.6)
        axes.grid(axis="x")
    legend_below(figure)
    return figure, (
        "Left: root-mean-square error of each answer's vote fraction. Right: accuracy of the "
        "likeliest answer on the galaxies (in brackets) where over 80 % of the volunteers agree. "
        "95 % intervals."
    )


def draw_gallery(run: Run, path: Path, galaxies: pd.DataFrame, title: str, most: int = 20) -> Path:
    """Draw a contact sheet: images, the first `most` rows, with the labels and predictions.

    Those are class and confidence, or an answer and the fractions of those asked who give it.

    Args:
        run: whose galaxies.
        path: of the picture.
        galaxies: `galaxy`, `image`, perhaps `loss`, and either `label`, `predicted`, `confidence`
            and perhaps `share`, that of volunteers who say the label, or `says`, `volunteers` and
            `model`.
        title: stands above, followed by how many there are.
        most: how many are drawn.
    """
    shown = galaxies.head(most)
    crop, kind = run.recipe.crop, served_kind(run)
    labels = [_label_of(row, run.recipe.truth) for row in shown.itertuples(index=False)]
    with plt.rc_context(STYLE):
        figure, grid = contact_sheet(
            len(shown), COLUMNS, max((len(each) for each, _ in labels), default=0)
        )
        for axes, row, label in zip(grid, shown.itertuples(index=False), labels, strict=False):
            image = decode(row.image, run.recipe.rendering)
            axes.imshow(image)
            if crop < 1:
                side = crop * min(image.size)
                corner = [(length - side) / 2 for length in image.size]
                axes.add_patch(plt.Rectangle(corner, side, side, fill=False, color="white", ls=":",
                                             lw=0.7, alpha=0.6))  # fmt: skip
            label_image(axes, *label)
        of = f"{len(shown):,} of {len(galaxies):,}"
        title_sheet(figure, f"{title} ({of}; {kind})")
        dotted = " The dotted square is what the model sees." if crop < 1 else ""
        loss = f" The training loss is {loss_words(run.recipe)}, uncalibrated." * ("loss" in shown)
        return write_figure(figure, path, f"{title}: {of} galaxies; {kind}.{loss}{dotted}")


def contact_sheet(number: int, columns: int, lines: int, more: float = 0.0) -> tuple[Figure, list]:
    """Return a figure of a page's width with a place for each of a number of images.

    Args:
        number: of images.
        columns: of them.
        lines: of words below each.
        more: inches below all.
    """
    side, row = _side(columns), _side(columns) + LINE * lines + 2 * GAP
    rows = max(1, -(-number // columns))
    height = TITLE + rows * row + more
    figure = plt.figure(figsize=(PAGE, height), layout="none")
    places = []
    for at in range(number):
        across, down = GAP + at % columns * (side + GAP), TITLE + at // columns * row + side
        box = (across / PAGE, 1 - down / height, side / PAGE, side / height)
        places.append(figure.add_axes(box))
        places[-1].set_axis_off()
    return figure, places


def _side(columns: int) -> float:
    return (PAGE - GAP) / columns - GAP


def label_lines(galaxy: str, lines: list[str], columns: int) -> list[str]:
    """Return a galaxy's name and what is said of it in lines that fit below an image."""
    letters, name = int(_side(columns) / LETTER), str(galaxy)
    if len(name) > letters:
        name = f"{name[: letters // 2 - 1]}…{name[-(letters // 2) :]}"
    return [name, *(part for line in lines for part in textwrap.wrap(line, letters))]


def title_sheet(figure: Figure, title: str) -> None:
    """Write the title of a contact sheet."""
    figure.text(GAP / PAGE, 1 - 0.06 / figure.get_figheight(), title, va="top", fontweight="bold")


def label_image(axes, lines: list[str], colour: str = BLACK) -> None:
    """Write lines below an image, in letters that can be read."""
    axes.text(
        0, -0.03, "\n".join(lines), fontsize=SMALL, color=colour, va="top",
        transform=axes.transAxes,
    )  # fmt: skip


def _label_of(row, truth: str) -> tuple[list[str], str]:
    """Return the lines that a contact sheet has of a galaxy, and their colour."""
    loss = (
        [f"training loss {row.loss:.2f}"] if hasattr(row, "loss") and np.isfinite(row.loss) else []
    )
    if hasattr(row, "says"):
        shares = f"{truth} {share_words(row.volunteers)}, model {share_words(row.model)}"
        return label_lines(row.galaxy, [row.says, shares, *loss], COLUMNS), BLACK
    right = row.label == row.predicted
    share = f" {share_words(row.share)}" if hasattr(row, "share") and pd.notna(row.share) else ""
    lines = [
        f"{'✓' if right else '✗'} {_words(row.predicted)} {share_words(row.confidence)}",
        f"{truth}: {_words(row.label)}{share}",
        *loss,
    ]
    return label_lines(row.galaxy, lines, COLUMNS), RIGHT if right else WRONG


def share_words(share: float) -> str:
    """Return a share in percent, or that nobody was asked where there is none."""
    return f"{share:.0%}" if np.isfinite(share) else "not asked"


def broken(words: str, width: int) -> str:
    """Return words in lines of a width that fits a small panel."""
    return "\n".join(textwrap.wrap(words, width))


def _words(name: str) -> str:
    return str(name).replace("_", " ")
