"""The galaxies of further sources, with labels on the answers of the recipe's tree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, did_you_mean, naming_settings, say, setting
from galaxymorph.learn.recipe import Recipe, read_sources
from galaxymorph.learn.sources.attributes import source_rules
from galaxymorph.learn.sources.events import event_columns, source_meanings
from galaxymorph.learn.sources.spec import FRACTIONS, TrainingSource, fractions_setting, votes_name
from galaxymorph.learn.targets.columns import loss_columns, loss_entry, target_of
from galaxymorph.zoo import (
    SCHEMES,
    Catalogue,
    Tree,
    prefixed,
    read_catalogue,
    read_words,
    shared_answers,
    translate_fractions,
    vote_counts,
)
from galaxymorph.zoo.checks import as_numbers
from galaxymorph.zoo.columns import COUNT, EVENT, LARGEST, SOURCE, TARGET, WEIGHT, WORD

# Settings of the main catalogue, each with the key of a source in its place, and the value's name.
KEYS = {
    "id_column": ("id", "COLUMN"),
    "labels_column": ("labels", "COLUMN"),
    "schema": ("schema", "NAME"),
}


def read_further(recipe: Recipe, skip_bad: bool = False) -> list[Catalogue]:
    """Read the catalogues of a recipe's further sources; no image is decoded.

    Args:
        recipe: with the target `tree`.
        skip_bad: set bad rows aside rather than stop.

    Returns:
        The catalogues with labels in place of their own columns: `target_<answer>`, of fractions
        that are unknown 0, which the loss leaves out; the columns of `event_columns`; `weight`; and
        `source`, the source's number from 1.

    Raises:
        BadInput: something is wrong with a source or a row of it.
    """
    sources = read_sources(recipe)
    return [
        _read(source, number, sources, recipe, skip_bad) for number, source in enumerate(sources, 1)
    ]


@dataclass(frozen=True)
class LabelledImages:
    """The galaxies of a source: references of their images, and their labels.

    Args:
        images: a reference each.
        fractions: cumulative fractions on the tree's answers, a column an answer, None of classes.
        votes: name of the votes, see `votes_name`; empty of classes.
        names: class names of the source's scheme, None of votes.
    """

    images: list[str]
    fractions: pd.DataFrame | None
    votes: str
    names: np.ndarray | None


def read_labelled(source: TrainingSource, recipe: Recipe) -> LabelledImages:
    """Read a source's galaxies that calibrate or test: votes, or class names of a scheme.

    Raises:
        BadInput: something is wrong with it or a row of it, or its labels are of another kind.
    """
    tree = target_of(recipe).tree
    assert tree is not None
    if source.has_votes:
        catalogue, labels = _votes(source, tree, recipe)
        fractions = labels[prefixed(TARGET, tree.columns)].set_axis(tree.columns, axis=1)
        assert catalogue.tree is not None
        votes, names = votes_name(catalogue.tree, fractions_setting(catalogue.kind)), None
    elif source.labels is None or source.scheme is None:
        raise BadInput(
            f"{setting('also', source.path)}: its labels are neither votes nor classes of a scheme",
            "give votes, or labels=COLUMN,scheme=NAME",
        )
    else:
        SCHEMES.find(source.scheme, setting("also", source.path))
        with naming_settings(_as_key):
            catalogue = read_words(source.path, [source.labels], source.id)
        fractions, votes = None, ""
        names = catalogue.table[WORD + source.labels].to_numpy(str)
    for note in filter(None, (catalogue.note, catalogue.kind_note)):
        say(f"{setting('also', source.path)}: {note}")
    catalogue.require_sound()
    images = [str(image) for image in catalogue.table["image"]]
    return LabelledImages(images, fractions, votes, names)


def _as_key(name: str, value: object) -> str | None:
    """Return a setting of the main catalogue as the key of a source; None of others."""
    if name == "image_column":
        # It has no key, and this name by default.
        return "`image`"
    if name not in KEYS:
        return None
    key, placeholder = KEYS[name]
    return f"{key}={value or placeholder}"


def _read(
    source: TrainingSource,
    number: int,
    sources: Sequence[TrainingSource],
    recipe: Recipe,
    skip_bad: bool,
) -> Catalogue:
    tree = target_of(recipe).tree
    assert tree is not None
    read = _votes if source.has_votes else _words
    catalogue, labels = read(source, tree, recipe)
    for note in filter(None, (catalogue.note, catalogue.kind_note)):
        say(f"{setting('also', source.path)}: {note}")
    if not skip_bad:
        catalogue.require_sound()
    columns = [*loss_columns(recipe, []), *event_columns(sources, tree)]
    # What a source doesn't tell: of fractions 0, of events NaN.
    unknown = {name: np.nan if name.startswith((EVENT, LARGEST)) else 0.0 for name in columns}
    table = catalogue.table[["galaxy", "image", "row"]].join(labels)
    table = table.assign(**{name: unknown[name] for name in columns if name not in labels})
    if not source.has_votes:
        unlabelled = labels.isna().all(axis=1)
        if unlabelled.any():
            say(
                f"{setting('also', source.path)}: {unlabelled.sum():,} of {len(table):,} have no "
                "such label"
            )
        table = table[~unlabelled]
    if table.empty:
        raise BadInput(
            f"{setting('also', source.path)}: no galaxy with a label remains", "see `data check`"
        )
    table = table.assign(**{WEIGHT: source.weight, SOURCE: number}).reset_index(drop=True)
    return replace(catalogue, table=table)


def _votes(source: TrainingSource, tree: Tree, recipe: Recipe) -> tuple[Catalogue, pd.DataFrame]:
    """Return a catalogue of votes, and its fractions or counts on the tree's answers."""
    kind = None if source.fractions is None else FRACTIONS[source.fractions]
    with naming_settings(_as_key):
        catalogue = read_catalogue(
            source.path, None, source.schema or recipe.schema, source.id, kind=kind
        )
    assert catalogue.tree is not None
    if not shared_answers(catalogue.tree, tree).any():
        raise BadInput(
            f"{setting('also', source.path)}: schema {catalogue.tree.name} shares no question "
            f"with {tree.name}",
            'give "shared" in its answers, see docs/plugins.md',
        )
    fractions = translate_fractions(
        catalogue.tree, tree, catalogue.table[catalogue.tree.columns].to_numpy(float)
    )
    columns = {TARGET: fractions}
    if loss_entry(recipe).takes == "counts":
        counts = vote_counts(catalogue).to_numpy(float)
        columns = {COUNT: counts @ shared_answers(catalogue.tree, tree)}
    tables = [
        pd.DataFrame(values, catalogue.table.index, prefixed(prefix, tree.columns))
        for prefix, values in columns.items()
    ]
    return catalogue, pd.concat(tables, axis=1)


def _words(source: TrainingSource, tree: Tree, recipe: Recipe) -> tuple[Catalogue, pd.DataFrame]:
    """Return a catalogue of other labels, and what they mean: NaN where that is unknown."""
    rules = source_rules(source, tree)
    numbers = {each.column for rule in rules for each in rule.comparisons}
    columns = [name for name in (source.labels, source.largest) if name is not None]
    with naming_settings(_as_key):
        catalogue = read_words(source.path, [*columns, *sorted(numbers)], source.id)
    labels = pd.DataFrame(index=catalogue.table.index)
    if source.labels is not None:
        names = catalogue.table[WORD + source.labels]
        meanings = source_meanings(source, tree)
        if not names.isin(meanings.keys()).any():
            raise BadInput(
                f"{setting('also', source.path)}: column {source.labels} has none of "
                f"{', '.join(meanings)}",
                f"its names are {', '.join(sorted(set(filter(None, names)))[:6])}",
            )
        for name, meaning in meanings.items():
            column = EVENT + meaning.event.name
            earlier = labels.get(column, np.full(len(names), np.nan))
            labels[column] = np.where(names == name, float(meaning.holds), earlier)
    if source.largest is not None:
        answers = catalogue.table[WORD + source.largest]
        places = pd.Series(range(len(tree.columns)), tree.columns)
        wrong = answers[(answers != "") & ~answers.isin(places.index)]
        if len(wrong):
            raise BadInput(
                f"{catalogue.source} row {catalogue.table['row'][wrong.index[0]]}: "
                f"{source.largest} is {wrong.iloc[0]!r}, which is no answer",
                did_you_mean(wrong.iloc[0], tree.columns, "answers are"),
            )
        labels[LARGEST] = answers.map(places).astype(float)
    values = {name: _numbers(catalogue, name) for name in numbers}
    for rule in rules:
        each = [comparison.holds(values[comparison.column]) for comparison in rule.comparisons]
        holds = np.logical_and.reduce(each)
        column = EVENT + rule.meaning.event.name
        earlier = labels.get(column, pd.Series(np.nan, labels.index))
        # Of rules on one event, the first that applies counts.
        labels[column] = earlier.mask(earlier.isna() & holds, float(rule.meaning.holds))
    return catalogue, labels


def _numbers(catalogue: Catalogue, name: str) -> pd.Series:
    """Return a column of numbers, NaN where it is empty.

    Raises:
        BadInput: a cell is no number.
    """
    cells = catalogue.table[WORD + name]
    values, wrong = as_numbers(cells)
    if wrong.any():
        at = int(np.flatnonzero(wrong)[0])
        raise BadInput(
            f"{catalogue.source} row {catalogue.table['row'].iloc[at]}: {name} is "
            f"{cells.iloc[at]!r}, which is no number",
            "correct it, or leave it empty",
        )
    return pd.Series(values, cells.index)
