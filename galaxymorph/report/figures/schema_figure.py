"""The figure of a decision tree: questions as boxes from left to right, answers lead on."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from galaxymorph.report.figures.style import BLUE, GREY, SMALL, styled
from galaxymorph.zoo import Question, Tree

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# Inches: the width of a box, between boxes, the height of a line, and between boxes above another.
BOX, GAP, LINE, SPACE = 1.75, 0.55, 0.135, 0.18
# Boxes beside each other, as a page has room for; later questions are below.
COLUMNS = 5
# Letters in a line of a box.
LETTERS = 34


@styled
def draw_schema(tree: Tree, title: str) -> Figure:
    """Return the figure of a tree, one column a step of the walk, in rows of `COLUMNS`.

    A union's campaigns are below each other.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    boxes = _places(tree)
    width = max(x for x, _ in boxes.values()) + BOX
    height = max(y + _height(tree, name) for name, (_, y) in boxes.items())
    figure = Figure(figsize=(width + 0.2, height + 0.4))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(-0.1, width + 0.1), ylim=(height + 0.1, -0.3))
    axes.axis("off")
    axes.text(0, -0.12, title, weight="bold")
    for question in tree.questions:
        x, y = boxes[question.name]
        size = _height(tree, question.name)
        axes.add_patch(Rectangle((x, y), BOX, size, fc="white", lw=0.6, ec=GREY, zorder=2))
        axes.text(x + 0.05, y + LINE, _short(question.name), size=SMALL, weight="bold", zorder=3)
        for at, answer in enumerate(question.answers):
            axes.text(x + 0.05, y + (at + 2) * LINE, _short(answer.text), size=SMALL, zorder=3)
        for name, level in _arrows(question).items():
            # Behind the boxes, of which a long arrow passes some.
            onward = boxes[name][0] > x
            start = (x + BOX, y + level)
            # Arrows to a lower row end on the box's upper edge, which they come from.
            end = np.add(boxes[name], (0, 0.6 * LINE) if onward else (0.7 * BOX, 0))
            style = {"arrowstyle": "->", "lw": 0.5, "color": BLUE, "shrinkA": 0, "shrinkB": 0}
            axes.annotate("", xy=tuple(end), xytext=start, arrowprops=style, zorder=1)
    return figure


def _arrows(question: Question) -> dict[str, float]:
    """Return where arrows leave a box, in inches below its top, by the question they lead to."""
    levels: dict[str, list[float]] = {}
    for at, answer in enumerate(question.answers):
        if answer.leads_to:
            levels.setdefault(answer.leads_to, []).append((at + 1.7) * LINE)
    return {name: sum(several) / len(several) for name, several in levels.items()}


def _places(tree: Tree) -> dict[str, tuple[float, float]]:
    """Return the upper left corner of each question's box, in inches, by its name."""
    depth, part = _depths(tree)
    places: dict[str, tuple[float, float]] = {}
    top = 0.0
    # Each campaign begins a row of columns, and so does each further row of a long one.
    rows = {name: (part[name], depth[name] // COLUMNS) for name in depth}
    for row in sorted(set(rows.values())):
        levels: dict[int, float] = {}
        for question in tree.questions:
            if rows[question.name] != row:
                continue
            column = depth[question.name] % COLUMNS
            y = levels.get(column, top)
            places[question.name] = (column * (BOX + GAP), y)
            levels[column] = y + _height(tree, question.name) + SPACE
        top = max(levels.values()) + SPACE
    return places


def _depths(tree: Tree) -> tuple[dict[str, int], dict[str, int]]:
    """Return the number of questions before each, on the longest way, and its campaign's number."""
    names = [question.name for question in tree.questions]
    depth, part = dict.fromkeys(names, 0), dict.fromkeys(names, 0)
    for number, at in enumerate(tree.roots):
        part[names[at]] = number
    for at in tree.walk:
        question = tree.questions[at]
        for answer in question.answers:
            if answer.leads_to:
                depth[answer.leads_to] = max(depth[answer.leads_to], depth[question.name] + 1)
                part[answer.leads_to] = part[question.name]
    return depth, part


def _height(tree: Tree, name: str) -> float:
    question = next(each for each in tree.questions if each.name == name)
    return (len(question.answers) + 1.6) * LINE


def _short(text: str) -> str:
    return text if len(text) <= LETTERS else f"{text[: LETTERS - 1]}…"
