"""The split of a run in an exported file: parts of galaxies by the digests of their images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from galaxymorph.base import BadInput, Damaged, counted, reading, warn
from galaxymorph.learn.recipe import Recipe
from galaxymorph.zoo.columns import PARTS, TEST

# Tensors of a safetensors file: digests of images, uint8 of shape (n, 8), and positions in `PARTS`.
DIGESTS, PARTS_OF_DIGESTS = "split.digests", "split.parts"


def pack_split(parts: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return a split as arrays for a file.

    Args:
        parts: by digest, 16 hexadecimal digits, see `images.digest_bytes`.
    """
    digests = np.array([list(bytes.fromhex(digest)) for digest in parts], np.uint8)
    positions = np.array([PARTS.index(part) for part in parts.values()], np.uint8)
    return {DIGESTS: digests.reshape(-1, 8), PARTS_OF_DIGESTS: positions}


def read_stored_split(path: Path) -> dict[str, str]:
    """Return the parts of galaxies by digest that a safetensors file has, none if it has none.

    Raises:
        BadInput: the file or its split is damaged.
    """
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            if DIGESTS not in file.keys():  # noqa: SIM118
                return {}
            digests, positions = file.get_tensor(DIGESTS), file.get_tensor(PARTS_OF_DIGESTS)
    except (SafetensorError, OSError) as error:
        raise BadInput(f"{path}: not readable as safetensors ({error})", "copy it again") from error
    with reading(path, "export it again"):
        if digests.shape != (len(positions), 8) or (positions >= len(PARTS)).any():
            raise Damaged("its split has another shape")
    return {bytes(row).hex(): PARTS[at] for row, at in zip(digests, positions, strict=True)}


def warn_of_known_tests(recipe: Recipe, tested: Mapping[str, str]) -> None:
    """Warn if galaxies of a test part trained the weights that a fit starts from.

    Args:
        recipe: of the fit.
        tested: the parts of the run's galaxies by digest.
    """
    path = Path(recipe.weights)
    if path.suffix != ".safetensors" or not path.is_file():
        return
    known = read_stored_split(path)
    seen = sum(part == TEST and known.get(digest) == PARTS[0] for digest, part in tested.items())
    if seen:
        total = sum(part == TEST for part in tested.values())
        warn(
            f"--weights {path}: {counted(seen, 'galaxy')} of {total:,} in the test part trained "
            "these weights, so that test scores are too good"
        )
