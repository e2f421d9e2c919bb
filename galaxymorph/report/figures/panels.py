"""Parts of figures: grids of panels, rows with names, intervals, matrices, legends."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.image import AxesImage

from galaxymorph.report.figures.style import BLUE, DENSITY, ORANGE, PAGE, SMALL

# A figure and its caption.
Captioned: TypeAlias = tuple[Figure, str]
Score: TypeAlias = Mapping[str, Any]

ENDS = ("low", "value", "high")
BINS = 25
# Letters of a legend in an inch, beside its symbols.
LETTERS = 15
# Pairs of values of which the density is drawn, in place of the points.
MANY = 200


def panels(
    number: int, columns: int, height: float, margin: float = 0.4, **settings: Any
) -> tuple[Figure, list[Axes]]:
    """Return a figure of a page's width with a number of panels.

    Args:
        number: of panels.
        columns: of panels at most.
        height: of a panel, in inches.
        margin: inches above and below all panels.
        settings: for `subplots`, such as `sharex`.
    """
    columns = min(columns, number)
    rows = -(-number // columns)
    size = (PAGE, height * rows + margin)
    figure = Figure(figsize=size)
    grid = figure.subplots(rows, columns, squeeze=False, **settings)
    for axes in grid.flat[number:]:
        axes.set_axis_off()
    return figure, list(grid.flat[:number])


def name_rows(axes: Axes, names: Sequence[str], **settings: Any) -> None:
    """Name rows at 0, 1, …, the first on top, and draw the grid across them."""
    axes.set_yticks(range(len(names)), names, **settings)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.grid(axis="x")


def values_of(scores: Sequence[Score]) -> np.ndarray:
    """Return low ends, values and high ends of scores, shape (3, n), NaN where unknown."""
    ends = [[np.nan if score[end] is None else score[end] for end in ENDS] for score in scores]
    return np.array(ends, float).reshape(-1, 3).T


def draw_intervals(
    axes: Axes,
    scores: Sequence[Score],
    colour: str,
    shift: float = 0.0,
    at: Sequence[float] | np.ndarray | None = None,
    **settings: Any,
) -> None:
    """Draw scores as points with their intervals; a place without a value stays empty.

    Args:
        axes: of rows at 0, 1, …; or, with `at`, of columns there.
        scores: `value`, `low` and `high`, None where unknown.
        colour: of points and intervals.
        shift: of all rows.
        at: abscissae, for vertical intervals.
        settings: for `errorbar`, such as a label.
    """
    low, value, high = values_of(scores)
    ends = np.abs([value - low, high - value])
    looks = {"fmt": "o", "color": colour, "capsize": 1.5, **settings}
    if at is None:
        axes.errorbar(value, np.arange(len(scores)) + shift, xerr=ends, **looks)
    else:
        axes.errorbar(at, value, yerr=ends, **looks)


def draw_matrix(
    axes: Axes,
    values: np.ndarray,
    texts: np.ndarray,
    names: tuple[Sequence[str], Sequence[str]],
    shades: tuple[str, float, float],
    size: float = SMALL,
) -> AxesImage:
    """Draw a matrix as cells with text, white on dark cells.

    Args:
        axes: to draw in.
        values: of the cells' colours.
        texts: of the same shape.
        names: of rows and of columns.
        shades: the colour map, and the values at its ends.
        size: of the letters, in points.
    """
    colours, low, high = shades
    image = axes.imshow(
        values, cmap=colours, vmin=low, vmax=high, aspect="auto", interpolation="nearest"
    )
    for row, column in np.ndindex(*values.shape):
        red, green, blue, _ = image.cmap(image.norm(values[row, column]))
        is_dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
        axes.text(
            column,
            row,
            str(texts[row, column]),
            ha="center",
            va="center",
            fontsize=size,
            color="white" if is_dark else "black",
        )
    rows, columns = names
    axes.set_yticks(range(len(rows)), rows)
    axes.set_xticks(range(len(columns)), columns)
    axes.spines[:].set_visible(False)
    return image


def draw_pairs(axes: Axes, across: np.ndarray, up: np.ndarray, most: float = 1.0) -> None:
    """Draw pairs of values from 0 to a limit, and the line on which both are equal.

    Of many pairs, it is their density on a logarithmic scale.
    """
    limits = (0, most)
    if len(across) < MANY:
        axes.plot(across, up, "o", color=BLUE, markersize=3, alpha=0.5, mew=0, clip_on=False)
    else:
        axes.hist2d(across, up, BINS, range=(limits, limits), cmap=DENSITY, norm=LogNorm(), cmin=1)
    axes.plot(limits, limits, color=ORANGE, lw=1)
    axes.set(xlim=limits, ylim=limits)
    axes.set_aspect("equal")
    axes.tick_params(labelsize=SMALL)


def rank_correlation(first: np.ndarray, second: np.ndarray) -> str:
    """Return Spearman's correlation in words, empty where one of the two never varies."""
    from scipy.stats import spearmanr

    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return ""
    return f", rank correlation {spearmanr(first, second).statistic:.2f}"


def legend_below(figure: Figure, columns: int = 3) -> None:
    """Place one legend of all axes below them, where no data are; each label once.

    It has fewer columns where these would be wider than the figure, and long labels have lines.
    """
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    handles = {label: handle for both in pairs for handle, label in zip(*both, strict=True)}
    labels = [wrapped(label, round(LETTERS * figure.get_figwidth())) for label in handles]
    for number in range(min(columns, len(labels)), 0, -1):
        legend = figure.legend(handles.values(), labels, loc="outside lower center", ncols=number)
        if number == 1 or legend.get_window_extent().width <= figure.bbox.width:
            return
        legend.remove()


def wrapped(words: str, width: int) -> str:
    """Return words in lines of a width that fits a small panel."""
    return "\n".join(textwrap.wrap(words, width))


def in_words(name: object) -> str:
    """Return the name of a class or a score in words."""
    return str(name).replace("_", " ")
