"""The overlap of predicted images with a run's split: those of its train, valid or test part."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pandas as pd

from galaxymorph.base import (
    BadInput,
    Damaged,
    counted,
    map_ahead,
    read_bytes,
    read_csv,
    reading,
    say,
)
from galaxymorph.images import digest_bytes
from galaxymorph.learn import Run, read_stored_split, run_files
from galaxymorph.zoo import PARTS
from galaxymorph.zoo.columns import TEST, TRAIN

COLUMNS = ["galaxy", "digest", "split"]
COLUMN = "part"
# Images whose digests wait to be taken.
AHEAD = 256


@dataclass(frozen=True)
class SplitParts:
    """The parts of a run's galaxies, by the digest of the image and by the galaxy's id.

    Simulated galaxies have no ids here: theirs are numbers that real galaxies have too.
    """

    by_digest: Mapping[str, str]
    by_galaxy: Mapping[str, str]

    def parts(self, galaxies: Sequence[str], digests: Iterable[str]) -> list[str | None]:
        """Return the part of each image, None of one that is new to the run.

        Args:
            galaxies: the images' ids.
            digests: see `digest_bytes`, empty where an image can't be read.
        """
        return [
            self.by_digest.get(digest) or self.by_galaxy.get(galaxy)
            for galaxy, digest in zip(galaxies, digests, strict=True)
        ]

    def parts_of(self, galaxies: Sequence[str], references: Sequence[str]) -> list[str | None]:
        """Return the part of each image, whose file is read."""
        return self.parts(galaxies, _digests(references))

    @property
    def digest(self) -> str:
        """The start of a SHA-256 of the split, 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for known in (self.by_digest, self.by_galaxy):
            digest.update(repr(sorted(known.items())).encode())
        return digest.hexdigest()[:16]


@lru_cache(maxsize=8)
def load_split_parts(model: str) -> SplitParts | None:
    """Return the galaxies of a run, or of `split.csv` beside an exported file; None without it.

    A galaxy that several models have in different parts counts as trained on if one trained on it.

    Raises:
        BadInput: a split is damaged.
    """
    splits = _splits(Path(model))
    if not splits and Path(model).suffix == ".safetensors" and Path(model).is_file():
        stored = read_stored_split(Path(model))
        return SplitParts(stored, {}) if stored else None
    if not splits:
        return None
    split = pd.concat(splits)
    split = split.sort_values("split", key=lambda names: names.map(PARTS.index), kind="stable")
    named = split[split["galaxy"].where(~split["simulated"], "") != ""]
    return SplitParts(_first_parts(split, "digest"), _first_parts(named, "galaxy"))


def _first_parts(split: pd.DataFrame, name: str) -> dict[str, str]:
    rows = split[split[name] != ""].drop_duplicates(name)
    return dict(zip(rows[name], rows["split"], strict=True))


def _splits(model: Path) -> list[pd.DataFrame]:
    folder = model if model.is_dir() else model.parent
    return [*_own_splits(folder), *_further(folder)]


def _further(folder: Path) -> list[pd.DataFrame]:
    """Return the galaxies of further sources, which have trained, by their images alone."""
    path = folder / run_files.SOURCES
    if not path.is_file():
        return []
    table = read_csv(path, ["digest"], dtype=str, keep_default_na=False)
    named = table[["digest"]].assign(galaxy="", split=TRAIN)[COLUMNS]
    return [named.assign(simulated=False)]


def _own_splits(folder: Path) -> list[pd.DataFrame]:
    if (folder / run_files.RECIPE).is_file():
        run = Run(folder)
        return [_read(member.path / run_files.SPLIT, run.is_simulated) for member in run.members]
    return [_read(folder / run_files.SPLIT)] if (folder / run_files.SPLIT).is_file() else []


def _read(path: Path, simulated: bool = False) -> pd.DataFrame:
    table = read_csv(path, COLUMNS, dtype=str, keep_default_na=False)[COLUMNS]
    table["simulated"] = simulated
    with reading(path):
        if not set(table["split"]) <= set(PARTS):
            raise Damaged("its column split holds other words than a split's parts")
    return table


def add_split_parts(table: pd.DataFrame, models: Sequence[str | Path]) -> pd.DataFrame:
    """Return a table of predictions with the column `part` after `image`; print its counts.

    Args:
        table: `galaxy` and `image`, a reference.
        models: of the prediction; of several an image has the first part in the order of `PARTS`.
    """
    known = []
    for model in models:
        parts = load_split_parts(str(model))
        if parts is None:
            say(missing_split(model))
            return table
        known.append(parts)
    galaxies, references = list(table["galaxy"]), list(table["image"])
    digests = _digests(references)
    by_model = zip(*(split.parts(galaxies, digests) for split in known), strict=True)
    first = [next((name for name in PARTS if name in parts), None) for parts in by_model]
    if line := describe_parts(Counter(first)):
        say(line)
    table = table.copy()
    table.insert(2, COLUMN, pd.Series(first, dtype=object, index=table.index))
    return table


def missing_split(model: str | Path) -> str:
    """Return a line that explains why there is no column `part`."""
    return (
        f"{model}: without {run_files.SPLIT} beside it, the column `{COLUMN}`, which tells the "
        "images that it was trained on, is left out"
    )


def describe_parts(counts: Mapping[str | None, int]) -> str:
    """Return a line on the number of images that a model's fit used, by part; empty if none."""
    known = [f"{counts[name]:,} {name}" for name in PARTS if counts.get(name)]
    if not known:
        return ""
    total, common = sum(counts.values()), sum(counts.get(name, 0) for name in PARTS)
    if total == 1:
        part = known[0].removeprefix("1 ")
        return f"the image is in the {part} part of the model's fit" + (
            "" if part == TEST else ": its prediction says nothing of new images"
        )
    new = f"only the part {TEST} is" if counts.get(TEST) else "none is"
    return (
        f"{common:,} of {counted(total, 'image')} used in the model's fit (`{COLUMN}`: "
        f"{', '.join(known)}); of these {new} new to the model"
    )


def _digests(references: Sequence[str]) -> list[str]:
    """Return the images' digests; reading them again takes 1/40 of the time of decoding."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(map_ahead(pool, _digest, references, AHEAD))


def _digest(reference: str) -> str:
    try:
        return digest_bytes(read_bytes(reference))
    except BadInput:
        return ""
