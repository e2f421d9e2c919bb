"""The galaxies most worth a volunteer's time, as a folder ready for Zooniverse."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, Progress, read_bytes, replace_folder
from galaxymorph.judge import doubt_of, entropies_of, worth_asking
from galaxymorph.learn import Run, target_of
from galaxymorph.predict.doubt import open_source
from galaxymorph.predict.images import galaxy_name

MANIFEST = "manifest.csv"


def choose_galaxies(
    run: Run, images: Sequence[str], folder: Path, number: int = 100, source: str = "views"
) -> pd.DataFrame:
    """Write the chosen galaxies' images and a manifest into a new folder; return the manifest.

    Galaxies are chosen by mutual information, or entropy where a single model has no other doubt,
    and to be unlike each other; see `worth_asking`. The manifest has `image`, a file beside it,
    and `galaxy`. The columns that start with # stay hidden from volunteers, whom the model
    must not sway.

    Args:
        run: trained.
        images: references.
        folder: doesn't exist.
        number: how many are chosen.
        source: of `SOURCES`.

    Raises:
        BadInput: the folder exists, the run hasn't that source, or an image can't be used.
    """
    run.require_trained()
    if folder.exists():
        raise BadInput(f"{folder} exists already", "choose another -o")
    sample = open_source(run, source)
    with Progress("doubting", len(images), "images") as progress:
        samples, embeddings = sample(images, progress.advance)
    doubt = doubt_of(samples, entropies_of(run))
    value = doubt.total if len(samples) == 1 else doubt.epistemic
    chosen = worth_asking(value, embeddings, number, run.recipe.seed)
    table = pd.DataFrame(
        {
            "image": [_file_name(images[at]) for at in chosen],
            "galaxy": [galaxy_name(images[at]) for at in chosen],
            "#mutual_information": doubt.epistemic[chosen].round(6),
            "#entropy": doubt.total[chosen].round(6),
            "#predicted": _in_words(run, doubt.mean[chosen]),
        }
    )
    if table["image"].duplicated().any():
        name = table["image"][table["image"].duplicated()].iloc[0]
        raise BadInput(f"two images are called {name}", "leave one out")
    with replace_folder(folder) as temporary:
        for at, name in zip(chosen, table["image"], strict=True):
            (temporary / name).write_bytes(read_bytes(images[at]))
        table.to_csv(temporary / MANIFEST, index=False)
    return table


def _in_words(run: Run, found: np.ndarray) -> list[str]:
    """Return each prediction's class, or the likeliest answer to a tree's first question."""
    tree = target_of(run.recipe).tree
    names = [answer.says for answer in tree.questions[0].answers] if tree else run.classes
    return [names[at] for at in found[:, : len(names)].argmax(axis=1)]


def _file_name(reference: str) -> str:
    return PurePosixPath(reference.split(REFERENCE_SEPARATOR)[-1]).name
