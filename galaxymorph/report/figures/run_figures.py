"""Figures of every fit: learning curves, confusion matrices, scores by class."""

from __future__ import annotations

from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from galaxymorph.base import read_json
from galaxymorph.learn import (
    MAIN_LOSS,
    Run,
    loss_name,
    loss_parts,
    loss_words,
    run_files,
    target_of,
)
from galaxymorph.report.figures.panels import (
    Captioned,
    draw_intervals,
    draw_matrix,
    in_words,
    legend_below,
    name_rows,
    wrapped,
)
from galaxymorph.report.figures.style import (
    BLACK,
    BLUE,
    COLUMN,
    GREEN,
    GREY,
    MARKERS,
    ORANGE,
    PAGE,
    PURPLE,
    SERIES,
    SHARES,
    SMALL,
    styled,
    write_figures,
)
from galaxymorph.report.tables import PARTS
from galaxymorph.zoo import Tree

# Letters in a line of a class name beside a matrix.
LETTERS = 18


@styled
def draw_run(run: Run, metrics: dict) -> list[Path]:
    """Draw the figures of a fit into the run's `figures/`; return the files.

    A run without `history.csv` has no learning curves.
    """
    figures: dict[str, Captioned] = {}
    if all(member.history is not None for member in run.members):
        figures["learning_curves"] = learning_curves(run)
        if loss_parts(run.recipe).keys() & set(history_of(run.members[0])):
            figures["losses_by_source"] = losses_by_source(run)
    for family in target_of(run.recipe).metrics:
        if family in FAMILIES:
            figures |= FAMILIES[family](run, metrics)
    return write_figures(run.figures, figures)


def redraw(run: Run) -> list[Path]:
    """Draw the figures of `draw_run` and `draw_votes` again; none for a member of an ensemble."""
    from galaxymorph.report.figures.vote_figures import draw_votes

    if not (run.path / run_files.METRICS).exists():
        return []
    return draw_run(run, read_json(run.path / run_files.METRICS)) + draw_votes(run)


def _class_figures(run: Run, metrics: dict) -> dict[str, Captioned]:
    confusions = {
        f"confusion_{part}": confusion_figure(metrics, part, PARTS[part], run.recipe.truth)
        for part in run.scored_parts
    }
    return {**confusions, "scores_by_class": class_scores_figure(metrics)}


def _tree_figures(run: Run, metrics: dict) -> dict[str, Captioned]:
    tree = target_of(run.recipe).tree
    return {"scores_by_answer": answers_figure(tree, metrics["test"])} if tree else {}


# By family of metrics, see `judge.METRICS`; those of vote fractions are in `vote_figures`.
FAMILIES: dict[str, Callable[[Run, dict], dict[str, Captioned]]] = {
    "classification": _class_figures,
    "tree": _tree_figures,
}


def history_of(run: Run) -> pd.DataFrame:
    """Return a run's history, which exists."""
    history = run.history
    if history is None:
        raise ValueError(f"{run.path} has no history.csv")
    return history


def weights_epoch(run: Run) -> int:
    """Return the epoch of the weights of a trained run with one split, counted from 1."""
    target, history = target_of(run.recipe), history_of(run)
    sign = 1 if target.monitor.greater_is_better else -1
    scores = sign * history[target.monitor.column]
    is_best = run.recipe.keep == "best" and bool(scores.notna().any())
    return int(history["epoch"].to_numpy()[scores.argmax() if is_best else -1])


def learning_curves(run: Run) -> Captioned:
    """Return losses and validation scores by epoch; of several models a line each."""
    figure = Figure(figsize=(PAGE, 2.6))
    left, right = figure.subplots(1, 2)
    members = run.members
    metrics = target_of(run.recipe).epoch_metrics
    looks = zip(metrics, ((GREEN, "^"), (PURPLE, "D")), strict=False)
    histories = pd.concat([history_of(member) for member in members])
    training, words = "train_loss", "training loss"
    if MAIN_LOSS in histories:
        # The mean over sources, whose losses are of different kinds, compares with nothing.
        training, words = MAIN_LOSS, "training loss, main catalogue"
    lines = [
        (left, training, BLUE, "o", words),
        (left, "valid_loss", ORANGE, "s", "validation loss"),
        *((right, each.column, *look, f"validation {each.label}") for each, look in looks),
    ]
    for member in members:
        history, epoch = history_of(member), weights_epoch(member)
        for axes, column, colour, marker, words in lines:
            faint = 1.0 if len(members) == 1 else 0.5
            look = {"color": colour, "marker": marker, "label": words, "alpha": faint}
            axes.plot(history["epoch"], history[column], **look)
            at = history.loc[history["epoch"] == epoch, column]
            ring = {"ms": 8, "mfc": "none", "mec": BLACK, "mew": 0.8, "label": "epoch used"}
            axes.plot([epoch] * len(at), at, "o", **ring)
    losses = histories[[training, "valid_loss"]].to_numpy()
    # A likelihood can be over 1, and its logarithm's negative below 0.
    if 0 < 30 * losses.min() < losses.max():
        left.set_yscale("log")
    first = history_of(members[0])
    frozen, epochs = int((first["stage"] == "frozen").sum()), len(first)
    _label_epochs(left, "Loss", loss_axis(run), frozen, epochs)
    _label_epochs(right, "Validation score", score_axis(run), frozen, epochs)
    legend_below(figure)
    used = f"; the weights of epoch {weights_epoch(members[0])} are used" * (len(members) == 1)
    thaw = f" The trunk is frozen up to epoch {frozen}." if 0 < frozen < epochs else ""
    of_main = " Both losses are of the main catalogue's galaxies." * (training == MAIN_LOSS)
    return figure, (
        f"Losses ({loss_words(run.recipe)}) and validation scores by epoch{used}.{of_main}{thaw}"
    )


def losses_by_source(run: Run) -> Captioned:
    """Return the training losses of each source of labels by epoch; of several models the mean."""
    figure = Figure(figsize=(COLUMN, 2.6))
    axes = figure.subplots()
    histories = [history_of(member) for member in run.members]
    means = pd.concat(histories).groupby("epoch").mean(numeric_only=True)
    names = {column: words for column, words in loss_parts(run.recipe).items() if column in means}
    for (column, words), colour, marker in zip(names.items(), cycle(SERIES), cycle(MARKERS)):
        axes.plot(means.index, means[column], color=colour, marker=marker, label=words)
    losses = means[list(names)].to_numpy()
    # See `learning_curves`; a loss of further sources may be 0.
    if np.nanmin(losses) > 0 and np.nanmax(losses) > 30 * np.nanmin(losses):
        axes.set_yscale("log")
    frozen, epochs = int((histories[0]["stage"] == "frozen").sum()), len(means)
    _label_epochs(axes, "Training loss by source", "loss", frozen, epochs)
    legend_below(figure)
    return figure, (
        "Training losses by source of labels, weights left out; further catalogues by their "
        "numbers in the table of sources. Votes have a loss of their own "
        "noise; that of classes and of largest answers is 0 where the model agrees."
    )


def _label_epochs(axes: Axes, title: str, label: str, frozen: int, epochs: int) -> None:
    if 0 < frozen < epochs:
        axes.axvline(frozen + 0.5, color=GREY, linestyle=":", linewidth=1, label="fine-tuning")
    axes.set(title=title, xlabel="epoch", ylabel=label)
    axes.locator_params(axis="x", integer=True)
    if epochs == 1:
        axes.set_xlim(0.5, 1.5)
        axes.set_xticks([1])


def loss_axis(run: Run) -> str:
    """Return the label of an axis of a run's losses, which has room for a few words."""
    words = loss_words(run.recipe)
    return words if len(words) < 40 else f"loss: {loss_name(run.recipe)}"


def score_axis(run: Run) -> str:
    """Return the label of an axis of a run's validation scores."""
    return ", ".join(metric.label for metric in target_of(run.recipe).epoch_metrics)


def confusion_figure(metrics: dict, part: str, words: str, truth: str) -> Captioned:
    """Return a confusion matrix: counts, and the share of each true class.

    Args:
        metrics: of a run.
        part: of it.
        words: the part's name.
        truth: the source of true classes, in words.
    """
    names = [in_words(name) for name in metrics["classes"]]
    # Of many, names in several lines would overlap.
    many = len(names) > 5
    classes = names if many else [wrapped(name, LETTERS) for name in names]
    counts = np.array(metrics[part]["confusion"])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    texts = [
        [f"{count:,}\n{share:.1%}" for count, share in zip(*pair, strict=True)]
        for pair in zip(counts, shares, strict=True)
    ]
    is_small = len(classes) <= 4 and not any("\n" in name for name in classes)
    side = COLUMN if is_small else PAGE
    figure = Figure(figsize=(side, side * 0.9))
    axes = figure.subplots()
    size = 8 if len(classes) <= 8 else SMALL
    draw_matrix(axes, shares, np.array(texts), (classes, classes), (SHARES, 0.0, 1.0), size)
    turned: dict[str, Any] = {"rotation": 60 if many else 30, "rotation_mode": "anchor"}
    axes.set_xticks(axes.get_xticks(), classes, ha="right", **turned)
    score, number = metrics[part]["macro_f1"], metrics[part]["galaxies"]
    f1 = f"macro-F1 {score['value']:.3f} ({score['low']:.3f} to {score['high']:.3f})"
    axes.set(xlabel="model", ylabel=truth, title=f"{number:,} {words} galaxies\n{f1}")
    return figure, (
        f"Confusion matrix of {number:,} {words} galaxies, {f1}. Rows: {truth}; columns: model; "
        "percentages are of a row."
    )


def class_scores_figure(metrics: dict) -> Captioned:
    """Return precision, recall and F1 of each class on the test part, with their intervals."""
    per_class = metrics["test"]["per_class"]
    figure = Figure(figsize=(COLUMN, 1.2 + 0.4 * len(per_class)))
    axes = figure.subplots()
    looks = {"precision": (BLUE, "o"), "recall": (ORANGE, "s"), "F1": (GREEN, "D")}
    for place, (words, (colour, marker)) in enumerate(looks.items(), -1):
        scores = [by_score[words.lower()] for by_score in per_class.values()]
        draw_intervals(axes, scores, colour, 0.2 * place, fmt=marker, label=words, clip_on=False)
    names = [f"{in_words(name)} ({of['support']:,})" for name, of in per_class.items()]
    name_rows(axes, [wrapped(name, LETTERS + 6) for name in names])
    axes.set(xlabel="test score, 95 % intervals")
    axes.set_xlim(right=1)
    legend_below(figure)
    return figure, (
        "Precision, recall and F1 of each class on the test part with 95 % intervals; galaxies "
        "of the class in brackets."
    )


def answers_figure(tree: Tree, scores: dict) -> Captioned:
    """Return the RMSE of each answer and the accuracy of each question, with their intervals."""
    answers = [answer for _, answer in tree.answers]
    size = (PAGE, 1.2 + 0.17 * len(answers))
    figure = Figure(figsize=size)
    left, right = figure.subplots(1, 2, width_ratios=(3, 2))
    errors = [scores["per_answer"][answer.column]["rmse"] for answer in answers]
    draw_intervals(left, errors, BLUE)
    name_answers(left, tree)
    total = scores["rmse"]["value"]
    left.axvline(total, color=ORANGE, lw=1, label=f"RMSE of all answers: {total:.4f}")
    left.set(title="RMSE of vote fractions", xlabel="RMSE, 95 % intervals", xlim=(0, None))
    by_question = [scores["per_question"][question.name] for question in tree.questions]
    accuracies = [question["accuracy"] for question in by_question]
    draw_intervals(right, accuracies, GREEN, clip_on=False)
    names = [
        f"{wrapped(question.text, 30)}\n({score['agreed']:,})"
        for question, score in zip(tree.questions, by_question, strict=True)
    ]
    name_rows(right, names, fontsize=SMALL)
    right.set(title="Accuracy where agreed", xlabel="fraction of galaxies", xlim=(None, 1))
    legend_below(figure)
    return figure, (
        "Left: root-mean-square error of each answer's vote fraction. Right: accuracy of the most "
        "probable answer on the galaxies (in brackets) for which over 80 % of the volunteers "
        "agree. 95 % intervals."
    )


def name_answers(axes: Axes, tree: Tree) -> None:
    """Name rows as answers, with lines between questions.

    An answer that several questions have, such as "yes", stands behind its question.
    """
    texts = [answer.text for _, answer in tree.answers]
    names = [
        f"{question.text} {answer.text}"
        if texts.count(answer.text) > 1
        else wrapped(answer.text, 30)
        for question, answer in tree.answers
    ]
    name_rows(axes, names, fontsize=SMALL)
    for edge in np.cumsum([len(question.answers) for question in tree.questions])[:-1]:
        axes.axhline(edge - 0.5, color=GREY, lw=0.5, alpha=0.5)
