"""The split of a run in an exported file: parts of galaxies by the digests of their images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from galaxymorph.base import BadInput, Damaged, counted, reading, setting, warn
from galaxymorph.learn.runs import Run
from galaxymorph.zoo.columns import PARTS, TEST, TRAIN

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


def warn_of_known_tests(run: Run) -> None:
    """Warn if galaxies of a run's test part trained the weights that its fit starts from."""
    path = Path(run.recipe.weights)
    if path.suffix != ".safetensors" or not path.is_file():
        return
    known, split = read_stored_split(path), run.split
    tested = split.loc[split["split"] == TEST, "digest"]
    seen = sum(known.get(digest) == TRAIN for digest in tested)
    if seen:
        total = len(tested)
        warn(
            f"{setting('weights', path)}: {counted(seen, 'galaxy')} of {total:,} in the test part "
            "trained these weights, so that test scores are too good"
        )
