"""fastai's `DataBlock` and loaders of a table of galaxies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pandas as pd
import torch
from fastai.data.block import CategoryBlock, DataBlock, RegressionBlock, TransformBlock
from fastai.data.core import DataLoaders, TfmdDL, TfmdLists
from fastai.data.transforms import ColReader, IntToFloatTensor, Normalize, ToTensor
from fastai.torch_core import TensorCategory, default_device
from fastai.vision.augment import Resize, ResizeMethod, aug_transforms
from fastcore.foundation import L
from fasttransform import Transform

from galaxymorph.base import BadInput, setting
from galaxymorph.images import Cut, Fault, Frames, Source, open_galaxy, require_some
from galaxymorph.learn.acceleration.gpu_memory import fits_on_gpu, frames_on_gpu
from galaxymorph.learn.acceleration.loaders import FileItems, StoredItems, ThreadedDL
from galaxymorph.learn.backbones.architectures import pixel_stats
from galaxymorph.learn.distributed import processes
from galaxymorph.learn.inference import images_of_batch
from galaxymorph.learn.recipe import Recipe, item_frame
from galaxymorph.learn.targets.columns import output_names, target_of, training_columns
from galaxymorph.learn.views import (
    CentralView,
    Compress,
    FluxToFloat,
    Frame,
    OpenGalaxy,
    OpenOrBlank,
    RandomView,
    as_path,
)


def item_transforms(recipe: Recipe) -> list[Transform]:
    """Return the transforms from an opened image to a tensor of the frame and its margin."""
    if recipe.pipeline == "plain":
        return [Resize(recipe.size, ResizeMethod.Squish), ToTensor()]
    return [Frame(*item_frame(recipe), recipe.rendering.interpolation), ToTensor()]


def batch_transforms(recipe: Recipe) -> list[Transform]:
    """Return the transforms from a batch of these to the model's input, random in training."""
    plain = recipe.pipeline == "plain"
    views = _plain_views(recipe) if plain else [CentralView(recipe.size), RandomView(recipe)]
    normalise = Normalize.from_stats(*pixel_stats(recipe), cuda=False)
    if recipe.pixels == "flux":
        return [FluxToFloat(), *views, Compress(), normalise]
    return [IntToFloatTensor(), *views, normalise]


def _plain_views(recipe: Recipe) -> list[Transform]:
    return aug_transforms(
        do_flip=recipe.flips,
        flip_vert=recipe.flips,
        max_rotate=recipe.rotate,
        max_zoom=recipe.zoom,
        max_lighting=recipe.brightness,
        max_warp=0.0,
    )


def item_cut(recipe: Recipe, kernel: str = "torch") -> Cut:
    """Return how items are cut out of images."""
    return Cut(*item_frame(recipe), recipe.crop, kernel)


def _opener(
    kind: type[OpenGalaxy],
    recipe: Recipe,
    frames: Frames | None = None,
    rows: dict[str, int] | None = None,
) -> OpenGalaxy:
    cut = item_cut(recipe) if recipe.pixels == "flux" else None
    return kind(recipe.rendering, frames, rows, recipe.crop, cut)


def galaxy_block(
    recipe: Recipe, classes: Sequence[str], columns: Sequence[str], opener: Transform | None = None
) -> DataBlock:
    """Return the `DataBlock` of a table with the columns `image`, `label` and `split`.

    A soft target is the vector of `columns`, see `training_columns`, in place of `label`.
    """
    soft, outputs = target_of(recipe).soft, len(output_names(recipe, classes))
    return DataBlock(
        blocks=(
            TransformBlock(
                type_tfms=[as_path, opener or _opener(OpenGalaxy, recipe)],
                item_tfms=item_transforms(recipe),
                batch_tfms=batch_transforms(recipe),
            ),
            RegressionBlock(outputs) if soft else CategoryBlock(list(classes), sort=False),
        ),
        get_x=ColReader("image"),
        get_y=ColReader(list(columns) if soft else "label"),
        splitter=saved_split,
    )


def saved_split(table: pd.DataFrame) -> tuple[L, L]:
    """Return the positions of the rows with `split` train, and of those with valid."""
    part = table["split"].reset_index(drop=True)
    return L(part.index[part == "train"].tolist()), L(part.index[part == "valid"].tolist())


def galaxy_loaders(
    table: pd.DataFrame, recipe: Recipe, classes: Sequence[str], frames: Frames | None = None
) -> DataLoaders:
    """Return the loaders of the train and valid parts of a split table.

    The order of the training galaxies is drawn here, by seeds that the caller sets.

    Args:
        table: `image`, `label`, `split`, the `digest` of each image, and a soft target's columns;
            with further sources, those of `training_columns`.
        recipe: of the fit.
        classes: in order.
        frames: decoded, used in place of the files.
    """
    opener = _opener(OpenGalaxy, recipe)
    if frames:
        pairs = zip(table["image"], table["digest"], strict=True)
        rows = {image: frames.rows[digest] for image, digest in pairs if digest in frames.rows}
        opener = _opener(OpenGalaxy, recipe, frames, rows)
    selected = table[table["split"].isin(["train", "valid"])]
    columns = training_columns(recipe, classes, table)
    loaders = galaxy_block(recipe, classes, columns, opener).dataloaders(
        selected,
        bs=min(_share(recipe), int((selected["split"] == "train").sum())),
        val_bs=recipe.batch,
        num_workers=recipe.workers,
        device=default_device(),
        dl_type=TfmdDL if recipe.pipeline == "plain" else ThreadedDL,
    )
    parts = [selected[selected["split"] == part] for part in ("train", "valid")]
    _read_stored(loaders.loaders, parts, recipe, classes, frames)
    return loaders


def _share(recipe: Recipe) -> int:
    """Return the number of galaxies of a batch in this process.

    Raises:
        BadInput: several processes train together, and have fewer than two galaxies each.
    """
    if recipe.batch // processes() < 2:
        raise BadInput(
            f"{setting('batch', recipe.batch)}: too few galaxies for {processes()} processes",
            "use at least two per process",
        )
    return recipe.batch // processes()


def predicting_loader(
    loaders: DataLoaders,
    table: pd.DataFrame,
    recipe: Recipe,
    classes: Sequence[str],
    frames: Frames | None,
) -> TfmdDL:
    """Return a loader of labelled galaxies in order, with the transforms of a learner's loaders.

    Args:
        loaders: of the learner.
        table: as in `galaxy_loaders`.
        recipe: that of the learner.
        classes: in order.
        frames: decoded, used in place of the files.
    """
    loader = loaders.test_dl(table, bs=loaders.valid.bs)
    _read_stored([loader], [table], recipe, classes, frames)
    return loader


def _read_stored(
    loaders: Sequence[TfmdDL],
    parts: Sequence[pd.DataFrame],
    recipe: Recipe,
    classes: Sequence[str],
    frames: Frames | None,
) -> None:
    """Let loaders read whole batches of frames, if all of their galaxies are decoded.

    If GPU memory has room for the frames, they are copied there once.
    """
    for loader, part in zip(loaders, parts, strict=True):
        threaded = isinstance(loader, ThreadedDL) and not loader.fake_l.num_workers
        if frames and threaded and part["digest"].isin(frames.rows.keys()).all():
            rows = part["digest"].map(frames.rows).to_numpy()
            targets = _targets(part, recipe, classes)
            loader.source = (
                frames_on_gpu(frames.pixels, rows, targets)
                if fits_on_gpu(len(rows) * frames.pixels.nbytes)
                else StoredItems(frames.pixels, rows, targets)
            )


def _targets(table: pd.DataFrame, recipe: Recipe, classes: Sequence[str]) -> torch.Tensor:
    """Return the targets as the DataBlock does: codes of classes, or float vectors."""
    if target_of(recipe).soft:
        columns = training_columns(recipe, classes, table)
        return torch.from_numpy(table[columns].to_numpy("float32", copy=True))
    return TensorCategory(torch.from_numpy(pd.Index(classes).get_indexer(pd.Index(table["label"]))))


def image_loader(
    references: Sequence[Source], recipe: Recipe, faults: dict[int, Fault] | None = None
) -> ThreadedDL:
    """Return batches of the model's input for images without labels, in order.

    Images are of the types that `as_image` takes. With `faults`, an unusable image is black, and
    its fault is added there by position.

    Raises:
        BadInput: there is no image.
    """
    require_some(references)
    opener = _opener(OpenGalaxy if faults is None else OpenOrBlank, recipe)
    loader = ThreadedDL(
        TfmdLists(list(references), [opener], split_idx=1),
        bs=recipe.batch,
        after_item=item_transforms(recipe),
        after_batch=batch_transforms(recipe),
        num_workers=recipe.workers,
        device=default_device(),
    )
    if recipe.pipeline == "fast" and not recipe.workers:
        loader.source = FileItems(references, item_cut(recipe), recipe.rendering, faults)
    elif faults is not None:
        # Checked here, because worker processes can't return faults.
        for at, source in enumerate(references):
            try:
                open_galaxy(source, recipe.crop, recipe.rendering, at)
            except BadInput as error:
                faults[at] = Fault(error)
    return loader


def sample_images(references: Sequence[str], recipe: Recipe, number: int = 16) -> torch.Tensor:
    """Return some images, evenly from all, values 0 to 1, shape (n, 3, side, side), on the CPU."""
    chosen = references[:: max(1, len(references) // number)][:number]
    loader = image_loader(chosen, replace(recipe, normalise="none"))
    return torch.cat([images_of_batch(batch).cpu() for batch in loader])
