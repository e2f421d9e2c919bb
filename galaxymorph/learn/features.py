"""Training on stored outputs of frozen layers: each view of a galaxy goes through them once.

In the two-stage fit the early stages never change, and most of its arithmetic is theirs; in its
first stage nothing changes but the head. So a few random views of each training galaxy, and the
central view of each validation galaxy, pass through the network beforehand, in the form that is
fastest for inference; what reaches the first layer that learns is kept in a file for each stage.
While a stage lasts the learner is its own, with the frozen layers stepping aside.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.layers import AdaptiveConcatPool2d, Flatten
from fastai.learner import Learner
from fastai.torch_core import default_device, set_seed
from torch import nn

from galaxymorph.base import BadInput, Progress, Rows, read_json, replace_folder, say
from galaxymorph.learn.backbones import stages_of
from galaxymorph.learn.hardware import KEPT, resolve_precision
from galaxymorph.learn.recipes import Recipe
from galaxymorph.learn.serving import DTYPES, in_chunks, serving_parts

# Steps of a head that learn nothing, and come before those that do.
POOLING = (nn.AdaptiveAvgPool2d, AdaptiveConcatPool2d, nn.Flatten, Flatten)

# How each number format is stored: NumPy has no bfloat16.
STORED = {"fp32": np.dtype("float32"), "fp16": np.dtype("float16"), "bf16": np.dtype("int16")}


class FeatureDL(DataLoader):
    """Batches of stored features and targets; every epoch takes the next view of each galaxy."""

    epoch = 0

    def __init__(self, features: Rows, targets: torch.Tensor, **settings):
        self.features, self.targets = features, targets
        self.views = len(features) // len(targets)
        super().__init__(n=len(targets), indexed=True, device=default_device(), **settings)

    def create_item(self, s: int) -> int:
        return s

    def create_batch(self, b: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [at + (self.epoch + at) % self.views * self.n for at in b]
        stored = torch.from_numpy(self.features.read(rows))
        if self.features.dtype == STORED["bf16"]:
            stored = stored.view(torch.bfloat16)
        return _channels_first(stored), self.targets[b]

    def create_batches(self, samps: Iterable[int]) -> Iterator:
        for batch in super().create_batches(samps):
            yield batch
            del batch
            KEPT.settle()

    def retain(self, res, b):
        return res


@dataclass(frozen=True)
class EarlyStages:
    """The part of a model that no stage of the fit trains: `first` is the module after it."""

    model: nn.Module
    first: nn.Module

    def outputs(self, batch: torch.Tensor) -> torch.Tensor:
        """Return what the first trained module would receive, shape (n, channels, side, side)."""

        class _Reached(Exception):
            pass

        found = []

        def stop(_, inputs) -> None:
            found.append(inputs[0])
            raise _Reached

        hook = self.first.register_forward_pre_hook(stop)
        try:
            self.model(batch)
        except _Reached:
            pass
        finally:
            hook.remove()
        return found[0]

    @contextmanager
    def bypassed(self) -> Iterator[None]:
        """Let the model take the early stages' outputs in place of images."""
        modules = _before(self.model, self.first)
        try:
            for module in modules:
                module.forward = _unchanged
            yield
        finally:
            for module in modules:
                module.__dict__.pop("forward", None)


def cuts(model: nn.Module, recipe: Recipe) -> dict[str, EarlyStages]:
    """Return, by stage of the fit, what stays frozen in it, where the network can be cut there.

    Whether it can is tried: a network that joins early outputs to late ones can't.
    """
    stages, found = stages_of(model), {}
    if recipe.frozen_epochs:
        # Pooled outputs are a fiftieth of the size.
        learns = (part for part in model[1] if not isinstance(part, POOLING))
        found["frozen"] = EarlyStages(model, next(learns))
    if recipe.epochs and 0 < recipe.unfreeze < len(stages):
        found["fine-tuned"] = EarlyStages(model, stages[-recipe.unfreeze][0])
    noise = torch.rand(2, 3, recipe.size, recipe.size, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device)
    return {name: early for name, early in found.items() if _works(early, noise)}


def _works(early: EarlyStages, noise: torch.Tensor) -> bool:
    model = early.model
    training = model.training
    try:
        with torch.no_grad():
            expected = model.eval()(noise)
            features = early.outputs(noise)
            with early.bypassed():
                found = model(features)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return False
    finally:
        model.train(training)
    return features.ndim in (2, 4) and torch.equal(found, expected)


@dataclass(frozen=True)
class Features:
    """Stored features of a fit's galaxies, by its stages, for those that can train on them."""

    folder: Path
    precision: str
    early: dict[str, EarlyStages]

    @contextmanager
    def feeding(self, learn: Learner, stage: str) -> Iterator[None]:
        """Let a learner train on a stage's features within the block, if there are any.

        Raises:
            BadInput: they were stored in another number format than this machine trains in.
        """
        if stage not in self.early:
            yield
            return
        images = learn.dls
        try:
            learn.dls = _open(self.folder, stage, self.precision, images)
            with self.early[stage].bypassed():
                yield
        finally:
            learn.dls = images


def stored_features(learn: Learner, recipe: Recipe, folder: Path) -> Features:
    """Return a fit's features, made now if the recipe asks for them and they aren't there.

    Args:
        learn: on images.
        recipe: its `trunk_views` says how many views of each training galaxy.
        folder: for the features: those of one fit, so that it can go on.

    Raises:
        BadInput: the disk has no room.
    """
    early = cuts(learn.model, recipe) if recipe.trunk_views else {}
    if recipe.trunk_views and recipe.epochs and "fine-tuned" not in early:
        say(f"{recipe.arch} can't be cut at a stage: fine-tuning goes through all of it")
    features = Features(folder, resolve_precision(recipe.precision, learn.model), early)
    if early and not folder.exists():
        _store(learn, recipe, features)
    return features


def _store(learn: Learner, recipe: Recipe, features: Features) -> None:
    trunk, head = serving_parts(learn.model, recipe, features.precision)
    model = nn.Sequential(trunk, head)
    names = {module: name for name, module in learn.model.named_modules()}
    # From the last cut to the first, each an early part of what is left.
    order = sorted(features.early, key="fine-tuned".__ne__)
    early = [
        EarlyStages(model, model.get_submodule(names[features.early[stage].first]))
        for stage in order
    ]
    parts = {
        "train": (learn.dls.train.new(shuffle=False, drop_last=False), recipe.trunk_views),
        "valid": (learn.dls.valid, 1),
    }
    total = sum(len(loader.dataset) * views for loader, views in parts.values())
    with (
        replace_folder(features.folder) as temporary,
        Progress("trunk features", total, "images") as progress,
    ):
        about = {"precision": features.precision}
        for part, (loader, views) in parts.items():
            paths = [temporary / f"{stage}-{part}.bin" for stage in order]
            shapes, targets = _store_part(
                paths, early, _passes(loader, views, recipe.seed),
                len(loader.dataset), views, features.precision, progress,
            )  # fmt: skip
            np.save(temporary / f"{part}.npy", targets)
            about[part] = {"shapes": dict(zip(order, shapes, strict=True))}
        (temporary / "features.json").write_text(json.dumps(about), encoding="utf-8")


def _passes(loader: Iterable, views: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for view in range(views):
        set_seed((seed * 10_007 + view) % 2**31, reproducible=True)
        yield from loader


def _store_part(
    paths: list[Path],
    early: list[EarlyStages],
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    galaxies: int,
    views: int,
    precision: str,
    progress: Progress,
) -> tuple[list[tuple[int, ...]], np.ndarray]:
    """Write the features of a part, a file a cut; return their shapes and the galaxies' targets."""
    seen = 0
    targets: list[np.ndarray] = []
    shapes: list[tuple[int, ...]] = []
    with ExitStack() as stack, torch.inference_mode():
        sinks = [stack.enter_context(path.open("wb")) for path in paths]
        for images, target in batches:
            parts = in_chunks(images.as_subclass(torch.Tensor), DTYPES[precision])
            outputs = zip(*(_successive(early, part) for part in parts), strict=True)
            stored = [_channels_last(torch.cat(part)).contiguous().cpu() for part in outputs]
            if not shapes:
                shapes = [tuple(features.shape[1:]) for features in stored]
                need = galaxies * views * sum(features[0].nbytes for features in stored)
                _require_room(paths[0].parent, need)
            for sink, features in zip(sinks, stored, strict=True):
                bits = features.view(torch.int16) if precision == "bf16" else features
                sink.write(bits.numpy().data)
            # Every view of the galaxies brings the same ones.
            if seen < galaxies:
                targets.append(target.as_subclass(torch.Tensor).cpu().numpy())
            seen += len(images)
            progress.advance(len(images))
    return shapes, np.concatenate(targets)


def _successive(early: list[EarlyStages], batch: torch.Tensor) -> list[torch.Tensor]:
    """Return the outputs of each cut, from the earliest, every layer run once."""
    found = []
    with ExitStack() as stack:
        for cut in early:
            batch = cut.outputs(batch)
            found.append(batch)
            stack.enter_context(cut.bypassed())
    return found


def _channels_last(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 2, 3, 1) if features.ndim == 4 else features


def _channels_first(features: torch.Tensor) -> torch.Tensor:
    return features.permute(0, 3, 1, 2) if features.ndim == 4 else features


def _require_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > 0.9 * free:
        raise BadInput(
            f"{folder}: trunk features take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            "make room, or use fewer --trunk-views (0: none are stored)",
        )


def _open(folder: Path, stage: str, precision: str, images: DataLoaders) -> DataLoaders:
    about = read_json(folder / "features.json", f"delete {folder}")
    if about["precision"] != precision:
        raise BadInput(
            f"{folder}: stored in {about['precision']}, and this machine trains in {precision}",
            f"go on where the fit began, or delete {folder}",
        )

    def loader(part: str, **settings) -> FeatureDL:
        shape = tuple(about[part]["shapes"][stage])
        rows = Rows(folder / f"{stage}-{part}.bin", shape, STORED[precision])
        targets = torch.from_numpy(np.load(folder / f"{part}.npy"))
        return FeatureDL(rows, targets, **settings)

    return DataLoaders(
        loader("train", bs=images.train.bs, shuffle=True, drop_last=True),
        loader("valid", bs=images.valid.bs),
        device=default_device(),
    )


def _before(module: nn.Module, target: nn.Module) -> list[nn.Module]:
    """Return the modules that stand before `target`, on every level of nesting down to it."""
    passed: list[nn.Module] = []
    for child in module.children():
        if child is target:
            break
        if any(inner is target for inner in child.modules()):
            return passed + _before(child, target)
        passed.append(child)
    return passed


def _unchanged(features: torch.Tensor) -> torch.Tensor:
    return features
