"""The figures of a run: learning curves, confusion matrices, scores by class, galleries."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from galaxymorph.base import make_folder, replacing
from galaxymorph.images import Rendering, decode
from galaxymorph.learn import Run, loss_entry, target_of
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import Tree

DPI = 150
# Okabe & Ito's palette, told apart by the colour-blind too.
BLUE, ORANGE, GREEN, RED, GREY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#666666"
COLUMNS = 5

STYLE = {
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.dpi": DPI,
}


def draw_run(run: Run, metrics: dict) -> list[Path]:
    """Draw what every fit ends with, into the run's `figures/`; return the files."""
    with plt.rc_context(STYLE):
        drawn = [save_figure(run, "learning_curves", learning_curves(run))]
        for family in target_of(run.recipe).metrics:
            for name, figure in FAMILIES[family](run, metrics).items():
                drawn.append(save_figure(run, name, figure))
    return drawn


def _classification_figures(run: Run, metrics: dict) -> dict[str, Figure]:
    confusions = {
        f"confusion_{part}": confusion_figure(metrics, part, words) for part, words in PARTS.items()
    }
    return {**confusions, "scores_by_class": scores_figure(metrics)}


def _tree_figures(run: Run, metrics: dict) -> dict[str, Figure]:
    tree = target_of(run.recipe).tree
    return {"scores_by_answer": answers_figure(tree, metrics["test"])}


# A family of scores, see `judge.metrics`, and what is drawn of it; `report.votes` draws the rest.
FAMILIES: dict[str, Callable[[Run, dict], dict[str, Figure]]] = {
    "classification": _classification_figures,
    "distribution": lambda run, metrics: {},
    "tree": _tree_figures,
}


def learning_curves(run: Run) -> Figure:
    """Return losses and validation scores by epoch; of several models a line each."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    histories = [member.history for member in run.members]
    target = target_of(run.recipe)
    scores = zip(target.scores.items(), (GREEN, GREY), strict=False)
    lines = [
        (left, "train_loss", BLUE, "training"),
        (left, "valid_loss", ORANGE, "validation"),
        *((right, column, colour, words) for (column, words), colour in scores),
    ]
    for position, history in enumerate(histories):
        first = position == 0
        alpha = 1.0 if len(histories) == 1 else 0.5
        for axes, column, colour, words in lines:
            axes.plot(
                history["epoch"],
                history[column],
                color=colour,
                alpha=alpha,
                marker="o",
                markersize=3,
                label=words if first else None,
            )
    frozen = int((histories[0]["stage"] == "frozen").sum())
    losses = pd.concat(histories)[["train_loss", "valid_loss"]].to_numpy()
    # A likelihood can be over 1, and its logarithm's negative below 0.
    if 0 < 30 * losses.min() < losses.max():
        left.set_yscale("log")
    for axes, title, label in (
        (left, "Loss", _loss_words(run)),
        (right, "Validation score", "share" if target.rises else ", ".join(target.scores.values())),
    ):
        if 0 < frozen < len(histories[0]):
            axes.axvline(frozen + 0.5, color=GREY, linestyle=":", linewidth=1)
            axes.annotate(
                "fine-tuning →", (frozen + 0.5, 1), xycoords=("data", "axes fraction"),
                fontsize=8, color=GREY, va="top", xytext=(3, 0), textcoords="offset points",
            )  # fmt: skip
        axes.set(title=title, xlabel="epoch", ylabel=label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.legend(frameon=False, fontsize=8)
    return figure


def _loss_words(run: Run) -> str:
    if target_of(run.recipe).soft:
        return loss_entry(run.recipe).about
    return "cross-entropy" + ", class-weighted" * (run.recipe.class_weights > 0)


def confusion_figure(metrics: dict, part: str, words: str) -> Figure:
    """Return a confusion matrix: counts, and the share of each true class."""
    classes = [_words(name) for name in metrics["classes"]]
    counts = np.array(metrics[part]["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.2 + 0.85 * len(classes)
    figure, axes = plt.subplots(figsize=(side + 0.6, side), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(*counts.shape):
        axes.text(
            column, row, f"{counts[row, column]:,}\n{shares[row, column]:.1%}",
            ha="center", va="center",
            color="white" if shares[row, column] > 0.55 else "black",
        )  # fmt: skip
    axes.set_xticks(range(len(classes)), classes, rotation=30, ha="right")
    axes.set_yticks(range(len(classes)), classes)
    axes.spines[:].set_visible(False)
    score = metrics[part]["macro_f1"]
    axes.set(xlabel="predicted", ylabel="volunteers")
    axes.set_title(
        f"{metrics[part]['galaxies']:,} {words} galaxies\n"
        f"macro-F1 {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    )
    return figure


def scores_figure(metrics: dict) -> Figure:
    """Return precision, recall and F1 of each class on the test part, with their intervals."""
    per_class = metrics["test"]["per_class"]
    figure, axes = plt.subplots(figsize=(7, 1.4 + 0.6 * len(per_class)), layout="constrained")
    for offset, (score, words, colour) in enumerate(
        (("precision", "precision", BLUE), ("recall", "recall", ORANGE), ("f1", "F1", GREEN))
    ):
        values = [scores[score] for scores in per_class.values()]
        middle = np.array([value["value"] for value in values])
        ends = np.array([[value["low"], value["high"]] for value in values]).T
        axes.errorbar(
            middle, np.arange(len(values)) + 0.2 * (offset - 1),
            xerr=np.maximum(np.abs(ends - middle), 0),
            fmt="o", color=colour, label=words, capsize=2, markersize=5,
        )  # fmt: skip
    names = [f"{_words(name)}\n({scores['support']:,})" for name, scores in per_class.items()]
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set(title="Test scores by class, 95 % intervals", xlabel="score")
    axes.set_xlim(right=1.01)
    axes.grid(axis="x", alpha=0.3)
    axes.legend(frameon=False, fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
    return figure


def answers_figure(tree: Tree, scores: dict) -> Figure:
    """Return the RMSE of each answer and the accuracy of each question, with their intervals."""
    figure, (left, right) = plt.subplots(
        1, 2, figsize=(10, 8.5), layout="constrained", width_ratios=(3, 2)
    )
    answers = [(q, answer) for q in tree.questions for answer in q.answers]
    _intervals(left, [scores["per_answer"][answer.column]["rmse"] for _, answer in answers], BLUE)
    left.set_yticks(
        range(len(answers)),
        [f"{answer.says}  {answer.column.removeprefix('Class')}" for _, answer in answers],
        fontsize=7,
    )
    starts = np.cumsum([len(question.answers) for question in tree.questions])[:-1]
    for start in starts:
        left.axhline(start - 0.5, color=GREY, lw=0.5)
    total = scores["rmse"]
    left.axvline(total["value"], color=ORANGE, lw=1, label=f"all answers: {total['value']:.4f}")
    left.legend(frameon=False, fontsize=8)
    left.set(title="RMSE of vote fractions", xlabel="RMSE, 95 % intervals", xlim=(0, None))
    questions = [scores["per_question"][question.name] for question in tree.questions]
    _intervals(right, [question["accuracy"] for question in questions], GREEN)
    names = [
        f"{question.asks}\n({found['agreed']:,})"
        for question, found in zip(tree.questions, questions, strict=True)
    ]
    right.set_yticks(range(len(names)), names, fontsize=7)
    right.set(title="Accuracy, galaxies agreed on", xlabel="share", xlim=(None, 1.01))
    for axes, rows in ((left, answers), (right, names)):
        axes.set_ylim(-0.6, len(rows) - 0.4)
        axes.invert_yaxis()
        axes.grid(axis="x", alpha=0.3)
    return figure


def _intervals(axes, scores: list[dict], colour: str) -> None:
    """Draw a point with its interval a row; a score that nobody has leaves its row empty."""
    values = np.array(
        [[np.nan if s[name] is None else s[name] for name in ("low", "value", "high")]
         for s in scores]
    )  # fmt: skip
    ends = np.abs(values[:, [0, 2]] - values[:, [1]])
    axes.errorbar(
        values[:, 1], np.arange(len(values)), xerr=ends.T, fmt="o", color=colour, capsize=2,
        markersize=4,
    )  # fmt: skip


def draw_gallery(
    path: Path,
    galaxies: pd.DataFrame,
    title: str,
    crop: float,
    rendering: Rendering,
    most: int = 20,
) -> Path:
    """Draw images, the first `most` rows, with what volunteers and the model say of them.

    That is class and confidence, or an answer and the fractions of those asked who give it.

    Args:
        path: of the picture.
        galaxies: `galaxy`, `image`, perhaps `loss`, and either `label`, `predicted`, `confidence`
            and perhaps `share`, that of volunteers who say the label, or `says`, `volunteers` and
            `model`.
        title: stands above, followed by how many there are.
        crop: the share of the frame that the model sees: a dashed square marks it.
        rendering: of FITS.
        most: how many are drawn.
    """
    shown = galaxies.head(most)
    rows = max(1, -(-len(shown) // COLUMNS))
    with plt.rc_context(STYLE):
        figure, grid = plt.subplots(
            rows, COLUMNS, figsize=(COLUMNS * 2.2, rows * 2.75 + 0.5), layout="constrained",
            squeeze=False,
        )  # fmt: skip
        for axes in grid.flat:
            axes.set_axis_off()
        for axes, row in zip(grid.flat, shown.itertuples(index=False), strict=False):
            _draw_galaxy(axes, row, crop, rendering)
        of = f" ({len(shown)} of {len(galaxies):,})" if len(galaxies) > len(shown) else ""
        figure.suptitle(f"{title}{of}", x=0.01, ha="left", fontweight="bold")
        return write_figure(figure, path)


def _draw_galaxy(axes, row, crop: float, rendering: Rendering) -> None:
    image = decode(row.image, rendering)
    axes.imshow(image)
    if crop < 1:
        side = crop * min(image.size)
        corner = [(length - side) / 2 for length in image.size]
        axes.add_patch(
            plt.Rectangle(corner, side, side, fill=False, color="white", ls=":", lw=0.7, alpha=0.6)
        )
    loss = f"  loss {row.loss:.2f}" if hasattr(row, "loss") else ""
    if hasattr(row, "says"):
        colour = "black"
        says = f"{broken(row.says, 32)}\nvolunteers {row.volunteers:.0%}, model {row.model:.0%}"
    else:
        colour = GREEN if row.label == row.predicted else RED
        share = f" {row.share:.0%}" if hasattr(row, "share") else ""
        says = (
            f"volunteers: {_words(row.label)}{share}\n"
            f"model: {_words(row.predicted)} {row.confidence:.0%}"
        )
    axes.set_title(
        f"{row.galaxy}\n{says}{loss}", fontsize=7.5, fontweight="normal", color=colour, loc="left"
    )


def broken(words: str, width: int) -> str:
    """Return words in lines of a width that fits a small panel."""
    return "\n".join(textwrap.wrap(words, width))


def _words(name: str) -> str:
    return name.replace("_", " ")


def save_figure(run: Run, name: str, figure: Figure) -> Path:
    """Write a figure into a run's `figures/` and close it; return the file."""
    return write_figure(figure, run.figures / f"{name}.png")


def write_figure(figure: Figure, path: Path) -> Path:
    """Write a figure, whole or not at all, and close it; return the file."""
    make_folder(path.parent)
    with replacing(path) as temporary:
        figure.savefig(temporary, dpi=DPI)
    plt.close(figure)
    return path
