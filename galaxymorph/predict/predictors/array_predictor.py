"""Networks that take and return NumPy's arrays as a predictor, without PyTorch and fastai."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np

from galaxymorph.base import counted, map_ahead
from galaxymorph.images import Cut, Source, compressed, framed, require_some
from galaxymorph.learn import CONCENTRATIONS, NumpyResNet, Recipe, item_frame, loss_entry, target_of
from galaxymorph.predict.predictors.base import BasePredictor, Faults, Listener, OnProgress
from galaxymorph.zoo import Tree, cumulative_moments, softmax, tree_softmax

# Outputs of early layers for this many images stay in the processor's cache.
CHUNK = 16


@dataclass(frozen=True, kw_only=True, repr=False)
class ArrayPredictor(BasePredictor):
    """The networks of a run, one or a fold each, as functions of arrays.

    Args:
        networks: from images, float32 of shape (n, channels, side, side), to logits of one network
            or of several, shape (networks, n, outputs).
        mean: of the pixels by channel, of RGB in levels of 255, shape (channels, 1, 1).
        std: likewise, the standard deviation.
        kernel: that resizes frames, see `centre_frame`.
    """

    networks: Sequence[Callable[[np.ndarray], np.ndarray]]
    mean: np.ndarray
    std: np.ndarray
    kernel: str = "pillow"

    def outputs_of_each(
        self, images: Sequence[Source], on_progress: OnProgress = None, faults: Faults = None
    ) -> np.ndarray:
        """Return each network's uncalibrated outputs, see `Predictor.outputs_of_each`."""
        require_some(images)
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            inputs = map_ahead(
                pool, lambda at: self._input(images[at], at, faults), range(len(images)), 4 * CHUNK
            )
            outputs = []
            for batch in _stacked(inputs):
                outputs.append(self.batch_outputs(batch))
                if on_progress:
                    on_progress(len(batch))
        return np.concatenate(outputs, axis=1)

    def batch_outputs(self, batch: np.ndarray) -> np.ndarray:
        """Return outputs, the mean over the recipe's views, shape (networks, n, outputs).

        Args:
            batch: the networks' input, float32 of shape (n, channels, side, side).
        """
        views = [
            [
                inverse_link(logits, self.recipe)
                for network in self.networks
                for logits in _by_network(network(_dihedral(batch, view)))
            ]
            for view in range(self.recipe.views)
        ]
        return np.mean(views, axis=0)

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        """Call a listener, see `BasePredictor.listen`, if the first network is in NumPy."""
        network = self.networks[0]
        if not isinstance(network, NumpyResNet):
            yield
            return
        network.listeners.append(listener)
        try:
            yield
        finally:
            network.listeners.remove(listener)

    def _members(self) -> str:
        # A session of ONNX may hold several networks, and doesn't tell.
        is_known = all(isinstance(network, NumpyResNet) for network in self.networks)
        return counted(len(self.networks), "network") if is_known else ""

    def _input(self, source: Source, at: int, faults: Faults) -> np.ndarray:
        crop, side = item_frame(self.recipe)
        size, rendering = self.recipe.size, self.recipe.rendering
        image = self.opened(source, at, faults)
        if image is None:
            return np.zeros((rendering.channels, size, size), np.float32)
        frame = framed(image, Cut(crop, side, self.recipe.crop, self.kernel), rendering)
        start = (side - size) // 2
        central = frame[start : start + size, start : start + size].transpose(2, 0, 1)
        if rendering.flux is not None:
            central = compressed(central.astype(np.float32))
        return (central - self.mean) / self.std


def pixel_levels(description: Mapping[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and standard deviation, of RGB in levels of 255, of shape (channels, 1, 1)."""
    white = np.float32(1 if description.get("pixels") == "flux" else 255)
    mean, std = (
        np.array(description[name], np.float32).reshape(-1, 1, 1) * white
        for name in ("mean", "std")
    )
    return mean, std


def _by_network(logits: np.ndarray) -> np.ndarray:
    """Return logits of shape (networks, n, outputs): an exported file may hold several."""
    return logits if logits.ndim == 3 else logits[None]


def _stacked(inputs: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    while chunk := list(islice(inputs, CHUNK)):
        yield np.stack(chunk)


def _dihedral(batch: np.ndarray, view: int) -> np.ndarray:
    """Return one of the eight flips and 90° rotations, numbered as in `learn.views`."""
    rotated = np.rot90(batch, view % 4, axes=(-2, -1))
    return np.ascontiguousarray(rotated[..., ::-1] if view >= 4 else rotated)


def inverse_link(logits: np.ndarray, recipe: Recipe) -> np.ndarray:
    """Return the outputs of logits, shape (n, outputs): the `mean_and_square` of `learn.make_link`.

    The same functions exist in PyTorch, where training takes their gradients on the device in
    single precision; here PyTorch isn't imported. A test holds both to agree.
    """
    tree = target_of(recipe).tree
    if tree is None:
        return softmax(logits)
    return INVERSE_LINKS[loss_entry(recipe).link](tree, logits)


def _tree_dirichlet(tree: Tree, logits: np.ndarray) -> np.ndarray:
    least, most = CONCENTRATIONS
    return np.hstack(cumulative_moments(tree, least + (most - least) * _sigmoid(logits)))


# By the name of a loss's link.
INVERSE_LINKS: dict[str, Callable[[Tree, np.ndarray], np.ndarray]] = {
    "softmax": tree_softmax,
    "dirichlet": _tree_dirichlet,
}


def _sigmoid(logits: np.ndarray) -> np.ndarray:
    # As a tangent it overflows nowhere.
    return 0.5 + 0.5 * np.tanh(0.5 * logits)
