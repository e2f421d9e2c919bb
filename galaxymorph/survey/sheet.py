"""A contact sheet: a catalogue's galaxies as thumbnails with their votes or labels."""

from __future__ import annotations

import textwrap

import numpy as np
import pandas as pd
from PIL import Image, ImageDraw, ImageFont

from galaxymorph.base import BadInput, Progress
from galaxymorph.images.decoding import decode
from galaxymorph.images.rendering import DEFAULT, Rendering
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    SCHEMES,
    Catalogue,
    Tree,
    assign_labels,
    likeliest_walk,
)

THUMBNAIL, LINE, MARGIN = 212, 13, 4
LINES = 4


def contact_sheet(
    catalogue: Catalogue,
    number: int,
    columns: int,
    scheme: str | None = None,
    rendering: Rendering = DEFAULT,
) -> Image.Image:
    """Return a contact sheet of some galaxies of a catalogue.

    Args:
        catalogue: of votes or of plain labels.
        number: of galaxies, evenly spaced through the catalogue.
        columns: of the sheet.
        scheme: whose classes and values are written below, class by class, of galaxies with a
            class. None for the most frequent answers, or the plain label.
        rendering: of FITS images.

    Raises:
        BadInput: the catalogue has no galaxy, or the scheme keeps none.
    """
    table = catalogue.table
    if scheme:
        labels = assign_labels(SCHEMES.find(scheme), table)
        table = table.assign(label=labels["label"], value=labels["value"])[labels["kept"]]
        table = table.sort_values(["label", "galaxy"], kind="stable")
    if table.empty:
        raise BadInput(
            f"{catalogue.path}: there is no galaxy to show", "use another scheme or more galaxies"
        )
    chosen = np.unique(np.linspace(0, len(table) - 1, min(number, len(table))).round().astype(int))
    shown = table.iloc[chosen]
    height = THUMBNAIL + LINES * LINE + MARGIN
    rows = -(-len(shown) // columns)
    sheet = Image.new("RGB", (columns * (THUMBNAIL + MARGIN), rows * height), "white")
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=10)
    with Progress("drawing", len(shown), "galaxies") as progress:
        for at, (_, galaxy) in enumerate(shown.iterrows()):
            x, y = at % columns * (THUMBNAIL + MARGIN), at // columns * height
            picture = decode(galaxy["image"], rendering)
            sheet.paste(picture.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), (x, y))
            for line, words in enumerate(_words(galaxy, scheme, catalogue.tree)):
                draw.text((x + 2, y + THUMBNAIL + line * LINE), words, "black", font)
            progress.advance()
    return sheet


def _words(galaxy: pd.Series, scheme: str | None, tree: Tree | None) -> list[str]:
    """Return the lines below a thumbnail, at most `LINES`."""
    if tree is None:
        return [str(galaxy["galaxy"]), str(galaxy["label"])]
    if scheme:
        return [str(galaxy["galaxy"]), f"{galaxy['label']} {galaxy['value']:.2f}"]
    return textwrap.wrap(f"{galaxy['galaxy']}: {'; '.join(top_answers(galaxy, tree))}", 42)[:LINES]


def top_answers(votes: pd.Series, tree: Tree = GALAXY_ZOO_CHALLENGE) -> list[str]:
    """Return the most frequent answers down the tree, with their fractions."""
    lines = []
    for at in likeliest_walk(tree, votes[tree.columns].to_numpy(float)):
        question, answer = tree.answers[at]
        subject = f"{question.name} "
        if tree is GALAXY_ZOO_CHALLENGE:
            subject = SUBJECTS.get(question.name, "")
        nothing_odd = subject == "odd: " and answer.text == "no"
        if votes[answer.column] > 0 and not nothing_odd:
            lines.append(f"{subject}{answer.text} {votes[answer.column]:.2f}")
    return lines


# The subjects of answers such as "yes", by the challenge's question.
SUBJECTS = {
    "2": "edge-on: ",
    "3": "bar: ",
    "4": "arms: ",
    "5": "bulge: ",
    "6": "odd: ",
    "9": "bulge: ",
    "10": "wound ",
    "11": "arms: ",
}
