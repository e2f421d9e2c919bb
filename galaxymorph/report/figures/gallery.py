"""The gallery of a run's page: test galaxies, with details on a click."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Damaged, read_json, read_parquet, reading, setting
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    calibrated_predictions,
    entropies_of,
    is_calibrated,
    prediction_kind,
    read_grids,
    read_neighbours,
    true_and_predicted,
    verdicts,
)
from galaxymorph.learn import Run, label_words, run_files, target_of, with_images
from galaxymorph.report.figures.panels import in_words
from galaxymorph.report.figures.pictures import thumbnails
from galaxymorph.report.figures.uncertainty_figures import preferred
from galaxymorph.zoo import CALIBRATED, PROBABILITY, Tree, likeliest_walk, prefixed, to_conditional

# Galaxies listed if their images are missing: as many as a browser sorts at once.
MOST_WITHOUT_IMAGES = 2000


@dataclass(frozen=True)
class Gallery:
    """The content of the page's gallery.

    Args:
        data: of its script: `names` and `words` of its filters, `rows`, one a galaxy, and settings.
        names: of its filters, and their words: classes, or the answers to a tree's first question.
        shown: number of galaxies in it.
        galaxies: number in the test part.
        mistakes: among those.
        mistakes_shown: among those in it.
        missing: why there are no images; empty if there are.
        judged: whether the predictions are of a judged table.
    """

    data: dict[str, Any]
    names: list[tuple[str, str]]
    shown: int
    galaxies: int
    mistakes: int
    mistakes_shown: int
    missing: str
    judged: bool


def gallery_of(run: Run, test: pd.DataFrame, data: Path | None) -> Gallery:
    """Return the content of the page's gallery.

    Args:
        run: trained.
        test: predictions of its test part.
        data: where its catalogue is now, if it has moved.
    """
    table = _galaxies(run, test)
    order = _display_order(table, run.recipe.seed)
    table = table.iloc[order].reset_index(drop=True)
    uris, side, missing = [""] * len(table), 0, ""
    if (table["image"] == "").all():
        missing = f"judge was given none: with {setting('images')} it finds them"
    try:
        references = list(with_images(table[["galaxy", "image"]], data)["image"])
        uris, side = thumbnails(references, run.recipe.crop, run.recipe.rendering)
    except BadInput as error:
        missing = str(error)
    records = table.drop(columns="image").to_dict("records")
    rows = [
        {**_without_missing(row), "uri": uri}
        for row, uri in zip(records, uris, strict=True)
        if uri or missing
    ]
    rows = rows[:MOST_WITHOUT_IMAGES] if missing else rows
    target, names = target_of(run.recipe), _names(run)
    script = {
        "names": [name for name, _ in names],
        "words": dict(names),
        "soft": target.soft,
        "tree": target.tree is not None,
        "side": side,
        "truth": run.recipe.truth,
        "kinds": [prediction_kind(run), *["uncalibrated probabilities"] * is_calibrated(test)],
        "maps": _map_words(run.path / "explain"),
        "rows": rows,
    }
    return Gallery(
        script,
        names,
        shown=len(rows),
        galaxies=len(table),
        mistakes=int((~table["right"]).sum()),
        mistakes_shown=sum(not row["right"] for row in rows),
        missing=missing,
        judged=run.judged is not None,
    )


def _map_words(explained: Path) -> dict[str, str]:
    """Return the attribution methods by name, in words, the most reliable first."""
    path = explained / "explain.json"
    tested = verdicts(read_json(path)) if path.exists() else []
    words = {
        row["method"]: "passes its tests" if row["passes"] else "fails its tests" for row in tested
    }
    return {
        name: f"{ATTRIBUTION_METHODS[name].label} ({words.get(name, 'not tested')})"
        for name in dict.fromkeys((*words, *ATTRIBUTION_METHODS))
    }


def _names(run: Run) -> list[tuple[str, str]]:
    """Return the names and words of the gallery's filters: classes, or first answers."""
    words = label_words(run.recipe) or {name: in_words(name) for name in run.classes}
    return list(words.items())


def _galaxies(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return galaxy, image, label, predicted, confidence, right, error and further details."""
    target = target_of(run.recipe)
    if target.soft:
        true, given = true_and_predicted(run, table)
        galaxies = _vote_columns(run, table, true, given)
        error = np.sqrt(np.square(true - given).mean(axis=1))
        if target.tree:
            galaxies = galaxies.assign(walk=_walks(target.tree, true, given))
    else:
        given = _probabilities(run, table, raw=False)
        galaxies = _class_columns(run, table, given)
        codes = pd.Index(run.classes).get_indexer(pd.Index(table["label"]))
        error = 1 - given[np.arange(len(table)), codes]
    galaxies = galaxies.assign(
        right=(galaxies["label"] == galaxies["predicted"]).to_numpy(bool),
        error=_rounded(error),
        uncertainty=_rounded(entropies_of(run)(given)),
    )
    path = run.path / run_files.UNCERTAINTY_TABLE
    if path.exists():
        known = read_parquet(path, ["galaxy"], "run uncertainty again").set_index("galaxy")
        with reading(path, "run uncertainty again"):
            if not set(galaxies["galaxy"]) <= set(known.index):
                raise Damaged("it lacks galaxies of the test part")
        known = known.loc[galaxies["galaxy"]]
        source = preferred([str(name).removesuffix("_total") for name in known])
        galaxies["uncertainty"] = _rounded(known[f"{source}_total"])
        galaxies["epistemic"] = _rounded(known[f"{source}_epistemic"])
    explained = run.path / "explain"
    maps = {
        name: {method: b64encode(grid.tobytes()).decode() for method, grid in by_method.items()}
        for name, by_method in read_grids(explained).items()
    }
    return galaxies.assign(
        map=galaxies["galaxy"].map(maps), near=galaxies["galaxy"].map(read_neighbours(explained))
    )


def _class_columns(run: Run, table: pd.DataFrame, given: np.ndarray) -> pd.DataFrame:
    """Return the columns of predictions of classes, and of uncalibrated ones if they differ."""
    galaxies = calibrated_predictions(run, table)[
        ["galaxy", "image", "label", "predicted", "confidence"]
    ]
    galaxies = galaxies.assign(
        confidence=_rounded(galaxies["confidence"]), shares=_share_pairs(given)
    )
    if is_calibrated(table):
        bare = _share_pairs(_probabilities(run, table, raw=True))
        rows = zip(table["predicted"], _rounded(table["confidence"]), bare, strict=True)
        raw: list[Any] = [
            {"predicted": name, "confidence": confidence, "shares": shares}
            for name, confidence, shares in rows
        ]
        galaxies = galaxies.assign(raw=raw)
    if "set" in table:
        galaxies["set"] = table["set"].str.replace("|", ", ").map(in_words)
    return galaxies


def _vote_columns(
    run: Run, table: pd.DataFrame, true: np.ndarray, given: np.ndarray
) -> pd.DataFrame:
    """Return the columns of predicted vote fractions, for a tree those of its first question."""
    names = np.array([name for name, _ in _names(run)])
    votes, model = (fractions[:, : len(names)] for fractions in (true, given))
    return table[["galaxy", "image"]].assign(
        label=names[votes.argmax(axis=1)],
        predicted=names[model.argmax(axis=1)],
        confidence=_rounded(model.max(axis=1)),
        shares=_share_pairs(model, votes),
    )


def _probabilities(run: Run, table: pd.DataFrame, raw: bool) -> np.ndarray:
    """Return the probabilities of classes, shape (n, classes), calibrated unless `raw`."""
    kind = CALIBRATED if is_calibrated(table) and not raw else PROBABILITY
    return table[prefixed(kind, run.classes)].to_numpy(float)


def _share_pairs(model: np.ndarray, votes: np.ndarray | None = None) -> list[Any]:
    """Return the model's and volunteers' fraction, None without votes, by row and name."""
    votes = np.full(model.shape, np.nan) if votes is None else votes
    return [
        [list(pair) for pair in zip(*map(_rounded, rows), strict=True)]
        for rows in zip(model, votes, strict=True)
    ]


def _walks(tree: Tree, true: np.ndarray, given: np.ndarray) -> list[Any]:
    """Return each galaxy's likeliest walk: question, answer, and conditional fractions."""
    pairs = [(question.text, answer.text) for question, answer in tree.answers]
    model, votes = (to_conditional(tree, fractions) for fractions in (given, true))
    return [
        [
            [*pairs[at], *_rounded([model[row, at], votes[row, at]])]
            for at in likeliest_walk(tree, given[row])
        ]
        for row in range(len(given))
    ]


def _display_order(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the order of display, mistakes and others in turn, both at random, shape (n,).

    If not all fit, a gallery of mistakes alone would mislead.
    """
    drawn = np.random.default_rng(seed).permutation(len(table))
    wrong = ~table["right"].to_numpy(bool)[drawn]
    # The k-th mistake beside the k-th of the others.
    place = np.where(wrong, np.cumsum(wrong), np.cumsum(~wrong))
    return drawn[np.argsort(place, kind="stable")]


def _without_missing(row: dict[Any, Any]) -> dict[Any, Any]:
    """Return a row without the map and the neighbours of a galaxy that `explain` didn't take."""
    return {
        name: value
        for name, value in row.items()
        if name not in ("map", "near") or isinstance(value, dict | list)
    }


def _rounded(values: Iterable[float]) -> list[Any]:
    """Return numbers rounded for JSON, None for those that aren't finite."""
    return [round(float(value), 4) if np.isfinite(value) else None for value in values]
