"""Drift of images from the training images of a run, and out-of-distribution scores."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, say
from galaxymorph.judge.robustness.drift import (
    LEAST,
    MOST,
    Drift,
    drift_between,
    energy,
    outlier_reference,
)
from galaxymorph.learn import (
    Run,
    embed,
    image_loader,
    load_network,
    read_embeddings,
    serving_network,
    target_of,
)


def measure_drift(run: Run, images: Sequence[str]) -> Drift | None:
    """Return the drift of images from a run's validation galaxies, by its first network.

    None for fewer than `LEAST` images; and, with a note, if the run has fewer validation galaxies
    or no embeddings.

    Raises:
        BadInput: an image can't be used.
    """
    member = run.members[0]
    if len(images) < LEAST:
        return None
    if not run.has_embeddings:
        say(f"drift is not checked: {run.path} has no embeddings")
        return None
    known = read_embeddings(member).of("valid")
    if len(known) < LEAST:
        say(
            f"drift is not checked: {run.path} has {len(known)} validation galaxies, and {LEAST} "
            "are needed"
        )
        return None
    rng = np.random.default_rng(run.recipe.seed)
    chosen = rng.choice(len(images), min(len(images), MOST), replace=False)
    vectors, _ = _embedded(member, [images[at] for at in sorted(chosen)])
    return drift_between(known, vectors, run.recipe.seed)


def outlier_scores(run: Run, images: Sequence[str]) -> pd.DataFrame:
    """Return out-of-distribution scores, a row an image, by a run's first network.

    `distance` is that to the tenth-nearest training embedding, `distance_rank` the fraction of
    validation galaxies with a smaller one, `energy`, for classes, the score of Liu et al. (2020):
    all are greater for images unlike those of the training part.

    Raises:
        BadInput: an image can't be used, or the run has no embeddings.
    """
    member = run.members[0]
    vectors, logits = _embedded(member, images)
    return scores_of_embeddings(run, vectors, logits)


def scores_of_embeddings(run: Run, vectors: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    """Return `outlier_scores` of images whose embeddings and logits are known.

    Args:
        run: of the embeddings, by its first network.
        vectors: embeddings, shape (n, features).
        logits: shape (n, outputs).

    Raises:
        BadInput: the run has no embeddings.
    """
    known = read_embeddings(run.members[0])
    table = outlier_reference(known.of("train"), known.of("valid")).scores(vectors)
    if target_of(run.recipe).chooses:
        table["energy"] = energy(logits)
    return table


def _embedded(member: Run, images: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    network = serving_network(load_network(member), member.recipe)
    with Progress("embedding", len(images), "images") as progress:
        return embed(network, image_loader(images, member.recipe), progress.advance)
