"""From a catalogue to the table that a fit starts from: galaxy, image, label."""

from __future__ import annotations

import pandas as pd

from galaxymorph.base import BadInput
from galaxymorph.zoo.catalogue import Catalogue
from galaxymorph.zoo.schemes import SCHEMES, assign_labels, get_scheme, soft_targets

# What the columns of a soft target begin with; the name of the class follows.
TARGET = "target_"


def label_catalogue(catalogue: Catalogue, scheme: str) -> tuple[pd.DataFrame, list[str]]:
    """Return the labelled galaxies and the classes.

    Args:
        catalogue: with vote fractions, or with plain labels, which then are the classes.
        scheme: a registered label scheme; not used with plain labels.

    Returns:
        A row a kept galaxy in ascending order: `galaxy`, `image`, `row`, `label`; and every class
        in the scheme's order (alphabetical for plain labels).

    Raises:
        BadInput: the scheme is unknown.
    """
    table = catalogue.table
    if catalogue.tree is None:
        return table[["galaxy", "image", "row", "label"]], sorted(table["label"].unique())
    rule = get_scheme(scheme)
    labels = assign_labels(rule, table)
    labelled = table[["galaxy", "image", "row"]].assign(label=labels["label"])
    return labelled[labels["kept"]].reset_index(drop=True), list(rule.classes)


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
    if catalogue.tree is None:
        raise BadInput(
            f"{catalogue.source}: soft targets take vote fractions, and it has plain labels",
            "leave out --labels-column",
        )
    targets = soft_targets(get_scheme(scheme), catalogue.table)
    table = catalogue.table[["galaxy", "image", "row"]].assign(label=targets.idxmax(axis=1))
    return table.join(targets.add_prefix(TARGET)), list(targets.columns)


def count_classes(catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """Return how many galaxies each scheme keeps, by class; plain labels count as one scheme."""
    schemes = SCHEMES if catalogue.tree else [""]
    counts = {}
    for scheme in schemes:
        labelled, classes = label_catalogue(catalogue, scheme)
        found = labelled["label"].value_counts()
        counts[scheme or "plain labels"] = {name: int(found.get(name, 0)) for name in classes}
    return counts
