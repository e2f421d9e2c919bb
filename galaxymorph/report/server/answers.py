"""Predictions and explanations of uploaded images, as JSON or a table."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.base import BadInput, in_background
from galaxymorph.images import Fault, FluxImage, NoContent, as_picture, open_files
from galaxymorph.judge import EMPTY, calibrated_mean
from galaxymorph.learn import PACKAGE_MODEL, Recipe, target_of
from galaxymorph.predict.failures import UNFAMILIAR
from galaxymorph.predict.predictors.loading import model_id
from galaxymorph.predict.tables import completed, mapped_fractions, scored_outputs
from galaxymorph.report.figures.pictures import frame_uri, thumbnail
from galaxymorph.report.predicted_words import predicted_words
from galaxymorph.zoo import DEVIATION, PROBABILITY, Tree, deviations, likeliest_walk, to_conditional
from galaxymorph.zoo.band_files import band_of_file, file_of_band, without_band
from galaxymorph.zoo.image_files import galaxy_name

if TYPE_CHECKING:
    # They import pydantic, which only the OpenAPI description needs.
    from galaxymorph.predict import Explainer, Predictor
    from galaxymorph.predict.predictors.base import PredictionSets
    from galaxymorph.predict.similar import SimilarGalaxies
    from galaxymorph.report.server.answer_types import (
        ClassPrediction,
        ExplanationAnswer,
        Neighbour,
        SimilarAnswer,
        SimilarGalaxy,
        Step,
        TreePrediction,
    )

# Sides of the model's input and of similar galaxies, in pixels.
INPUT_SIDE, SIMILAR_SIDE = 320, 96
# Images decoded concurrently: each may take 120 MB.
CONCURRENT = 2
# Seconds for which PyTorch's import waits for a first image, which it would delay.
PAUSE = 2.0


def _without_options(error: BadInput) -> BadInput:
    """Return an error of an image without what `predict` could do: a server has no options."""
    if isinstance(error, NoContent) and error.status == UNFAMILIAR:
        return NoContent(error.fault, status=UNFAMILIAR)
    return error


@dataclass(frozen=True)
class Upload:
    """A galaxy's image as it is sent: its file by name, or of flux those of its bands."""

    files: Mapping[str, bytes]

    @property
    def name(self) -> str:
        """The name of its first file, for messages and tables."""
        return next(iter(self.files))


def uploads_of(files: Iterable[tuple[str, bytes]], bands: Sequence[str]) -> list[Upload]:
    """Return the images in files that are sent, in the order of their first files.

    Args:
        files: names and bytes.
        bands: of flux that the model takes. Files whose names differ in the band alone are one
            galaxy's, as `predict` finds them in a folder.

    Raises:
        BadInput: two files of a galaxy have the same name.
    """
    galaxies: dict[object, dict[str, bytes]] = {}
    for number, (name, data) in enumerate(files):
        key = file_of_band(name, bands, bands[0]) if band_of_file(name, bands) else number
        of_galaxy = galaxies.setdefault(key, {})
        if name in of_galaxy:
            raise BadInput(f"{name}: two files have this name", "send one after the other")
        of_galaxy[name] = data
    return [Upload(of_galaxy) for of_galaxy in galaxies.values()]


@dataclass(frozen=True)
class ServedModel:
    """A run's model behind a server; it predicts one image at a time and decodes two at a time.

    Args:
        name: of the model.
        first: the predictor of the first images.
        later: the predictor of all further ones, and the explainer, once PyTorch is imported.
        sets: from uncalibrated probabilities to prediction sets.
        answered: set after the first image, so that `later` is loaded.
        catalogue: in which galaxies like an image are searched, None without.
        path: of the model.
    """

    name: str
    first: Predictor
    later: Future[tuple[Predictor, Explainer]]
    sets: PredictionSets | None = None
    answered: threading.Event = field(default_factory=threading.Event)
    catalogue: SimilarGalaxies | None = None
    path: Path | None = None
    predicting: threading.Lock = field(default_factory=threading.Lock)
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(CONCURRENT))

    @cached_property
    def id(self) -> str:
        """The id of the model, see `model_id`; its file is read once."""
        return "" if self.path is None else model_id(self.path)

    @property
    def predictor(self) -> Predictor:
        """The predictor of the next image."""
        if self.later.done() and not self.later.exception():
            return self.later.result()[0]
        return self.first

    @property
    def recipe(self) -> Recipe:
        """The recipe of the model."""
        return self.first.recipe

    @property
    def tree(self) -> Tree | None:
        """The decision tree whose answers are predicted, if they are."""
        return target_of(self.recipe).tree

    def predict(self, upload: Upload) -> ClassPrediction | TreePrediction:
        """Return the prediction for an image.

        Raises:
            BadInput: it is no image that the model can use.
        """
        with self.decoding:
            image = self._opened(upload)
            faults: dict[int, Fault] = {}
            with self.predicting:
                by_model, _ = scored_outputs(self.predictor, [image], None, faults)
        self.answered.set()
        if faults:
            raise _without_options(faults[0].error)
        mean = calibrated_mean(by_model, self.first.calibrators)[0]
        if self.tree is not None:
            fractions = mapped_fractions(mean[None], self.first)[0]
            prediction = _tree_prediction(fractions, self.tree)
            if schemes := _scheme_predictions(mean, self.first):
                prediction["schemes"] = schemes
            return prediction
        shares = _by_name(self.first.classes, mean)
        of_classes: ClassPrediction = {
            "predicted": max(shares, key=lambda name: shares[name]),
            "classes": shares,
        }
        if self.sets is not None:
            words = self.sets(by_model)[0]
            of_classes["set"] = _listed(words)
        return of_classes

    def explain(self, upload: Upload) -> ExplanationAnswer:
        """Return the first model's attribution map, and the galaxies most like the image.

        Raises:
            BadInput: it is no image that the model can use.
        """
        self.answered.set()
        _, explainer = self.later.result()
        # Neighbours are galaxies of the fit.
        known = explainer.recipe.rendering
        with self.decoding:
            image = self._opened(upload)
            with self.predicting:
                explanation = explainer.explain(image)
            neighbours: list[SimilarGalaxy] = [
                {
                    "galaxy": neighbour.galaxy,
                    "label": neighbour.label,
                    "distance": round(neighbour.distance, 4),
                    "image": thumbnail(neighbour.image, self.recipe.crop, SIMILAR_SIDE, known),
                }
                for neighbour in explanation.neighbours
            ]
        picture = Image.fromarray(image) if isinstance(image, np.ndarray) else image
        picture = as_picture(picture, self.recipe.rendering)
        frame = frame_uri(picture, self.recipe.crop, INPUT_SIDE)
        answer: ExplanationAnswer = {
            "answer": explanation.answer,
            "image": frame,
            "similar": neighbours,
            "alike": explanation.alike,
        }
        if explanation.typical_distance is not None:
            answer["typical_distance"] = round(explanation.typical_distance, 4)
        if explanation.attribution is not None:
            answer["evidence"] = (explanation.attribution / 255).round(3).tolist()
        return answer

    def similar(self, upload: Upload, number: int) -> SimilarAnswer:
        """Return the galaxies of the catalogue that are most like an image.

        Raises:
            BadInput: it is no image that the model can use.
        """
        assert self.catalogue is not None
        with self.decoding:
            image = self._opened(upload)
            with self.predicting:
                table = self.catalogue.of_image(image, number, self.path)
            catalogue = self.catalogue.catalogue
            neighbours: list[Neighbour] = [
                {
                    "galaxy": row["galaxy"],
                    "distance": round(float(row["distance"]), 4),
                    "prediction": words,
                    "image": thumbnail(
                        catalogue.reference(row["image"]),
                        self.recipe.crop,
                        SIMILAR_SIDE,
                        catalogue.rendering,
                    ),
                }
                for row, words in zip(table.to_dict("records"), predicted_words(table), strict=True)
            ]
        return {"status": table["status"].iloc[0], "similar": neighbours}

    def _opened(self, upload: Upload) -> np.ndarray | FluxImage:
        """Return the pixels of an image that is sent, or its bands of flux."""
        image = open_files(upload.files, self.recipe.crop, self.recipe.rendering)
        return image if isinstance(image, FluxImage) else np.array(image)


def galaxy_of(image: str, bands: Sequence[str]) -> str:
    """Return the name of a galaxy, as `predict` does, of an image in some bands of flux or RGB."""
    return without_band(galaxy_name(image), bands)


def as_table(model: ServedModel, answers: Sequence[tuple[str, Mapping[str, Any]]]) -> str:
    """Return answers as CSV with the columns that `predict -o` writes, a row an image.

    Without any prediction it has `galaxy`, `image`, `status` and `error`.

    Args:
        model: of the answers.
        answers: the name of each image and its prediction, or its `error` and `status`.
    """
    bands = model.recipe.flux_bands
    rows = []
    for name, answer in answers:
        row: dict[str, Any] = {"galaxy": galaxy_of(name, bands), "image": name}
        if "predicted" in answer:
            row |= {"predicted": answer["predicted"], "confidence": max(answer["classes"].values())}
        row |= {PROBABILITY + key: share for key, share in answer.get("classes", {}).items()}
        row |= answer.get("answers", {})
        row |= {DEVIATION + key: sd for key, sd in answer.get("standard_deviations", {}).items()}
        if "set" in answer:
            row["set"] = "|".join(answer["set"]) or EMPTY
        for name, each in answer.get("schemes", {}).items():
            row |= {
                name: each["predicted"],
                f"{name}_confidence": max(each["classes"].values()),
                f"{name}_set": "|".join(each["set"]) or EMPTY,
            }
            row |= {f"{name}_p_{key}": share for key, share in each["classes"].items()}
        status = answer.get("status", "unreadable") if "error" in answer else "ok"
        rows.append((row, {"status": status, "error": answer.get("error")}))
    predicted, ends = (pd.DataFrame(part) for part in zip(*rows, strict=True))
    table = predicted.join(ends)
    if ends["error"].isna().any():
        table = completed(table, model.first, model.id)
    return table.to_csv(index=False)


def _tree_prediction(outputs: np.ndarray, tree: Tree) -> TreePrediction:
    """Return the prediction of an image's vote fractions.

    Args:
        outputs: the mean of every answer, followed by mean squares if they are distributions.
        tree: of the answers.
    """
    means, squares = outputs[: len(tree.columns)], outputs[len(tree.columns) :]
    fractions = means[None].astype(float)
    of_asked = to_conditional(tree, fractions)[0]
    walk: list[Step] = [
        {
            "question": question.text,
            "answer": answer.text,
            "of_those_asked": round(float(of_asked[at]), 6),
            "of_all": round(float(means[at]), 6),
        }
        for at in likeliest_walk(tree, fractions[0])
        for question, answer in [tree.answers[at]]
    ]
    prediction: TreePrediction = {"walk": walk, "answers": _by_name(tree.columns, means)}
    if len(squares):
        spread = deviations(means, squares)
        prediction["standard_deviations"] = _by_name(tree.columns, spread)
    return prediction


def _scheme_predictions(outputs: np.ndarray, predictor: Predictor) -> dict[str, ClassPrediction]:
    """Return the classes of the label schemes that a tree's model is calibrated for."""
    predictions: dict[str, ClassPrediction] = {}
    for each in getattr(predictor, "schemes", ()):
        fractions = outputs[None, : len(each.weights[0])]
        row = each.columns(fractions).iloc[0]
        predictions[each.scheme] = {
            "predicted": row[each.scheme],
            "classes": _by_name(each.classes, each.probabilities(fractions)[0]),
            "set": _listed(row[f"{each.scheme}_set"]),
        }
    return predictions


def _listed(words: str) -> list[str]:
    return [] if words == EMPTY else words.split("|")


def _by_name(names: Sequence[str], values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}


def load_model(
    path: Path,
    stretch: str | None = None,
    bands: str | None = None,
    on_processor: bool = True,
    similar: Path | None = None,
) -> ServedModel:
    """Load a model; of a calibrated run with its prediction sets.

    Args:
        path: a trained run's folder or a safetensors file.
        stretch: of FITS images that are sent, in place of the one that the model is trained on.
        bands: likewise.
        on_processor: whether the first images may be predicted before PyTorch is imported, see
            `load_predictor`.
        similar: folder of the model's predictions with embeddings.

    Raises:
        BadInput: not a finished run, nor such a file, an unknown stretch, or the folder is of
            another model.
    """
    from galaxymorph.predict import is_run, load_predictor, own_sets
    from galaxymorph.predict.predictors.array_predictor import ArrayPredictor

    if not is_run(path) and path.suffix != ".safetensors":
        raise BadInput(f"{path}: the server takes a run or a safetensors file", "give one of them")
    load = partial(load_predictor, path, stretch=stretch, bands=bands)
    first = load(images=1 if on_processor else None)

    answered = threading.Event()

    def load_later() -> tuple[Predictor, Explainer]:
        is_quick = isinstance(first, ArrayPredictor)
        if is_quick:
            answered.wait(PAUSE)
        # Here, since it imports PyTorch.
        from galaxymorph.predict import load_explainer

        return load() if is_quick else first, load_explainer(path)

    catalogue = None
    if similar is not None:
        from galaxymorph.predict.similar import open_similar

        catalogue = open_similar(similar)
        catalogue.catalogue.load_predictor(path)
    later = in_background(load_later)
    sets = own_sets([path])
    return ServedModel(model_title(path), first, later, sets, answered, catalogue, path)


def model_title(path: Path) -> str:
    """Return the name of a model for a page."""
    return "The model of this package" if path == PACKAGE_MODEL else path.resolve().name
