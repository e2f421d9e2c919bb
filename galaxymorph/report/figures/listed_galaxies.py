"""Contact sheets of galaxies that a search or a ranking lists."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from galaxymorph.base import BadInput, say
from galaxymorph.images import Rendering, decode
from galaxymorph.report.figures.contact_sheets import (
    contact_sheet,
    label_image,
    label_lines,
    title_sheet,
)
from galaxymorph.report.figures.style import GREY, styled, write_figure
from galaxymorph.report.predicted_words import predicted_words

# Galaxies in a row, answers below each at most, and galaxies on a sheet at most.
COLUMNS, ANSWERS, MOST = 5, 3, 120


@styled
def draw_listed(
    path: Path,
    table: pd.DataFrame,
    references: Sequence[str],
    notes: Sequence[str],
    title: str,
    renderings: Sequence[Rendering],
) -> Path:
    """Draw galaxies with their ids, a note and their predictions; return the file.

    An image that isn't there leaves its place empty, with a note printed on the number of them.

    Args:
        path: of the picture.
        table: `galaxy` and predictions, see `predicted_words`, of which `MOST` are drawn.
        references: of the images.
        notes: a line each.
        title: above.
        renderings: of each image.
    """
    if len(table) > MOST:
        title = f"{title} (the first {MOST} of {len(table):,})"
    table = table.head(MOST)
    labels = [
        label_lines(galaxy, [note, *words[:ANSWERS]], COLUMNS)
        for galaxy, note, words in zip(table["galaxy"], notes, predicted_words(table), strict=False)
    ]
    figure, places = contact_sheet(len(table), COLUMNS, max(map(len, labels), default=0))
    missing = []
    drawn = zip(places, labels, references, renderings, strict=False)
    for axes, lines, reference, rendering in drawn:
        try:
            axes.imshow(decode(reference, rendering))
        except BadInput as error:
            missing.append(str(error))
            axes.set(xlim=(0, 1), ylim=(0, 1))
            axes.text(0.5, 0.5, "no image", ha="center", color=GREY)
        label_image(axes, lines)
    title_sheet(figure, title)
    if missing:
        say(f"{len(missing):,} of {len(table):,} images can't be drawn, the first: {missing[0]}")
    return write_figure(path, figure, f"{title}.")
