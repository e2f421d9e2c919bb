"""Contact sheets: images in rows, with lines of text below each."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from galaxymorph.images import decode
from galaxymorph.judge import loss_definition, prediction_kind
from galaxymorph.learn import Run
from galaxymorph.report.figures.panels import in_words
from galaxymorph.report.figures.style import BLACK, PAGE, RIGHT, SMALL, WRONG, styled, write_figure

# Images in a row; inches of the room between them, of the title, and of the lines and letters
# below an image.
COLUMNS, GAP, TITLE, LINE, LETTER = 5, 0.07, 0.28, 0.125, 0.053
# Letters across a page: of text, and of a title in one line.
ACROSS, BOLD = int(PAGE / LETTER), 95


@styled
def draw_gallery(run: Run, path: Path, galaxies: pd.DataFrame, title: str, most: int = 20) -> Path:
    """Draw a contact sheet of galaxies with their labels and predictions; return the file.

    Predictions are class and confidence, or an answer and the vote fractions of it.

    Args:
        run: that predicted.
        path: of the picture.
        galaxies: `galaxy`, `image`, optionally `loss`, and either `label`, `predicted`,
            `confidence` and optionally `share`, the label's vote fraction, or `answer_words`,
            `volunteers` and `model`.
        title: above, followed by the number of galaxies.
        most: the number that is drawn, the first ones.
    """
    galaxies = pictured(galaxies)
    shown = galaxies.head(most)
    crop, kind = run.recipe.crop, prediction_kind(run)
    rows = shown.to_dict("records")
    labels = [_gallery_label(row, run.recipe.truth) for row in rows]
    lines = max((len(words) for words, _ in labels), default=0)
    loss = f"The loss is {loss_definition(run)}, without calibration." * ("loss" in shown)
    notes = textwrap.wrap(loss, ACROSS)
    figure, places = contact_sheet(len(rows), COLUMNS, lines, LINE * len(notes))
    for axes, row, (label, colour) in zip(places, rows, labels, strict=True):
        image = decode(row["image"], run.recipe.rendering)
        axes.imshow(image)
        if crop < 1:
            _mark_crop(axes, image.size, crop)
        label_image(axes, label, colour)
    of = f"{len(shown):,} of {len(galaxies):,}"
    title_sheet(figure, f"{title} ({of}; {kind})")
    low: dict[str, Any] = {"x": GAP / PAGE, "y": 0.5 * GAP / figure.get_figheight(), "va": "bottom"}
    figure.text(s="\n".join(notes), fontsize=SMALL, **low)
    dotted = " The dotted square is the model's input." if crop < 1 else ""
    loss = f" {loss}" * bool(loss)
    return write_figure(path, figure, f"{title}: {of} galaxies; {kind}.{loss}{dotted}")


def _mark_crop(axes: Axes, size: tuple[int, int], crop: float) -> None:
    side = crop * min(size)
    left, top = ((length - side) / 2 for length in size)
    look: dict[str, Any] = {"fill": False, "color": "white", "ls": ":", "lw": 0.7, "alpha": 0.6}
    axes.add_patch(Rectangle((left, top), side, side, **look))


def pictured(galaxies: pd.DataFrame) -> pd.DataFrame:
    """Return the galaxies with an image; those of a judged table may have none."""
    return galaxies[galaxies["image"] != ""]


def _gallery_label(row: dict[Any, Any], truth: str) -> tuple[list[str], str]:
    """Return the lines below an image of a gallery, and their colour."""
    loss = row.get("loss", np.nan)
    lines = [f"loss {loss:.2f}"] if np.isfinite(loss) else []
    if "answer_words" in row:
        shares = f"{truth} {_percent(row['volunteers'])}, model {_percent(row['model'])}"
        return label_lines(row["galaxy"], [row["answer_words"], shares, *lines], COLUMNS), BLACK
    share = row.get("share", np.nan)
    volunteers = f" {_percent(share)}" if np.isfinite(share) else ""
    right = row["label"] == row["predicted"]
    verdict = prediction_words(right, in_words(row["predicted"]), row["confidence"])
    lines = [verdict, f"{truth}: {in_words(row['label'])}{volunteers}", *lines]
    return label_lines(row["galaxy"], lines, COLUMNS), verdict_colour(right)


def prediction_words(right: bool, answer: str, confidence: float) -> str:
    """Return a prediction and its confidence, behind a mark for right or wrong."""
    return f"{'✓' if right else '✗'} {answer} {confidence:.0%}"


def verdict_colour(right: bool) -> str:
    """Return the colour of text on a right or wrong prediction."""
    return RIGHT if right else WRONG


def _percent(share: float) -> str:
    return f"{share:.0%}" if np.isfinite(share) else "not asked"


def contact_sheet(
    number: int, columns: int, lines: int, margin: float = 0.0
) -> tuple[Figure, list[Axes]]:
    """Return a figure of a page's width with a place for each of a number of images.

    Args:
        number: of images.
        columns: of them.
        lines: of text below each.
        margin: inches below all.
    """
    side, row = _side(columns), _side(columns) + LINE * lines + 2 * GAP
    rows = max(1, -(-number // columns))
    height = TITLE + rows * row + margin
    figure = Figure(figsize=(PAGE, height))
    figure.set_layout_engine("none")
    places = []
    for at in range(number):
        across, down = GAP + at % columns * (side + GAP), TITLE + at // columns * row + side
        box = (across / PAGE, 1 - down / height, side / PAGE, side / height)
        places.append(figure.add_axes(box))
        places[-1].set_axis_off()
    return figure, places


def _side(columns: int) -> float:
    return (PAGE - GAP) / columns - GAP


def label_lines(galaxy: object, lines: list[str], columns: int) -> list[str]:
    """Return a galaxy's name and lines of text, broken to fit below an image."""
    letters, name = int(_side(columns) / LETTER), str(galaxy)
    if len(name) > letters:
        name = f"{name[: letters // 2 - 1]}…{name[-(letters // 2) :]}"
    return [name, *(part for line in lines for part in textwrap.wrap(line, letters))]


def title_sheet(figure: Figure, title: str) -> None:
    """Write the title of a contact sheet, one too long for a line in two of smaller letters."""
    look: dict[str, Any] = {"va": "top", "fontweight": "bold"}
    if len(title) > BOLD:
        title, look["fontsize"] = "\n".join(textwrap.wrap(title, 115)), SMALL
    figure.text(GAP / PAGE, 1 - 0.04 / figure.get_figheight(), title, **look)


def label_image(axes: Axes, lines: list[str], colour: str = BLACK) -> None:
    """Write lines below an image, in letters that can be read."""
    text, place = "\n".join(lines), axes.transAxes
    axes.text(0, -0.03, text, fontsize=SMALL, color=colour, va="top", transform=place)
