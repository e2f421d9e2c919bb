"""Predictions joined to labels by the galaxies that both tables have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, did_you_mean, say, setting, warn
from galaxymorph.judge.tables.column_plan import (
    OpenedTables,
    class_columns,
    open_tables,
    plan_columns,
    with_ids,
)
from galaxymorph.judge.tables.prediction_tables import (
    KINDS,
    PredictedGalaxies,
    Reading,
    read_predictions,
)
from galaxymorph.judge.tables.settings import JudgeSettings
from galaxymorph.learn import Recipe, label_galaxies, prediction_table, target_of
from galaxymorph.learn.sources.spec import FRACTIONS
from galaxymorph.zoo import (
    PARTS,
    TARGET,
    Catalogue,
    Tree,
    calibration_split,
    image_name,
    list_image_files,
    prefixed,
    read_checked,
    soft_label_catalogue,
    table_catalogue,
)
from galaxymorph.zoo.columns import PART_NAMES, TEST, TRAIN


@dataclass(frozen=True)
class JudgedGalaxies:
    """Predictions beside labels, a row a galaxy that both tables have.

    Args:
        recipe: whose target and labels these are.
        classes: in order.
        table: as a run's tables of predictions, with the column `split`.
        samples: of each forward pass, shape (samples, n, outputs).
        reading: how the predictions were read.
        rejected: rows that were left out, as `Catalogue.rejected` has them.
        labels: the source of the labels.
        predictions: the source of the predictions.
        settings: by which they were joined.
    """

    recipe: Recipe
    classes: list[str]
    table: pd.DataFrame
    samples: np.ndarray
    reading: Reading
    rejected: pd.DataFrame
    labels: str
    predictions: str
    settings: JudgeSettings


def join_tables(
    predictions: Path | pd.DataFrame, labels: Path | pd.DataFrame | None, settings: JudgeSettings
) -> JudgedGalaxies:
    """Read predictions and labels, and join them by the galaxies' ids.

    Args:
        predictions: a table, see `open_predictions`.
        labels: a table of votes or class names; None where the predictions have them too.
        settings: of the tables.

    Raises:
        BadInput: a table can't be read, columns or classes are missing, a row is at fault, or the
            tables have no galaxy in common.
    """
    tables = open_tables(predictions, labels, settings)
    tables, ids = with_ids(tables)
    recipe, columns = plan_columns(tables)
    catalogue = _labelled(tables, recipe, ids[1])
    table, classes = label_galaxies(catalogue, recipe)
    if not (target_of(recipe).soft or recipe.labels_column):
        # With which the model's uncertainty is compared.
        shares = soft_label_catalogue(catalogue, recipe.scheme)[0].set_index("galaxy")
        table = table.join(shares[prefixed(TARGET, classes)], on="galaxy")
    if not columns:
        used = {ids[0], recipe.labels_column, settings.split_column}
        columns, classes = class_columns(tables, used, table["label"], classes)
    tree = target_of(recipe).tree
    reading = Reading(ids[0], columns, settings.kind or "")
    _require_kind(reading.kind, tree)
    predicted = read_predictions(tables.source, reading, tree)
    if len(predicted.moments[0]) > len(columns):
        recipe, table = _with_distributions(recipe, catalogue, table)
    rejected = _set_aside(tables, predicted, catalogue)
    joined, rows = _joined(tables, predicted, table)
    joined = _with_parts(tables, joined, classes, ids)
    rows = rows[joined.pop("place").to_numpy()]
    moments = predicted.moments[rows]
    if recipe.loss != "dirichlet-multinomial":
        moments = moments[:, : len(columns)]
    given = prediction_table(moments, recipe, classes)
    joined = pd.concat([_with_images(joined, settings.images), given], axis=1)
    return JudgedGalaxies(
        recipe,
        classes,
        joined,
        predicted.samples[:, rows],
        predicted.reading,
        rejected,
        tables.labels.reference,
        tables.name,
        settings,
    )


def _require_kind(kind: str, tree: Tree | None) -> None:
    """Raise BadInput for a kind of predictions that isn't one of classes, or of a tree."""
    if kind and (kind == "probabilities") != (tree is None):
        what = "answers of a tree" if tree else "classes"
        others = ", ".join(KINDS[1:]) if tree else KINDS[0]
        raise BadInput(
            f"{setting('kind', kind)}: the columns are of {what}", f"leave it out, or use {others}"
        )


def _labelled(tables: OpenedTables, recipe: Recipe, ids: str) -> Catalogue:
    """Return the table of labels as a catalogue."""
    kind = None if recipe.fractions is None else FRACTIONS[recipe.fractions]
    catalogue = table_catalogue(tables.labels, ids, recipe.labels_column, recipe.schema, kind)
    catalogue.say_notes()
    if catalogue.unvoted:
        say(f"{counted(len(catalogue.unvoted), 'galaxy')} without votes excluded")
    return catalogue


def _with_distributions(
    recipe: Recipe, catalogue: Catalogue, table: pd.DataFrame
) -> tuple[Recipe, pd.DataFrame]:
    """Return the recipe of distributions, and the labels with counts of votes.

    Without counts, only the distributions' means are judged.
    """
    likelihood = replace(recipe, loss="dirichlet-multinomial")
    try:
        return likelihood, label_galaxies(catalogue, likelihood)[0]
    except BadInput as error:
        if "no vote counts" not in str(error):
            raise
    warn(
        f"{catalogue.source}: without counts of votes, only the means of the predicted "
        "distributions are judged, not their widths"
    )
    return recipe, table


def _set_aside(
    tables: OpenedTables, predicted: PredictedGalaxies, catalogue: Catalogue
) -> pd.DataFrame:
    """Return the rows at fault in either table.

    Raises:
        BadInput: there are some, and `skip_bad` isn't set.
    """
    read = predicted.read
    known = dict(zip(read.rows.tolist(), read.ids, strict=True))
    rows = [
        (known.get(row), f"{tables.name} row {row}", words)
        for row, words in sorted(read.words.items())
    ]
    table = pd.DataFrame(rows, columns=["galaxy", "where", "what"], dtype=object)
    every = pd.concat([table, catalogue.rejected()], ignore_index=True)
    stops = len(rows) + len(catalogue.problems)
    if not stops:
        return every
    if not tables.settings.skip_bad:
        first = every.iloc[0]
        more = f" (and {stops - 1:,} more)" if stops > 1 else ""
        raise BadInput(
            f"{first['where']}: {first['what']}{more}",
            f"correct it, or exclude such rows with {setting('skip_bad')}",
        )
    say(f"{counted(stops, 'row')} excluded: rejected.csv lists them")
    return every


def _joined(
    tables: OpenedTables, predicted: PredictedGalaxies, labels: pd.DataFrame
) -> tuple[pd.DataFrame, np.ndarray]:
    """Return the labels of the predicted galaxies, in the predictions' order, and their rows.

    Raises:
        BadInput: the tables have no galaxy in common.
    """
    sound = np.flatnonzero(predicted.read.sound)
    own = predicted.read.ids.iloc[sound].astype(object).reset_index(drop=True)
    theirs = labels["galaxy"].astype(object)
    if not own.isin(theirs).any():
        own, theirs = _by_name(tables, own, theirs)
    place = pd.Index(theirs).get_indexer(pd.Index(own))
    both = place >= 0
    without = int((~both).sum())
    unused = len(labels) - int(both.sum())
    if without or unused:
        say(
            f"{both.sum():,} galaxies in both tables; left out: {without:,} predictions without a "
            f"label, {unused:,} labels without a prediction"
        )
    table = labels.iloc[place[both]].drop(columns="row").reset_index(drop=True)
    table["galaxy"] = own[both].to_numpy(object)
    return table, sound[both]


def _by_name(
    tables: OpenedTables, own: pd.Series, theirs: pd.Series
) -> tuple[pd.Series, pd.Series]:
    """Return ids without folders and endings, where these are all that differs."""
    names = own.map(image_name), theirs.map(image_name)
    common = names[0].isin(names[1])
    if common.any() and not (names[0].duplicated().any() or names[1].duplicated().any()):
        at = int(np.flatnonzero(common)[0])
        other = theirs[int(np.flatnonzero(names[1] == names[0][at])[0])]
        say(f"ids are compared without folders and endings: {own[at]} is {other}")
        return names
    zeros = [{str(name).lstrip("0") for name in each} for each in names]
    words = [
        f"{counted(len(each), 'id')} of {where}"
        for each, where in ((own, tables.name), (theirs, tables.labels.reference))
    ]
    shown = [each.iloc[0] if len(each) else "none" for each in (own, theirs)]
    raise BadInput(
        f"none of the {words[0]} is among the {words[1]}: the first are {shown[0]} and {shown[1]}",
        "leading zeros are all that differs: write both alike, ids as text"
        if zeros[0] & zeros[1] - {""}
        else f"name the columns of the same ids with {setting('id_column')} COLUMN,COLUMN",
    )


def _with_parts(
    tables: OpenedTables, joined: pd.DataFrame, classes: Sequence[str], ids: tuple[str, str]
) -> pd.DataFrame:
    """Return the galaxies of all parts but train, with `split` and their `place` before.

    Raises:
        BadInput: there is no test galaxy, or a word is no part's name.
    """
    settings, column = tables.settings, tables.settings.split_column
    joined = joined.assign(place=np.arange(len(joined)))
    if column is None:
        share = settings.calibration
        return joined.assign(split=calibration_split(joined, classes, share, settings.seed))
    places = [(tables.labels, ids[1]), (tables.source.table, ids[0])]
    where = next((pair for pair in places if column in pair[0]), None)
    if where is None:
        raise BadInput(
            f"{setting('split_column', column)}: no such column in {tables.labels.reference} or "
            f"{tables.name}",
            did_you_mean(column, tables.labels.columns),
        )
    read = read_checked(where[0], where[1], texts=[column])
    words = pd.Series(read.texts[column].to_numpy(object), read.ids.to_numpy(object))
    words = words[~words.index.duplicated()]
    given = words.reindex(joined["galaxy"])
    if given.isna().all():
        words.index = words.index.map(lambda name: image_name(str(name)))
        given = words.reindex(joined["galaxy"])
    part = given.astype(str).str.strip().str.lower().map(PART_NAMES).to_numpy(object)
    if pd.isna(part).any():
        at = int(np.flatnonzero(pd.isna(part))[0])
        raise BadInput(
            f"{where[0].reference}: {column} of galaxy {joined['galaxy'][at]} is "
            f"{given.iloc[at]!r}, no part of a split",
            f"use {', '.join(PARTS)}",
        )
    joined = joined.assign(split=part)
    trained = joined["split"] == TRAIN
    if trained.any():
        say(f"{trained.sum():,} training galaxies left out: the model knows them")
    if not (joined["split"] == TEST).any():
        raise BadInput(
            f"{setting('split_column', column)}: no galaxy is of the test part", "check the words"
        )
    return joined[~trained].reset_index(drop=True)


def _with_images(table: pd.DataFrame, images: Path | None) -> pd.DataFrame:
    """Return the galaxies with the references of their images, empty where there are none.

    Raises:
        BadInput: no image is called as a galaxy.
    """
    if images is None:
        return table
    files = {image_name(file.name): file.reference for file in list_image_files(images).images}
    found = table["galaxy"].map(image_name).map(files)
    if found.isna().all():
        first = next(iter(files), "none")
        raise BadInput(
            f"{images}: no image of galaxy {table['galaxy'].iloc[0]}; the first is {first}",
            "call the images as the galaxies are",
        )
    if number := int(found.isna().sum()):
        say(f"{counted(number, 'galaxy')} without an image")
    absolute = found.map(lambda name: str(Path(name).absolute()), na_action="ignore")
    return table.assign(image=absolute.fillna(""))
