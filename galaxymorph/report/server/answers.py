"""What a run's model answers to images that are sent to it, as JSON or a table takes it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from PIL import Image

from galaxymorph.images import Rendering, decode_bytes, require_content
from galaxymorph.judge import EMPTY, Calibrator, calibrated_coverage, calibrated_mean, sets_of
from galaxymorph.learn import Recipe, Run, predicted_columns, target_of
from galaxymorph.report.figures.pictures import frame_uri, thumbnail
from galaxymorph.zoo import DEVIATION, PROBABILITY, deviations, likeliest_walk, to_conditional
from galaxymorph.zoo.image_files import galaxy_name

if TYPE_CHECKING:
    from galaxymorph.predict import Explainer

# Of what the model sees, and of the galaxies alike, in pixels.
SEEN_SIDE, LIKE_SIDE = 320, 96
# Images decoded at once: each may take 120 MB.
AT_ONCE = 2


@dataclass(frozen=True)
class Upload:
    """An image as it is sent: its name, for messages and tables, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class ServedModel:
    """A run's model behind a server; it predicts one image at a time and decodes two at a time."""

    name: str
    recipe: Recipe
    classes: list[str]
    outputs_of_each: Callable[[list[np.ndarray], Callable], np.ndarray]
    calibrators: list[Calibrator] | None = None
    sets: Callable[[np.ndarray], list[str]] | None = None
    explainer: Explainer | None = None
    # That of the galaxies of its fit, which are shown beside an image.
    known: Rendering = Rendering()
    predicting: threading.Lock = field(default_factory=threading.Lock)
    decoding: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(AT_ONCE))

    def predict(self, upload: Upload) -> dict:
        """Return the prediction for an image, as JSON takes it.

        Raises:
            BadInput: it is no image that the model can use.
        """
        with self.decoding:
            pixels = self._pixels(upload)
            with self.predicting:
                each = self.outputs_of_each([pixels], lambda number: None)
        mean = calibrated_mean(each, self.calibrators)[0]
        answer = as_dictionary(mean, self.recipe, self.classes)
        if self.sets is None:
            return answer
        words = self.sets(each)[0]
        return answer | {"set": [] if words == EMPTY else words.split("|")}

    def explain(self, upload: Upload) -> dict:
        """Return the first model's attribution map, and the galaxies most like the image.

        Raises:
            BadInput: it is no image that the model can use.
        """
        with self.decoding:
            pixels = self._pixels(upload)
            with self.predicting:
                found = self.explainer.explain(pixels)
            neighbours = [
                {
                    "galaxy": each.galaxy,
                    "label": each.label,
                    "distance": round(each.distance, 4),
                    "image": thumbnail(each.image, self.recipe.crop, LIKE_SIDE, self.known),
                }
                for each in found.neighbours
            ]
        seen = frame_uri(Image.fromarray(pixels), self.recipe.crop, SEEN_SIDE)
        explanation = {
            "answer": found.answer,
            "image": seen,
            "similar": neighbours,
            "alike": found.alike,
        }
        if found.typical_distance is not None:
            explanation["typical_distance"] = round(found.typical_distance, 4)
        if found.attribution is not None:
            explanation["evidence"] = (found.attribution / 255).round(3).tolist()
        return explanation

    def _pixels(self, upload: Upload) -> np.ndarray:
        image = decode_bytes(upload.data, upload.name, self.recipe.rendering)
        require_content(image, self.recipe.crop, upload.name)
        return np.array(image)


def as_table(answers: Sequence[tuple[str, dict]]) -> str:
    """Return answers as CSV with the columns that `predict -o` writes, a row an image.

    Args:
        answers: the name of each image and its prediction, or its `error` and `status`.
    """
    rows = []
    for name, answer in answers:
        row = {"galaxy": galaxy_name(name), "image": name}
        if "predicted" in answer:
            row |= {"predicted": answer["predicted"], "confidence": max(answer["classes"].values())}
        row |= {PROBABILITY + key: share for key, share in answer.get("classes", {}).items()}
        row |= answer.get("answers", {})
        row |= {DEVIATION + key: sd for key, sd in answer.get("standard_deviations", {}).items()}
        if "set" in answer:
            row["set"] = "|".join(answer["set"]) or EMPTY
        status = answer.get("status", "unreadable") if "error" in answer else "ok"
        rows.append((row, {"status": status, "error": answer.get("error")}))
    predicted, ends = (pd.DataFrame(part) for part in zip(*rows, strict=True))
    return predicted.join(ends).to_csv(index=False)


def as_dictionary(found: np.ndarray, recipe: Recipe, classes: list[str]) -> dict:
    """Return a prediction as a dictionary: `predicted` and `classes`, or a tree's likeliest walk.

    Args:
        found: of one image, shape (outputs,).
        recipe: of the model.
        classes: in order.
    """
    tree = target_of(recipe).tree
    columns = predicted_columns(recipe, classes)
    means, squares = found[: len(columns)], found[len(columns) :]
    answers = _by_name(columns, means)
    if tree is None:
        shares = {name: answers[PROBABILITY + name] for name in classes}
        return {"predicted": max(shares, key=shares.get), "classes": shares}
    pairs = [(question, answer) for question in tree.questions for answer in question.answers]
    fractions = means[None].astype(float)
    of_asked = to_conditional(tree, fractions)[0]
    walk = [
        {
            "question": pairs[at][0].text,
            "answer": pairs[at][1].text,
            "of_those_asked": round(float(of_asked[at]), 6),
            "of_all": round(float(means[at]), 6),
        }
        for at in likeliest_walk(tree, fractions[0])
    ]
    if not len(squares):
        return {"walk": walk, "answers": answers}
    spread = _by_name(columns, deviations(means, squares))
    return {"walk": walk, "answers": answers, "standard_deviations": spread}


def _by_name(names: list[str], values: np.ndarray) -> dict[str, float]:
    return {name: round(float(value), 6) for name, value in zip(names, values, strict=True)}


def load_model(run: Path, stretch: str | None = None, bands: str | None = None) -> ServedModel:
    """Load a trained run's model; once the run is calibrated, with its prediction sets.

    Args:
        run: its folder.
        stretch: of FITS images that are sent, in place of the one that the model is trained on.
        bands: likewise.

    Raises:
        BadInput: not a finished run, or an unknown stretch.
    """
    from galaxymorph.predict import load_explainer, load_predictor

    found = load_predictor(run, stretch=stretch, bands=bands)
    whole = Run(run)
    coverage = calibrated_coverage(whole)
    return ServedModel(
        run.resolve().name,
        found.recipe,
        list(found.classes),
        found.outputs_of_each,
        found.calibrators,
        partial(sets_of, whole, coverage=coverage) if coverage else None,
        load_explainer(whole),
        whole.recipe.rendering,
    )
