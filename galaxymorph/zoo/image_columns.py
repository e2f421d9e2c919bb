"""Columns of a table that say where the images of its galaxies are."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, list_members
from galaxymorph.zoo.checks import as_text
from galaxymorph.zoo.image_files import IMAGE_ENDINGS, image_name
from galaxymorph.zoo.tables import Table

# Names of columns in common catalogues, in the order of preference, in lower case.
IMAGE_COLUMNS = ("image", "image_path", "path", "file_loc", "filename", "file")
# The folder of a bare file name, as in the catalogues of galaxy-datasets.
SUBFOLDER = "subfolder"


def image_columns(columns: Sequence[str], chosen: str | None = None) -> list[str]:
    """Return the columns whose texts are joined to an image's path, none if there are none.

    Args:
        columns: of the table.
        chosen: the column of images; by default the first of `IMAGE_COLUMNS`.
    """
    known = {column.lower(): column for column in reversed(columns) if column}
    image = chosen or next((known[name] for name in IMAGE_COLUMNS if name in known), None)
    if image is None:
        return []
    return (
        [known[SUBFOLDER], image] if SUBFOLDER in known and image != known[SUBFOLDER] else [image]
    )


def likely_image_column(table: Table) -> str | None:
    """Return a table's first column whose cells are names of image files, None without."""
    for column in filter(None, table.columns):
        try:
            piece = next(table.pieces([column]), None)
        except BadInput:
            # It holds arrays or pictures.
            continue
        cells = [] if piece is None else as_text(piece.frame[column]).dropna().tolist()
        if cells and all(cell.lower().endswith(IMAGE_ENDINGS) for cell in cells):
            return column
    return None


def join_path(parts: Iterable[str]) -> str:
    """Return the path of an image: its subfolder's is before a bare file name alone."""
    *folders, image = parts
    if not image or not folders or not folders[0] or "/" in image or "\\" in image:
        return image
    return f"{folders[0].rstrip('/')}/{image}"


def find_references(
    paths: Mapping[str, str], folder: Path, images: Mapping[str, str]
) -> dict[str, str]:
    """Return the references of the images that are there, by galaxy.

    A path that leads nowhere, such as one of another machine, stands for the image of its name.

    Args:
        paths: of the table, by galaxy: relative to its folder or absolute, or members of zips.
        folder: of the table.
        images: references of images below the folder by their names, see `Layout`.
    """
    members: dict[str, set[str]] = {}
    found: dict[str, str] = {}
    for galaxy, path in paths.items():
        if not path:
            continue
        # An absolute path is unchanged. `Path` would take ten times as long.
        reference = os.path.join(folder, path.replace("\\", "/"))  # noqa: PTH118
        if _exists(reference, members):
            found[galaxy] = reference
        elif (name := image_name(path.replace("\\", "/"))) in images:
            found[galaxy] = images[name]
    return found


def _exists(reference: str, members: dict[str, set[str]]) -> bool:
    archive, separator, name = reference.rpartition(REFERENCE_SEPARATOR)
    if not separator:
        return os.path.isfile(reference)  # noqa: PTH113
    if archive not in members:
        try:
            members[archive] = set(list_members(archive))
        except BadInput:
            members[archive] = set()
    return name in members[archive]
