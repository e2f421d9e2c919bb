"""What is explained: a trained network, galaxies that it wasn't fitted on, and what it says.

The network answers from the one central view of each galaxy, not from the mean over views that
`predict` may take: averaging would hide what is looked for here.
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
from galaxymorph.images import centre_frame, decode
from galaxymorph.judge.explain.segmentation import segment
from galaxymorph.learn import (
    Run,
    item_frame,
    load_network,
    make_link,
    pixel_stats,
    serving_network,
    side_by_side,
    target_of,
    with_images,
    with_targets,
)
from galaxymorph.zoo import TARGET, prefixed

BATCH = 32
# Pixels of the segmentation by which a source is widened, so that its faint wings go with it.
WINGS = 4


@dataclass(frozen=True)
class ExplainedModel:
    """A network and the galaxies that it is looked at with.

    Args:
        run: a member: a run with one split, or a fold.
        network: a trunk, then a head; gives logits.
        serving: the same for inference alone.
        table: `galaxy`, `image`, `label`, `answer` (the network's), `confidence`, `right`.
        frames: uint8, shape (n, 3, side, side), with the margin around the model's frame.
        sky: the sky's colour, 0 to 1, shape (n, 3).
        own: which pixels of the model's frame are the galaxy's, boolean, shape (n, size, size).
        others: which are other sources'.
        answers: what the network chooses from: classes, or the tree's first answers.
        data: the catalogue's path.
    """

    run: Run
    network: nn.Module
    serving: nn.Module
    table: pd.DataFrame
    frames: torch.Tensor
    sky: torch.Tensor
    own: np.ndarray
    others: np.ndarray
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
        tree = target_of(self.run.recipe).tree
        said = [answer.text for answer in tree.questions[0].answers] if tree else self.answers
        return {name: word.replace("_", " ") for name, word in zip(self.answers, said, strict=True)}

    def pixels(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return what the model sees of galaxies: values 0 to 1, shape (n, 3, size, size)."""
        start = (self.frames.shape[-1] - self.size) // 2
        inner = slice(start, start + self.size)
        return self.frames[torch.as_tensor(rows)][..., inner, inner].float() / 255

    def targets(self, rows: Sequence[int] | np.ndarray) -> torch.Tensor:
        """Return the position of the network's answer to each galaxy."""
        answers = pd.Index(self.table["answer"].to_numpy()[np.asarray(rows)])
        return torch.from_numpy(pd.Index(self.answers).get_indexer(answers))


def normalised(pixels: torch.Tensor, arch: str) -> torch.Tensor:
    """Return pixels from 0 to 1 as an architecture takes them, on the device in use."""
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in pixel_stats(arch))
    return ((pixels - mean) / std).to(default_device())


def probabilities(subject: ExplainedModel, pixels: torch.Tensor) -> np.ndarray:
    """Return the probability of each answer, shape (n, answers).

    Args:
        subject: whose network is asked.
        pixels: values 0 to 1, shape (n, 3, size, size).
    """
    activate = make_link(subject.run.recipe).inverse_link
    found = []
    with torch.inference_mode():
        for part in pixels.split(BATCH):
            logits = subject.serving(normalised(part, subject.run.recipe.arch))
            found.append(activate(logits)[:, : len(subject.answers)].float().cpu())
    return torch.cat(found).numpy()


def probabilities_of(
    subject: ExplainedModel,
    rows: np.ndarray,
    change: Callable[[np.ndarray], torch.Tensor],
    seen: Callable[[int], object] | None = None,
) -> np.ndarray:
    """Return probabilities, shape (n, answers), of galaxies that are changed batch by batch.

    Args:
        subject: whose network is asked.
        rows: which galaxies.
        change: from some of the rows to what the model is to see of them.
        seen: called with the number of galaxies after each batch.
    """

    def changed(some: np.ndarray) -> np.ndarray:
        answers = probabilities(subject, change(some))
        if seen:
            seen(len(some))
        return answers

    parts = side_by_side(changed, [rows[at : at + BATCH] for at in range(0, len(rows), BATCH)])
    return np.concatenate(parts) if parts else np.zeros((0, len(subject.answers)))


def explained_model(run: Run, data: Path | None = None, also: str | None = None) -> ExplainedModel:
    """Load a trained run's network and the galaxies of its test part.

    Args:
        run: trained; of several models the first is taken.
        data: where its catalogue is now, if it has moved.
        also: a galaxy of another part to be taken along.

    Raises:
        BadInput: the fit isn't finished, the galaxy isn't of the run, or an image is missing.
    """
    run.require_trained()
    if run.part_word:
        say(f"several models: explaining the first {run.part_word}, {run.members[0].path}")
        run = run.members[0]
    split = run.split
    if also is not None and also not in set(split["galaxy"]):
        raise BadInput(f"{run.path}: no galaxy {also}", "give one of its split.csv")
    wanted = (split["split"] == "test") | (split["galaxy"] == also)
    table = with_images(split[wanted].reset_index(drop=True), data)
    table = with_targets(run, table, data)
    frames, sky, own, others = _read_images(list(table["image"]), run)
    # Convolutions are faster in this layout, and nothing asks for the weights' gradients.
    network = load_network(run).to(memory_format=torch.channels_last).requires_grad_(False)
    subject = ExplainedModel(
        run,
        network,
        serving_network(network, run.recipe),
        table,
        frames,
        sky,
        own,
        others,
        _answers(run),
        Path(data or run.data["path"]),
    )
    found = _asked(subject)
    return replace(subject, table=_with_answers(subject, found))


def _answers(run: Run) -> list[str]:
    tree = target_of(run.recipe).tree
    return [answer.column for answer in tree.questions[0].answers] if tree else list(run.classes)


def _asked(subject: ExplainedModel) -> np.ndarray:
    rows = np.arange(len(subject.table))
    with Progress("asking the network", len(rows), "galaxies") as progress:
        return probabilities_of(subject, rows, subject.pixels, progress.advance)


def _with_answers(subject: ExplainedModel, found: np.ndarray) -> pd.DataFrame:
    """Add the network's answer; `label` becomes volunteers' first answer, of a tree."""
    table, tree = subject.table, target_of(subject.run.recipe).tree
    if tree:
        votes = table[prefixed(TARGET, subject.answers)].to_numpy(float)
        table = table.assign(label=np.array(subject.answers)[votes.argmax(axis=1)])
    best = found.argmax(axis=1)
    answer = np.array(subject.answers, dtype=object)[best]
    return table.assign(
        answer=answer, confidence=found.max(axis=1), right=answer == table["label"].to_numpy()
    )


def _read_images(references: list[str], run: Run) -> tuple:
    """Return frames, skies, and the masks of the galaxies and of other sources."""
    crop, side = item_frame(run.recipe)
    rendering = run.recipe.rendering

    def read(reference: str) -> tuple[np.ndarray, ...]:
        image = decode(reference, rendering)
        segments = segment(image)
        masks = np.stack([_widened(segments.own), _widened(segments.others)], axis=2)
        return (
            centre_frame(image, crop, side),
            segments.sky,
            framed_masks(masks, run.recipe.crop, run.recipe.size),
        )

    found = []
    with (
        ThreadPoolExecutor(os.cpu_count()) as pool,
        Progress("reading images", len(references), "images") as progress,
    ):
        for each in map_ahead(pool, read, references, 64):
            found.append(each)
            progress.advance()
    frames, skies, masks = (np.stack(each) for each in zip(*found, strict=True))
    own = masks[..., 0]
    return (
        torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous(),
        torch.from_numpy(skies).float(),
        own,
        masks[..., 1] & ~own,
    )


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
