"""The recipe of a fit that names none: a preset that suits the galaxies, weights and hardware."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fastai.torch_core import default_device

from galaxymorph.learn.backbones import LITE0, has_lite0, has_pretrained
from galaxymorph.learn.recipes import Recipe, make_recipe
from galaxymorph.learn.targets import TARGETS

# Galaxies from which on `baseline` is taken in place of `small`, which trains nearly all layers
# for 24 epochs: as many take it about a quarter of an hour on two cores, see docs/recipes.md.
MANY = {"cpu": 3000, "cuda": 10000, "mps": 10000}


@dataclass(frozen=True)
class DefaultRecipe:
    """A recipe, the preset that it is of, and why that was chosen."""

    preset: str
    recipe: Recipe
    reason: str


def default_recipe(counts: Mapping[str, int], changes: Mapping[str, object]) -> DefaultRecipe:
    """Choose a preset by the number of galaxies, the weights at hand and the device.

    The choice follows the table in docs/recipes.md, measured on real galaxies. ImageNet's weights
    of resnet18 are downloaded, if they can be, where the choice depends on them.

    Args:
        counts: galaxies of each class.
        changes: settings that the user gave; they replace the preset's.

    Raises:
        BadInput: the user's settings don't go together.
    """
    total = sum(counts.values())
    numbers = f"{total:,} galaxies"
    if not TARGETS[str(changes.get("target", Recipe.target))].soft:
        rarest = min(counts, key=counts.__getitem__)
        numbers += f", {counts[rarest]:,} of {rarest}"

    def chosen(preset: str, reason: str, **settings: object) -> DefaultRecipe:
        recipe = make_recipe(preset, {**settings, **changes})
        return DefaultRecipe(preset, recipe, f"{numbers}; {reason}")

    weights, arch = changes.get("weights", "imagenet"), changes.get("arch", Recipe.arch)
    few = total < MANY[default_device().type]
    if changes.get("pipeline") == "plain":
        return chosen("plain", "fastai's own pipeline")
    if weights == "none":
        return chosen("scratch", "no pretrained weights")
    if weights != "imagenet":
        return chosen("quick", f"weights {weights}")
    if few and has_lite0() and ("arch" not in changes or arch == LITE0):
        return chosen("small", f"ImageNet weights of {LITE0} are installed")
    published = chosen("baseline", f"ImageNet weights of {arch}")
    asked = bool(changes.keys() & {"weights", "arch"})
    if not few and (asked or has_pretrained(published.recipe)):
        return published
    if asked:
        return chosen("quick", published.reason, weights="imagenet")
    why = f"{LITE0} aren't installed" if few else f"{arch} can't be downloaded"
    return chosen("quick", f"ImageNet weights of {why}")
