"""Training and prediction with batches larger than a GPU's memory, in parts."""

from __future__ import annotations

import gc
from collections.abc import Callable

import torch
from fastai.callback.core import Callback
from fastai.callback.fp16 import MixedPrecision
from fastai.torch_core import default_device, to_float

from galaxymorph.base import BadInput, say, setting
from galaxymorph.learn.distributed import processes
from galaxymorph.learn.recipe import Recipe


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether an error means that the device is out of memory, on CUDA or MPS."""
    return isinstance(error, torch.OutOfMemoryError) or "out of memory" in str(error)


def free_memory() -> None:
    """Release unused GPU memory; a failed step's tensors must not be referenced any more."""
    gc.collect()
    if default_device().type == "cuda":
        torch.cuda.empty_cache()


def in_halves(work: Callable[[torch.Tensor], torch.Tensor], batch: torch.Tensor) -> torch.Tensor:
    """Return `work` of a batch; out of memory, of its halves, one after the other.

    Args:
        work: from a batch to outputs, a row for each item, independent of other items.
        batch: shape (n, …).

    Raises:
        BadInput: one item takes too much memory.
    """
    try:
        return work(batch)
    except RuntimeError as error:
        if not is_out_of_memory(error):
            raise
        if len(batch) == 1:
            raise BadInput(
                f"{default_device()}: out of memory with one image of "
                f"{batch.shape[-1]} pixels a side",
                f"use {setting('device', 'cpu')}, or end what else runs on the GPU",
            ) from error
    # Outside the handler, whose traceback references the tensors of the failed step.
    free_memory()
    middle = (len(batch) + 1) // 2
    return torch.cat([in_halves(work, part) for part in (batch[:middle], batch[middle:])])


def train_in_parts(train: Callable[[int], None], restore: Callable[[], None], batch: int) -> None:
    """Train on whole batches; out of memory, restore the state and train on more parts.

    Args:
        train: takes the number of parts of a batch, and trains to the end of a stage.
        restore: restores a state of the learner from which `train` can continue.
        batch: galaxies in a batch.

    Raises:
        BadInput: one galaxy takes too much memory.
    """
    parts = 1
    while not _fits(train, parts):
        if parts >= batch:
            raise BadInput(
                f"{default_device()}: out of memory with one galaxy of a batch",
                f"choose a smaller {setting('size')} or {setting('arch')}, or use "
                f"{setting('device', 'cpu')}",
            )
        free_memory()
        parts = min(2 * parts, batch)
        say(
            f"out of GPU memory: a batch of {batch} is processed in {parts} parts, with their "
            "gradients summed; BatchNorm statistics are those of each part"
        )
        restore()


def _fits(train: Callable[[int], None], parts: int) -> bool:
    # Returning releases the traceback, which references the tensors of the failed step.
    try:
        train(parts)
    except RuntimeError as error:
        # Other processes would wait for this one's gradients.
        if not is_out_of_memory(error) or processes() > 1:
            raise
        return False
    return True


def split_callbacks(parts: int, recipe: Recipe) -> list[Callback]:
    """Return the callbacks for training on batches in parts.

    Raises:
        BadInput: the recipe's loss needs whole batches.
    """
    if parts == 1:
        return []
    if recipe.unlabelled or recipe.mixup:
        option = setting("unlabelled") if recipe.unlabelled else setting("mixup")
        raise BadInput(
            f"{setting('batch', recipe.batch)}: out of GPU memory, and with {option} it can't be "
            "split",
            "choose a smaller one",
        )
    return [SplitBatches(parts)]


class SplitBatches(Callback):
    """Train on each batch in parts whose gradients sum to the batch's.

    The parts' losses are weighted by their number of galaxies. Statistics of trained BatchNorm
    layers, and class weights, are those of each part.
    """

    # Within the autocast that begins before a batch.
    order = MixedPrecision.order + 1

    def __init__(self, parts: int):
        self.parts = parts

    def before_batch(self) -> None:
        if not self.training:
            return
        x, y = self.x, self.y
        pieces = list(zip(x.tensor_split(self.parts), y.tensor_split(self.parts), strict=True))
        pieces = [(images, targets) for images, targets in pieces if len(images)]
        self.total = torch.zeros((), device=x.device)
        for images, targets in pieces[:-1]:
            loss = self.learn.loss_func(to_float(self.learn.model(images)), targets)
            self._add(loss, len(images) / len(x)).backward()
        images, targets = pieces[-1]
        self.share = len(images) / len(x)
        self.learn.xb, self.learn.yb = (images,), (targets,)

    def after_loss(self) -> None:
        if self.training:
            self.learn.loss_grad = self.learn.loss_grad * self.share
            self.learn.loss = self.total + self.learn.loss_grad.detach()

    def _add(self, loss: torch.Tensor, share: float) -> torch.Tensor:
        self.total += share * loss.detach()
        scaler = getattr(self.learn, "scaler", None)
        return scaler.scale(share * loss) if scaler else share * loss
