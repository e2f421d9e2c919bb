"""A run's prediction of one image explained: an attribution map, and the most similar galaxies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.images import decode
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    SIMILAR_WITHIN,
    as_grids,
    has_feature_maps,
    typical_distance,
    unit_vectors,
)
from galaxymorph.learn import (
    Embeddings,
    Run,
    embed,
    image_loader,
    images_of_batch,
    label_words,
    load_network,
    make_link,
    read_embeddings,
)

NEIGHBOURS = 6
# Within this distance of each other two images are compared pixel by pixel.
DUPLICATE = 0.1


@dataclass(frozen=True)
class Neighbour:
    """A galaxy of the run's training or validation part, and its distance in the embedding.

    The distance is between embeddings of length 1, and so from 0 to 2.
    """

    galaxy: str
    label: str
    image: str
    distance: float


@dataclass(frozen=True)
class Explanation:
    """The likeliest answer for an image, with its attribution map and its nearest neighbours.

    `attribution` is uint8 of shape (GRID, GRID), None where it can't be computed. `neighbours`
    come nearest first. `typical_distance` is the median distance between two of the galaxies whose
    embeddings the run has, None where it has none.
    """

    answer: str
    attribution: np.ndarray | None
    neighbours: list[Neighbour]
    typical_distance: float | None

    @property
    def alike(self) -> bool:
        """Whether the nearest neighbour is much nearer than two galaxies typically are."""
        if not self.neighbours or self.typical_distance is None:
            return False
        return self.neighbours[0].distance < SIMILAR_WITHIN * self.typical_distance


@dataclass(frozen=True)
class Explainer:
    """A run's first model, without averaging over views, and the embeddings of its galaxies."""

    run: Run
    network: nn.Module
    embeddings: Embeddings | None
    has_maps: bool

    @cached_property
    def typical_distance(self) -> float | None:
        """The median distance between two of the galaxies whose embeddings the run has."""
        if self.embeddings is None:
            return None
        return typical_distance(unit_vectors(self.embeddings.vectors))

    def explain(self, pixels: np.ndarray) -> Explanation:
        """Return the explanation of an image's prediction.

        Args:
            pixels: uint8, shape (height, width, 3).
        """
        recipe = self.run.recipe
        (batch,) = map(images_of_batch, image_loader([pixels], recipe))
        vectors, logits = embed(self.network, [batch])
        answers = list(label_words(recipe).values()) or self.run.classes
        shares = make_link(recipe).inverse_link(torch.from_numpy(logits))[:, : len(answers)]
        answer = int(shares.argmax())
        return Explanation(
            answers[answer],
            self._attribution(batch, answer) if self.has_maps else None,
            self._neighbours(vectors[0], pixels),
            self.typical_distance,
        )

    def _attribution(self, batch: torch.Tensor, answer: int) -> np.ndarray:
        target = torch.tensor([answer], device=batch.device)
        # Grad-CAM doesn't use the last argument, the input without the galaxy.
        maps = ATTRIBUTION_METHODS["gradcam"].apply(self.network, batch, target, batch)
        return as_grids(maps.detach().float().relu().cpu().numpy())[0]

    def _neighbours(self, vector: np.ndarray, pixels: np.ndarray) -> list[Neighbour]:
        if self.embeddings is None:
            return []
        difference = unit_vectors(self.embeddings.vectors) - unit_vectors(vector[None])
        distance = np.linalg.norm(difference, axis=1)
        table, neighbours = self.run.split.set_index("galaxy"), []
        for at in np.argsort(distance, kind="stable"):
            galaxy = self.embeddings.galaxy[at]
            label, image = table.loc[galaxy, ["label", "image"]]
            # The image itself, whatever its name, is no neighbour.
            if distance[at] < DUPLICATE and self._has_pixels(str(image), pixels):
                continue
            neighbours.append(Neighbour(str(galaxy), str(label), str(image), float(distance[at])))
            if len(neighbours) == NEIGHBOURS:
                break
        return neighbours

    def _has_pixels(self, image: str, pixels: np.ndarray) -> bool:
        try:
            return np.array_equal(np.asarray(decode(image, self.run.recipe.rendering)), pixels)
        except BadInput:
            return False


def load_explainer(run: Run) -> Explainer:
    """Load a run's first model and the embeddings that its fit wrote.

    Without feature maps at the trunk's end there is no attribution map; without embeddings
    there are no neighbours.
    """
    member = run.members[0]
    network = load_network(member)
    embeddings = read_embeddings(member) if run.has_embeddings else None
    return Explainer(member, network, embeddings, has_feature_maps(network, member.recipe.size))
