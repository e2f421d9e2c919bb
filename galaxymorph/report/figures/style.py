"""The look of every figure and page: one palette, a paper's sizes, and how figures are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from galaxymorph.base import BadInput, make_folder, replacing, setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

# Okabe & Ito's palette (2008, jfly.uni-koeln.de/color), told apart with any colour vision.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, YELLOW, BLACK, GREY = "#CC79A7", "#56B4E9", "#F0E442", "#000000", "#666666"
# Green and red as dark as text has to be.
RIGHT, WRONG = "#006B4F", "#A83A00"
# Of lines and classes in order.
SERIES = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW, BLACK)
MARKERS = "osD^vPX*"
# Colour maps: shares, densities and attribution rise in lightness; differences have two ends.
SHARES, DENSITY, HEAT, DIFFERENCES = "Blues", "viridis", "inferno", "RdBu_r"

# Inches: a column and the page of a journal (A&A's and MNRAS's are 88 and 180 mm, 84 and 177 mm).
COLUMN, PAGE = 3.46, 7.09
DPI = 220
# Points of the smallest letters.
SMALL = 6.5

STYLE: dict[Any, Any] = {
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
# Formats of the present call; pages show the PNGs.
_formats: ContextVar[tuple[str, ...]] = ContextVar("formats", default=("png",))


@contextmanager
def figure_formats(names: str | Sequence[str]) -> Iterator[None]:
    """Write every figure in this context in further formats beside its PNG.

    Args:
        names: of `FORMATS`; as text separated by commas.

    Raises:
        BadInput: one isn't of `FORMATS`.
    """
    listed = names.split(",") if isinstance(names, str) else names
    chosen = [name.strip().lower() for name in listed]
    for name in chosen:
        if name not in FORMATS:
            raise BadInput(
                f"{setting('figures', name)}: no such format", f"use {', '.join(FORMATS)}"
            )
    token = _formats.set(("png", *chosen))
    try:
        yield
    finally:
        _formats.reset(token)


def styled(draw: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """Let a function draw in the look of `STYLE`."""

    @wraps(draw)
    def draw_styled(*arguments: Arguments.args, **settings: Arguments.kwargs) -> Result:
        from matplotlib import rc_context

        with rc_context(STYLE):
            return draw(*arguments, **settings)

    return draw_styled


@styled
def write_figure(path: Path, figure: Figure, caption: str) -> Path:
    """Write a figure in each format in use, each file whole or not at all; return the PNG.

    Args:
        path: of the PNG.
        caption: written into the files' metadata, from which pages read it.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    make_folder(path.parent)
    drawn_before = {name for name in FORMATS if path.with_suffix(f".{name}").exists()}
    for name in dict.fromkeys((*_formats.get(), *sorted(drawn_before))):
        metadata = {
            "png": {"Description": caption},
            "pdf": {"Subject": caption, "CreationDate": None},
            "svg": {"Description": caption, "Date": None},
        }[name]
        with replacing(path.with_suffix(f".{name}")) as temporary:
            if name == "png":
                figure.set_dpi(DPI)
                # `savefig` would draw twice: for the layout first, and that is a part of drawing.
                # Of a contact sheet, zlib's usual 6 takes three times as long for a tenth less.
                FigureCanvasAgg(figure).print_png(
                    temporary, metadata=metadata, pil_kwargs={"compress_level": 3}
                )
            else:
                figure.savefig(temporary, dpi=DPI, metadata=metadata, format=name)
    return path


def write_figures(folder: Path, figures: Mapping[str, tuple[Figure, str]]) -> list[Path]:
    """Write figures with their captions by name, see `write_figure`; return the PNGs."""
    return [write_figure(folder / f"{name}.png", *pair) for name, pair in figures.items()]
