"""From a catalogue to the table that a fit starts from: galaxy, image, label."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, counted, read_parquet, setting
from galaxymorph.zoo.catalogue import Catalogue
from galaxymorph.zoo.columns import COUNT, TARGET, prefixed
from galaxymorph.zoo.schemas import GALAXY_ZOO_CHALLENGE, SCHEMAS
from galaxymorph.zoo.schemes import SCHEMES, assign_labels, soft_targets
from galaxymorph.zoo.tree import Tree

# Names of classes that mirroring exchanges, in English, German, French, Spanish,
# Italian and Portuguese: by a part of the name, a word, or a pair of names that differ in one word.
HANDED = re.compile(
    r"clock.?wise|handed|\b[sz][-_ ]?wise|uhrzeiger|drehend|händig|horaire|orari[oa]|hor[aá]rio"
    r"|dextr|sinistr|l[eé]v[oó]g",
    re.IGNORECASE,
)
# Cells of tables without a label.
NO_LABEL = {
    *("nan", "na", "n/a", "#n/a", "<na>", "null", "none", "nil", "-", "--", "?", ".", "-1", "-99"),
    *("-999", "-9999", "masked", "missing", "unlabelled", "unlabeled", "undefined"),
}
HANDED_WORDS = {"cw", "ccw", "acw"}
HANDED_PAIRS = (
    ("left", "right"),
    ("s", "z"),
    ("links", "rechts"),
    ("gauche", "droite"),
    ("izquierda", "derecha"),
    ("sinistra", "destra"),
    ("esquerda", "direita"),
)
# The name of plain labels in a list of schemes.
PLAIN = "plain labels"
# Counts beside a table of fractions.
VOTES = "votes.parquet"


def label_catalogue(catalogue: Catalogue, scheme: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the labelled galaxies and the classes.

    Args:
        catalogue: with vote fractions, or with plain labels, which then are the classes.
        scheme: a registered label scheme; not used with plain labels.

    Returns:
        A row per kept galaxy in ascending order: `galaxy`, `image`, `row`, `label`; and every class
        in the scheme's order (for plain labels that of values, or of the alphabet).

    Raises:
        BadInput: the scheme is unknown, or two plain labels differ in capitals alone.
    """
    table = catalogue.table
    if catalogue.tree is None:
        classes = sorted(table["label"].unique(), key=_order)
        _refuse_alike(classes, catalogue.source)
        return table[["galaxy", "image", "row", "label"]], classes
    rule = SCHEMES.find(scheme)
    labels = assign_labels(rule, table)
    labelled = table[["galaxy", "image", "row"]].assign(label=labels["label"])
    return labelled[labels["kept"]].reset_index(drop=True), list(rule.classes)


def _order(name: str) -> tuple[float, str]:
    """Return a key that sorts numbers such as Hubble's T by value, and before other names."""
    try:
        return float(name), name
    except ValueError:
        return math.inf, name


def notes_on_classes(counts: Mapping[str, int]) -> list[str]:
    """Return a line for each class whose name usually stands for a missing label.

    Args:
        counts: galaxies of each class.
    """
    return [
        f"{counted(number, 'galaxy')} of a class called {name!r}: if this means that the label is "
        "unknown, leave those cells empty"
        for name, number in counts.items()
        if name.strip().casefold() in NO_LABEL
    ]


def handed_classes(classes: Sequence[str]) -> list[str]:
    """Return the classes of a handedness, by their names in English and a few other languages.

    Mirroring an image exchanges such classes.
    """
    words = {name: _words_of(name) for name in classes}
    return [name for name in classes if _is_handed(name, words)]


def _is_handed(name: str, words: dict[str, tuple[str, ...]]) -> bool:
    if HANDED.search(name) or HANDED_WORDS & set(words[name]):
        return True
    exchanged = {
        tuple(other if word == one else word for word in words[name])
        for pair in HANDED_PAIRS
        for one, other in (pair, pair[::-1])
    }
    return bool((exchanged - {words[name]}) & set(words.values()))


def _words_of(name: str) -> tuple[str, ...]:
    """Return a name's words in small letters, however they are set apart."""
    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name)
    return tuple(re.findall(r"[^\W\d_]+", apart.lower()))


def _refuse_alike(classes: list[str], source: str) -> None:
    """Raise BadInput where names of classes differ only in capitals or spaces."""
    known: dict[str, str] = {}
    for name in classes:
        if "|" in name:
            raise BadInput(
                f"{source}: class {name!r} has | in its name, which separates the classes of a "
                "prediction set",
                "rename it",
            )
        other = known.setdefault(" ".join(name.casefold().split()), name)
        if other != name:
            raise BadInput(
                f"{source}: classes {other!r} and {name!r} differ only in capitals or spaces",
                "use one spelling for one class, or two different names",
            )


def soft_label_catalogue(catalogue: Catalogue, scheme: str) -> tuple[pd.DataFrame, list[str]]:
    """Return every galaxy with its soft target, none left out, and the classes.

    Args:
        catalogue: with vote fractions.
        scheme: a registered label scheme; `layer1` gives the targets called `soft3`.

    Returns:
        A row a galaxy in ascending order: `galaxy`, `image`, `row`, `label` (the class of the
        largest share, by which splits are stratified) and `target_<class>`, see `soft_targets`;
        and every class in the scheme's order.

    Raises:
        BadInput: the scheme is unknown, or the catalogue has plain labels.
    """
    _require_tree(catalogue)
    targets = soft_targets(SCHEMES.find(scheme), catalogue.table)
    table = catalogue.table[["galaxy", "image", "row"]].assign(label=targets.idxmax(axis=1))
    return table.join(targets.add_prefix(TARGET)), list(targets.columns)


def answer_catalogue(catalogue: Catalogue, scheme: str) -> tuple[pd.DataFrame, list[str]]:
    """Return every galaxy with the cumulative vote fractions of all answers, and the classes.

    Args:
        catalogue: with vote fractions.
        scheme: a registered label scheme, for `label` alone; label schemes are defined on the
            columns of Kaggle's challenge only, so in another tree the label is the first
            question's likeliest answer.

    Returns:
        As `soft_label_catalogue`, with `target_<answer>` in place of `target_<class>`.

    Raises:
        BadInput: the scheme is unknown, or the catalogue has plain labels.
    """
    tree = _require_tree(catalogue)
    answers = catalogue.table[tree.columns].add_prefix(TARGET)
    if catalogue.tree is GALAXY_ZOO_CHALLENGE:
        table, classes = soft_label_catalogue(catalogue, scheme)
        return table[["galaxy", "image", "row", "label"]].join(answers), classes
    label = _first_answers(catalogue.table, tree)
    classes = [column for column in tree.columns if (label == column).any()]
    return catalogue.table[["galaxy", "image", "row"]].assign(label=label).join(answers), classes


def _first_answers(table: pd.DataFrame, tree: Tree) -> pd.Series:
    """Return each galaxy's likeliest answer to the first question that it has votes on.

    In a union of campaigns these are questions of several.
    """
    label = pd.Series("", table.index, dtype=object)
    for at in tree.roots:
        votes = table[[answer.column for answer in tree.questions[at].answers]]
        label = label.mask((label == "") & (votes.sum(axis=1) > 0), votes.idxmax(axis=1))
    return label


def vote_counts(catalogue: Catalogue) -> pd.DataFrame:
    """Return the number of votes for each answer, `count_<answer>`, a row a galaxy.

    They stand in the catalogue's own columns, or, in the challenge's format, in `votes.parquet`
    beside it, as `survey simulate` writes it.

    Raises:
        BadInput: neither is there, or a galaxy has no whole number of votes.
    """
    tree = _require_tree(catalogue)
    names = prefixed(COUNT, tree.columns)
    if names[0] in catalogue.table:
        return catalogue.table[names]
    if tree is not GALAXY_ZOO_CHALLENGE:
        raise BadInput(
            f"{catalogue.source}: there are no vote counts", f"use another {setting('loss')}"
        )
    columns = SCHEMAS[tree.name].answer_columns("counts")
    counts = (
        _counts_beside(catalogue, tree, columns)
        .apply(pd.to_numeric, errors="coerce")
        .to_numpy(float)
    )
    wrong = ~((counts >= 0) & (counts == np.round(counts)) & np.isfinite(counts))
    if wrong.any():
        row, at = (int(places[0]) for places in np.nonzero(wrong))
        raise BadInput(
            f"{catalogue.source} row {catalogue.table['row'].iloc[row]}: {columns[at]} is "
            f"{counts[row, at]:g}, not a number of votes",
            "correct the table",
        )
    return pd.DataFrame(counts, columns=names, index=catalogue.table.index)


def _counts_beside(catalogue: Catalogue, tree: Tree, columns: list[str]) -> pd.DataFrame:
    """Return the columns of counts from `votes.parquet`, a row a galaxy of the catalogue."""
    path = (catalogue.path if catalogue.path.is_dir() else catalogue.path.parent) / VOTES
    if not path.is_file():
        raise BadInput(
            f"{catalogue.source}: there are no vote counts (column {columns[0]!r} and the like, or "
            f"{VOTES} beside it)",
            f"use another {setting('loss')}",
        )
    answers = dict(zip(tree.columns, columns, strict=True))
    counts = read_parquet(path, ["GalaxyID", *answers], "make it again").rename(columns=answers)
    counts["galaxy"] = counts.pop("GalaxyID").astype(str)
    return catalogue.table[["galaxy"]].merge(counts, on="galaxy", how="left")[columns]


def _require_tree(catalogue: Catalogue) -> Tree:
    """Return a catalogue's tree; raise BadInput if it has plain labels."""
    if catalogue.tree is None:
        raise BadInput(
            f"{catalogue.source}: soft targets need vote fractions, but the table has class names",
            f"leave out {setting('labels_column')}",
        )
    return catalogue.tree


def count_classes(catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """Return how many galaxies each scheme keeps, by class.

    Plain labels count as one scheme, and so does the first question of a tree that isn't the
    challenge's.
    """
    if catalogue.tree is GALAXY_ZOO_CHALLENGE:
        labels = {scheme: label_catalogue(catalogue, scheme) for scheme in SCHEMES}
    elif catalogue.tree:
        labels = {catalogue.tree.questions[0].name: answer_catalogue(catalogue, "")}
    else:
        labels = {PLAIN: label_catalogue(catalogue, "")}
    counts = {}
    for name, (labelled, classes) in labels.items():
        number = labelled["label"].value_counts()
        counts[name] = {label: int(number.get(label, 0)) for label in classes}
    return counts
