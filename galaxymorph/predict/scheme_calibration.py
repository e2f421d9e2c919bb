"""Calibration of label schemes' classes from the vote fractions of a run's model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, say, setting
from galaxymorph.judge import (
    calibration_part,
    fit_scheme,
    scheme_labels,
    score_scheme,
    write_scheme_classes,
)
from galaxymorph.learn import Run, read_labelled
from galaxymorph.predict.overlap import load_split_parts
from galaxymorph.predict.predictors.loading import load_predictor
from galaxymorph.predict.tables import predicted_table
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES, TARGET, prefixed

if TYPE_CHECKING:
    from galaxymorph.learn import TrainingSource

FORMAT = 1


class Scored(NamedTuple):
    """Predicted fractions, shape (n, answers), and each scheme's classes by volunteers."""

    fractions: np.ndarray
    labels: dict[str, np.ndarray]


def has_scheme_classes(run: Run) -> bool:
    """Tell whether schemes are defined on a run's outputs: all answers of the challenge's tree."""
    return set(GALAXY_ZOO_CHALLENGE.columns) <= set(run.outputs)


def calibrate_schemes(
    run: Run, sources: Sequence[TrainingSource] = (), coverage: float = 0.9
) -> dict[str, Any]:
    """Fit the classes of every label scheme to a run's predicted fractions; store them in the run.

    They are fitted to the calibration part, see `calibration_part`, and to further labelled
    catalogues, without the images that the run's model was trained, selected or tested on. The
    test part judges them.

    Args:
        run: trained, of the challenge's tree.
        sources: further catalogues, of votes or of a scheme's classes.
        coverage: the share of prediction sets that are to hold the true class.

    Returns:
        What `scheme_classes.json` holds: `part` and `galaxies` that calibrate, `schemes` (see
        `SchemeRecord`), `left_out` (schemes with too few galaxies of a class) and `test`: by
        scheme the scores of `score_scheme` and the number of galaxies.

    Raises:
        BadInput: the run isn't of the challenge's tree, or a source can't be used.
    """
    run.require_trained()
    if not has_scheme_classes(run):
        raise BadInput(
            f"{run.path}: label schemes are rules on the 37 answers of Kaggle's challenge, and it "
            "predicts others",
            f"fit with {setting('target', 'tree')} on such votes, or with "
            f"{setting('target', 'classes')}",
        )
    part, seed = calibration_part(run), run.recipe.seed
    parts = [_of_part(run, fold.predictions(part)) for fold in run.splits]
    parts += list(_of_sources(run, sources))
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
    record = {
        "format": FORMAT,
        "part": part,
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
    write_scheme_classes(run, record)
    return record


def _joined_labels(parts: Sequence[Scored]) -> dict[str, np.ndarray]:
    """Return each scheme's classes of all parts' galaxies, empty where a part has none."""
    return {
        name: np.concatenate(
            [each.labels.get(name, np.full(len(each.fractions), "")) for each in parts]
        )
        for name in SCHEMES
    }


def _of_part(run: Run, table: pd.DataFrame) -> Scored:
    """Return the predictions of a part of a run, with its votes' classes."""
    votes = table[prefixed(TARGET, run.outputs)].set_axis(run.outputs, axis=1)
    labels = {name: scheme_labels(name, votes) for name in SCHEMES}
    return Scored(table[run.outputs].to_numpy(float), labels)


def _of_sources(run: Run, sources: Sequence[TrainingSource]) -> Iterator[Scored]:
    """Yield the predictions of further catalogues' galaxies, with their classes."""
    if not sources:
        return
    predictor = load_predictor(run.path, raw=True)
    known = load_split_parts(str(run.path))
    for source in sources:
        galaxies = read_labelled(source, run.recipe)
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
            labels = {name: scheme_labels(name, votes) for name in SCHEMES}
        else:
            assert galaxies.names is not None
            labels = {str(source.scheme): galaxies.names[rows]}
        yield Scored(
            predicted[run.outputs].to_numpy(float)[usable],
            {name: values[usable] for name, values in labels.items()},
        )
