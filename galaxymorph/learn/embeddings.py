"""Embeddings: the inputs of a network's last layer, and those stored with a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from fastai.data.core import DataLoaders
from torch import nn

from galaxymorph.base import BadInput, Progress, read_arrays, replacing
from galaxymorph.images import Frames
from galaxymorph.learn.data import predicting_loader
from galaxymorph.learn.inference import images_of_batch
from galaxymorph.learn.run_files import EMBEDDINGS
from galaxymorph.learn.runs import Run
from galaxymorph.learn.splitting import in_halves

# Largest number of galaxies whose embeddings a fit stores, and of those from the validation part.
MAX_STORED, MAX_VALID = 2000, 1000


@dataclass(frozen=True)
class Embeddings:
    """The embeddings stored with a run: shape (n, features), and each galaxy's part and name."""

    vectors: np.ndarray
    part: np.ndarray
    galaxy: np.ndarray

    def of(self, part: str) -> np.ndarray:
        """Return the embeddings of a part, train or valid."""
        return self.vectors[self.part == part]


def last_layer(network: nn.Module) -> nn.Linear:
    """Return the layer from embeddings to logits."""
    return [module for module in network.modules() if isinstance(module, nn.Linear)][-1]


def embed(
    network: nn.Module, batches: Iterable, on_progress: Callable[[int], object] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Return embeddings, shape (n, features), and logits, shape (n, outputs), of one view each.

    Args:
        network: in evaluation mode.
        batches: its inputs, alone or as the first of a tuple.
        on_progress: called with the number of images after each batch.
    """
    inputs: list[torch.Tensor] = []
    hook = last_layer(network).register_forward_pre_hook(
        lambda _, arguments: inputs.append(arguments[0].float())
    )

    def both(images: torch.Tensor) -> torch.Tensor:
        inputs.clear()
        logits = network(images).float()
        return torch.cat([inputs[0], logits], dim=1)

    rows = []
    try:
        with torch.inference_mode():
            for batch in batches:
                images = images_of_batch(batch)
                rows.append(in_halves(both, images).cpu())
                if on_progress:
                    on_progress(len(images))
    finally:
        hook.remove()
    width = last_layer(network).in_features
    vectors, logits = torch.cat(rows).tensor_split([width], dim=1)
    return vectors.numpy(), logits.numpy()


def write_embeddings(
    run: Run, network: nn.Module, loaders: DataLoaders, split: pd.DataFrame, frames: Frames | None
) -> None:
    """Write `embeddings.npz` of up to `MAX_STORED` galaxies, drawn by the run's seed."""
    valid, train = (split[split["split"] == part] for part in ("valid", "train"))
    valid = valid.sample(min(len(valid), MAX_VALID), random_state=run.recipe.seed)
    train = train.sample(min(len(train), MAX_STORED - len(valid)), random_state=run.recipe.seed)
    rows = pd.concat([train, valid], ignore_index=True)
    with Progress("embeddings", len(rows), "images") as progress:
        batches = predicting_loader(loaders, rows, run.recipe, run.classes, frames)
        vectors, _ = embed(network, batches, progress.advance)
    # Features of a network that diverged exceed half precision, and would become infinite.
    largest = np.finfo(np.float16).max
    with replacing(run.path / EMBEDDINGS) as temporary:
        # Text of fixed width needs no pickle.
        np.savez_compressed(
            temporary,
            vectors=vectors.clip(-largest, largest).astype(np.float16),
            part=rows["split"].to_numpy(str),
            galaxy=rows["galaxy"].to_numpy(str),
        )


def read_embeddings(run: Run) -> Embeddings:
    """Return the stored embeddings of a member of a run.

    Raises:
        BadInput: an early version fitted the run, without embeddings.
    """
    path = run.path / EMBEDDINGS
    if not path.exists():
        raise BadInput(f"{path}: no such file", "fit again: older versions stored no embeddings")
    stored = read_arrays(path, ["vectors", "part", "galaxy"])
    return Embeddings(stored["vectors"].astype(np.float32), stored["part"], stored["galaxy"])
