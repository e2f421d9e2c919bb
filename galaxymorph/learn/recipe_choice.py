"""The recipe of a fit that names none: a preset that suits the galaxies and the weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from galaxymorph.base import setting
from galaxymorph.learn.backbones.initial_weights import has_pretrained
from galaxymorph.learn.presets import make_recipe
from galaxymorph.learn.recipe import Recipe, is_source
from galaxymorph.learn.targets.registry import TARGETS

# Least number of galaxies for `baseline`. Its few steps at a small learning rate need many: on 300
# galaxies of five classes its macro-F1 is 0.24.
MANY = 10_000


@dataclass(frozen=True)
class DefaultRecipe:
    """A recipe, its preset, and the reason for that."""

    preset: str
    recipe: Recipe
    reason: str


def default_recipe(counts: Mapping[str, int], changes: Mapping[str, object]) -> DefaultRecipe:
    """Choose a preset by the number of galaxies and the weights at hand.

    The choice follows the table in docs/recipes.md, measured on real galaxies, and doesn't depend
    on the hardware. ImageNet's weights are downloaded if the choice depends on them.

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

    arch = str(changes.get("arch", Recipe.arch))
    weights = changes.get("weights", arch if is_source(arch) else "imagenet")
    if changes.get("pipeline") == "plain":
        return chosen("plain", "fastai's own pipeline")
    if weights == "none":
        return chosen("scratch", "no pretrained weights")
    if weights != "imagenet":
        return chosen("quick", setting("weights", weights))
    requested = bool(changes.keys() & {"weights", "arch"})
    published = chosen("baseline", f"ImageNet weights of {arch}")
    if total >= MANY and (requested or has_pretrained(published.recipe)):
        return published
    few = f"baseline is for {MANY:,} galaxies or more"
    if requested:
        return chosen("quick", few, weights="imagenet")
    return chosen("quick", few if total < MANY else f"{arch}'s ImageNet weights are not available")
