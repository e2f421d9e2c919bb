"""The check of a catalogue: what is in it, what is wrong, and what a fit would stop at."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from galaxymorph.images import (
    Rendering,
    copies_in_words,
    image_problems,
    inspect_images,
    require_fits,
)
from galaxymorph.learn import split_faults
from galaxymorph.report.analysis_options import CHECK_DEFAULTS, CheckOptions
from galaxymorph.report.tables import console, make_table, print_table
from galaxymorph.zoo import (
    PLAIN,
    Catalogue,
    count_classes,
    handed_classes,
    notes_on_classes,
    read_catalogue,
)


@dataclass(frozen=True)
class CatalogueCheck:
    """The result of a check.

    Args:
        catalogue: without the galaxies whose images can't be used; has the problems.
        counts: galaxies by class, by scheme that keeps them.
        notes: what a fit would stop at or can't learn, and which images are copies, a line each.
        decoded: whether the images were decoded.
    """

    catalogue: Catalogue
    counts: dict[str, dict[str, int]]
    notes: list[str]
    decoded: bool


def check_catalogue(path: Path, options: CheckOptions = CHECK_DEFAULTS) -> CatalogueCheck:
    """Read a catalogue and its images and return what is in it and what is wrong.

    Args:
        path: a folder or zip in the Kaggle layout, or a table with its images beside it.
        options: how it is read.

    Raises:
        BadInput: there is no catalogue that can be read.
    """
    catalogue = read_catalogue(path, options.labels_column, options.schema, options.id_column)
    copies: list[str] = []
    if not options.quick:
        references = list(catalogue.table["image"])
        require_fits(references, {"stretch": options.stretch, "bands": options.bands})
        rendering = Rendering().changed(options.stretch, options.bands)
        inspections = inspect_images(references, rendering=rendering)
        catalogue = catalogue.set_aside(image_problems(catalogue, inspections))
        copies = copies_in_words(inspections)
    counts = count_classes(catalogue)
    notes = _notes_before_a_fit(counts, split_faults(catalogue))
    return CatalogueCheck(catalogue, counts, [*notes, *copies], not options.quick)


def _notes_before_a_fit(counts: dict[str, dict[str, int]], faults: dict[str, str]) -> list[str]:
    """Return what a fit would stop at or can't learn, a line each."""
    classes = counts.get(PLAIN, {})
    lines = list(notes_on_classes(classes))
    if handed := handed_classes(list(classes)):
        lines.append(
            f"classes {', '.join(handed)} seem to differ in handedness: fit them with --no-flips"
        )
    for scheme, fault in faults.items():
        how = "fit" if scheme == PLAIN else f"fit --scheme {scheme}"
        lines.append(f"{how} would stop: {fault}")
    return lines


def print_check(check: CatalogueCheck) -> None:
    """Print a catalogue's state, how many galaxies every scheme keeps by class, and the notes."""
    table = Table(box=None, show_header=False)
    for row in _state(check):
        table.add_row(*row)
    print_table(table)
    table = make_table("", ["scheme", "kept", "classes"], left={"classes"})
    for scheme, classes in check.counts.items():
        listed = ", ".join(f"{name} {count:,}" for name, count in classes.items())
        table.add_row(scheme, f"{sum(classes.values()):,}", listed)
    print_table(table)
    for note in check.notes:
        console().print(note, soft_wrap=True)


def _state(check: CatalogueCheck) -> list[tuple[str, str]]:
    catalogue = check.catalogue
    problems = [problem.what for problem in catalogue.problems]
    votes = "obey the tree" if catalogue.tree else "none: plain labels"
    if catalogue.unvoted:
        votes += f"; {len(catalogue.unvoted):,} galaxies without votes are left out"
    if any("the answers of question" in problem for problem in problems):
        votes = "break the tree in some rows"
    rejected = {problem.galaxy for problem in catalogue.problems if problem.galaxy}
    absent = sum(problem.startswith("no image") for problem in problems)
    images = f"{absent:,} missing, {catalogue.unused_images:,} without a row"
    state = [
        ("table", catalogue.source),
        ("rows", f"{catalogue.rows:,}"),
        ("galaxies", f"{len(catalogue.table):,} sound, {len(rejected):,} with a problem"),
        ("images", images if check.decoded else f"{images}; not decoded"),
        ("left out", catalogue.note),
        ("kind", catalogue.kind_note),
        ("votes", votes),
    ]
    return [(name, value) for name, value in state if value]
