"""Published sets with a model's frozen features: a protocol that others can repeat.

    python benchmarks/published.py efigi EFIGI/
    python benchmarks/published.py galaxy10 Galaxy10_DECals.h5 --model exports/RUN

Features are the inputs of the network's last layer, on the images as they are published, framed as
the model frames them; the mean over `--views`. Ridge regression predicts numbers and fractions,
logistic regression classes, on standardised features, with the penalty chosen by cross-validation
within the training galaxies. Every galaxy is predicted once, by the fold of five that doesn't hold
it. Galaxies of the model's own fit but for its test part are left out, by the digests of files.
Intervals are of 95 %, by a bootstrap over galaxies. Without --model, the package's model.

galaxy10   `Galaxy10_DECals.h5` (Leung & Bovy): 10 classes, with 1, 10 and 100 % of the labels of
           each fold's training galaxies
gz2-five   a table of five clean classes (Zhu et al. 2019) with its images
decals-dr5 votes of Galaxy Zoo DECaLS (Walmsley et al. 2022): each question's most frequent answer,
           of galaxies of which half of the volunteers reach it
challenge  Kaggle's training galaxies: the root-mean-square error of the 37 columns
efigi      Baillard et al. (2011): the type T, and 16 attributes from 0 to 1
gz1-hands  clockwise and anticlockwise spirals of Galaxy Zoo 1, by the difference between the
           features of an image and of its mirror image: a mirrored galaxy gets the other class;
           none is left out, since a model that was trained with flips knows no hands
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.model_selection import GridSearchCV, KFold, StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import galaxymorph as gm
from galaxymorph.base import read_bytes
from galaxymorph.images import as_image, digest_bytes
from galaxymorph.judge.metrics.bootstrap import bootstrap_one
from galaxymorph.judge.metrics.classification import f1_scores
from galaxymorph.judge.metrics.metric import confusion_of
from galaxymorph.learn import PACKAGE_MODEL
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.recording import record_embeddings
from galaxymorph.zoo import SCHEMAS, read_catalogue, to_conditional
from galaxymorph.zoo.columns import TEST

ROOT = Path(__file__).parents[1]
FOLDS, SEED = 5, 0
# Images in memory at once.
CHUNK = 512
# Penalties that cross-validation chooses from: of ridge, and inverse ones of logistic regression.
ALPHAS, STRENGTHS = np.logspace(0, 5, 11), np.logspace(-4, 0, 5)
# Volunteers agree where one answer has this share, as in table 1 of Walmsley et al. (2022).
AGREED = 0.8


@dataclass(frozen=True)
class Published:
    """A set.

    Args:
        images: references, or pixels.
        labels: a row an image.
        score: from embeddings and labels to the record.
    """

    images: Sequence[Any]
    labels: pd.DataFrame
    score: Callable[[np.ndarray, pd.DataFrame], dict[str, Any]]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure one set, print its record and save it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=SETS)
    parser.add_argument("data", type=Path, help="the file, or the folder of table and images")
    parser.add_argument("--model", type=Path, default=PACKAGE_MODEL, help="a run or exported file")
    parser.add_argument("--views", type=int, default=1, choices=(1, 4, 8))
    parser.add_argument("--crop", type=float, help="share of the image's side; the model's own")
    parser.add_argument("--output", type=Path)
    given = parser.parse_args(arguments)
    settings = {"views": given.views} | ({"crop": given.crop} if given.crop else {})
    record = measure(SETS[given.set](given.data), given.model, settings)
    record = {"set": given.set, "model": given.model.name, **settings, **record}
    path = given.output or ROOT / "benchmarks" / "results" / f"published-{given.set}.json"
    path.write_text(json.dumps(record, indent=2) + "\n")
    print(json.dumps(record, indent=2))
    print(path)


def measure(published: Published, model: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the record of a set: how many galaxies are left out, and its scores."""
    known = load_split_parts(str(model))
    rows = list(range(len(published.labels)))
    if known is not None:
        parts = [known.by_digest.get(_digest(published.images[at])) for at in rows]
        rows = [at for at, part in zip(rows, parts, strict=True) if part in (None, TEST)]
    vectors = embed(model, published.images, rows, settings)
    labels = published.labels.iloc[rows].reset_index(drop=True)
    left_out = len(published.labels) - len(labels)
    return {"left_out": left_out, **published.score(vectors, labels)}


def _digest(image: Any) -> str:
    return digest_bytes(read_bytes(image)) if isinstance(image, str) else ""


def embed(
    model: Path, images: Sequence[Any], rows: Sequence[int], settings: dict[str, Any]
) -> np.ndarray:
    """Return embeddings of some images, shape (n, features), by the model's first network."""
    predictor = gm.load_predictor(model).changed(**settings)
    with record_embeddings(predictor) as recorded:
        for start in range(0, len(rows), CHUNK):
            predictor.outputs_of_each([images[at] for at in rows[start : start + CHUNK]])
    return np.concatenate(recorded.mean)


def scored(score: Callable[[np.ndarray], float], n: int) -> dict[str, float | None]:
    """Return a score with its interval, from the positions of galaxies."""
    return dict(bootstrap_one(score, n, SEED))


def fitted_numbers(vectors: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return out-of-fold predictions of ridge regression, of the shape of the values."""
    predicted = np.empty_like(values, dtype=float)
    for train, test in KFold(FOLDS, shuffle=True, random_state=SEED).split(vectors):
        model = make_pipeline(StandardScaler(), RidgeCV(ALPHAS))
        predicted[test] = model.fit(vectors[train], values[train]).predict(vectors[test])
    return predicted


def fitted_classes(
    vectors: np.ndarray, labels: np.ndarray, share: float = 1.0, intercept: bool = True
) -> np.ndarray:
    """Return out-of-fold classes of logistic regression.

    Args:
        vectors: shape (n, features).
        labels: shape (n,).
        share: of each fold's training galaxies whose labels are used, of every class at least two.
        intercept: whether the classifier has one.
    """
    predicted = np.empty(len(labels), dtype=object)
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=SEED)
    for number, (train, test) in enumerate(folds.split(vectors, labels)):
        kept = _share(train, labels[train], share, number)
        least = int(pd.Series(labels[kept]).value_counts().min())
        model = make_pipeline(
            StandardScaler(with_mean=intercept),
            GridSearchCV(
                LogisticRegression(fit_intercept=intercept, max_iter=2000),
                {"C": STRENGTHS},
                scoring="neg_log_loss",
                cv=min(3, least),
            ),
        )
        predicted[test] = model.fit(vectors[kept], labels[kept]).predict(vectors[test])
    return predicted


def _share(rows: np.ndarray, labels: np.ndarray, share: float, seed: int) -> np.ndarray:
    if share >= 1:
        return rows
    frame = pd.DataFrame({"row": rows, "label": labels})
    parts = [
        part.sample(max(2, round(share * len(part))), random_state=seed)
        for _, part in frame.groupby("label")
    ]
    return pd.concat(parts)["row"].to_numpy()


def class_scores(labels: np.ndarray, predicted: np.ndarray) -> dict[str, Any]:
    """Return accuracy, macro-F1 and the recall of each class."""
    right, (classes, true) = labels == predicted, np.unique(labels, return_inverse=True)
    guessed = np.searchsorted(classes, predicted)
    return {
        "accuracy": scored(lambda rows: right[rows].mean(), len(labels)),
        "macro_f1": scored(
            lambda rows: f1_scores(confusion_of(true[rows], guessed[rows], len(classes))).mean(),
            len(labels),
        ),
        "recall": {
            str(name): {
                "galaxies": int((labels == name).sum()),
                "value": round(float(right[labels == name].mean()), 4),
            }
            for name in classes
        },
    }


def rmse(error: np.ndarray) -> dict[str, float | None]:
    """Return the root-mean-square of errors, shape (n,) or (n, outputs), with its interval."""
    squares = np.square(error).reshape(len(error), -1).mean(axis=1)
    return scored(lambda rows: float(np.sqrt(squares[rows].mean())), len(squares))


def score_galaxy10(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of classes with 1, 10 and 100 % of the labels."""
    names = labels["label"].to_numpy()
    shares = {
        str(share): class_scores(names, fitted_classes(vectors, names, share))
        for share in (0.01, 0.1, 1.0)
    }
    return {"galaxies": len(labels), "by_share": shares}


def score_classes(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of the classes that have a galaxy for every fold."""
    names = labels["label"].to_numpy()
    counts = labels["label"].value_counts()
    rare = counts[counts < FOLDS]
    kept = ~np.isin(names, rare.index)
    predicted = fitted_classes(vectors[kept], names[kept])
    scores = class_scores(names[kept], predicted)
    return {"galaxies": int(kept.sum()), "too_few": rare.to_dict(), **scores}


def score_hands(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of handedness.

    The embeddings are of each image and, in the next row, of its mirror image.
    """
    names = labels["label"].to_numpy()[::2]
    predicted = fitted_classes(vectors[::2] - vectors[1::2], names, intercept=False)
    return {"galaxies": len(names), **class_scores(names, predicted)}


def score_efigi(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the scores of the type T and of each attribute, beside the mean of all galaxies."""
    types = labels["T"].to_numpy(float)
    error = fitted_numbers(vectors, types) - types
    # T is a whole number, and so is the rounded prediction.
    near = np.abs(np.rint(error)) <= 1
    record: dict[str, Any] = {
        "galaxies": len(labels),
        "T": {
            "within_1": scored(lambda rows: near[rows].mean(), len(near)),
            "rmse": rmse(error),
            "rmse_of_mean": round(float(types.std()), 4),
        },
        "attributes": {},
    }
    for name in (name for name in labels.columns[2:] if not name.endswith(("_inf", "_sup"))):
        rated = (labels[name] >= 0).to_numpy()
        values = labels.loc[rated, name].to_numpy(float)
        error = fitted_numbers(vectors[rated], values) - values
        record["attributes"][name] = {
            "galaxies": int(rated.sum()),
            "rmse": rmse(error),
            "rmse_of_mean": round(float(values.std()), 4),
        }
    return record


def score_challenge(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
    """Return the challenge's score, beside that of the mean."""
    values = labels.to_numpy(float)
    predicted = fitted_numbers(vectors, values).clip(0, 1)
    return {
        "galaxies": len(labels),
        "rmse": rmse(predicted - values),
        "rmse_of_mean": round(float(np.sqrt(values.var(axis=0).mean())), 4),
    }


def score_questions(schema: str) -> Callable[[np.ndarray, pd.DataFrame], dict[str, Any]]:
    """Return the function that scores each question of a schema."""

    def score(vectors: np.ndarray, labels: pd.DataFrame) -> dict[str, Any]:
        tree = SCHEMAS[schema].tree
        fractions = labels[list(tree.columns)].to_numpy(float)
        conditional = to_conditional(tree, fractions)
        record: dict[str, Any] = {"galaxies": len(labels), "questions": {}}
        for question, answers in zip(tree.questions, tree.membership.astype(bool), strict=True):
            chosen = conditional[:, answers]
            # Votes are cumulative: those for a question's answers add up to its reach.
            reached = np.isfinite(chosen).all(axis=1) & (fractions[:, answers].sum(axis=1) >= 0.5)
            if reached.sum() < 2 * FOLDS:
                continue
            chosen = chosen[reached]
            right = fitted_numbers(vectors[reached], chosen).argmax(1) == chosen.argmax(1)
            agreed = right[chosen.max(axis=1) > AGREED]
            record["questions"][question.text] = {
                "galaxies": int(reached.sum()),
                "accuracy": scored(lambda rows, right=right: right[rows].mean(), len(right)),
                "agreed": {
                    "galaxies": len(agreed),
                    "accuracy": round(float(agreed.mean()), 4) if len(agreed) else None,
                },
            }
        return record

    return score


def read_galaxy10(path: Path) -> Published:
    """Read the images and classes of `Galaxy10_DECals.h5`."""
    import h5py

    file = h5py.File(path)
    labels = pd.DataFrame({"label": file["ans"][:].astype(str)})
    return Published(_Rows(file["images"]), labels, score_galaxy10)


class _Rows:
    """Images of a file, one read at a time."""

    def __init__(self, images: Any):
        self.images = images

    def __getitem__(self, at: int) -> np.ndarray:
        return self.images[int(at)]


def read_five(path: Path) -> Published:
    """Read a table with a column `label`, and its images."""
    table = read_catalogue(path, "label").table
    return Published(list(table["image"]), table[["label"]], score_classes)


def read_hands(path: Path) -> Published:
    """Read the spirals of Galaxy Zoo 1, each followed by its mirror image."""
    table = read_catalogue(path, "label").table
    table = table[table["label"].isin(["spiral_clockwise", "spiral_anticlockwise"])]
    table, images = table.loc[table.index.repeat(2)], []
    for image in table["image"].iloc[::2]:
        pixels = np.array(as_image(image))
        images += [pixels, pixels[:, ::-1].copy()]
    return Published(images, table[["label"]], score_hands)


def read_efigi(path: Path) -> Published:
    """Read `labels.csv` and `images/`."""
    labels = pd.read_csv(path / "labels.csv")
    files = {file.stem: str(file) for file in (path / "images").iterdir()}
    labels = labels[labels["PGCname"].isin(list(files))].reset_index(drop=True)
    return Published([files[name] for name in labels["PGCname"]], labels, score_efigi)


def read_votes(schema: str, score: Callable) -> Callable[[Path], Published]:
    """Return the function that reads votes of a schema with their images."""

    def read(path: Path) -> Published:
        table = read_catalogue(path, schema=schema).table
        columns = list(SCHEMAS[schema].tree.columns)
        return Published(list(table["image"]), table[columns], score)

    return read


SETS: dict[str, Callable[[Path], Published]] = {
    "galaxy10": read_galaxy10,
    "gz2-five": read_five,
    "decals-dr5": read_votes("decals_dr5", score_questions("decals_dr5")),
    "challenge": read_votes("galaxy-zoo-challenge", score_challenge),
    "efigi": read_efigi,
    "gz1-hands": read_hands,
}


if __name__ == "__main__":
    main()
