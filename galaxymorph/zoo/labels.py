"""From a catalogue to the table that a fit starts from: galaxy, image, label."""

from __future__ import annotations

import pandas as pd

from galaxymorph.zoo.catalogue import Catalogue
from galaxymorph.zoo.schemes import SCHEMES, assign_labels, get_scheme


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


def count_classes(catalogue: Catalogue) -> dict[str, dict[str, int]]:
    """Return how many galaxies each scheme keeps, by class; plain labels count as one scheme."""
    schemes = SCHEMES if catalogue.tree else [""]
    counts = {}
    for scheme in schemes:
        labelled, classes = label_catalogue(catalogue, scheme)
        found = labelled["label"].value_counts()
        counts[scheme or "plain labels"] = {name: int(found.get(name, 0)) for name in classes}
    return counts
