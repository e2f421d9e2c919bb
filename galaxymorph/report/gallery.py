"""The gallery of a run's page: every test galaxy, and what a click on it shows."""

from __future__ import annotations

from base64 import b64encode
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, reading
from galaxymorph.judge import (
    entropies_of,
    read_grids,
    read_neighbours,
    true_and_predicted,
)
from galaxymorph.learn import Run, target_of, with_images
from galaxymorph.report.doubt import preferred
from galaxymorph.report.pictures import thumbnails
from galaxymorph.zoo import likeliest_walk, to_conditional

# What `doubt` says of each test galaxy.
DOUBT = "doubt_test.parquet"
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
        "side": side,
        "soft": target.soft,
        "tree": target.tree is not None,
        "names": names,
        "data": {
            "names": [name for name, _ in names],
            "words": dict(names),
            "soft": target.soft,
            "tree": target.tree is not None,
            "side": side,
            "rows": limited,
        },
    }


def _names(run: Run) -> list[tuple[str, str]]:
    """Return what the gallery is filtered by, and its words: classes, or first answers."""
    tree = target_of(run.recipe).tree
    if tree:
        return [(answer.column, answer.says) for answer in tree.questions[0].answers]
    return [(name, words_of(name)) for name in run.classes]


def _galaxies(run: Run, table: pd.DataFrame) -> pd.DataFrame:
    """Return galaxy, image, label, predicted, confidence, right, error and what a click shows."""
    target = target_of(run.recipe)
    if not target.soft:
        mended = f"calibrated_{run.classes[0]}" in table
        kind = "calibrated_" if mended else "p_"
        given = table[[f"{kind}{name}" for name in run.classes]].to_numpy(float)
        error = 1 - given[np.arange(len(table)), pd.Index(run.classes).get_indexer(table["label"])]
        shares = [[[_rounded(each), None] for each in row] for row in given]
        found = table[["galaxy", "image", "label", "predicted"]].assign(
            confidence=_rounded_all(
                given[np.arange(len(table)), pd.Index(run.classes).get_indexer(table["predicted"])]
            )
        )
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
        doubt=_rounded_all(entropies_of(run)(given)),
    )
    if (run.path / DOUBT).exists():
        path = run.path / DOUBT
        with reading(path, "run doubt again"):
            known = pd.read_parquet(path).set_index("galaxy").loc[found["galaxy"]]
        source = preferred([name.removesuffix("_total") for name in known])
        found["doubt"] = _rounded_all(known[f"{source}_total"])
        found["epistemic"] = _rounded_all(known[f"{source}_epistemic"])
    explained = run.path / "explain"
    found["map"] = found["galaxy"].map(
        {name: b64encode(grid).decode() for name, grid in read_grids(explained).items()}
    )
    found["near"] = found["galaxy"].map(read_neighbours(explained))
    if target.tree:
        found = found.assign(walk=_walks(target.tree, true, given))
    return found


def _walks(tree, true: np.ndarray, given: np.ndarray) -> list[list]:
    """Return each galaxy's likeliest walk: question, answer, and the shares of those asked."""
    pairs = [(question.asks, answer.says) for question in tree.questions
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
        if name not in ("map", "near") or isinstance(value, str | list)
    }


def _rounded(value: float) -> float | None:
    return round(float(value), 4) if np.isfinite(value) else None


def _rounded_all(values) -> list[float]:
    return [round(float(value), 4) for value in values]


def words_of(name: str) -> str:
    """Return a class's or a score's name as people write it."""
    return name.replace("_", " ")
