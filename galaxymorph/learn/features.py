"""Training on stored outputs of a frozen trunk: each view of a galaxy goes through it once.

In the two-stage fit the early stages never change, and most of its arithmetic is theirs. So a few
random views of each training galaxy, and the central view of each validation galaxy, pass through
them beforehand, in the form that is fastest for inference; what comes out is kept in a file. While
the fit lasts the learner is its own, with the early stages stepping aside.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from fastai.data.core import DataLoaders
from fastai.data.load import DataLoader
from fastai.learner import Learner
from fastai.torch_core import default_device, set_seed
from torch import nn

from galaxymorph.base import BadInput, Progress, Rows, replace_folder, say
from galaxymorph.learn.backbones import stages_of
from galaxymorph.learn.hardware import resolve_precision
from galaxymorph.learn.recipes import Recipe
from galaxymorph.learn.serving import DTYPES, fold_batchnorm, in_chunks

# How each number format is stored: NumPy has no bfloat16.
STORED = {"fp32": np.dtype("float32"), "fp16": np.dtype("float16"), "bf16": np.dtype("int16")}


class FeatureDL(DataLoader):
    """Batches of stored features and labels; every epoch takes the next view of each galaxy."""

    epoch = 0

    def __init__(self, features: Rows, labels: torch.Tensor, **settings):
        self.features, self.labels = features, labels
        self.views = len(features) // len(labels)
        super().__init__(n=len(labels), indexed=True, device=default_device(), **settings)

    def create_item(self, s: int) -> int:
        return s

    def create_batch(self, b: list[int]) -> tuple[torch.Tensor, torch.Tensor]:
        rows = [at + (self.epoch + at) % self.views * self.n for at in b]
        pixels_last = torch.from_numpy(self.features.read(rows))
        if self.features.dtype == STORED["bf16"]:
            pixels_last = pixels_last.view(torch.bfloat16)
        return pixels_last.permute(0, 3, 1, 2), self.labels[b]

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


def early_stages(model: nn.Module, recipe: Recipe) -> EarlyStages | None:
    """Return the stages that stay frozen throughout, or None if the network can't be cut there.

    Whether it can is tried: a network that joins early outputs to late ones can't.
    """
    stages = stages_of(model)
    if not 0 < recipe.unfreeze < len(stages):
        return None
    early = EarlyStages(model, stages[-recipe.unfreeze][0])
    noise = torch.rand(2, 3, recipe.size, recipe.size, generator=torch.Generator().manual_seed(0))
    noise = noise.to(next(model.parameters()).device)
    training = model.training
    try:
        with torch.no_grad():
            expected = model.eval()(noise)
            features = early.outputs(noise)
            with early.bypassed():
                found = model(features)
    except (RuntimeError, IndexError, TypeError, ValueError):
        return None
    finally:
        model.train(training)
    return early if features.ndim == 4 and torch.equal(found, expected) else None


@contextmanager
def on_features(learn: Learner, recipe: Recipe, folder: Path) -> Iterator[None]:
    """Let a learner train on stored features within the block, if the recipe says so.

    Args:
        learn: on images.
        recipe: its `trunk_views` says how many views of each training galaxy.
        folder: for the features, made if it isn't there: those of one fit, so that it can go on.

    Raises:
        BadInput: the disk has no room.
    """
    early = early_stages(learn.model, recipe) if recipe.trunk_views else None
    if early is None:
        if recipe.trunk_views:
            say(f"{recipe.arch} can't be cut at a stage: every epoch goes through all of it")
        yield
        return
    precision = resolve_precision(recipe.precision, learn.model)
    if not folder.exists():
        _store(learn, recipe, folder, precision)
    images = learn.dls
    try:
        learn.dls = _open(folder, precision, images)
        with early.bypassed():
            yield
    finally:
        learn.dls = images


def _store(learn: Learner, recipe: Recipe, folder: Path, precision: str) -> None:
    model = fold_batchnorm(learn.model, recipe.size)
    model.to(default_device(), memory_format=torch.channels_last)
    early = EarlyStages(model, stages_of(model)[-recipe.unfreeze][0])
    model[0].to(DTYPES[precision])
    parts = {
        "train": (learn.dls.train.new(shuffle=False, drop_last=False), recipe.trunk_views),
        "valid": (learn.dls.valid, 1),
    }
    total = sum(len(loader.dataset) * views for loader, views in parts.values())
    with (
        replace_folder(folder) as temporary,
        Progress("trunk features", total, "images") as progress,
    ):
        about = {"precision": precision}
        for part, (loader, views) in parts.items():
            about[part] = _store_part(
                temporary / f"{part}.bin", early, _passes(loader, views, recipe.seed),
                len(loader.dataset), views, precision, progress,
            )  # fmt: skip
        (temporary / "features.json").write_text(json.dumps(about), encoding="utf-8")


def _passes(loader: Iterable, views: int, seed: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for view in range(views):
        set_seed((seed * 10_007 + view) % 2**31, reproducible=True)
        yield from loader


def _store_part(
    path: Path,
    early: EarlyStages,
    batches: Iterable[tuple[torch.Tensor, torch.Tensor]],
    galaxies: int,
    views: int,
    precision: str,
    progress: Progress,
) -> dict:
    """Write the features of a part; return their shape and the galaxies' labels."""
    labels: list[int] = []
    shape: tuple[int, ...] = ()
    with path.open("wb") as sink, torch.inference_mode():
        for images, classes in batches:
            parts = in_chunks(images.as_subclass(torch.Tensor), DTYPES[precision])
            features = torch.cat([early.outputs(part) for part in parts])
            features = features.permute(0, 2, 3, 1).contiguous().cpu()
            if not shape:
                shape = tuple(features.shape[1:])
                _require_room(path.parent, galaxies * views * features[0].nbytes)
            bits = features.view(torch.int16) if precision == "bf16" else features
            sink.write(bits.numpy().data)
            if len(labels) < galaxies:
                labels += classes.tolist()
            progress.advance(len(images))
    return {"shape": shape, "labels": labels}


def _require_room(folder: Path, need: int) -> None:
    free = shutil.disk_usage(folder).free
    if need > 0.9 * free:
        raise BadInput(
            f"{folder}: trunk features take {need / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free",
            "make room, or use fewer --trunk-views (0: none are stored)",
        )


def _open(folder: Path, precision: str, images: DataLoaders) -> DataLoaders:
    about = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    if about["precision"] != precision:
        raise BadInput(
            f"{folder}: stored in {about['precision']}, and this machine trains in {precision}",
            f"go on where the fit began, or delete {folder}",
        )

    def loader(part: str, **settings) -> FeatureDL:
        rows = Rows(folder / f"{part}.bin", tuple(about[part]["shape"]), STORED[precision])
        return FeatureDL(rows, torch.tensor(about[part]["labels"]), **settings)

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
