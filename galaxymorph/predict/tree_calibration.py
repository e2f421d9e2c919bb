"""Calibration of the vote fractions of a decision tree, and of the classes that they give."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, say, setting
from galaxymorph.judge import (
    FEWEST_FOR_MAP,
    calibration_part,
    fit_scheme,
    fit_vote_map,
    scheme_labels,
    score_scheme,
    write_scheme_classes,
    write_vote_maps,
)
from galaxymorph.learn import Run, deviation_columns, read_labelled, target_of, votes_name
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.loading import load_predictor
from galaxymorph.predict.tables import predicted_table
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES, TARGET, prefixed

if TYPE_CHECKING:
    from galaxymorph.learn import TrainingSource

FORMAT = 1


class Scored(NamedTuple):
    """Galaxies that trained nothing: predicted fractions and the labels of volunteers.

    Args:
        fractions: predicted, cumulative, shape (n, answers).
        votes: name of the volunteers' votes, empty of class names.
        true: fractions by these votes, as `fractions`.
        labels: each scheme's classes, empty where there is none.
    """

    fractions: np.ndarray
    votes: str
    true: np.ndarray
    labels: dict[str, np.ndarray]


def has_scheme_classes(run: Run) -> bool:
    """Tell whether schemes are defined on a run's outputs: all answers of the challenge's tree."""
    return set(GALAXY_ZOO_CHALLENGE.columns) <= set(run.outputs)


def has_vote_maps(run: Run) -> bool:
    """Tell whether a run predicts fractions of a tree that are no distributions."""
    is_distribution = deviation_columns(run.recipe, run.classes)
    return target_of(run.recipe).tree is not None and not is_distribution


def calibrate_tree(
    run: Run, sources: Sequence[TrainingSource] = (), coverage: float = 0.9
) -> dict[str, Any]:
    """Calibrate a tree's fractions and the classes of label schemes; store both in the run.

    They are fitted to the calibration part, see `calibration_part`, and to further labelled
    catalogues, without the images that the run's model was trained, selected or tested on.

    Args:
        run: trained, of a decision tree.
        sources: further catalogues, of votes or of a scheme's classes.
        coverage: the share of prediction sets that are to hold the true class.

    Returns:
        `vote_maps` and `scheme_classes`, what the files of these names hold, where they are
        defined: see `_vote_maps` and `_scheme_classes`.

    Raises:
        BadInput: the run isn't finished, or a source can't be used.
    """
    run.require_trained()
    part = calibration_part(run)
    parts = [_of_part(run, fold.predictions(part)) for fold in run.splits]
    parts += list(_of_sources(run, sources))
    about = {"format": FORMAT, "part": part}
    record: dict[str, Any] = {}
    if has_vote_maps(run):
        record["vote_maps"] = about | _vote_maps(run, parts)
        write_vote_maps(run, record["vote_maps"])
    if has_scheme_classes(run):
        record["scheme_classes"] = about | _scheme_classes(run, parts, coverage)
        write_scheme_classes(run, record["scheme_classes"])
    return record


def _vote_maps(run: Run, parts: Sequence[Scored]) -> dict[str, Any]:
    """Return `vote_maps`: the records of `VoteMap`, each with its scores `before` and `after`.

    The run's own votes, which are the default, come first. Catalogues of the same kind of votes
    have one map. Others with fewer galaxies than `FEWEST_FOR_MAP` have none.
    """
    tree = target_of(run.recipe).tree
    assert tree is not None
    own, records = parts[0].votes, []
    for votes in dict.fromkeys(each.votes for each in parts if each.votes):
        given = [each for each in parts if each.votes == votes]
        predicted, true = (
            np.concatenate(values)
            for values in zip(*((each.fractions, each.true) for each in given), strict=True)
        )
        if len(predicted) < FEWEST_FOR_MAP:
            say(
                f"{len(predicted):,} galaxies with votes of {votes} are too few to calibrate the "
                f"fractions, which takes {FEWEST_FOR_MAP}"
            )
            if votes != own:
                continue
        fitted, scores = fit_vote_map(tree, votes, predicted, true, run.recipe.seed)
        records.append({**fitted.record, **scores})
    return {"vote_maps": records}


def _scheme_classes(run: Run, parts: Sequence[Scored], coverage: float) -> dict[str, Any]:
    """Return `galaxies` that calibrate, `schemes`, `left_out` and `test`.

    They are records as `SchemeRecord`, the schemes with too few galaxies of a class, and by scheme
    the scores of `score_scheme` on the test part and the number of its galaxies.
    """
    seed = run.recipe.seed
    fractions = np.concatenate([each.fractions for each in parts])
    labels = _joined_labels(parts)
    fitted = {name: fit_scheme(name, fractions, labels[name], coverage, seed) for name in SCHEMES}
    schemes = [each for each in fitted.values() if each is not None]
    if not schemes:
        say(
            f"{len(fractions):,} galaxies calibrate, too few of some class of every label scheme: "
            f"give more labelled galaxies with {setting('also')}, or fit with a larger "
            f"{setting('calibration')}"
        )
    test = _of_part(run, run.predictions("test"))
    return {
        "galaxies": len(fractions),
        "schemes": [each.record for each in schemes],
        "left_out": [name for name, each in fitted.items() if each is None],
        "test": {
            each.scheme: {
                "galaxies": int((test.labels[each.scheme] != "").sum()),
                **score_scheme(each, test.fractions, test.labels[each.scheme], seed),
            }
            for each in schemes
        },
    }


def _joined_labels(parts: Sequence[Scored]) -> dict[str, np.ndarray]:
    """Return each scheme's classes of all parts' galaxies, empty where a part has none."""
    return {
        name: np.concatenate(
            [each.labels.get(name, np.full(len(each.fractions), "")) for each in parts]
        )
        for name in SCHEMES
    }


def _of_part(run: Run, table: pd.DataFrame) -> Scored:
    """Return the predictions of a part of a run, with its votes."""
    tree = target_of(run.recipe).tree
    assert tree is not None
    votes = table[prefixed(TARGET, run.outputs)].set_axis(run.outputs, axis=1)
    name = votes_name(tree, run.data.get("fractions", ""))
    return Scored(
        table[run.outputs].to_numpy(float), name, votes.to_numpy(float), _labels(run, votes)
    )


def _labels(run: Run, votes: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return each scheme's classes by votes; nothing where schemes aren't defined on them."""
    if not has_scheme_classes(run):
        return {}
    return {name: scheme_labels(name, votes) for name in SCHEMES}


def _of_sources(run: Run, sources: Sequence[TrainingSource]) -> Iterator[Scored]:
    """Yield the predictions of further catalogues' galaxies, with their labels."""
    if not sources:
        return
    predictor = load_predictor(run.path, raw=True)
    known = load_split_parts(str(run.path))
    for source in sources:
        galaxies = read_labelled(source, run.recipe)
        if galaxies.fractions is None and not has_scheme_classes(run):
            raise BadInput(
                f"{setting('also', source.path)}: it has classes of a label scheme, which are "
                "rules on the 37 answers of Kaggle's challenge, and the model predicts others",
                "give votes",
            )
        images = galaxies.images
        parts = known.parts_of([""] * len(images), images) if known else [None] * len(images)
        is_new = np.array([part is None for part in parts])
        if not is_new.all():
            say(
                f"{setting('also', source.path)}: {(~is_new).sum():,} of {len(images):,} images "
                "used in the model's fit, which don't calibrate"
            )
        if not is_new.any():
            raise BadInput(
                f"{setting('also', source.path)}: no other galaxy remains", "give other galaxies"
            )
        rows = np.flatnonzero(is_new)
        predicted = predicted_table(predictor, [images[row] for row in rows])
        usable = predicted[run.outputs].notna().all(axis=1).to_numpy()
        if galaxies.fractions is not None:
            votes = galaxies.fractions.iloc[rows]
            true, labels = votes.to_numpy(float), _labels(run, votes)
        else:
            assert galaxies.names is not None
            true = np.full((len(rows), len(run.outputs)), np.nan)
            labels = {str(source.scheme): galaxies.names[rows]}
        yield Scored(
            predicted[run.outputs].to_numpy(float)[usable],
            galaxies.votes,
            true[usable],
            {name: values[usable] for name, values in labels.items()},
        )
