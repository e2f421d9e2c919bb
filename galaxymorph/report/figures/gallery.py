"""The gallery of a run's page: every test galaxy, and what a click on it shows."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, Damaged, read_json, read_parquet, reading
from galaxymorph.judge import (
    ATTRIBUTION_METHODS,
    entropies_of,
    is_calibrated,
    read_grids,
    read_neighbours,
    served,
    served_kind,
    true_and_predicted,
    verdicts,
)
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.report.figures.pictures import thumbnails
from galaxymorph.report.figures.uncertainty_figures import preferred
from galaxymorph.zoo import CALIBRATED, PROBABILITY, likeliest_walk, prefixed, to_conditional

# What `uncertainty` says of each test galaxy.
UNCERTAINTY = "uncertainty_test.parquet"
# Galaxies listed without their images: a page of words that a browser still sorts at once.
UNSEEN = 2000


def gallery_of(run: Run, test: pd.DataFrame, data: Path | None) -> dict:
    """Return what the page's gallery shows, and how much of it.

    Args:
        run: trained.
        test: predictions of its test part.
        data: where its catalogue is now, if it has moved.
    """
    table = _galaxies(run, test)
    order = _shown_first(table, run.recipe.seed)
    table = table.iloc[order].reset_index(drop=True)
    uris, side, missing = [""] * len(table), 0, ""
    try:
        references = list(with_images(table[["galaxy", "image"]], data)["image"])
        uris, side = thumbnails(references, run.recipe.crop, run.recipe.rendering)
    except BadInput as error:
        missing = str(error)
    shown = sum(bool(uri) for uri in uris)
    rows = [
        {**_told(row), "uri": uri}
        for row, uri in zip(table.drop(columns="image").to_dict("records"), uris, strict=True)
        if uri or missing
    ]
    limited = rows[:UNSEEN] if missing else rows
    target = target_of(run.recipe)
    names = _names(run)
    return {
        "shown": len(limited),
        "pictured": shown,
        "galaxies": len(table),
        "mistakes": int((~table["right"]).sum()),
        "mistakes_shown": sum(not row["right"] for row in limited),
        "missing": missing,
        "kinds": _kinds(run, test),
        "truth": run.recipe.truth,
        "maps": _map_words(run.path / "explain"),
        "soft": target.soft,
        "tree": target.tree is not None,
        "names": names,
        "data": {
            "names": [name for name, _ in names],
            "words": dict(names),
            "soft": target.soft,
            "tree": target.tree is not None,
            "side": side,
            "truth": run.recipe.truth,
            "kinds": _kinds(run, test),
            "maps": _map_words(run.path / "explain"),
            "rows": limited,
        },
    }


def _kinds(run: Run, test: pd.DataFrame) -> list[str]:
    """Return what the probabilities are: once calibrated, that and those before."""
    kinds = ["uncalibrated probabilities"] * is_calibrated(test)
    return [served_kind(run), *kinds]


def _map_words(explained: Path) -> dict[str, str]:
    """Return the attribution methods by name, in words, the one to believe first."""
    path = explained / "explain.json"
    judged = verdicts(read_json(path)) if path.exists() else []
    words = {row["method"]: "passes its tests" if row["passes"] else "fails its tests"
             for row in judged}  # fmt: skip
    return {
        name: f"{ATTRIBUTION_METHODS[name].label} ({words.get(name, 'not tested')})"
        for name in dict.fromkeys((*words, *ATTRIBUTION_METHODS))
    }


def _names(run: Run) -> list[tuple[str, str]]:
    """Return what the gallery is filtered by, and its words: classes, or first answers."""
    tree = target_of(run.recipe).tree
    if tree:
        return [(answer.column, answer.text) for answer in tree.questions[0].answers]
    return [(name, words_of(name)) for name in run.classes]


def _galaxies(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return galaxy, image, label, predicted, confidence, right, error and what a click shows."""
    target = target_of(run.recipe)
    if not target.soft:
        given, shares = _probabilities(run, table, raw=False)
        error = 1 - given[np.arange(len(table)), pd.Index(run.classes).get_indexer(table["label"])]
        found = served(run, table)[["galaxy", "image", "label", "predicted", "confidence"]]
        found = found.assign(confidence=_rounded_all(found["confidence"]))
        if is_calibrated(table):
            found = found.assign(
                raw=[
                    {"predicted": name, "confidence": _rounded(confidence), "shares": of}
                    for name, confidence, of in zip(
                        table["predicted"], table["confidence"],
                        _probabilities(run, table, raw=True)[1], strict=True,
                    )
                ]
            )  # fmt: skip
        if "set" in table:
            found["set"] = table["set"].str.replace("|", ", ")
    else:
        true, given = true_and_predicted(run, table)
        error = np.sqrt(np.square(true - given).mean(axis=1))
        names = [name for name, _ in _names(run)]
        first = given[:, : len(names)]
        votes = true[:, : len(names)]
        found = table[["galaxy", "image"]].assign(
            label=np.array(names)[votes.argmax(axis=1)],
            predicted=np.array(names)[first.argmax(axis=1)],
            confidence=_rounded_all(first.max(axis=1)),
        )
        shares = [
            [[_rounded(a), _rounded(b)] for a, b in zip(*pair, strict=True)]
            for pair in zip(first, votes, strict=True)
        ]
    found = found.assign(
        right=(found["label"] == found["predicted"]).to_numpy(bool),
        error=_rounded_all(error),
        shares=shares,
        uncertainty=_rounded_all(entropies_of(run)(given)),
    )
    if (run.path / UNCERTAINTY).exists():
        path = run.path / UNCERTAINTY
        known = read_parquet(path, ["galaxy"], "run uncertainty again").set_index("galaxy")
        with reading(path, "run uncertainty again"):
            if not set(found["galaxy"]) <= set(known.index):
                raise Damaged("it lacks galaxies of the test part")
        known = known.loc[found["galaxy"]]
        source = preferred([name.removesuffix("_total") for name in known])
        found["uncertainty"] = _rounded_all(known[f"{source}_total"])
        found["epistemic"] = _rounded_all(known[f"{source}_epistemic"])
    explained = run.path / "explain"
    grids = read_grids(explained)
    found["map"] = found["galaxy"].map(
        {
            name: {method: b64encode(grid).decode() for method, grid in by_method.items()}
            for name, by_method in grids.items()
        }
    )
    found["near"] = found["galaxy"].map(read_neighbours(explained))
    if target.tree:
        found = found.assign(walk=_walks(target.tree, true, given))
    return found


def _probabilities(run: Run, table: pd.DataFrame, raw: bool) -> tuple[np.ndarray, list]:
    """Return probabilities of classes as served or raw, and as a row of the gallery has them."""
    kind = CALIBRATED if is_calibrated(table) and not raw else PROBABILITY
    given = table[prefixed(kind, run.classes)].to_numpy(float)
    return given, [[[_rounded(each), None] for each in row] for row in given]


def _walks(tree, true: np.ndarray, given: np.ndarray) -> list[list]:
    """Return each galaxy's likeliest walk: question, answer, and the shares of those asked."""
    pairs = [(question.text, answer.text) for question in tree.questions
             for answer in question.answers]  # fmt: skip
    model, votes = (to_conditional(tree, each) for each in (given, true))
    return [
        [
            [*pairs[at], _rounded(model[row, at]), _rounded(votes[row, at])]
            for at in likeliest_walk(tree, given[row])
        ]
        for row in range(len(given))
    ]


def _shown_first(table: pd.DataFrame, seed: int) -> np.ndarray:
    """Return the order of showing where not all fit: mistakes and others in turn, both at random.

    Mistakes are what a reader looks for, but a gallery of them alone would mislead.
    """
    drawn = np.random.default_rng(seed).permutation(len(table))
    wrong = ~table["right"].to_numpy(bool)[drawn]
    # Each kind in its own turn: the k-th mistake beside the k-th of the others.
    turn = np.where(wrong, np.cumsum(wrong), np.cumsum(~wrong))
    return drawn[np.argsort(turn, kind="stable")]


def _told(row: dict) -> dict:
    """Return a row without what `explain` hasn't said of its galaxy."""
    return {
        name: value
        for name, value in row.items()
        if name not in ("map", "near") or isinstance(value, dict | list)
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _rounded_all(values) -> list[float]:
    return [round(float(value), 4) for value in values]


def words_of(name: str) -> str:
    """Return a class's or a score's name as people write it."""
    return name.replace("_", " ")
