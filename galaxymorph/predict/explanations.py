"""What a run's model makes of one image: the evidence for its answer, and galaxies like it."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.images import decode
from galaxymorph.judge import ALIKE, METHODS, as_grids, typical_distance
from galaxymorph.learn import (
    Embeddings,
    Run,
    embed,
    image_loader,
    load_network,
    make_link,
    read_embeddings,
    target_of,
)

SHOWN = 6
# Nearer than this an image is compared pixel by pixel with the one asked about.
SAME = 0.1


@dataclass(frozen=True)
class Like:
    """A galaxy that the run learnt from or was selected on, and how unlike it is: 0 to 2."""

    galaxy: str
    label: str
    image: str
    distance: float


@dataclass(frozen=True)
class Look:
    """Evidence for an answer, uint8 of shape (GRID, GRID) or None, and the likes, nearest first.

    `typical` is the median distance of two galaxies that the run kept, None where it kept none.
    """

    answer: str
    evidence: np.ndarray | None
    likes: list[Like]
    typical: float | None

    @property
    def alike(self) -> bool:
        """Whether the nearest is nearer than any two galaxies are."""
        return bool(self.likes) and self.likes[0].distance < ALIKE * self.typical


@dataclass(frozen=True)
class Looker:
    """A run's first model, one view of an image at a time, with what its fit kept to compare."""

    run: Run
    network: nn.Module
    known: Embeddings | None
    has_maps: bool

    @cached_property
    def typical(self) -> float | None:
        """The median distance of two of the galaxies that the run kept."""
        return None if self.known is None else typical_distance(_scaled(self.known.vectors))

    def look(self, pixels: np.ndarray) -> Look:
        """Return what the model makes of an image.

        Args:
            pixels: uint8, shape (height, width, 3).
        """
        recipe = self.run.recipe
        (loaded,) = image_loader([pixels], recipe)
        batch = (loaded[0] if isinstance(loaded, tuple) else loaded).as_subclass(torch.Tensor)
        vectors, logits = embed(self.network, [batch])
        answers = _answers(self.run)
        shares = make_link(recipe).activate(torch.from_numpy(logits))[:, : len(answers)]
        answer = int(shares.argmax())
        evidence = self._evidence(batch, answer) if self.has_maps else None
        return Look(answers[answer], evidence, self._likes(vectors[0], pixels), self.typical)

    def _evidence(self, batch: torch.Tensor, answer: int) -> np.ndarray:
        target = torch.tensor([answer], device=batch.device)
        found = METHODS["gradcam"].apply(self.network, batch, target, None)
        return as_grids(found.detach().float().relu().cpu().numpy())[0]

    def _likes(self, vector: np.ndarray, pixels: np.ndarray) -> list[Like]:
        if self.known is None:
            return []
        away = _scaled(self.known.vectors) - _scaled(vector[None])
        distance = np.linalg.norm(away, axis=1)
        table, found = self.run.split.set_index("galaxy"), []
        for at in np.argsort(distance, kind="stable"):
            galaxy = self.known.galaxy[at]
            label, image = table.loc[galaxy, ["label", "image"]]
            # The image itself, under whatever name, is not like itself but the same.
            if distance[at] < SAME and self._is(str(image), pixels):
                continue
            found.append(Like(str(galaxy), str(label), str(image), float(distance[at])))
            if len(found) == SHOWN:
                break
        return found

    def _is(self, image: str, pixels: np.ndarray) -> bool:
        try:
            return np.array_equal(np.asarray(decode(image, self.run.recipe.rendering)), pixels)
        except BadInput:
            return False


def load_looker(run: Run) -> Looker:
    """Load a run's first model and what its fit kept.

    Without captum, or feature maps at the trunk's end, there is no evidence; without embeddings
    there are no likes.
    """
    member = run.members[0]
    network = load_network(member)
    known = read_embeddings(member) if (member.path / "embeddings.npz").exists() else None
    return Looker(member, network, known, _can_attribute(network, member.recipe.size))


def _can_attribute(network: nn.Module, size: int) -> bool:
    if importlib.util.find_spec("captum") is None:
        return False
    device = next(network.parameters()).device
    with torch.inference_mode():
        return network[0](torch.zeros(1, 3, size, size, device=device)).ndim == 4


def _answers(run: Run) -> list[str]:
    tree = target_of(run.recipe).tree
    return [answer.says for answer in tree.questions[0].answers] if tree else list(run.classes)


def _scaled(vectors: np.ndarray) -> np.ndarray:
    """Return vectors of length 1, as the outlier scores compare them."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
