"""Presets: recipes by name, with a line on their purpose."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from galaxymorph.base import BadInput, Registry, use_one_of
from galaxymorph.learn.recipe import Recipe, changed_recipe, recipe_from_dict


@dataclass(frozen=True)
class Preset:
    """A recipe and its purpose, in a line."""

    recipe: Recipe
    note: str


RECIPES: Registry[Preset] = Registry("recipe")


def make_recipe(source: str, changes: Mapping[str, object]) -> Recipe:
    """Return a preset, or the recipe in a JSON file, with changed settings.

    Args:
        source: a preset's name, or the path of a JSON file: a recipe, or a run's `recipe.json`.
        changes: settings in place of the source's.

    Raises:
        BadInput: the source doesn't exist, or settings are unknown, out of range or exclude each
            other.
    """
    if source in RECIPES:
        return changed_recipe(RECIPES[source].recipe, changes)
    path = Path(source)
    if not path.is_file():
        raise BadInput(
            f"recipe {source!r} is neither a preset nor a file",
            f"{use_one_of(source, list(RECIPES))}, or give a path",
        )
    return changed_recipe(recipe_from_dict(_read(path), str(path)), changes)


def _read(path: Path) -> object:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadInput(f"{path}: not readable as JSON ({error})", "correct the file") from error


# The published settings; PyTorch's default weight decay for AdamW is 0.01.
RECIPES.register(
    "baseline",
    Preset(
        Recipe(),
        "the published settings: resnet18 from ImageNet, the head first, then its last stage",
    ),
)
# Two stages of the backbone are fine-tuned on stored features of six views.
RECIPES.register(
    "quick",
    Preset(
        Recipe(
            weights="galaxymorph",
            size=128,
            crop=0.7,
            batch=32,
            frozen_epochs=0,
            epochs=12,
            lr=2e-3,
            trunk_lr=0.3,
            unfreeze=2,
            weight_decay=0.05,
            class_weights=0.5,
            label_smoothing=0.1,
            zoom=1.2,
            shift=0.02,
            views=8,
            keep="last",
            trunk_views=6,
        ),
        "resnet18 of this package, no download: a few hundred galaxies take a minute",
    ),
)
# Galaxies fill the frame, and early stages stay as pretrained. A rare class has too few validation
# galaxies to compare epochs, so the last is kept.
SMALL = Recipe(
    arch="tf_efficientnet_lite0",
    dropout=0.2,
    size=160,
    crop=0.5,
    batch=32,
    frozen_epochs=0,
    epochs=24,
    lr=2e-3,
    trunk_lr=0.3,
    unfreeze=5,
    weight_decay=0.05,
    class_weights=0.25,
    label_smoothing=0.1,
    zoom=1.2,
    shift=0.02,
    views=8,
    keep="last",
    trunk_views=0,
)
RECIPES.register(
    "small",
    Preset(
        SMALL,
        "tf_efficientnet_lite0 from ImageNet, five stages fine-tuned: about a thousand galaxies",
    ),
)
# Noise and blur exceed the published 0.08 and 1.5 pixels (of a whole frame at 224; 2.1 of this
# input). With every view degraded, clean galaxies would be classified worse.
RECIPES.register(
    "robust",
    Preset(
        replace(
            SMALL, brightness=0.35, contrast=0.25, colour=0.1, blur=3.0, noise=0.12, degraded=0.5
        ),
        "as small, trained on blurred and noisy images too",
    ),
)
# Several random views of unlabelled images are predicted alike.
RECIPES.register(
    "semi",
    Preset(
        replace(SMALL, keep="average"),
        "as small, with averaged weights: for few labels and unlabelled images",
    ),
)
# The settings are a guess, as they take a GPU. With tens of thousands of galaxies a tenth is enough
# for validation and test.
RECIPES.register(
    "full",
    Preset(
        Recipe(
            target="tree",
            arch="resnet50",
            crop=0.6,
            loss="mse",
            frozen_epochs=0,
            epochs=15,
            lr=1e-3,
            trunk_lr=0.3,
            unfreeze=0,
            weight_decay=0.05,
            zoom=1.3,
            shift=0.03,
            keep="average",
            held_out=0.1,
            calibration=0.05,
            views=8,
        ),
        "resnet50 from ImageNet, all layers and 37 answers: the whole challenge on a GPU",
    ),
)
# A network without pretrained weights needs a larger rate and more epochs.
RECIPES.register(
    "scratch",
    Preset(
        Recipe(weights="none", frozen_epochs=0, epochs=30, lr=2e-3, unfreeze=0, batch=32, views=8),
        "no pretrained weights: all layers trained for 30 epochs",
    ),
)
# The fast pipeline is compared with it.
RECIPES.register(
    "plain",
    Preset(
        Recipe(pipeline="plain", precision="fp32", workers=2),
        "the baseline with fastai's own transforms, in float32, for comparison",
    ),
)
# Images are degraded in all ways of surveys, so that features are of galaxies, not of one camera.
RECIPES.register(
    "pretrain",
    Preset(
        Recipe(
            target="tree",
            weights="none",
            frozen_epochs=0,
            epochs=5,
            lr=2e-3,
            unfreeze=0,
            size=128,
            crop=0.7,
            zoom=1.3,
            shift=0.03,
            brightness=0.3,
            contrast=0.3,
            colour=0.15,
            blur=1.0,
            noise=0.05,
            weight_decay=0.05,
            keep="last",
            held_out=0.06,
            calibration=0.0,
        ),
        "a backbone for other fits: all 37 answers of the tree, all layers",
    ),
)
