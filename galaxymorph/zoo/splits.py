"""Splits into training, validation, calibration and test parts, stratified by class."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, setting
from galaxymorph.zoo.columns import CALIBRATION, GIVEN, PARTS, PICTURE, TEST, TRAIN, VALID

# Of the published split: 70/15/15 of train, valid and test.
HELD_OUT = 0.30
# Of the galaxies that a fold doesn't test: few, since each is one less to train on.
FOLD_VALID = 0.05
# Galaxies that a split takes where they have no classes: two in each part.
LEAST = 8


def split_galaxies(
    table: pd.DataFrame,
    classes: Sequence[str],
    seed: int,
    held_out: float = HELD_OUT,
    calibration: float = 0.0,
    join_rare: bool = False,
) -> pd.DataFrame:
    """Split into train, valid and test, stratified by label; set some of train aside to calibrate.

    The parts valid and test don't depend on how many calibrate. Images of one galaxy, by the column
    `PICTURE`, are in one part, the first of those in which the draw put any; the others stay
    as drawn. Galaxies that calibrate have one or more of each class of which two or more train.

    Args:
        table: a row a galaxy in ascending order of `galaxy`, with its `label`, and perhaps
            `PICTURE`, which is the same for images of one galaxy.
        classes: every class; their order decides the draw.
        seed: of scikit-learn's shuffles; 42 gives the published `layer1` split.
        held_out: the share of valid and test together, which are equal.
        calibration: the share of all galaxies that neither train nor select the model; 0 leaves
            the three published parts.

    Returns:
        The same rows with `split`, ordered as drawn: all of train, then valid, then calibration,
        then test.

    Raises:
        BadInput: a class is too small to have a galaxy in every part, or all of them are.
    """
    purpose = "a split into train, valid and test"
    if join_rare:
        _need(len(table), LEAST, purpose)
    else:
        need_of_each_class(table["label"], classes, 4, purpose)
    train, rest = _cut(table, classes, held_out, seed, join_rare)
    if not join_rare:
        # One to validate and one to test.
        train, rest = _with_every_class(train, rest, 2)
    valid, test = _cut(rest, classes, 0.5, seed, join_rare)
    train, calibrating = _set_aside(train, classes, calibration * len(table), seed, join_rare)
    return _together(_joined(train, valid, calibrating, test))


def given_split(
    table: pd.DataFrame,
    classes: Sequence[str],
    seed: int,
    calibration: float = 0.0,
    join_rare: bool = False,
) -> pd.DataFrame:
    """Return the split that the user's table gives, in its column `GIVEN`.

    Galaxies to validate or to calibrate that it has none of are drawn from those that train: a
    twentieth of them, and the share `calibration` of all. Nothing else is moved, copies neither.

    Raises:
        BadInput: no galaxy trains, or none is tested, or a class has none that trains.
    """
    parts = {name: table[table[GIVEN] == name].drop(columns=GIVEN) for name in PARTS}
    for name in (TRAIN, TEST):
        if parts[name].empty:
            raise BadInput(f"no galaxy is in the part {name!r} of the split", "give some")
    for name in classes if not join_rare else ():
        if not (parts[TRAIN]["label"] == name).any():
            raise BadInput(f"class {name!r} has no galaxy in the part train", "add some")
    train = parts[TRAIN]
    if parts[VALID].empty:
        train, parts[VALID] = _set_aside(train, classes, FOLD_VALID * len(train), seed, join_rare)
    if parts[CALIBRATION].empty:
        count = calibration * len(table)
        train, parts[CALIBRATION] = _set_aside(train, classes, count, seed, join_rare)
    return _joined(train, *(parts[name] for name in PARTS[1:]))


def calibration_split(
    table: pd.DataFrame, classes: Sequence[str], share: float, seed: int
) -> pd.Series:
    """Return `calibration` or `test` for each row of a table, stratified by label.

    Classes of few galaxies join their neighbour; one of two or more has one in either part.

    Args:
        table: a row a galaxy, with its `label`.
        classes: every class, in order.
        share: of the galaxies that calibrate; 0 leaves all to the test part.
        seed: of the draw.

    Raises:
        BadInput: there are too few galaxies.
    """
    parts, least = ("a calibration and a test part", LEAST) if share else ("a test part", 2)
    if len(table) < least:
        number = counted(len(table), "galaxy")
        raise BadInput(
            f"{number} with predictions and labels, but {parts} need {least}",
            "add galaxies" + f", or use {setting('calibration', 0)}" * bool(share),
        )
    _, aside = _set_aside(table, classes, share * len(table), seed, join_rare=True)
    part = pd.Series(TEST, table.index, dtype=object)
    part[aside.index] = CALIBRATION
    return part


def fold_splits(
    table: pd.DataFrame,
    classes: Sequence[str],
    folds: int,
    seed: int,
    calibration: float = 0.0,
    join_rare: bool = False,
) -> list[pd.DataFrame]:
    """Return a split a fold: each galaxy is in `test` once, a twentieth of the others in `valid`.

    Images of one galaxy are tested in the fold of the first of them, and are in one part of every
    other fold.

    Args:
        table: as for `split_galaxies`.
        classes: as for `split_galaxies`.
        folds: how many, at least 2.
        seed: of the shuffles; every fold's test part depends on seed, labels and copies only.
        calibration: as for `split_galaxies`; in each fold they are taken from those that train.
        join_rare: as for `split_galaxies`.

    Raises:
        BadInput: `folds` is under 2, or a class is too small for that many.
    """
    if folds < 2:
        raise BadInput(f"{setting('folds', folds)} is too few", "use 2 or more")
    purpose = f"{folds}-fold cross-validation"
    codes = _codes(table, classes)
    if join_rare:
        _need(len(table), max(2 * folds, LEAST), purpose)
        codes = _with_rare_joined(codes, folds)
    else:
        need_of_each_class(table["label"], classes, max(folds, 3), purpose)
    from sklearn.model_selection import StratifiedKFold

    cutter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    fold = np.empty(len(table), int)
    for number, (_, test) in enumerate(cutter.split(table, codes)):
        fold[test] = number
    fold = fold[_first_copies(table)]
    splits = []
    for number in range(folds):
        others = table[fold != number]
        train, valid = _set_aside(others, classes, FOLD_VALID * len(others), seed, join_rare)
        train, calibrating = _set_aside(train, classes, calibration * len(table), seed, join_rare)
        splits.append(_together(_joined(train, valid, calibrating, table[fold == number])))
    return splits


def _joined(*parts: pd.DataFrame) -> pd.DataFrame:
    named = [part.assign(split=name) for name, part in zip(PARTS, parts, strict=True)]
    return pd.concat(named, ignore_index=True)


def _first_copies(table: pd.DataFrame) -> np.ndarray:
    """Return the position of the first row whose image shows the same galaxy, shape (n,)."""
    if PICTURE not in table:
        return np.arange(len(table))
    _, first, picture = np.unique(table[PICTURE], return_index=True, return_inverse=True)
    return first[picture]


def _together(split: pd.DataFrame) -> pd.DataFrame:
    """Return a split whose images of one galaxy are in the part of the first of them."""
    part = split["split"].to_numpy()[_first_copies(split)]
    if (part == split["split"]).all():
        return split
    order = np.argsort([PARTS.index(name) for name in part], kind="stable")
    return split.assign(split=part).iloc[order].reset_index(drop=True)


def _set_aside(
    table: pd.DataFrame, classes: Sequence[str], count: float, seed: int, join_rare: bool
) -> list[pd.DataFrame]:
    if not count:
        return [table, table.iloc[:0]]
    # A stratified draw takes one galaxy of each class or more.
    least = 1 if join_rare else table["label"].nunique()
    kept, aside = _cut(table, classes, max(least, math.ceil(count)), seed, join_rare)
    return _with_every_class(kept, aside)


def _need(number: int, least: int, purpose: str) -> None:
    if number < least:
        raise BadInput(
            f"the catalogue has {counted(number, 'galaxy')} with votes, but {purpose} needs "
            f"{least}",
            "add galaxies",
        )


def _with_every_class(
    kept: pd.DataFrame, aside: pd.DataFrame, least: int = 1
) -> list[pd.DataFrame]:
    """Exchange galaxies so that classes have `least` aside, as long as two or more are kept.

    A stratified draw gives a class its share, rounded, which of a rare one is none. It takes the
    place of one of the class that has most.
    """
    both = pd.concat([kept, aside])
    rows = [np.arange(len(kept)), len(kept) + np.arange(len(aside))]
    label = both["label"].to_numpy()
    for name in kept["label"].value_counts().index:
        while (label[rows[0]] == name).sum() > 1 and (label[rows[1]] == name).sum() < least:
            counts = pd.Series(label[rows[1]]).value_counts()
            if counts.iloc[0] <= least:
                break
            out = int(np.flatnonzero(label[rows[0]] == name)[0])
            back = int(np.flatnonzero(label[rows[1]] == counts.index[0])[0])
            rows[0][out], rows[1][back] = rows[1][back], rows[0][out]
    return [both.iloc[positions] for positions in rows]


def need_of_each_class(labels: pd.Series, classes: Sequence[str], least: int, purpose: str) -> None:
    """Raise BadInput if there are under two classes, or one has fewer than `least` galaxies."""
    counts = labels.value_counts()
    if len(counts) < 2:
        only = f"only class {counts.index[0]!r}" if len(counts) else "no galaxy with a class"
        raise BadInput(f"the catalogue has {only}", "at least two classes are needed")
    rarest = min(classes, key=lambda name: counts.get(name, 0))
    if counts.get(rarest, 0) < least:
        raise BadInput(
            f"class {rarest!r} has {counted(counts.get(rarest, 0), 'galaxy')}, but {purpose} needs "
            f"{least} of each class",
            "add galaxies of that class, or use other labels",
        )


def _cut(
    table: pd.DataFrame, classes: Sequence[str], share: float | int, seed: int, join_rare: bool
) -> list[pd.DataFrame]:
    # Imported here, since reading a split doesn't need scikit-learn.
    from sklearn.model_selection import train_test_split

    if join_rare:
        drawn = share if isinstance(share, int) else math.ceil(share * len(table))
        codes = _with_rare_joined(_codes(table, classes), 2, min(drawn, len(table) - drawn))
        strata = codes if codes.nunique() > 1 else None
        return train_test_split(table, test_size=share, random_state=seed, stratify=strata)
    try:
        return train_test_split(
            table, test_size=share, random_state=seed, stratify=_codes(table, classes)
        )
    except ValueError as error:
        aside = share if isinstance(share, int) else math.ceil(share * len(table))
        number = table["label"].nunique()
        raise BadInput(
            f"parts of {len(table) - aside} and {aside} galaxies can't both have all {number} "
            "classes",
            "add galaxies, or hold out another fraction",
        ) from error


def _codes(table: pd.DataFrame, classes: Sequence[str]) -> pd.Series:
    # scikit-learn draws class by class in sorted order, so the published split needs the codes.
    return table["label"].map({name: code for code, name in enumerate(classes)})


def _with_rare_joined(codes: pd.Series, least: int, most: int | None = None) -> pd.Series:
    """Return the codes of strata, each of `least` galaxies or more, `most` strata at most.

    The rarest joins its neighbour, the one before it or else the second, until that holds.
    """
    counts = codes.value_counts().sort_index()
    while len(counts) > 1 and (counts.min() < least or len(counts) > (most or len(counts))):
        at = int(counts.to_numpy().argmin())
        rare, neighbour = counts.index[at], counts.index[at - 1 if at else 1]
        codes = codes.where(codes != rare, neighbour)
        counts = codes.value_counts().sort_index()
    return codes
