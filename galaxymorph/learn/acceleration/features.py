"""Training on stored outputs of frozen layers, computed once for each view of a galaxy.

In the two-stage fit the early stages are frozen, and take most of the time; in its first stage all
but the head is. A few random views of each training galaxy, and the central view of each
validation galaxy, are passed through the frozen layers beforehand, in the form that is fastest for
inference. The inputs of the first trained layer are stored; the learner trains on them while the
frozen layers are bypassed.
"""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from fastai.data.core import DataLoaders, TfmdDL
from fastai.data.load import DataLoader
from fastai.layers import AdaptiveConcatPool2d, Flatten
from fastai.learner import Learner
from fastai.torch_core import default_device, set_seed
from torch import nn

from galaxymorph.base import BadInput, Progress, Rows, read_json, replace_folder, say, setting
from galaxymorph.learn.acceleration.gpu_memory import RowsOnGPU, fits_on_gpu
from galaxymorph.learn.acceleration.hardware import memory_format, resolve_precision
from galaxymorph.learn.acceleration.kept_memory import KEPT
from galaxymorph.learn.acceleration.serving import DTYPES, in_chunks, serving_parts
from galaxymorph.learn.backbones.architectures import stages_of
from galaxymorph.learn.distributed import processes
from galaxymorph.learn.recipe import Recipe

# Layers without weights, at the start of a head.
POOLING = (nn.AdaptiveAvgPool2d, AdaptiveConcatPool2d, nn.Flatten, Flatten)

# The stored type of each number format: NumPy has no bfloat16.
STORED: dict[str, np.dtype[Any]] = {
    "fp32": np.dtype("float32"),
    "fp16": np.dtype("float16"),
    "bf16": np.dtype("int16"),
}


class FeatureDL(DataLoader):
    """Batches of stored features and targets; each epoch takes the next view of each galaxy."""

    epoch = 0

    def __init__(
        self,
        features: Rows | RowsOnGPU,
        targets: torch.Tensor,
        layout: torch.memory_format = torch.channels_last,
        **settings: Any,
    ):
        self.features, self.targets, self.layout = features, targets, layout
        self.views = len(features) // len(targets)
        super().__init__(n=len(targets), indexed=True, device=default_device(), **settings)

    def create_item(self, s: int) -> int:
        return s

    def create_batch(self, b: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [at + (self.epoch + at) % self.views * self.n for at in b]
        stored = self.features.read(rows)
        if isinstance(stored, np.ndarray):
            stored = torch.from_numpy(stored)
        if stored.dtype == torch.int16:
            stored = stored.view(torch.bfloat16)
        return _channels_first(stored, self.layout), self.targets[b]

    def create_batches(self, samps: Iterable[int]) -> Iterator:
        for batch in super().create_batches(samps):
            yield batch
            del batch
            KEPT.settle()

    def retain(self, res: Any, b: Any) -> Any:
        return res


@dataclass(frozen=True)
class EarlyStages:
    """The frozen part of a model; `first` is the first module after it."""

    model: nn.Module
    first: nn.Module

    def outputs(self, batch: torch.Tensor) -> torch.Tensor:
        """Return the inputs of the module after it, shape (n, channels, side, side) or (n, m)."""

        class _Reached(Exception):
            pass

        features = []

        def stop(_: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            features.append(inputs[0])
            raise _Reached

        hook = self.first.register_forward_pre_hook(stop)
        try:
            self.model(batch)
        except _Reached:
            pass
        finally:
            hook.remove()
        return features[0]

    @contextmanager
    def bypassed(self) -> Iterator[None]:
        """Let the model take the early stages' outputs as its input within the block."""
        modules = _before(self.model, self.first)
        try:
            for module in modules:
                module.forward = _unchanged
            yield
        finally:
            for module in modules:
                module.__dict__.pop("forward", None)


def cuts(model: nn.Sequential, recipe: Recipe) -> dict[str, EarlyStages]:
    """Return the frozen part of a network in each stage of the fit.

    A stage is left out if the network can't be divided there, which is tested on noise: some
    networks join early outputs to late ones.
    """
    stages, parts = stages_of(model), {}
    if recipe.frozen_epochs:
        # Pooled outputs are a fiftieth of the size.
        layers = (layer for layer in model[1].children() if not isinstance(layer, POOLING))
        parts["frozen"] = EarlyStages(model, next(layers))
    if recipe.epochs and 0 < recipe.unfreeze < len(stages):
        parts["fine-tuned"] = EarlyStages(model, stages[-recipe.unfreeze][0])
    shape = (2, recipe.image_channels, recipe.size, recipe.size)
    noise = torch.rand(*shape, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device)
    return {stage: early for stage, early in parts.items() if _divides(early, noise)}


def _divides(early: EarlyStages, noise: torch.Tensor) -> bool:
    model = early.model
    training = model.training
    try:
        with torch.no_grad():
            expected = model.eval()(noise)
            features = early.outputs(noise)
            with early.bypassed():
                outputs = model(features)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return False
    finally:
        model.train(training)
    return features.ndim in (2, 4) and torch.equal(outputs, expected)


@dataclass(frozen=True)
class Features:
    """Stored features of a fit's galaxies, for the stages that can train on them.

    They are in files in `folder` or, if there is room, in GPU memory, by stage and part.
    """

    folder: Path
    precision: str
    early: dict[str, EarlyStages]
    on_gpu: dict[tuple[str, str], tuple[RowsOnGPU, torch.Tensor]] | None = None

    @contextmanager
    def feeding(self, learn: Learner, stage: str) -> Iterator[None]:
        """Let a learner train on a stage's features, if there are any, within the block.

        Raises:
            BadInput: they are stored in another number format than this machine trains in.
        """
        if stage not in self.early:
            yield
            return
        images = learn.dls
        train, valid = (self._rows(stage, part) for part in ("train", "valid"))
        layout = memory_format(learn.model)
        try:
            learn.dls = DataLoaders(
                FeatureDL(*train, layout, bs=images.train.bs, shuffle=True, drop_last=True),
                FeatureDL(*valid, layout, bs=images.valid.bs),
                device=default_device(),
            )
            with self.early[stage].bypassed():
                yield
        finally:
            learn.dls = images

    def _rows(self, stage: str, part: str) -> tuple[Rows | RowsOnGPU, torch.Tensor]:
        if self.on_gpu is not None:
            return self.on_gpu[stage, part]
        record = read_json(self.folder / "features.json", f"delete {self.folder}")
        if record["precision"] != self.precision:
            raise BadInput(
                f"{self.folder}: stored in {record['precision']}, and this machine trains in "
                f"{self.precision}",
                f"resume on the machine where the fit began, or delete {self.folder}",
            )
        shape = tuple(record[part]["shapes"][stage])
        rows = Rows(self.folder / f"{stage}-{part}.bin", shape, STORED[self.precision])
        return rows, torch.from_numpy(np.load(self.folder / f"{part}.npy"))


def stored_features(learn: Learner, recipe: Recipe, folder: Path) -> Features:
    """Return a fit's features, computed if the recipe asks for them and they aren't stored yet.

    Args:
        learn: on images.
        recipe: with the number of views of each training galaxy, `trunk_views`.
        folder: for the features of one fit. If there is room in GPU memory, they are kept there
            instead, and a resumed fit computes them again.

    Raises:
        BadInput: the disk has no room.
    """
    early = cuts(learn.model, recipe) if recipe.trunk_views else {}
    if recipe.trunk_views and recipe.epochs and "fine-tuned" not in early:
        say(f"{recipe.arch} can't be divided at a stage: fine-tuning runs all of it in each epoch")
    features = Features(folder, resolve_precision(recipe.precision, learn.model), early)
    if not early or folder.exists():
        return features
    passes = _trunk_passes(learn, recipe, features)
    # Several processes share files.
    if processes() == 1 and fits_on_gpu(passes.nbytes):
        return replace(features, on_gpu=_to_gpu(passes))
    _to_files(passes, features)
    return features


@dataclass(frozen=True)
class _TrunkPasses:
    """The passes of all views through the frozen stages, with an array of outputs for each cut.

    Args:
        stages: of the fit, one for each cut, the earliest cut first.
        early: the frozen part of each, without that of the cut before.
        parts: the loader of each part of the split, and the number of views of its galaxies.
        shapes: of a view's outputs at each cut.
        dtype: of the outputs.
        layout: of the images.
        seed: of the views.
    """

    stages: list[str]
    early: list[EarlyStages]
    parts: dict[str, tuple[TfmdDL, int]]
    shapes: list[tuple[int, ...]]
    dtype: torch.dtype
    layout: torch.memory_format
    seed: int

    def rows(self, part: str) -> int:
        """Return the number of views of a part's galaxies."""
        loader, views = self.parts[part]
        return len(loader.dataset) * views

    @property
    def nbytes(self) -> int:
        """The size of all features in bytes."""
        rows = sum(map(self.rows, self.parts))
        return rows * sum(map(math.prod, self.shapes)) * self.dtype.itemsize

    def progress(self) -> Progress:
        """Return a progress bar over all views."""
        return Progress("features of the frozen layers", sum(map(self.rows, self.parts)), "images")

    def run(
        self, part: str, write: Callable[[int, int, torch.Tensor], object], progress: Progress
    ) -> torch.Tensor:
        """Compute a part's features, view by view, and return the galaxies' targets.

        Args:
            part: of the split.
            write: takes the number of a cut, the first row, and outputs of successive rows.
            progress: advanced by the number of images.
        """
        loader, views = self.parts[part]
        targets: list[torch.Tensor] = []
        row = 0
        for view in range(views):
            set_seed((self.seed * 10_007 + view) % 2**31, reproducible=True)
            for images, batch_targets in loader:
                pixels = images.as_subclass(torch.Tensor)
                outputs = _cut_outputs(self.early, pixels, self.dtype, self.layout)
                for cut, values in enumerate(outputs):
                    write(cut, row, values)
                row += len(images)
                progress.advance(len(images))
                if view == 0:
                    targets.append(batch_targets)
        return torch.cat(targets)


def _trunk_passes(learn: Learner, recipe: Recipe, features: Features) -> _TrunkPasses:
    model = nn.Sequential(*serving_parts(learn.model, recipe, features.precision))
    names = {module: name for name, module in learn.model.named_modules()}
    stages = sorted(features.early, key="fine-tuned".__ne__)
    firsts = [names[features.early[stage].first] for stage in stages]
    early = [EarlyStages(model, model.get_submodule(name)) for name in firsts]
    train = learn.dls.train.new(shuffle=False, drop_last=False)
    dtype, layout = DTYPES[features.precision], memory_format(model)
    shape = (1, recipe.image_channels, recipe.size, recipe.size)
    image = torch.zeros(*shape, device=default_device())
    shapes = [tuple(outputs.shape[1:]) for outputs in _cut_outputs(early, image, dtype, layout)]
    parts = {"train": (train, recipe.trunk_views), "valid": (learn.dls.valid, 1)}
    return _TrunkPasses(stages, early, parts, shapes, dtype, layout, recipe.seed)


def _to_files(passes: _TrunkPasses, features: Features) -> None:
    """Write the features, a file for each cut and part, and the galaxies' targets."""
    record: dict[str, object] = {"precision": features.precision}
    with replace_folder(features.folder) as folder, passes.progress() as progress:
        _require_room(folder, passes.nbytes)
        for part in passes.parts:
            with ExitStack() as stack:
                paths = [folder / f"{stage}-{part}.bin" for stage in passes.stages]
                files = [stack.enter_context(path.open("wb")) for path in paths]

                def write(cut: int, row: int, values: torch.Tensor, files: list = files) -> None:
                    bits = values.cpu()
                    # NumPy has no bfloat16.
                    bits = bits.view(torch.int16) if bits.dtype == torch.bfloat16 else bits
                    files[cut].write(bits.numpy().data)

                targets = passes.run(part, write, progress)
            np.save(folder / f"{part}.npy", targets.as_subclass(torch.Tensor).cpu().numpy())
            record[part] = {"shapes": dict(zip(passes.stages, passes.shapes, strict=True))}
        (folder / "features.json").write_text(json.dumps(record), encoding="utf-8")


def _to_gpu(passes: _TrunkPasses) -> dict[tuple[str, str], tuple[RowsOnGPU, torch.Tensor]]:
    """Return the features in GPU memory, and the galaxies' targets, by stage and part."""
    stored = {}
    with passes.progress() as progress:
        for part in passes.parts:
            arrays = [
                torch.empty(passes.rows(part), *shape, dtype=passes.dtype, device=default_device())
                for shape in passes.shapes
            ]

            def write(cut: int, row: int, values: torch.Tensor, arrays: list = arrays) -> None:
                arrays[cut][row : row + len(values)] = values

            targets = passes.run(part, write, progress)
            for stage, array in zip(passes.stages, arrays, strict=True):
                stored[stage, part] = RowsOnGPU(array), targets
    return stored


@torch.inference_mode()
def _cut_outputs(
    early: list[EarlyStages], batch: torch.Tensor, dtype: torch.dtype, layout: torch.memory_format
) -> list[torch.Tensor]:
    """Return the outputs of each cut, from the earliest, channels last; each layer runs once."""
    parts = (_successive_outputs(early, part) for part in in_chunks(batch, dtype, layout))
    outputs = zip(*parts, strict=True)
    return [_channels_last(torch.cat(chunks)).contiguous() for chunks in outputs]


def _successive_outputs(early: list[EarlyStages], batch: torch.Tensor) -> list[torch.Tensor]:
    outputs = []
    with ExitStack() as stack:
        for cut in early:
            batch = cut.outputs(batch)
            outputs.append(batch)
            stack.enter_context(cut.bypassed())
    return outputs


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features


def _channels_first(features: torch.Tensor, layout: torch.memory_format) -> torch.Tensor:
    if features.ndim != 4:
        return features
    return features.permute(0, 3, 1, 2).contiguous(memory_format=layout)


def _require_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > 0.9 * free:
        raise BadInput(
            f"{folder}: trunk features take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            f"free disk space, or use fewer {setting('trunk_views')} (0: none are stored)",
        )


def _before(module: nn.Module, target: nn.Module) -> list[nn.Module]:
    """Return the modules that precede `target`, on every level of nesting down to it."""
    before: list[nn.Module] = []
    for child in module.children():
        if child is target:
            break
        if any(inner is target for inner in child.modules()):
            return before + _before(child, target)
        before.append(child)
    return before


def _unchanged(features: torch.Tensor) -> torch.Tensor:
    return features
