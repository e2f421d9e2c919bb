"""Models of a run, and their predictions of the test galaxies under a condition."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from galaxymorph.base import BadInput
from galaxymorph.images import Frames, cached_frames, corrupt, frame_scale
from galaxymorph.judge.robustness.conditions import Condition
from galaxymorph.learn import (
    Recipe,
    Run,
    adapt_batchnorm,
    dihedral,
    infer,
    item_frame,
    light_of,
    load_network,
    make_link,
    network_values,
    pixel_stats,
    prediction_table,
    serving_network,
    true_columns,
    with_images,
)


@dataclass(frozen=True)
class TestedModels:
    """The models of a fold or a run, whose mean is judged, and their test galaxies.

    Args:
        models: of the fold, or of an ensemble.
        recipe: of the run.
        table: `galaxy`, `image`, `label` and true vote fractions, a row a galaxy.
        frames: decoded images.
        rows: of the galaxies in `frames`, shape (n,).
    """

    models: list[nn.Module]
    recipe: Recipe
    table: pd.DataFrame
    frames: Frames
    rows: np.ndarray

    @cached_property
    def networks(self) -> list[nn.Module]:
        """The models for inference."""
        return [serving_network(model, self.recipe) for model in self.models]

    def batches(self, condition: Condition, view: int = 0) -> Iterator[torch.Tensor]:
        """Yield the model's inputs under a condition, in one of the dihedral views."""
        mean, std = (torch.tensor(stats).view(1, -1, 1, 1) for stats in pixel_stats(self.recipe))
        device = next(self.models[0].parameters()).device
        for start in range(0, len(self.rows), self.recipe.batch):
            part = slice(start, start + self.recipe.batch)
            frames = self.frames.pixels.read(self.rows[part])
            names = list(self.table["galaxy"].iloc[part])
            batch = (corrupted_inputs(frames, names, condition, self.recipe) - mean) / std
            yield dihedral(batch, view).contiguous().to(device)

    def predict(
        self, condition: Condition, views: int, adapt: bool, on_progress: Callable[[int], object]
    ) -> np.ndarray:
        """Return predictions under a condition, shape (n, outputs).

        Args:
            condition: of the images.
            views: averaged.
            adapt: re-estimate BatchNorm statistics on these images, see `adapt_batchnorm`.
            on_progress: called with the number of images after each batch.
        """
        networks = self.networks
        if adapt:
            networks = [
                serving_network(
                    adapt_batchnorm(model, self.batches(condition), on_progress), self.recipe
                )
                for model in self.models
            ]
        link = make_link(self.recipe)
        outputs = infer(networks, self.batches(condition), views, link.inverse_link, on_progress)
        return outputs.mean(axis=0)

    def predict_view(self, view: int, on_progress: Callable[[int], object]) -> np.ndarray:
        """Return predictions of the clean images in one dihedral view, shape (n, outputs)."""
        link = make_link(self.recipe)
        batches = self.batches(Condition(), view)
        outputs = infer(self.networks, batches, 1, link.inverse_link, on_progress)
        return outputs.mean(axis=0)


def load_tested_models(run: Run, limit: int | None, data: Path | None) -> list[TestedModels]:
    """Return the models of each split of a run with the galaxies that tested them.

    Args:
        run: trained.
        limit: take this many galaxies, drawn with the run's seed.
        data: where the run's catalogue is now, if it has moved.

    Raises:
        BadInput: an image is missing or damaged.
    """
    tested = run.predictions("test").drop_duplicates("galaxy")["galaxy"]
    if limit and limit < len(tested):
        tested = tested.sample(limit, random_state=run.recipe.seed)
    chosen, models = set(tested), []
    for member in run.splits:
        names = ["galaxy", "image", "label", *true_columns(run.recipe, run.classes)]
        table = member.predictions("test")[names]
        table = table[table["galaxy"].isin(chosen)].reset_index(drop=True)
        if not len(table):
            continue
        table = with_images(table, data)
        frames, inspections = cached_frames(
            list(table["image"]), *item_frame(run.recipe), run.recipe.rendering
        )
        for inspection in inspections:
            if inspection.fault:
                raise BadInput(inspection.fault)
        rows = np.array([frames.rows[inspection.digest] for inspection in inspections])
        networks = [load_network(each) for each in member.members]
        models.append(TestedModels(networks, run.recipe, table, frames, rows))
        # Made before several threads use it.
        _ = models[-1].networks
    return models


def condition_table(
    run: Run, tested: Sequence[TestedModels], condition: Condition, predictions: np.ndarray
) -> pd.DataFrame:
    """Return a condition's predictions, shape (n, outputs), as a table, a row a galaxy."""
    known = pd.concat([models.table for models in tested], ignore_index=True)
    known = known.drop(columns="image").assign(**asdict(condition))
    return pd.concat([known, prediction_table(predictions, run.recipe, run.classes)], axis=1)


def corrupted_inputs(
    frames: np.ndarray, galaxies: Sequence[str], condition: Condition, recipe: Recipe
) -> torch.Tensor:
    """Return the network's values under a condition, shape (n, channels, side, side).

    They are RGB from 0 to 1, or compressed flux.

    Args:
        frames: as stored, shape (n, side, side, channels), with their margin: see `item_frame`.
        galaxies: their names.
        condition: of the images.
        recipe: of the model.
    """
    return network_values(corrupted_light(frames, galaxies, condition, recipe), recipe)


def corrupted_light(
    frames: np.ndarray, galaxies: Sequence[str], condition: Condition, recipe: Recipe
) -> torch.Tensor:
    """Return the light of the model's frame under a condition: RGB from 0 to 1, or flux."""
    batch = light_of(torch.from_numpy(frames).permute(0, 3, 1, 2), recipe)
    if condition.severity:
        scale, flux = frame_scale(recipe.size, recipe.crop), recipe.pixels == "flux"
        name, severity = condition.corruption, condition.severity
        batch = corrupt(batch, name, severity, galaxies, scale, flux=flux)
    start = (batch.shape[-1] - recipe.size) // 2
    return batch[..., start : start + recipe.size, start : start + recipe.size]
