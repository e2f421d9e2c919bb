"""The model that is explained: a trained network, test galaxies, and its answers for them.

An answer is that for the central view of a galaxy, not the mean over views as in `predict`, which
would hide the effects that are measured.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from fastai.torch_core import default_device
from PIL import Image
from scipy import ndimage
from torch import nn

from galaxymorph.base import BadInput, Progress, map_ahead, say
from galaxymorph.images import (
    as_picture,
    centre_frame,
    compressed,
    frame_picture,
    framed,
    open_galaxy,
)
from galaxymorph.judge.explain.segmentation import segment
from galaxymorph.learn import (
    Recipe,
    Run,
    item_cut,
    label_words,
    light_of,
    load_network,
    make_link,
    map_on_cores,
    memory_format,
    network_values,
    pixel_stats,
    serving_network,
    target_of,
    with_images,
    with_targets,
)
from galaxymorph.zoo import TARGET, prefixed

BATCH = 32
# Pixels of the segmentation by which a source is dilated, to include its faint wings.
WINGS = 4


@dataclass(frozen=True)
class ExplainedModel:
    """A network and the galaxies that it is explained on.

    Args:
        run: a member: a run with one split, or a fold.
        network: a trunk and a head, from images to logits.
        serving: the same for inference alone.
        table: `galaxy`, `image`, `label`, `answer` (the network's), `confidence`, `right`.
        frames: as stored, shape (n, channels, side, side), with the margin around the model's
            frame.
        sky: background levels of the network's values, shape (n, channels).
        galaxy_masks: the galaxy's pixels in the model's frame, boolean, shape (n, size, size).
        other_masks: those of other sources.
        answers: classes, or the answers to the tree's first question.
        data: the catalogue's path.
    """

    run: Run
    network: nn.Module
    serving: nn.Module
    table: pd.DataFrame
    frames: torch.Tensor
    sky: torch.Tensor
    galaxy_masks: np.ndarray
    other_masks: np.ndarray
    answers: list[str]
    data: Path

    @property
    def size(self) -> int:
        """The side of the model's input in pixels."""
        return self.run.recipe.size

    @property
    def seed(self) -> int:
        """The recipe's."""
        return self.run.recipe.seed

    @property
    def words(self) -> dict[str, str]:
        """The answers in words."""
        words = label_words(self.run.recipe)
        return {name: words.get(name, name).replace("_", " ") for name in self.answers}

    def pixels(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return the network's values of galaxies, shape (n, channels, size, size).

        They are RGB from 0 to 1, or compressed flux.
        """
        start = (self.frames.shape[-1] - self.size) // 2
        inner = slice(start, start + self.size)
        frames = self.frames[torch.as_tensor(rows)][..., inner, inner]
        return network_values(light_of(frames, self.run.recipe), self.run.recipe)

    def picture(self, row: int) -> np.ndarray:
        """Return a galaxy's frame as RGB, uint8, shape (size, size, 3); of flux a preview."""
        start = (self.frames.shape[-1] - self.size) // 2
        inner = slice(start, start + self.size)
        frame = self.frames[row][..., inner, inner].permute(1, 2, 0).numpy()
        return np.asarray(frame_picture(frame, self.run.recipe.flux_bands))

    def targets(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return the position of the network's answer to each galaxy."""
        answers = pd.Index(self.table["answer"].to_numpy()[np.asarray(rows)])
        return torch.from_numpy(pd.Index(self.answers).get_indexer(answers))


def normalised(pixels: torch.Tensor, recipe: Recipe) -> torch.Tensor:
    """Return values before normalisation as a recipe's network takes them, on the device in use."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in pixel_stats(recipe))
    return ((pixels - mean) / std).to(default_device())


def probabilities(model: ExplainedModel, pixels: torch.Tensor) -> np.ndarray:
    """Return the probability of each answer, shape (n, answers).

    Args:
        model: that predicts.
        pixels: values before normalisation, shape (n, channels, size, size).
    """
    inverse_link = make_link(model.run.recipe).inverse_link
    parts = []
    with torch.inference_mode():
        for part in pixels.split(BATCH):
            logits = model.serving(normalised(part, model.run.recipe))
            parts.append(inverse_link(logits)[:, : len(model.answers)].float().cpu())
    return torch.cat(parts).numpy()


def probabilities_of(
    model: ExplainedModel,
    rows: np.ndarray,
    change: Callable[[np.ndarray], torch.Tensor],
    on_progress: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return probabilities, shape (n, answers), of galaxies that are changed batch by batch.

    Args:
        model: that predicts.
        rows: of the galaxies.
        change: from some of the rows to the changed pixels.
        on_progress: called with the number of galaxies after each batch.
    """

    def predict(some: np.ndarray) -> np.ndarray:
        predicted = probabilities(model, change(some))
        if on_progress:
            on_progress(len(some))
        return predicted

    parts = map_on_cores(predict, [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)])
    return np.concatenate(parts) if parts else np.zeros((0, len(model.answers)))


def explained_model(
    run: Run, data: Path | None = None, further: str | None = None
) -> ExplainedModel:
    """Load a trained run's network and the galaxies of its test part.

    Args:
        run: trained; of several models the first is taken.
        data: where its catalogue is now, if it has moved.
        further: a galaxy of another part, in addition.

    Raises:
        BadInput: the fit isn't finished, the galaxy isn't of the run, or an image is missing.
    """
    run.require_trained()
    if run.part_word:
        say(f"the run has several networks: the first {run.part_word}, {run.members[0].path}")
        run = run.members[0]
    split = run.split
    if further is not None and further not in set(split["galaxy"]):
        raise BadInput(f"{run.path}: no galaxy {further}", "give one of its split.csv")
    wanted = (split["split"] == "test") | (split["galaxy"] == further)
    table = with_images(split[wanted].reset_index(drop=True), data)
    table = with_targets(run, table, data)
    images = _read_images(list(table["image"]), run)
    # No gradients of weights are needed.
    network = load_network(run).requires_grad_(False)
    network.to(memory_format=memory_format(network))
    model = ExplainedModel(
        run,
        network,
        serving_network(network, run.recipe),
        table,
        *images,
        list(label_words(run.recipe)) or run.classes,
        Path(data or run.data["path"]),
    )
    rows = np.arange(len(table))
    with Progress("predicting", len(rows), "galaxies") as progress:
        predicted = probabilities_of(model, rows, model.pixels, progress.advance)
    return replace(model, table=_with_answers(model, predicted))


def _with_answers(model: ExplainedModel, predicted: np.ndarray) -> pd.DataFrame:
    """Return the table with the network's answers; of a tree, `label` is the volunteers' first."""
    table, tree = model.table, target_of(model.run.recipe).tree
    if tree:
        votes = table[prefixed(TARGET, model.answers)].to_numpy(float)
        table = table.assign(label=np.array(model.answers)[votes.argmax(axis=1)])
    answer = np.array(model.answers, dtype=object)[predicted.argmax(axis=1)]
    return table.assign(
        answer=answer, confidence=predicted.max(axis=1), right=answer == table["label"].to_numpy()
    )


def _read_images(
    references: list[str], run: Run
) -> tuple[torch.Tensor, torch.Tensor, np.ndarray, np.ndarray]:
    """Return frames, background levels, and the masks of galaxies and of other sources."""
    rendering = run.recipe.rendering

    def read(reference: str) -> tuple[np.ndarray, ...]:
        image = open_galaxy(reference, run.recipe.crop, rendering)
        segments = segment(as_picture(image, rendering))
        frame = framed(image, item_cut(run.recipe), rendering)
        sky = segments.sky if rendering.flux is None else _sky_of_flux(frame)
        masks = np.stack([_widened(segments.galaxy), _widened(segments.others)], axis=2)
        return (frame, sky, framed_masks(masks, run.recipe.crop, run.recipe.size))

    images = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress("reading images", len(references), "images") as progress,
    ):
        for image in map_ahead(pool, read, references, 64):
            images.append(image)
            progress.advance()
    frames, skies, masks = (np.stack(arrays) for arrays in zip(*images, strict=True))
    galaxy = masks[..., 0]
    return (
        torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(skies).float(),
        galaxy,
        masks[..., 1] & ~galaxy,
    )


def _sky_of_flux(frame: np.ndarray) -> np.ndarray:
    """Return the median of the network's values along a frame's edge, shape (bands,)."""
    values = compressed(frame.astype(np.float32))
    edge = np.concatenate([values[0], values[-1], values[:, 0], values[:, -1]])
    return np.median(edge, axis=0)


def _widened(mask: np.ndarray) -> np.ndarray:
    return ndimage.binary_dilation(ndimage.binary_fill_holes(mask), iterations=WINGS)


def framed_masks(masks: np.ndarray, crop: float, size: int) -> np.ndarray:
    """Return the part of masks in the model's frame: boolean, shape (size, size, k).

    Args:
        masks: boolean, shape (side, side, k) for up to three, of the whole image.
        crop: the recipe's.
        size: the recipe's.
    """
    count = masks.shape[2]
    padded = np.zeros((*masks.shape[:2], 3), np.uint8)
    padded[..., :count] = masks * np.uint8(255)
    return centre_frame(Image.fromarray(padded), crop, size)[..., :count] > 127
