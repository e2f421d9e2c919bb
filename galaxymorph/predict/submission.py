"""A submission to Kaggle's Galaxy Zoo challenge, predicted in parts, resumable."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import pandas as pd

from galaxymorph.base import (
    BadInput,
    Progress,
    as_utf8,
    make_folder,
    replacing_output,
    say,
    setting,
    write_text,
)
from galaxymorph.judge import VoteMap
from galaxymorph.learn import target_of
from galaxymorph.predict.predictors.averaging import MeanPredictor
from galaxymorph.predict.predictors.base import Predictor
from galaxymorph.predict.predictors.loading import model_id, read_recipe
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE
from galaxymorph.zoo.image_files import galaxy_name

# Images in a part: half a minute of prediction, lost by an interruption.
PART = 4096


def require_submittable(model: Path) -> None:
    """Raise BadInput unless a model's outputs are the challenge's 37 answers."""
    recipe = read_recipe(model)
    tree = target_of(recipe).tree
    if tree is None:
        raise BadInput(
            f"{setting('format', 'kaggle')} needs a model with {setting('target', 'tree')}, and "
            f"the target of {model} is {recipe.target}",
            f"fit with {setting('target', 'tree')}",
        )
    if tree is not GALAXY_ZOO_CHALLENGE:
        raise BadInput(
            f"{setting('format', 'kaggle')} needs the challenge's tree, and that of {model} is "
            f"{tree.name}'s",
            f"fit with {setting('target', 'tree')} on the challenge's table",
        )


def write_submission(
    path: Path, models: Sequence[Path], predictor: Predictor, images: Sequence[str]
) -> None:
    """Write `GalaxyID` and the 37 answers of every image as CSV, whole or not at all.

    Predicted parts are files of a folder beside it, from which the same call continues after an
    interruption. At most one part is in memory.

    Args:
        path: of the table.
        models: of the predictor: runs or exported files.
        predictor: see `load_predictor` and `average_predictors`.
        images: references, whose names are the galaxies' ids.

    Raises:
        BadInput: a model has other outputs, two images are of one galaxy, or one can't be used.
    """
    for model in models:
        require_submittable(model)
    galaxies = [as_utf8(galaxy_name(image)) for image in images]
    _require_single(galaxies)
    folder = _parts_folder(path, models, predictor, images)
    columns = GALAXY_ZOO_CHALLENGE.columns
    starts = range(0, len(images), PART)
    parts = [folder / f"{start}.csv" for start in starts]
    done = sum(part.exists() for part in parts)
    if done:
        say(f"continuing {path}: {done} of {len(parts)} parts exist")
    with Progress("predicting", len(images), "images") as progress:
        for start, part in zip(starts, parts, strict=True):
            chunk = slice(start, start + PART)
            if part.exists():
                progress.advance(len(images[chunk]))
                continue
            outputs = predictor.outputs(images[chunk], progress.advance)
            table = pd.DataFrame(outputs[:, : len(columns)], columns=columns)
            table.insert(0, "GalaxyID", galaxies[chunk])
            text = io.StringIO()
            table.to_csv(text, index=False, header=start == 0)
            write_text(part, text.getvalue())
    with replacing_output(path) as temporary, temporary.open("wb") as whole:
        for part in parts:
            whole.write(part.read_bytes())
    shutil.rmtree(folder.parent)


def _require_single(galaxies: Sequence[str]) -> None:
    doubled = pd.Series(galaxies).duplicated()
    if doubled.any():
        raise BadInput(
            f"two images are of galaxy {galaxies[int(doubled.to_numpy().argmax())]}",
            "leave one out, since a submission has one row per galaxy",
        )


def _parts_folder(
    path: Path, models: Sequence[Path], predictor: Predictor, images: Sequence[str]
) -> Path:
    """Return the folder of the parts, without those of other models or images."""
    single = predictor.predictors if isinstance(predictor, MeanPredictor) else [predictor]
    recipes = [model.recipe for model in single]
    settings = [(recipe.views, recipe.crop, asdict(recipe.rendering)) for recipe in recipes]
    maps = [each.record for model in (predictor, *single) for each in _maps_of(model)]
    kinds = [(type(model).__name__, *how) for model, how in zip(single, settings, strict=True)]
    identity = [kinds, maps, PART, list(map(model_id, models)), list(images)]
    digest = hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:16]
    folder = path.with_name(f".{path.name}.parts") / digest
    for other in folder.parent.iterdir() if folder.parent.exists() else ():
        if other != folder:
            shutil.rmtree(other)
    make_folder(folder)
    return folder


def _maps_of(predictor: Predictor) -> Sequence[VoteMap]:
    return getattr(predictor, "vote_maps", ())
