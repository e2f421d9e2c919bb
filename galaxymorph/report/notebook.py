"""HTML of results for a notebook's cells: legible on a light and on a dark page."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from html import escape
from pathlib import Path

from galaxymorph.report.figures.pictures import encode_pictures, read_picture

# Bytes of a cell's figures together.
FIGURE_BYTES = 1_500_000
# The page's own colour at low opacity shades light and dark pages alike.
SHADE = "rgba(0, 114, 178, {:.2f})"


def html_table(
    header: Sequence[str], rows: Sequence[Sequence[str]], words: Collection[int] = (0,)
) -> str:
    """Return a table of text; columns other than `words` are aligned to the right."""
    sides = ["left" if at in words else "right" for at in range(len(header))]
    styles = [f" style='text-align:{side}'" for side in sides]
    head = _row("th", header, styles)
    body = "".join(_row("td", row, styles) for row in rows)
    return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def _row(tag: str, cells: Sequence[str], styles: Sequence[str]) -> str:
    content = "".join(
        f"<{tag}{style}>{escape(str(cell))}</{tag}>"
        for cell, style in zip(cells, styles, strict=True)
    )
    return f"<tr>{content}</tr>"


def html_confusion(classes: Sequence[str], counts: Sequence[Sequence[int]], corner: str) -> str:
    """Return a confusion matrix as a table, each cell shaded by its share of the row."""
    header = "".join(f"<th style='text-align:right'>{escape(name)}</th>" for name in classes)
    lines = []
    for name, row in zip(classes, counts, strict=True):
        total = max(sum(row), 1)
        cells = "".join(
            f"<td style='text-align:right;background:{SHADE.format(0.6 * n / total)}'>{n:,}</td>"
            for n in row
        )
        lines.append(f"<tr><th style='text-align:left'>{escape(name)}</th>{cells}</tr>")
    return (
        f"<table><thead><tr><th style='text-align:left'>{escape(corner)}</th>{header}</tr></thead>"
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def html_figures(paths: Sequence[Path]) -> str:
    """Return figures with their captions within `FIGURE_BYTES`, and links to further ones.

    Figures have a white background, for which their colours are chosen.
    """
    pictures = [picture for path in paths if (picture := read_picture(path))]
    encode_pictures(pictures, FIGURE_BYTES)
    blocks = []
    for picture in pictures:
        caption = f"<figcaption><small>{escape(picture.caption)}</small></figcaption>"
        if not picture.uri:
            blocks.append(f"<p><small>{html_link(picture.path)}</small></p>")
            continue
        blocks.append(
            f"<figure style='margin:0.5em 0'><img src='{picture.uri}' "
            f"alt='{escape(picture.caption, quote=True)}' "
            f"style='width:{picture.width}px;max-width:100%;background:white'>{caption}</figure>"
        )
    return "".join(blocks)


def html_link(path: Path) -> str:
    """Return a link to a file."""
    return f"<a href='{escape(path.as_posix(), quote=True)}'>{escape(str(path))}</a>"
