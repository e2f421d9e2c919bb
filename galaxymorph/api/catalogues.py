"""Catalogues: simulated, drawn and checked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from galaxymorph.api.calling import takes
from galaxymorph.api.data_options import CutoutOptions
from galaxymorph.api.options import CheckOptions, ReadingOptions, ShowOptions, SimulateOptions
from galaxymorph.api.paths import Place, require_output
from galaxymorph.base import BadInput, counted, replacing, setting
from galaxymorph.images import (
    Rendering,
    copies_in_words,
    image_problems,
    inspect_images,
    require_fits,
)
from galaxymorph.learn import split_faults
from galaxymorph.learn.recipe import Recipe
from galaxymorph.report.notebook import html_table
from galaxymorph.survey import Simulation, contact_sheet
from galaxymorph.survey import simulate as simulate_sky
from galaxymorph.zoo import (
    PLAIN,
    Catalogue,
    count_classes,
    handed_classes,
    notes_on_classes,
    read_catalogue,
)
from galaxymorph.zoo.votes import OUTSIDE

# Of a catalogue's problems in a notebook's cell.
SHOWN = 10


@takes(SimulateOptions)
def simulate(folder: Place, **options: Any) -> Path:
    """Simulate galaxies and volunteers' votes into a folder, in Galaxy Zoo's own format; return it.

    A galaxy depends on the seed and its id alone. After a kill the same call goes on.

    Args:
        folder: a new one, or that of the same call before.

    Raises:
        BadInput: the folder holds something else, or a package is missing.

    Example:
        >>> import galaxymorph as gm
        >>> folder = gm.simulate("sky", n=100, survey="sdss", seed=3)
        >>> sorted(path.name for path in folder.glob("*.csv"))
        ['training_solutions_rev1.csv']
    """
    chosen = SimulateOptions(**options)
    names = tuple(name.strip() for names in chosen.survey for name in names.split(","))
    simulation = Simulation(
        chosen.n, names, chosen.seed, chosen.redshift, chosen.masks, chosen.fits
    )
    return simulate_sky(Path(folder), simulation, chosen.workers)


@takes(ShowOptions)
def show(folder: Place, **options: Any) -> Image.Image:
    """Return a contact sheet of a catalogue: thumbnail, id, label or top answers of galaxies.

    Args:
        folder: of the catalogue.

    Raises:
        BadInput: there is no catalogue, or no galaxy to show.

    Example:
        >>> import galaxymorph as gm
        >>> sheet = gm.show("sky", n=6, columns=3)
        >>> sheet.width
        648
    """
    chosen = ShowOptions(**options)
    require_output(chosen.output, (".png", ".PNG"), "name a .png file")
    if chosen.scheme and (chosen.labels_column or chosen.schema != Recipe.schema):
        raise BadInput(
            f"{setting('scheme', chosen.scheme)}: label schemes are defined on the columns of "
            "Kaggle's challenge only",
            f"leave out {setting('scheme')}, or {setting('labels_column')} and {setting('schema')}",
        )
    catalogue = _read(folder, chosen)
    rendering = Rendering().changed(chosen.stretch, chosen.bands)
    sheet = contact_sheet(catalogue, chosen.n, chosen.columns, chosen.scheme, rendering)
    if chosen.output:
        with replacing(chosen.output) as temporary:
            sheet.save(temporary, "PNG")
    return sheet


def _read(path: Place, chosen: ReadingOptions) -> Catalogue:
    return read_catalogue(
        Path(path),
        chosen.labels_column,
        chosen.schema,
        chosen.id_column,
        image_column=chosen.image_column,
    )


@dataclass(frozen=True)
class CatalogueCheck:
    """The result of a check. A notebook shows it.

    Args:
        catalogue: without the galaxies whose images can't be used; has the problems.
        counts: galaxies by class, by scheme that keeps them.
        notes: what a fit would stop at or can't learn, and which images are copies, a line each.
        decoded: whether the images were decoded.
        fit_stops: whether a fit of these class names would stop; of votes it depends on its target
            and scheme, which the notes name.
    """

    catalogue: Catalogue
    counts: dict[str, dict[str, int]]
    notes: list[str]
    decoded: bool
    fit_stops: bool = False

    @property
    def state(self) -> list[tuple[str, str]]:
        """What the catalogue has, a name and words each."""
        catalogue = self.catalogue
        problems = [problem.what for problem in catalogue.problems]
        votes = "obey the tree" if catalogue.tree else "none: plain labels"
        if catalogue.unvoted:
            votes += f"; {counted(len(catalogue.unvoted), 'galaxy')} without votes excluded"
        if any("the answers of question" in problem for problem in problems):
            votes = "violate the decision tree in some rows"
        elif any(problem.endswith(OUTSIDE) for problem in problems):
            votes = f"{OUTSIDE} in some rows"
        absent = sum(problem.startswith("no image") for problem in problems)
        images = f"{absent:,} missing, {catalogue.unused_images:,} without a row"
        state = [
            ("table", catalogue.source),
            ("rows", f"{catalogue.rows:,}"),
            (
                "galaxies",
                f"{len(catalogue.table):,} sound, {catalogue.faulty_rows:,} with a problem",
            ),
            ("images", images if self.decoded else f"{images}; not decoded"),
            ("left out", catalogue.note),
            ("kind", catalogue.kind_note),
            ("votes", votes),
        ]
        return [(name, value) for name, value in state if value]

    @property
    def classes(self) -> list[tuple[str, str, str]]:
        """Of each scheme its name, how many galaxies it keeps, and how many of each class."""
        return [
            (
                scheme,
                f"{sum(classes.values()):,}",
                ", ".join(f"{name} {count:,}" for name, count in classes.items()),
            )
            for scheme, classes in self.counts.items()
        ]

    @property
    def rejected(self) -> pd.DataFrame:
        """The rows that can't be used, and why."""
        return self.catalogue.rejected()

    def __repr__(self) -> str:
        return "\n".join([*(f"{name}: {value}" for name, value in self.state), *self.notes])

    def _repr_html_(self) -> str:
        """Return the state, the classes and the first problems for a notebook's cell."""
        problems = [str(problem) for problem in self.catalogue.problems]
        parts = [html_table(("", ""), self.state, (0, 1))]
        if self.counts:
            parts.append(html_table(("scheme", "kept", "classes"), self.classes, (0, 2)))
        notes = [(line,) for line in [*self.notes, *problems[:SHOWN]]]
        if notes:
            parts.append(html_table(("notes and problems",), notes))
        return "".join(parts)


@takes(CutoutOptions)
def cutouts(table: Place, survey: str, output: Place, **options: Any) -> pd.DataFrame:
    """Fetch the images of a table's galaxies from a survey's service; return the manifest.

    Images have 424 pixels a side, of 0.02 times the galaxy's Petrosian radius each, as in Galaxy
    Zoo 2. After an interruption the same call goes on.

    Args:
        table: of ids, coordinates and radii, in any format.
        survey: `sdss`, `legacy`, `legacy:LAYER`, `panstarrs`, or `hips:ID` with the id of a HiPS.
        output: folder of `images/` and the manifest, `cutouts.csv`.

    Raises:
        BadInput: the table lacks a column, a row can't be used, the folder holds images of another
            survey, or the service doesn't answer.

    Example:
        >>> import galaxymorph as gm
        >>> table = gm.cutouts("galaxies.csv", "sdss", "cutouts")  # doctest: +SKIP
        >>> try:
        ...     gm.cutouts("sky/votes.parquet", "sdss", "cutouts")
        ... except gm.BadInput as error:
        ...     print(error)
        sky/votes.parquet: no columns of coordinates; name them with ra_column ...
    """
    from galaxymorph.images.cutout_services import find_service
    from galaxymorph.images.cutouts import CutoutChoice, fetch_cutouts
    from galaxymorph.images.fetching import RATE, TIMEOUT, Fetcher, require_http

    chosen = CutoutOptions(**options)
    require_http(chosen.address, setting("address"))
    return fetch_cutouts(
        Path(table),
        find_service(survey, chosen.address),
        Path(output),
        CutoutChoice(
            chosen.id_column,
            chosen.ra_column,
            chosen.dec_column,
            chosen.radius_column,
            chosen.field,
            chosen.skip_bad,
        ),
        Fetcher(chosen.rate or RATE, chosen.timeout or TIMEOUT, chosen.retries),
    )


@takes(CheckOptions)
def check(path: Place, **options: Any) -> CatalogueCheck:
    """Read a catalogue and its images and return what is in it and what is wrong.

    What a fit would stop at, such as too few galaxies of a class, is among the notes.

    Args:
        path: a folder or zip in the Kaggle layout, or a table with its images beside it.

    Raises:
        BadInput: there is no catalogue that can be read.

    Example:
        >>> import galaxymorph as gm
        >>> result = gm.check("sky")
        >>> result.catalogue.problems
        []
        >>> result.counts["layer1"]
        {'elliptical': 32, 'spiral': 6, 'irregular': 5}
    """
    chosen = CheckOptions(**options)
    catalogue = _read(path, chosen)
    copies: list[str] = []
    if not chosen.quick:
        references = list(catalogue.table["image"])
        require_fits(references, {"stretch": chosen.stretch, "bands": chosen.bands})
        rendering = Rendering().changed(chosen.stretch, chosen.bands)
        inspections = inspect_images(references, rendering=rendering)
        checked, catalogue = catalogue, catalogue.set_aside(image_problems(catalogue, inspections))
        copies = copies_in_words(checked, inspections)
    counts = count_classes(catalogue)
    faults = split_faults(catalogue)
    notes = [*_notes_before_a_fit(counts, faults), *copies]
    return CatalogueCheck(catalogue, counts, notes, not chosen.quick, PLAIN in faults)


def _notes_before_a_fit(counts: dict[str, dict[str, int]], faults: dict[str, str]) -> list[str]:
    """Return what a fit would stop at or can't learn, a line each."""
    classes = counts.get(PLAIN, {})
    lines = list(notes_on_classes(classes))
    if handed := handed_classes(list(classes)):
        lines.append(
            f"classes {', '.join(handed)} seem to differ in handedness; use "
            f"{setting('flips', False)}"
        )
    for scheme, fault in faults.items():
        how = "fit" if scheme == PLAIN else f"fit with {setting('scheme', scheme)}"
        lines.append(f"{how} would stop: {fault}")
    return lines
