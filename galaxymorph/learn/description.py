"""The description of a model in its files: the settings for prediction. No PyTorch here."""

from __future__ import annotations

from collections.abc import Sequence

from galaxymorph import __version__
from galaxymorph.base import (
    BadInput,
    Damaged,
    listed,
    loaded_plugins,
    reading,
    require_numbers,
    require_words,
)
from galaxymorph.learn.normalisation import spell_normalisation
from galaxymorph.learn.recipe import Recipe, naming_missing_plugins, recipe_from_dict
from galaxymorph.learn.targets.columns import loss_name, output_names
from galaxymorph.zoo.schemas import SCHEMAS

# 2: with dropout, pipeline, precision, batch, labels_column and the package's version.
# 3: a model of flux, which earlier versions would take for one of RGB.
FORMAT, OF_FLUX = 2, 3
READS = (1, FORMAT, OF_FLUX)
# The settings of a recipe that affect predictions.
SETTINGS = (
    "arch",
    "model_args",
    "channels",
    "interpolation",
    "head",
    "dropout",
    "target",
    "size",
    "crop",
    "batch",
    "views",
    "precision",
    "pipeline",
    "labels_column",
    "stretch",
    "bands",
    "pixels",
    "flux",
    "softening",
    "missing_bands",
    "schema",
    "flips",
)


def describe_model(
    recipe: Recipe,
    classes: Sequence[str],
    outputs: Sequence[str],
    stats: tuple[Sequence[float], Sequence[float]],
) -> dict[str, object]:
    """Return the content of `model.json`.

    Args:
        recipe: that the model was trained by.
        classes: in order.
        outputs: names of the model's outputs.
        stats: mean and standard deviation of its pixels by channel, where white is 1.
    """
    mean, std = stats
    return {
        "format": OF_FLUX if recipe.pixels == "flux" else FORMAT,
        "galaxymorph": __version__,
        "plugins": list(loaded_plugins()),
        **{name: getattr(recipe, name) for name in SETTINGS},
        "loss": loss_name(recipe),
        "scheme": recipe.scheme if recipe.labels_column is None else None,
        "classes": list(classes),
        "outputs": list(outputs),
        "mean": list(mean),
        "std": list(std),
    }


def described_recipe(about: object, name: str) -> Recipe:
    """Return the recipe of a description; settings that don't affect predictions are defaults.

    Args:
        about: of `describe_model`, of this or an earlier version.
        name: of the file, for errors.

    Raises:
        BadInput: the description isn't one, is of a later format, or holds what this version or
            its loaded plugins don't have.
    """
    if not isinstance(about, dict) or "format" not in about:
        raise BadInput(f"{name}: not a model's description", "give the files written by a fit")
    if about["format"] not in READS:
        later = isinstance(about["format"], int) and about["format"] > max(READS)
        raise BadInput(
            f"{name}: model format {about['format']!r}, and this version reads {listed(READS)}",
            f"pip install 'galaxymorph>={about.get('galaxymorph', __version__)}'"
            if later
            else "use the galaxymorph version in the run's environment.json",
        )
    missing = [key for key in ("arch", "classes", "outputs", "mean", "std") if not about.get(key)]
    if missing:
        raise BadInput(f"{name}: damaged (no {missing[0]})", "give the files written by a fit")
    with reading(name, "give the files written by a fit"):
        require_words(about["classes"], "classes")
        require_words(about["outputs"], "outputs")
        require_words(about.get("plugins", []), "plugins")
        bands = str(about.get("bands")).split(",") if about.get("pixels") == "flux" else "RGB"
        for key in ("mean", "std"):
            if len(require_numbers(about[key], key)) != len(bands):
                raise Damaged(f"{key}: {about[key]!r}")
    known = {key: about[key] for key in (*SETTINGS, "loss") if key in about}
    if known.get("target") == "tree":
        known.setdefault("schema", _schema_of(about["outputs"]))
    if about.get("scheme"):
        known["scheme"] = about["scheme"]
    # Former files don't name the setting, and timm's statistics of an architecture may change.
    known["normalise"] = spell_normalisation(about["mean"], about["std"], len(bands))
    # Weights come with the file, and there is no stage to freeze.
    with naming_missing_plugins(about.get("plugins", [])):
        recipe = recipe_from_dict(known | {"weights": "none"}, name)
    if about["outputs"] != output_names(recipe, about["classes"]):
        raise BadInput(f"{name}: damaged (its outputs do not match its target)", "copy it again")
    return recipe


def _schema_of(outputs: Sequence[str]) -> str:
    """Return the schema with these answers: early files of format 2 didn't name it."""
    names = (name for name, entry in SCHEMAS.items() if list(entry.tree.columns) == list(outputs))
    return next(names, Recipe.schema)
