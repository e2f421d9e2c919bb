"""The galaxies of a fit: read, labelled and checked, and compared when it is resumed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, counted, say, setting, warn
from galaxymorph.images import (
    NO_CONTENT,
    Frames,
    Inspection,
    cached_frames,
    first_copies,
    image_problems,
    inspect_images,
    require_fits,
)
from galaxymorph.learn.recipe import Recipe, item_frame, read_sources
from galaxymorph.learn.run_files import predictions_file
from galaxymorph.learn.runs import (
    Run,
    fingerprint,
    further_fingerprint,
    target_columns,
    with_votes_digest,
)
from galaxymorph.learn.sources.copies import stored_comparison, thumbnails, without_copies
from galaxymorph.learn.sources.reading import read_further
from galaxymorph.learn.sources.spec import FRACTIONS, fractions_setting
from galaxymorph.learn.targets.columns import label_galaxies, loss_columns, target_of, true_columns
from galaxymorph.zoo import (
    GALAXY_ZOO_CHALLENGE,
    PARTS,
    PLAIN,
    SCHEMES,
    Catalogue,
    given_split,
    label_catalogue,
    locate_images,
    notes_on_classes,
    read_catalogue,
    split_galaxies,
)
from galaxymorph.zoo.columns import GIVEN, PICTURE, SOURCE, TEST, TRAIN, WEIGHT
from galaxymorph.zoo.image_files import galaxy_name


@dataclass(frozen=True)
class Galaxies:
    """The labelled galaxies of a fit with their images' digests, and the rejected rows.

    `further` are those of further sources, which only train: None if the recipe has none.
    `fractions` is the kind of their vote fractions, one of `FRACTIONS`, empty for labels.
    """

    table: pd.DataFrame
    classes: list[str]
    rejected: pd.DataFrame
    path: str
    source: str
    frames: Frames | None
    further: pd.DataFrame | None = None
    fractions: str = ""


@dataclass(frozen=True)
class Labelled:
    """The labelled galaxies of a catalogue, before their images are decoded."""

    catalogue: Catalogue
    classes: list[str]
    path: str
    further: list[Catalogue] = field(default_factory=list)

    @property
    def counts(self) -> dict[str, int]:
        """The number of galaxies in each class."""
        counts = self.catalogue.table["label"].value_counts()
        return {name: int(counts.get(name, 0)) for name in self.classes}


def read_labels(path: str | Path, recipe: Recipe, skip_bad: bool = False) -> Labelled:
    """Read the galaxies of a catalogue and label them; no image is decoded.

    Args:
        path: of the catalogue, see `read_catalogue`.
        recipe: its scheme and target label them.
        skip_bad: set bad rows aside rather than stop.

    Raises:
        BadInput: something is wrong with a row, and `skip_bad` isn't set.
    """
    kind = None if recipe.fractions is None else FRACTIONS[recipe.fractions]
    catalogue = _read(path, recipe, kind)
    if recipe.test_data is not None:
        catalogue = _with_test(catalogue, _read(recipe.test_data, recipe, kind))
    catalogue.say_notes()
    if catalogue.unvoted:
        say(f"{counted(len(catalogue.unvoted), 'galaxy')} without votes excluded")
    if catalogue.unused_images:
        say(f"images without a row in {catalogue.source}: {catalogue.unused_images:,}")
    if not skip_bad:
        catalogue.require_sound()
    table, classes = label_galaxies(catalogue, recipe)
    if table.empty:
        raise BadInput(
            f"{catalogue.source}: no galaxy with a class remains",
            "see `data check`, which names each faulty row",
        )
    if left_out := len(catalogue.table) - len(table):
        by = f"column {recipe.labels_column}" if recipe.labels_column else f"scheme {recipe.scheme}"
        say(f"{left_out:,} of {len(catalogue.table):,} galaxies have no class by {by}")
    if catalogue.parts:
        table = table.assign(**{GIVEN: table["galaxy"].map(catalogue.parts)})
    further = read_further(recipe, skip_bad)
    labelled = Labelled(replace(catalogue, table=table), classes, _absolute(path), further)
    for note in notes_on_classes(labelled.counts):
        warn(note)
    return labelled


def _read(path: str | Path, recipe: Recipe, kind: str | None) -> Catalogue:
    return read_catalogue(
        path,
        recipe.labels_column,
        recipe.schema,
        recipe.id_column,
        kind,
        recipe.image_column,
        recipe.split_column,
        recipe.flux_bands,
    )


def training_images(labelled: Labelled, recipe: Recipe) -> list[str]:
    """Return the images of the galaxies that train, before any is decoded.

    With folds, each trains in all folds but one. A split that is drawn here differs from that of
    the fit by galaxies whose images can't be used.
    """
    table = labelled.catalogue.table
    if not recipe.folds:
        split = _drawn(table, labelled.classes, recipe).set_index("galaxy")["split"]
        table = table[table["galaxy"].map(split) == TRAIN]
    return list(table["image"])


def _with_test(catalogue: Catalogue, test: Catalogue) -> Catalogue:
    """Return one catalogue of two tables, whose galaxies train and are tested.

    Raises:
        BadInput: a galaxy is in both.
    """
    both = catalogue.table["galaxy"].isin(test.table["galaxy"])
    if both.any():
        raise BadInput(
            f"{test.source}: galaxy {catalogue.table['galaxy'][both].iloc[0]} is in "
            f"{catalogue.source} too ({both.sum():,} such)",
            "leave it out of one of the two",
        )
    parts = dict.fromkeys(catalogue.table["galaxy"], TRAIN)
    return replace(
        catalogue,
        table=pd.concat([catalogue.table, test.table], ignore_index=True),
        rows=catalogue.rows + test.rows,
        problems=[*catalogue.problems, *test.problems],
        unvoted=[*catalogue.unvoted, *test.unvoted],
        # Images of one table are no images without a row, where both lie in one folder.
        unused_images=0,
        parts=parts | dict.fromkeys(test.table["galaxy"], TEST),
    )


def mark_pictures(galaxies: Galaxies, recipe: Recipe) -> Galaxies:
    """Return the galaxies with the column `PICTURE`, by which a split keeps copies together.

    It is the digest of the first image that shows the galaxy, see `first_copies`.
    """
    table = galaxies.table
    distinct = table.loc[~table["digest"].duplicated(), "digest"].to_numpy()
    images = table.drop_duplicates("digest")["image"]

    def compare() -> np.ndarray:
        return first_copies(thumbnails(galaxies.frames, distinct, images, recipe))

    first = stored_comparison(galaxies.frames, distinct.tolist(), recipe, compare)
    pictures = dict(zip(distinct, distinct[first], strict=True))
    table = table.assign(**{PICTURE: table["digest"].map(pictures)})
    where = "whose part is the table's" if GIVEN in table else "in the same part as that"
    if identical := int(table["digest"].duplicated().sum()):
        say(f"{counted(identical, 'image')} identical to another one, {where}")
    alike = np.flatnonzero(first != np.arange(len(first)))
    if len(alike):
        names = table.drop_duplicates("digest")["galaxy"].to_numpy()
        say(
            f"{counted(len(alike), 'image')} of the galaxy of another one, {where}: "
            f"{names[alike[0]]} is {names[first[alike[0]]]}, by their pictures"
        )
    return replace(galaxies, table=table)


def draw_split(galaxies: Galaxies, recipe: Recipe) -> pd.DataFrame:
    """Return the split of a fit: that of the catalogue's own column or tables, or a drawn one.

    Args:
        galaxies: see `mark_pictures`.
        recipe: of the fit.

    Raises:
        BadInput: a class is too small, or a part is empty.
    """
    return _drawn(galaxies.table, galaxies.classes, recipe)


def _drawn(table: pd.DataFrame, classes: list[str], recipe: Recipe) -> pd.DataFrame:
    soft = target_of(recipe).soft
    if GIVEN in table:
        return given_split(table, classes, recipe.seed, recipe.calibration, soft)
    return split_galaxies(table, classes, recipe.seed, recipe.held_out, recipe.calibration, soft)


def decode_galaxies(
    labelled: Labelled, recipe: Recipe, skip_bad: bool = False, cache: bool = True
) -> Galaxies:
    """Decode the images of labelled galaxies and check them.

    Args:
        labelled: see `read_labels`.
        recipe: its crop and size frame the images.
        skip_bad: set bad images aside rather than stop.
        cache: keep the decoded frames on disk, see `cached_frames`.

    Raises:
        BadInput: something is wrong with an image, and `skip_bad` isn't set.
    """
    catalogues = [labelled.catalogue, *labelled.further]
    references = [image for catalogue in catalogues for image in catalogue.table["image"]]
    settings = {name: getattr(recipe, name) for name in ("stretch", "bands")}
    changed = {name: value for name, value in settings.items() if value != getattr(Recipe, name)}
    if recipe.pixels == "rgb":
        require_fits(references, changed)
    frames = None
    if cache and recipe.pipeline == "fast":
        frames, inspections = cached_frames(references, *item_frame(recipe), recipe.rendering)
    else:
        inspections = inspect_images(references, crop=recipe.crop, rendering=recipe.rendering)
    _say_empty(inspections)
    _say_gaps(inspections, recipe)
    tables, rejected = [], []
    for catalogue in catalogues:
        number = len(catalogue.table)
        table, left_out = _sound_galaxies(catalogue, inspections[:number], skip_bad)
        tables.append(table)
        rejected.append(left_out)
        inspections = inspections[number:]
    return Galaxies(
        tables[0],
        labelled.classes,
        pd.concat(rejected, ignore_index=True),
        labelled.path,
        _absolute(labelled.catalogue.source),
        frames,
        without_copies(tables[0], tables[1:], recipe, frames) if recipe.also else None,
        fractions_setting(labelled.catalogue.kind),
    )


def _sound_galaxies(
    catalogue: Catalogue, inspections: Sequence[Inspection], skip_bad: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return a catalogue's galaxies whose images can be used, and its rejected rows.

    Raises:
        BadInput: an image can't be used, and `skip_bad` isn't set.
    """
    table = catalogue.table.assign(digest=[inspection.digest for inspection in inspections])
    catalogue = catalogue.set_aside(image_problems(catalogue, inspections))
    if not skip_bad:
        catalogue.require_sound()
    sound = table[table["digest"] != ""].drop(columns="row").reset_index(drop=True)
    if sound.empty and len(table):
        raise BadInput(f"{catalogue.source}: none of its images can be used", inspections[0].fault)
    # Commands on the run may be started in another folder.
    sound["image"] = sound["image"].map(_absolute)
    return sound, catalogue.rejected()


def split_faults(catalogue: Catalogue) -> dict[str, str]:
    """Return the faults, by scheme, for which a fit with default parts can't split a catalogue.

    Plain labels count as one scheme; a tree other than the challenge's has none.
    """
    if catalogue.tree not in (None, GALAXY_ZOO_CHALLENGE):
        return {}
    faults = {}
    for scheme in SCHEMES if catalogue.tree else [PLAIN]:
        table, classes = label_catalogue(catalogue, scheme)
        try:
            split_galaxies(table, classes, Recipe.seed, Recipe.held_out, Recipe.calibration)
        except BadInput as error:
            faults[scheme] = str(error)
    return faults


def gather_galaxies(
    path: str | Path, recipe: Recipe, skip_bad: bool = False, cache: bool = True
) -> Galaxies:
    """Read, label and check the galaxies of a catalogue: `read_labels`, then `decode_galaxies`.

    Raises:
        BadInput: something is wrong with a row or an image, and `skip_bad` isn't set.
    """
    return decode_galaxies(read_labels(path, recipe, skip_bad), recipe, skip_bad, cache)


def _say_empty(inspections: Sequence[Inspection]) -> None:
    counts = Counter(image.status for image in inspections if image.status in NO_CONTENT)
    if counts:
        kinds = ", ".join(f"{status} {number:,}" for status, number in counts.items())
        say(f"{counted(counts.total(), 'image')} without a galaxy excluded: {kinds}")


def _say_gaps(inspections: Sequence[Inspection], recipe: Recipe) -> None:
    """Print how many images of flux lack a band or have bad pixels."""
    if recipe.pixels == "rgb":
        return
    missing = Counter(band for image in inspections for band in image.missing)
    if missing:
        number = sum(bool(image.missing) for image in inspections)
        bands = ", ".join(f"{band} {count:,}" for band, count in missing.items())
        say(f"{counted(number, 'image')} without a band, which is 0: {bands}")
    bad = [image.bad for image in inspections if image.bad]
    if bad:
        say(
            f"{counted(len(bad), 'image')} with bad pixels, filled from their neighbours "
            f"({np.median(bad):.2%} of the pixels in the median, {max(bad):.1%} at most)"
        )


def with_images(table: pd.DataFrame, data: str | Path | None = None) -> pd.DataFrame:
    """Return a run's table with the present paths of the images.

    Args:
        table: `galaxy` and `image`, their former paths.
        data: the catalogue, if it has moved.

    Raises:
        BadInput: an image isn't there.
    """
    if data is None:
        first = table["image"].iloc[0] if len(table) else None
        if first and not Path(first.split(REFERENCE_SEPARATOR)[0]).exists():
            raise BadInput(
                f"{first}: no such file",
                f"give the catalogue's present path with {setting('data')}",
            )
        return table
    images = locate_images(data, table["galaxy"])
    if images.isna().any():
        # A file may be that of one of the galaxy's bands.
        images = images.fillna(locate_images(data, table["image"].map(galaxy_name)))
    if images.isna().any():
        galaxy = table["galaxy"][images.isna()].iloc[0]
        raise BadInput(f"{data}: no image of galaxy {galaxy}", "give the catalogue of the run")
    return table.assign(image=images.map(_absolute))


def split_with_targets(split: pd.DataFrame, galaxies: Galaxies) -> pd.DataFrame:
    """Return a run's split with the present paths of the images, and the targets."""
    images = galaxies.table.set_index("galaxy")["image"]
    return join_targets(split.assign(image=split["galaxy"].map(images)), galaxies.table)


def training_table(split: pd.DataFrame, galaxies: Galaxies) -> pd.DataFrame:
    """Return a split with its targets and, if there are further sources, their galaxies in train.

    The result then has the columns that `targets.loss.SourcesLoss` takes.
    """
    if galaxies.further is None:
        return split
    main = split.assign(**{WEIGHT: 1.0, SOURCE: 0})
    return pd.concat([main, galaxies.further.assign(split=TRAIN)], ignore_index=True)


def join_targets(table: pd.DataFrame, source: pd.DataFrame) -> pd.DataFrame:
    """Return a table of galaxies with the soft targets of another table, if it has any."""
    columns = [name for name in target_columns(source) if name not in table]
    return table.join(source.set_index("galaxy")[columns], on="galaxy") if columns else table


def with_targets(run: Run, table: pd.DataFrame, data: str | Path | None = None) -> pd.DataFrame:
    """Return a table of a trained run's galaxies with their soft targets, if the run has such.

    The predictions' tables have them; those of training galaxies are read from the catalogue.

    Args:
        run: trained.
        table: `galaxy` and other columns.
        data: the catalogue, if it has moved.

    Raises:
        BadInput: the catalogue is needed and missing.
    """
    columns = {*true_columns(run.recipe, run.classes), *loss_columns(run.recipe, run.classes)}
    if not target_of(run.recipe).soft or columns <= set(table):
        return table
    parts = [part for part in PARTS if (run.path / predictions_file(part)).exists()]
    known = pd.concat([run.predictions(part) for part in parts], ignore_index=True)
    if columns <= set(known) and table["galaxy"].isin(known["galaxy"]).all():
        return join_targets(table, known[["galaxy", *sorted(columns)]])
    alone = replace(run.recipe, also=())
    labelled = read_labels(data or run.data["path"], alone, skip_bad=True)
    return join_targets(table, labelled.catalogue.table)


def require_same_galaxies(run: Run, galaxies: Galaxies) -> None:
    """Raise BadInput, naming a galaxy, if the catalogue isn't the one that the run was split on."""
    further = galaxies.further
    if further is not None and further_fingerprint(further) != run.data.get("further"):
        raise BadInput(
            f"{run.path}: a further catalogue changed since the run was started "
            f"({', '.join(source.path for source in read_sources(run.recipe))})",
            "restore it, or fit a new run",
        )
    if fingerprint(galaxies.table, run.data) == run.data["fingerprint"]:
        return
    split = with_votes_digest(run.split).drop(columns="fold", errors="ignore")
    now = with_votes_digest(galaxies.table)
    both = split.merge(now, on="galaxy", how="outer", suffixes=("", "_now"))
    for words, rows in (
        ("is gone", both["digest_now"].isna()),
        ("is new", both["digest"].isna()),
        ("has another label", both["label"] != both["label_now"]),
        ("has another image", both["digest"] != both["digest_now"]),
        ("has other votes", both["votes"] != both["votes_now"] if "votes_now" in both else None),
    ):
        if rows is not None and rows.any():
            raise BadInput(
                f"{galaxies.source}: changed since {run.path} was split: galaxy "
                f"{both['galaxy'][rows].iloc[0]} {words} ({rows.sum():,} such)",
                "restore the catalogue, or fit a new run",
            )
    raise BadInput(f"{run.path}: split.csv and recipe.json disagree", "fit a new run")


def _absolute(reference: str | Path) -> str:
    return str(Path(reference).absolute())
