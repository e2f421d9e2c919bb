"""The look of every figure and page: one palette, a paper's sizes, and how figures are written."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from galaxymorph.base import BadInput, make_folder, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from galaxymorph.learn import Run

# Okabe & Ito's palette (2008, jfly.uni-koeln.de/color), told apart with any colour vision.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#666666"
# Green and red as dark as text has to be.
RIGHT, WRONG = "#006B4F", "#A83A00"
# Of lines and classes in order, on white; on a dark page the first is the lighter blue.
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK)
DARK_SERIES = (SKY, *SERIES[1:5])
# Colour maps: shares, densities and attribution rise in lightness; differences have two ends.
SHARES, DENSITY, HEAT, DIFFERENCES = "Blues", "viridis", "inferno", "RdBu_r"

# Inches: a column and the page of a journal (A&A's and MNRAS's are 88 and 180 mm, 84 and 177 mm).
COLUMN, PAGE = 3.46, 7.09
DPI = 220
# Points of the smallest letters.
SMALL = 6.5

STYLE = {
    "backend": "agg",
    "font.size": 8,
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "figure.titlesize": 8,
    "figure.titleweight": "bold",
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.prop_cycle": f"cycler('color', {list(SERIES)})",
    "lines.linewidth": 1.2,
    "lines.markersize": 3.5,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "image.interpolation": "bilinear",
    "figure.dpi": DPI,
    "figure.constrained_layout.use": True,
    "pdf.fonttype": 42,
    "svg.hashsalt": "galaxymorph",
}
FORMATS = ("png", "pdf", "svg")
# In which of these figures are written; pages show the PNGs.
_formats = ["png"]


def use_formats(names: Sequence[str]) -> None:
    """Write every figure from now on in these formats beside its PNG.

    Raises:
        BadInput: one isn't of `FORMATS`.
    """
    for name in names:
        if name not in FORMATS:
            raise BadInput(f"--figures {name}: no such format", f"use {', '.join(FORMATS)}")
    _formats[:] = ["png", *(name for name in names if name != "png")]


def save_figure(run: Run, name: str, figure: Figure, caption: str) -> Path:
    """Write a figure into a run's `figures/` and close it; return the PNG."""
    return write_figure(figure, run.figures / f"{name}.png", caption)


def write_figure(figure: Figure, path: Path, caption: str) -> Path:
    """Write a figure in each format in use, each file whole or not at all; return the PNG.

    Args:
        figure: is closed.
        path: of the PNG.
        caption: a sentence or more on what it shows; stands in the files' metadata, from which
            pages take it.
    """
    import matplotlib.pyplot as plt

    make_folder(path.parent)
    drawn_before = {name for name in FORMATS if path.with_suffix(f".{name}").exists()}
    for name in dict.fromkeys((*_formats, *sorted(drawn_before))):
        metadata = {
            "png": {"Description": caption},
            "pdf": {"Subject": caption, "CreationDate": None},
            "svg": {"Description": caption, "Date": None},
        }[name]
        with replacing(path.with_suffix(f".{name}")) as temporary:
            figure.savefig(temporary, dpi=DPI, metadata=metadata, format=name)
    plt.close(figure)
    return path


def legend_below(figure: Figure, columns: int = 3) -> None:
    """Place one legend of all axes below them, where no data are; each label once."""
    pairs = [axes.get_legend_handles_labels() for axes in figure.axes]
    found = {words: line for both in pairs for line, words in zip(*both, strict=True)}
    figure.legend(found.values(), found, loc="outside lower center", ncols=columns)


def intervals(axes, scores: Sequence[dict], colour: str, shift: float = 0.0, **more) -> None:
    """Draw scores as points with their intervals, a row each; one without a value leaves its row.

    Args:
        axes: rows are at 0, 1, ….
        scores: `value`, `low` and `high`, None where unknown.
        colour: of points and intervals.
        shift: of all rows.
        more: for `errorbar`, as a label.
    """
    low, value, high = np.array(
        [[np.nan if s[end] is None else s[end] for end in ("low", "value", "high")]
         for s in scores]
    ).reshape(-1, 3).T  # fmt: skip
    axes.errorbar(
        value, np.arange(len(scores)) + shift, xerr=np.abs([value - low, high - value]),
        **{"fmt": "o", "color": colour, "capsize": 1.5, **more},
    )  # fmt: skip
