"""The figures of docs/model.md, of a model of the whole tree as it is exported.

    python benchmarks/model_card.py --challenge CHALLENGE --gz2 GZ2 --five FIVE \
        --other test=IMAGES --other decals=IMAGES

CHALLENGE is a catalogue of Kaggle's votes, of which the model's own test part is judged. GZ2 and
FIVE are the galaxies that were kept aside from it: Galaxy Zoo 2's with weighted fractions, and
galaxies with the class of `gz2-five`, for label efficiency. Galaxies that trained or calibrated
networks are left out by the digests in the model. --other names folders of images of which the
refused share is counted.

Written are, with intervals of 95 % over galaxies: the RMSE of all answers; macro-F1, calibration
error and coverage of each scheme's classes; the RMSE of conditional fractions, weighted by the
reach of the question; the agreement with volunteers where over 0.8 of them agree on a question
that half of them reach; and macro-F1 by logistic regression on frozen embeddings. Without
intervals: the mean error of each answer's conditional fraction.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import galaxymorph as gm
from galaxymorph.base import write_json
from galaxymorph.judge import scheme_labels, score_scheme
from galaxymorph.judge.metrics.bootstrap import bootstrap_one
from galaxymorph.judge.metrics.vote_fractions import (
    agreed_galaxies,
    conditional_square_errors,
    reached_by_votes,
    root_mean,
)
from galaxymorph.learn import PACKAGE_MODEL
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.recording import record_embeddings
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    read_catalogue,
    to_conditional,
    translate_fractions,
)

TREE = GALAXY_ZOO_CHALLENGE
SEED = 0
# Images of each other folder.
OTHERS = 60
# Labelled galaxies and draws of label efficiency, and the inverse penalty of its regression.
LABELS, DRAWS, STRENGTH = 100, 20, 0.01


def main() -> None:
    """Predict, judge, print and save."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=PACKAGE_MODEL)
    parser.add_argument("--challenge", type=Path, required=True)
    parser.add_argument("--gz2", type=Path, required=True)
    parser.add_argument("--five", type=Path, required=True)
    parser.add_argument("--other", action="append", default=[], metavar="NAME=IMAGES")
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "results/model.json")
    given = parser.parse_args()
    record = {
        "challenge": judge_challenge(given.model, given.challenge),
        "gz2": judge_gz2(given.model, given.gz2),
        "refused": {
            name: refused(given.model, Path(folder))
            for name, folder in (each.split("=", 1) for each in given.other)
        },
        "labels": label_efficiency(given.model, given.five),
    }
    write_json(given.output, record)
    print(given.output.read_text(encoding="utf-8"))


def predicted(model: Path, images: list[str]) -> pd.DataFrame:
    """Return the predictions of images, also of those unlike the training galaxies."""
    return gm.predict(model, images=images, outliers=True)


def kept_aside(model: Path, table: pd.DataFrame, part: str | None) -> pd.DataFrame:
    """Return the galaxies of a part of the model's own split, None for those new to it."""
    split = load_split_parts(str(model))
    assert split is not None
    parts = split.parts_of(list(table["galaxy"]), list(table["image"]))
    return table[[each == part for each in parts]]


def judge_challenge(model: Path, path: Path) -> dict[str, object]:
    """Return the scores of fractions and classes on the model's own test part."""
    votes = kept_aside(model, read_catalogue(path).table, "test")
    fractions = predicted(model, list(votes["image"]))[TREE.columns].to_numpy(float)
    true = votes[TREE.columns].reset_index(drop=True)
    squares = np.square(fractions - true.to_numpy(float)).mean(axis=1)
    record: dict[str, object] = {
        "galaxies": len(true),
        "rmse": root_mean(squares, SEED),
        "bias": biases(true.to_numpy(float), fractions),
    }
    for schemed in gm.load_predictor(model).schemes:
        labels = scheme_labels(schemed.scheme, true)
        scores = score_scheme(schemed, fractions, labels, SEED)
        record[schemed.scheme] = {"galaxies": int((labels != "").sum()), **scores}
    return record


def judge_gz2(model: Path, path: Path) -> dict[str, object]:
    """Return the error of conditional fractions, and the agreement on each question."""
    catalogue = read_catalogue(path, None, "galaxy-zoo-2", None, "weighted")
    assert catalogue.tree is not None
    table = kept_aside(model, catalogue.table, None)
    votes = table[catalogue.tree.columns].to_numpy(float)
    fractions = translate_fractions(catalogue.tree, TREE, votes)
    guess = predicted(model, list(table["image"]))[TREE.columns].to_numpy(float)
    squares, weights = conditional_square_errors(TREE, fractions, guess)
    error = bootstrap_one(
        lambda at: float(np.sqrt(squares[at].sum() / weights[at].sum())), len(squares), SEED
    )
    agreement = {}
    agreed = agreed_galaxies(TREE, fractions)
    for at, (question, answers) in enumerate(
        zip(TREE.questions, TREE.membership.astype(bool), strict=True)
    ):
        chosen, true = (each[agreed[:, at]][:, answers] for each in (guess, fractions))
        right = chosen.argmax(axis=1) == true.argmax(axis=1)
        agreement[question.text] = f"{right.sum()} of {len(right)}"
    return {
        "galaxies": len(squares),
        "conditional_rmse": error,
        "bias": biases(fractions, guess),
        "agreement": agreement,
    }


def biases(true: np.ndarray, predicted: np.ndarray) -> dict[str, float]:
    """Return the mean error of each answer's conditional fraction, weighted by the reach.

    Args:
        true: volunteers' cumulative fractions, shape (n, answers).
        predicted: likewise, of the model.
    """
    weights = reached_by_votes(TREE, true) @ TREE.membership
    known, guess = (np.nan_to_num(to_conditional(TREE, each)) for each in (true, predicted))
    sums = (weights * (guess - known)).sum(axis=0) / weights.sum(axis=0)
    return {name: round(float(value), 4) for name, value in zip(TREE.columns, sums, strict=True)}


def label_efficiency(model: Path, path: Path) -> dict[str, object]:
    """Return macro-F1 of the five classes by balanced logistic regression on frozen embeddings.

    In each draw, the galaxies that are not among the labelled ones are judged.
    """
    labels = kept_aside(model, read_catalogue(path, "label").table, None)
    counts = labels["label"].value_counts()
    labels = labels[labels["label"].isin(counts.index[counts >= 2])]
    names = labels["label"].to_numpy(str)
    predictor = gm.load_predictor(model)
    with record_embeddings(predictor) as recorded:
        predictor.outputs_of_each(list(labels["image"]))
    vectors = np.concatenate(recorded.mean)
    scores = []
    for draw in range(DRAWS):
        train, test = train_test_split(
            np.arange(len(names)), train_size=LABELS, stratify=names, random_state=draw
        )
        fit = make_pipeline(
            StandardScaler(), LogisticRegression(C=STRENGTH, max_iter=2000, class_weight="balanced")
        ).fit(vectors[train], names[train])
        guess = fit.predict(vectors[test])
        scores.append(f1_score(names[test], guess, average="macro", labels=np.unique(names)))
    return {
        "galaxies": len(names),
        "classes": len(np.unique(names)),
        "labels": LABELS,
        "macro_f1": {"mean": float(np.mean(scores)), "std": float(np.std(scores))},
    }


def refused(model: Path, folder: Path) -> dict[str, int]:
    """Return how many of some images of a folder are refused as unlike the training galaxies."""
    images = sorted(path for path in folder.rglob("*") if path.suffix in (".jpg", ".png"))
    chosen = np.random.default_rng(SEED).permutation(len(images))[:OTHERS]
    table = predicted(model, [str(images[at]) for at in chosen])
    # Farther than every validation galaxy, or without content.
    return {"images": len(table), "refused": int((~(table["distance_rank"] < 1)).sum())}


if __name__ == "__main__":
    main()
