"""Paths that public functions take."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from galaxymorph.base import BadInput, setting

# A path, or what has one: a run stands for its folder.
Place = str | os.PathLike[str]
RunLike = Place
Places = Place | Sequence[Place]


def require_output(output: Path | None, endings: tuple[str, ...], remedy: str) -> None:
    """Raise BadInput for an output that doesn't end so, or whose folder isn't there.

    Args:
        output: the option's value.
        endings: of which it has one, with the dot.
        remedy: for another ending.
    """
    if output is None:
        return
    if output.suffix not in endings:
        raise BadInput(f"{setting('output', output)}: ending {output.suffix!r}", remedy)
    if output.is_dir() or not output.absolute().parent.is_dir():
        raise BadInput(
            f"{setting('output', output)}: its folder does not exist, or it is a folder",
            "make the folder first",
        )
