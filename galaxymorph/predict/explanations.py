"""A run's prediction of one image explained: an attribution map, and the most similar galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.images import FluxImage, as_picture, decode
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
    Recipe,
    Run,
    embed,
    image_loader,
    images_of_batch,
    label_words,
    load_network,
    make_link,
    read_embeddings,
)
from galaxymorph.predict.predictors.loading import is_run
from galaxymorph.predict.predictors.safetensors_predictor import load_file_network

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
    """A model's first network, without averaging over views.

    Args:
        recipe: of the model.
        classes: in order.
        network: in evaluation mode.
        has_maps: whether it has feature maps, of which attribution maps are made.
        embeddings: of galaxies of the run, None where they aren't known.
        galaxies: the run's split, None likewise.
    """

    recipe: Recipe
    classes: Sequence[str]
    network: nn.Module
    has_maps: bool
    embeddings: Embeddings | None = None
    galaxies: pd.DataFrame | None = None

    @cached_property
    def typical_distance(self) -> float | None:
        """The median distance between two of the galaxies whose embeddings the run has."""
        if self.embeddings is None:
            return None
        return typical_distance(unit_vectors(self.embeddings.vectors))

    def explain(self, image: np.ndarray | FluxImage) -> Explanation:
        """Return the explanation of an image's prediction.

        Args:
            image: uint8, shape (height, width, 3), or bands of flux.
        """
        recipe = self.recipe
        (batch,) = map(images_of_batch, image_loader([image], recipe))
        vectors, logits = embed(self.network, [batch])
        answers = list(label_words(recipe).values()) or list(self.classes)
        shares = make_link(recipe).inverse_link(torch.from_numpy(logits))[:, : len(answers)]
        answer = int(shares.argmax())
        return Explanation(
            answers[answer],
            self._attribution(batch, answer) if self.has_maps else None,
            self._neighbours(vectors[0], image),
            self.typical_distance,
        )

    def _attribution(self, batch: torch.Tensor, answer: int) -> np.ndarray:
        target = torch.tensor([answer], device=batch.device)
        # Grad-CAM doesn't use the last argument, the input without the galaxy.
        maps = ATTRIBUTION_METHODS["gradcam"].apply(self.network, batch, target, batch)
        return as_grids(maps.detach().float().relu().cpu().numpy())[0]

    def _neighbours(self, vector: np.ndarray, own: np.ndarray | FluxImage) -> list[Neighbour]:
        if self.embeddings is None or self.galaxies is None:
            return []
        difference = unit_vectors(self.embeddings.vectors) - unit_vectors(vector[None])
        distance = np.linalg.norm(difference, axis=1)
        table, neighbours = self.galaxies.set_index("galaxy"), []
        for at in np.argsort(distance, kind="stable"):
            galaxy = self.embeddings.galaxy[at]
            label, image = table.loc[galaxy, ["label", "image"]]
            # The image itself, whatever its name, is no neighbour.
            if distance[at] < DUPLICATE and self._is_same(str(image), own):
                continue
            neighbours.append(Neighbour(str(galaxy), str(label), str(image), float(distance[at])))
            if len(neighbours) == NEIGHBOURS:
                break
        return neighbours

    def _is_same(self, reference: str, own: np.ndarray | FluxImage) -> bool:
        rendering = self.recipe.rendering
        try:
            other = decode(reference, rendering)
            if isinstance(own, FluxImage):
                own = np.asarray(as_picture(own, rendering))
            return np.array_equal(np.asarray(other), own)
        except BadInput:
            return False


def load_explainer(path: str | Path) -> Explainer:
    """Load the first network of a run, with the embeddings of its fit, or of a safetensors file.

    Without feature maps at the trunk's end there is no attribution map; without embeddings
    there are no neighbours, which a file never has.

    Raises:
        BadInput: neither a run nor such a file.
    """
    path = Path(path)
    if not is_run(path):
        network, recipe, classes = load_file_network(path)
        return Explainer(recipe, classes, network, has_feature_maps(network, recipe.size))
    member = Run(path).members[0]
    network, recipe = load_network(member), member.recipe
    has_maps = has_feature_maps(network, recipe.size)
    if not member.has_embeddings:
        return Explainer(recipe, member.classes, network, has_maps)
    embeddings = read_embeddings(member)
    return Explainer(recipe, member.classes, network, has_maps, embeddings, member.split)
