"""Which columns of two tables are ids, predictions and labels."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, did_you_mean, listed, near_names, say, setting, warn
from galaxymorph.judge.tables.matching import match_columns
from galaxymorph.judge.tables.prediction_tables import ROUNDING, PredictionSource, open_predictions
from galaxymorph.judge.tables.settings import JudgeSettings
from galaxymorph.learn import Recipe, resolve
from galaxymorph.zoo import (
    SCHEMAS,
    SCHEMES,
    Schema,
    Table,
    as_numbers,
    find_ids,
    frame_table,
    gather_votes,
    image_name,
    notes_on_classes,
    open_table,
    read_checked,
    with_row_numbers,
)
from galaxymorph.zoo.image_columns import image_columns

# Usual names of a column of classes, in small letters.
LABELS = (
    *("label", "labels", "class", "classes", "true_label", "true", "truth", "y_true", "y"),
    *("target", "kind", "morphology", "type"),
)
# The ids of a table without any.
ROW = "row number"


@dataclass(frozen=True)
class OpenedTables:
    """The opened tables.

    Args:
        source: of the predictions.
        labels: of the labels.
        same: whether they are one.
        mixed: whether that is the only table, whose votes are labels and no predictions.
        settings: of both.
    """

    source: PredictionSource
    labels: Table
    same: bool
    mixed: bool
    settings: JudgeSettings

    @property
    def name(self) -> str:
        """The predictions' file, or the words for a table in memory."""
        return self.source.table.reference


def open_tables(
    predictions: Path | pd.DataFrame, labels: Path | pd.DataFrame | None, settings: JudgeSettings
) -> OpenedTables:
    """Open a table of predictions and one of labels.

    Raises:
        BadInput: one can't be read, or there are no labels.
    """
    source = open_predictions(predictions)
    if labels is None or (
        isinstance(labels, Path) and isinstance(predictions, Path) and labels == predictions
    ):
        if source.zoobot is not None:
            raise BadInput(
                f"{predictions}: it has no labels", f"give a table of them with {setting('labels')}"
            )
        return OpenedTables(source, source.table, True, labels is None, settings)
    if isinstance(labels, pd.DataFrame):
        return OpenedTables(
            source, frame_table(labels, "the table of labels"), False, False, settings
        )
    return OpenedTables(source, open_table(labels), False, False, settings)


def with_ids(tables: OpenedTables) -> tuple[OpenedTables, tuple[str, str]]:
    """Return the tables, and the columns of ids of predictions and labels.

    Rows of one table with both need no ids: the row's number is one.
    """
    given = tables.settings.id_column
    if len(given) > 2:
        raise BadInput(
            f"{setting('id_column')} {','.join(given)}", "give one, or two for two tables"
        )
    table = tables.source.table
    for name, place in zip(given, (table, tables.labels), strict=False):
        if name not in place:
            remedy = did_you_mean(name, place.columns)
            if len(given) == 1 and name in tables.labels:
                first = _find_ids(table, tables.settings.schema) or "COLUMN"
                pair = setting("id_column", f"{first},{name}")
                remedy = f"name that of the predictions and that of the labels, with {pair}"
            raise BadInput(f"{place.reference}: column {name!r} is missing", remedy)
    own = given[0] if given else _find_ids(table, tables.settings.schema)
    if own is None and tables.same:
        table = with_row_numbers(table, ROW)
        say(f"{table.reference}: without a column of ids, rows are named by their numbers")
        source = replace(tables.source, table=table)
        return replace(tables, source=source, labels=table), (ROW, ROW)
    if own is None:
        raise _without_ids(table)
    if tables.same:
        return tables, (own, own)
    known = read_checked(table, own).ids.dropna()
    names = {*known, *known.map(image_name)}
    theirs = (
        given[-1]
        if given and given[-1] in tables.labels
        else _find_ids(tables.labels, tables.settings.schema, names)
    )
    if theirs is None:
        raise _without_ids(tables.labels)
    return tables, (own, theirs)


def _find_ids(table: Table, schema: str | None, names: Collection[str] = ()) -> str | None:
    """Return the column of ids, those of a given schema included, or of images named by ids."""
    own = SCHEMAS.find(schema, setting("schema")).ids if schema else ()
    candidates = [find_ids(table, names), *own, *image_columns(table.columns)[-1:]]
    return next((name for name in candidates if name and name in table), None)


def _without_ids(table: Table) -> BadInput:
    return BadInput(
        f"{table.reference}: no column of galaxy ids is recognised",
        f"name it with {setting('id_column')}; it has {listed(filter(None, table.columns), 6)}",
    )


def plan_columns(tables: OpenedTables) -> tuple[Recipe, dict[str, str]]:
    """Return the recipe of what is judged, and the columns of its outputs.

    There are no columns yet for classes of a column, which the labels name.
    """
    settings, labels = tables.settings, tables.labels
    base = Recipe(
        seed=settings.seed,
        calibration=0.0,
        weights="none",
        class_weights=0.0,
        fractions=settings.fractions,
    )
    if settings.labels_column:
        return _of_column(base, settings.labels_column, settings), {}
    names = [settings.schema] if settings.schema else list(SCHEMAS)
    entries = [(name, SCHEMAS.find(name, setting("schema"))) for name in names]
    predicted = []
    for name, entry in entries:
        voted = _voted_columns(labels, entry)
        # Of one table with both, the votes are no predictions.
        both = tables.mixed and settings.columns is None
        free = [each for each in tables.source.columns if not (both and each in voted)]
        columns = match_columns(free, entry.tree.columns, settings.columns)
        if columns and voted:
            _refuse_unused(settings, ("target", "scheme"), f"the columns are answers of {name}")
            return resolve(replace(base, target="tree", schema=name)), columns
        predicted += [name] if columns else []
    classes = list(SCHEMES.find(settings.scheme, setting("scheme")).classes)
    if _voted_columns(labels, SCHEMAS[Recipe.schema]):
        columns = match_columns(tables.source.columns, classes, settings.columns)
        if columns := columns or _positional(tables, classes):
            recipe = replace(base, target=settings.target, scheme=settings.scheme)
            return resolve(recipe), columns
    column = _usual_labels(labels, tables)
    if column is not None and not predicted:
        return _of_column(base, column, settings), {}
    raise _unmatched(tables, predicted, entries)


def _refuse_unused(settings: JudgeSettings, names: Sequence[str], fault: str) -> None:
    """Raise BadInput for options that these tables have no use for."""
    for each in fields(settings):
        value = getattr(settings, each.name)
        if each.name in names and value != each.default:
            raise BadInput(f"{setting(each.name, value)}: {fault}", "leave it out")


def _of_column(base: Recipe, column: str, settings: JudgeSettings) -> Recipe:
    unused = ("target", "scheme", "schema", "fractions")
    _refuse_unused(settings, unused, f"the labels are class names, of the column {column}")
    return resolve(replace(base, labels_column=column, fractions=None))


def _voted_columns(labels: Table, schema: Schema) -> set[str]:
    """Return the columns of votes that a table has of a schema, of each kind that is complete."""
    kinds = (schema.answer_columns(kind) for kind in schema.columns)
    return {name for kind in kinds if all(each in labels for each in kind) for name in kind}


def _usual_labels(labels: Table, tables: OpenedTables) -> str | None:
    """Return the column of class names: one with a usual name, or the only one beside the ids."""
    usual = [name for name in labels.columns if name.lower() in LABELS]
    if usual:
        return min(usual, key=lambda name: LABELS.index(name.lower()))
    others = [name for name in labels.columns if name != _find_ids(labels, tables.settings.schema)]
    return others[0] if len(others) == 1 and not tables.same else None


def _unmatched(
    tables: OpenedTables, predicted: Sequence[str], entries: Sequence[tuple[str, Schema]]
) -> BadInput:
    """Return the error of tables of which predictions and labels don't belong together."""
    voted = [name for name, entry in entries if _voted_columns(tables.labels, entry)]
    if predicted and voted:
        return BadInput(
            f"{tables.name}: its columns are answers of {listed(predicted)}, but the votes of "
            f"{tables.labels.reference} are of {listed(voted)}",
            "give the labels of the same schema",
        )
    if predicted:
        return BadInput(
            f"{tables.labels.reference}: no votes of {predicted[0]}, whose answers "
            f"{tables.name} predicts",
            f"give a table with the columns {listed(_answer_columns(entries, predicted[0]), 3)}",
        )
    if voted and (line := _incomplete(tables, dict(entries)[voted[0]])):
        return line
    if tables.settings.schema and not voted:
        # It names the column that is missing.
        gather_votes(tables.labels, tables.settings.schema)
    if voted:
        wanted = _answer_columns(entries, voted[0])
        return BadInput(
            f"{tables.name}: no columns of predictions for the answers of {voted[0]} "
            f"({wanted[0]} and the others), nor for classes "
            f"{', '.join(SCHEMES[tables.settings.scheme].classes)}",
            f"give {setting('columns')} or {setting('scheme')}, or {setting('labels_column')} for "
            "class names: " + did_you_mean(wanted[0], tables.source.columns),
        )
    columns = [name for name in tables.labels.columns if name and name != ROW]
    other = f"give a table of labels with {setting('labels')}, or name" if tables.same else "name"
    return BadInput(
        f"{tables.labels.reference}: neither votes of a known schema nor a column of class names",
        f"{other} the column with {setting('labels_column')}; a decision tree of your own is "
        f"given with {setting('schema')} FILE; it has {listed(columns, 6)}",
    )


def _incomplete(tables: OpenedTables, schema: Schema) -> BadInput | None:
    """Return the error of predictions of most of a schema's answers; None of other columns."""
    answers = schema.tree.columns
    missing = [
        name for name in answers if not any(name in column for column in tables.source.columns)
    ]
    if not 0 < len(missing) < len(answers) / 2:
        return None
    more = f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""
    return BadInput(
        f"{tables.name}: no column of predictions for {missing[0]!r}{more} of {schema.tree.name}",
        "give the predictions of every answer",
    )


def _answer_columns(entries: Sequence[tuple[str, Schema]], name: str) -> list[str]:
    """Return the preferred columns of a schema of some name."""
    schema = dict(entries)[name]
    return schema.answer_columns(next(iter(schema.columns)))


def class_columns(
    tables: OpenedTables, used: Collection[str | None], labels: pd.Series, known: Sequence[str]
) -> tuple[dict[str, str], list[str]]:
    """Return the columns of classes by name, and all classes, those without a galaxy included.

    Args:
        tables: opened.
        used: columns that hold no predictions.
        labels: the class of each galaxy.
        known: every class among them, in order.

    Raises:
        BadInput: a class of the labels has no column.
    """
    settings = tables.settings
    labelled = [str(name) for name in known]
    for note in notes_on_classes({name: int((labels == name).sum()) for name in labelled}):
        warn(note)
    free = [name for name in tables.source.columns if name not in used]
    names = list(settings.classes) or labelled
    if strangers := [name for name in labelled if name not in names]:
        raise BadInput(
            f"{tables.labels.reference}: class {strangers[0]!r} is not one of "
            f"{setting('classes')} {','.join(names)}",
            "name every class, as the labels do",
        )
    columns = match_columns(free, names, settings.columns) or _positional(tables, names)
    if not columns:
        raise _without_class(tables, free, names, labels)
    if not settings.classes:
        columns |= _further_classes(tables.source, free, columns)
    return dict(columns), list(columns)


def _positional(tables: OpenedTables, names: Sequence[str]) -> dict[str, str] | None:
    """Return the columns of `--classes` by their order, if there are as many columns."""
    settings = tables.settings
    if not settings.classes or set(names) != set(settings.classes):
        return None
    used = {*settings.id_column, settings.labels_column, settings.split_column, ROW}
    used |= {_find_ids(tables.source.table, settings.schema)}
    labels = _usual_labels(tables.labels, tables) if tables.same else None
    free = [name for name in tables.source.columns if name not in used and name != labels]
    if len(free) != len(settings.classes):
        return None
    pairs = dict(zip(settings.classes, free, strict=True))
    say(f"{tables.name}: " + ", ".join(f"{free} is {name}" for name, free in pairs.items()))
    return {name: pairs[name] for name in names}


def _without_class(
    tables: OpenedTables, free: Sequence[str], names: Sequence[str], labels: pd.Series
) -> BadInput:
    """Return the error of classes without a column."""
    present = [name for name in names if match_columns(free, [name], tables.settings.columns)]
    absent = [name for name in names if name not in present] or list(names)
    number = counted(int((labels == absent[0]).sum()), "galaxy")
    near = near_names(absent[0], free)
    remedy = f"did you mean {near[0]!r}? " if near else ""
    if len(free) < len(names):
        remedy += f"give a probability for each of {listed(names, 6)}; "
    return BadInput(
        f"{tables.name}: no column of predictions for class {absent[0]!r} ({number} in "
        f"{tables.labels.reference}); it has {listed(free, 6)}",
        f"{remedy}name the columns as the classes of the labels, or give {setting('classes')} in "
        "their order",
    )


def _further_classes(
    source: PredictionSource, free: Sequence[str], columns: dict[str, str]
) -> dict[str, str]:
    """Return the columns of classes without a labelled galaxy, by which probabilities sum to 1."""
    name, column = next(iter(columns.items()))
    before, after = column.split(name, 1)
    others = {
        each[len(before) : len(each) - len(after)]: each
        for each in free
        if each.startswith(before) and each.endswith(after)
    }
    others = {key: value for key, value in others.items() if key and key not in columns}
    if not others or source.zoobot is not None:
        return {}
    first = next(source.table.pieces([*columns.values(), *others.values()]), None)
    if first is None:
        return {}
    numbers = {each: as_numbers(first.frame[each], source.table.decimal) for each in first.frame}
    # Other columns hold words.
    others = {key: each for key, each in others.items() if not numbers[each][1].any()}
    shown = [*columns.values(), *others.values()]
    values = np.column_stack([numbers[each][0] for each in shown])
    sums = values[:, : len(columns)].sum(axis=1), values.sum(axis=1)
    alone, together = (abs(float(np.nanmedian(each)) - 1) <= ROUNDING for each in sums)
    if alone or not together:
        return {}
    say(f"{source.table.reference}: no galaxy is labelled {listed(others)}")
    return others
