"""Whether images are of the kind that a run learnt from, and which of them are the strangest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from galaxymorph.base import Progress, say
from galaxymorph.judge.robustness.drift import (
    LEAST,
    Drift,
    drift_between,
    energy,
    neighbour_distance,
)
from galaxymorph.judge.robustness.drift import MOST as MOST_COMPARED
from galaxymorph.learn import (
    Run,
    embed,
    image_loader,
    last_layer,
    load_network,
    read_embeddings,
    serving_network,
    target_of,
)

if TYPE_CHECKING:
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor


def measure_drift(run: Run, images: Sequence[str]) -> Drift | None:
    """Return how far images differ from a run's validation galaxies; a fold stands for all.

    None for fewer than `LEAST` images; and, with a line that says so, where the run has fewer
    validation galaxies or kept no embeddings.

    Raises:
        BadInput: an image can't be used.
    """
    member = run.members[0]
    if len(images) < LEAST:
        return None
    if not (member.path / "embeddings.npz").exists():
        say(f"drift not checked: {run.path} kept no embeddings")
        return None
    known = read_embeddings(member).of("valid")
    if len(known) < LEAST:
        say(
            f"drift not checked: {run.path} has {len(known)} validation galaxies, it takes {LEAST} "
            "or more"
        )
        return None
    rng = np.random.default_rng(run.recipe.seed)
    chosen = rng.choice(len(images), min(len(images), MOST_COMPARED), replace=False)
    vectors, _ = _embedded(member, [images[at] for at in sorted(chosen)])
    return drift_between(known, vectors, run.recipe.seed)


def outlier_scores(run: Run, images: Sequence[str]) -> pd.DataFrame:
    """Return how strange each image is to a run, a row an image; a fold stands for all.

    `distance` is that to the tenth-nearest training embedding, `distance_rank` the share of
    validation galaxies that are nearer to theirs, `energy`, for classes, what Liu et al. (2020)
    call so: all rise with strangeness.

    Raises:
        BadInput: an image can't be used, or the run kept no embeddings.
    """
    member = run.members[0]
    vectors, logits = _embedded(member, images)
    return scores_of_embeddings(run, vectors, logits)


def scores_of_embeddings(run: Run, vectors: np.ndarray, logits: np.ndarray) -> pd.DataFrame:
    """Return `outlier_scores` of images whose embeddings and logits are known.

    Args:
        run: that made them, by its first model.
        vectors: embeddings, shape (n, features).
        logits: shape (n, outputs).

    Raises:
        BadInput: the run kept no embeddings.
    """
    known = read_embeddings(run.members[0])
    distance = neighbour_distance(known.of("train"), vectors)
    usual = np.sort(neighbour_distance(known.of("train"), known.of("valid")))
    table = pd.DataFrame(
        {"distance": distance, "distance_rank": np.searchsorted(usual, distance) / len(usual)}
    )
    if target_of(run.recipe).chooses:
        table["energy"] = energy(logits)
    return table


@contextmanager
def record_embeddings(predictor: TorchPredictor) -> Iterator[list[tuple[np.ndarray, np.ndarray]]]:
    """Yield a list that fills with embeddings and logits of each batch that a predictor sees.

    They are of the first model's plain view: what `outlier_scores` would take a pass more for.
    """
    kept: list[tuple[np.ndarray, np.ndarray]] = []
    calls = count()

    def keep(layer, inputs, logits) -> None:
        if next(calls) % predictor.recipe.views == 0:
            kept.append((inputs[0].float().cpu().numpy(), logits.float().cpu().numpy()))

    hook = last_layer(predictor.models[0]).register_forward_hook(keep)
    try:
        yield kept
    finally:
        hook.remove()


def _embedded(member: Run, images: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    network = serving_network(load_network(member), member.recipe)
    with Progress("embedding", len(images), "images") as progress:
        return embed(network, image_loader(images, member.recipe), progress.advance)
