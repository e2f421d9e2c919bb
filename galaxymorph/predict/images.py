"""Which images a prediction is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput
from galaxymorph.images import decode
from galaxymorph.zoo import image_name, image_references

Images = str | Path | np.ndarray | Sequence[str | Path | np.ndarray]


def expand_images(paths: Sequence[str]) -> list[str]:
    """Return references of the images that the paths name: files, folders, zips, members of zips.

    Raises:
        BadInput: a path isn't there, or a folder or zip holds no image.
    """
    references: list[str] = []
    for path in paths:
        if REFERENCE_SEPARATOR in path or (Path(path).is_file() and not path.endswith(".zip")):
            references.append(path)
            continue
        found = image_references(path)
        if not found:
            raise BadInput(f"{path}: no images there", "give JPEG, PNG or FITS files")
        references += found
    return references


def as_sources(images: Images) -> list[str | np.ndarray]:
    """Return references or pixels, one an image.

    Args:
        images: a path, the pixels of an image (uint8 of shape (height, width, 3)), those of a batch
            (n, height, width, 3), or a sequence of paths and pixels.
    """
    if isinstance(images, str | Path):
        return [str(images)]
    if isinstance(images, np.ndarray) and images.ndim == 3:
        return [images]
    return [image if isinstance(image, np.ndarray) else str(image) for image in images]


def usable_images(references: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the references that decode, and a line for each of the others."""
    good, faults = [], []
    for reference in references:
        try:
            decode(reference)
            good.append(reference)
        except BadInput as error:
            faults.append(str(error))
    return good, faults


def galaxy_name(image: str) -> str:
    """Return the galaxy of an image: the file's name without its ending."""
    return image_name(image.split(REFERENCE_SEPARATOR)[-1])
