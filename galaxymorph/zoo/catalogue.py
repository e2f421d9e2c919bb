"""Catalogues of galaxies: rows and images read and checked.

Nothing is repaired: a row is sound, or it is set aside with its fault.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import BadInput, did_you_mean, near_names, one_line, say, setting, warn
from galaxymorph.zoo.checks import CheckedRows, as_ids, as_text, read_checked
from galaxymorph.zoo.columns import COUNT, PART_NAMES, PARTS, WORD, prefixed
from galaxymorph.zoo.image_columns import (
    find_references,
    image_columns,
    join_path,
    likely_image_column,
)
from galaxymorph.zoo.image_files import same_content
from galaxymorph.zoo.layout import Layout, find_layout
from galaxymorph.zoo.schemas import GALAXY_ZOO_CHALLENGE, SCHEMAS, Schema
from galaxymorph.zoo.tables import Table, open_table
from galaxymorph.zoo.tree import Tree
from galaxymorph.zoo.votes import Votes, gather_votes, id_column_of

ID_COLUMN = "GalaxyID"
# Of tables with class names, by default.
LABEL_IDS = (ID_COLUMN, "id_str")
# Columns of ids in common catalogues, in the order of preference, in lower case.
ID_COLUMNS = (
    *("id", "galaxy", "galaxyid", "id_str", "dr8_id", "objid", "object_id", "source_id"),
    *("iauname", "asset_id"),
)
# What pandas calls an index without a name, in a file and when it reads that again.
UNNAMED = ("", "Unnamed: 0")
# Difference of an answer's vote fraction from which two galaxies have other votes: of 40
# volunteers for each, chance alone makes 0.34 at three standard deviations.
OTHER_VOTES = 0.5
NO_VOTES = "nobody voted on the first question"
DEBIASED = "debiased"
# Notes for the user on the fractions that a table is trained on (Hart et al. 2016).
KIND_NOTES = {
    "fraction": "votes: raw fractions",
    "weighted": "votes: fractions weighted by the consistency of volunteers",
    DEBIASED: "votes: debiased fractions, which depend on distance and not on the image alone; the "
    "table has no complete counts, raw or weighted fractions",
}


@dataclass(frozen=True)
class Problem:
    """A fault of a row or an image, and the galaxy that it belongs to, if any.

    One that can't be repaired, such as a cutout outside of a survey, doesn't stop a fit.
    """

    where: str
    what: str
    galaxy: str | None = None
    stops: bool = True

    @property
    def row(self) -> float:
        """The number of the row in the table, infinite for a problem of none."""
        number = self.where.rpartition(" row ")[2]
        return int(number) if number.isdecimal() else float("inf")

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.what}")


@dataclass
class Catalogue:
    """The galaxies whose rows are sound and whose images are there.

    `table` has a row a galaxy in ascending order: `galaxy` (the id, text), `image` (a reference),
    `row` (its number in the file), and its `label`, or the cumulative vote fraction of every
    answer of the tree and, where the table has counts, `count_<answer>`. `unvoted` are galaxies
    without votes. `parts` are those of the split that the table gives, by galaxy. `note` names
    files among the images that are none, `kind` the kind of vote fractions.
    """

    path: Path
    source: str
    table: pd.DataFrame
    tree: Tree | None
    rows: int
    problems: list[Problem] = field(default_factory=list)
    unvoted: list[Problem] = field(default_factory=list)
    unused_images: int = 0
    note: str = ""
    kind: str = ""
    parts: dict[str, str] = field(default_factory=dict)

    @property
    def kind_note(self) -> str:
        """A line on the kind of vote fractions, empty if there are none or only one kind."""
        return KIND_NOTES.get(self.kind, "")

    @property
    def faulty_rows(self) -> int:
        """How many of the table's rows have a problem; `unvoted` ones have none for that alone."""
        faulty = {problem.row for problem in self.problems}
        left_out = sum(problem.row not in faulty for problem in self.unvoted)
        return self.rows - len(self.table) - left_out

    def have_other_labels(self, one: int, other: int) -> bool:
        """Tell whether the galaxies at two places differ in class, or very much in votes."""
        rows = self.table.iloc[[one, other]]
        if self.tree is None:
            return bool(rows["label"].nunique() > 1)
        return bool(np.ptp(rows[self.tree.columns].to_numpy(float), axis=0).max() > OTHER_VOTES)

    def say_notes(self) -> None:
        """Log the notes on the files and the votes; debiased fractions are a warning."""
        if self.note:
            say(self.note)
        if self.kind_note:
            (warn if self.kind == DEBIASED else say)(self.kind_note)

    def set_aside(self, problems: Iterable[Problem]) -> Catalogue:
        """Return the catalogue without the galaxies that these problems name."""
        problems = list(problems)
        bad = {problem.galaxy for problem in problems}
        table = self.table[~self.table["galaxy"].isin(bad)].reset_index(drop=True)
        every = sorted([*self.problems, *problems], key=lambda problem: problem.row)
        return replace(self, table=table, problems=every)

    def rejected(self) -> pd.DataFrame:
        """Return the galaxies left out as a table: `galaxy` (empty if none), `where`, `what`."""
        left_out = [*self.problems, *self.unvoted]
        return pd.DataFrame(
            [(problem.galaxy, problem.where, problem.what) for problem in left_out],
            columns=["galaxy", "where", "what"],
        )

    def require_sound(self) -> None:
        """Raise BadInput, naming the first problem that stops a fit and their number, if any."""
        problems = [problem for problem in self.problems if problem.stops]
        if not problems:
            return
        more = f" (and {len(problems) - 1:,} more)" if len(problems) > 1 else ""
        raise BadInput(
            f"{problems[0]}{more}",
            f"correct it, or exclude such rows with {setting('skip_bad')}; `data check` lists all "
            "of them",
        )


def read_catalogue(
    path: str | Path,
    labels_column: str | None = None,
    schema: str = GALAXY_ZOO_CHALLENGE.name,
    id_column: str | None = None,
    kind: str | None = None,
    image_column: str | None = None,
    split_column: str | None = None,
    bands: Sequence[str] = (),
) -> Catalogue:
    """Read a catalogue of votes in one of `SCHEMAS`, or one with plain labels.

    Args:
        path: a folder, a zip or a table, see `find_layout` and `open_table`.
        labels_column: the column of class names, for a table without vote fractions.
        schema: of the votes.
        id_column: that names the galaxies and their images; by default GalaxyID, or, of the
            schema's, the one that most images are named by.
        kind: of vote fractions, one of `schemas.KINDS`; by default, the schema's first that the
            table has.
        image_column: that says where images are; by default, one of `IMAGE_COLUMNS` if the table
            has it and its images are there; otherwise images are named by the ids.
        split_column: with the part of the split that each galaxy is in.
        bands: that images may have a file each of, see `band_files`.

    Returns:
        The sound galaxies, and a problem for every other row.

    Raises:
        BadInput: the table can't be read or lacks a column.

    Example:
        >>> import galaxymorph as gm
        >>> catalogue = gm.read_catalogue("sky")
        >>> list(catalogue.table.columns[:3])
        ['galaxy', 'Class1.1', 'Class1.2']
    """
    layout, table = _open(path, image_column)
    layout = layout.by_galaxy(bands)
    unvoted: list[Problem] = []
    table.require(image_column=image_column, split_column=split_column)
    if labels_column is not None:
        ids = id_column or _label_ids(table)
        _require_label(table, labels_column, ids)
        read = read_checked(table, ids, texts=[labels_column])
        rows, tree, kind = _labels(read, labels_column), None, ""
    else:
        rule = SCHEMAS.find(schema, setting("schema"))
        chosen = id_column or _best_ids(table, rule.ids, layout.images)
        rows, votes, unvoted = _votes(table, rule, chosen, kind)
        ids = chosen or id_column_of(table, rule)
        read, tree, kind = votes.rows, rule.tree, votes.kind
    layout = _with_references(layout, table, ids, image_column)
    catalogue = _with_images(Path(path), layout, tree, rows, read, unvoted)
    if split_column is not None:
        catalogue = _with_parts(catalogue, table, ids, split_column)
    return replace(catalogue, kind=kind)


def find_ids(table: Table, names: Collection[str] = ()) -> str | None:
    """Return the column that names a table's galaxies, None if none is called so.

    Args:
        table: opened.
        names: of galaxies; of several columns, the one that has most of them is returned.
    """
    schemas = (name.lower() for entry in SCHEMAS.values() for name in entry.ids)
    order = list(dict.fromkeys([*ID_COLUMNS, *schemas, *UNNAMED]))
    candidates = [name for name in table.columns if name in UNNAMED or name.lower() in order]
    candidates.sort(key=lambda name: order.index(name if name in order else name.lower()))
    best = _best_ids(table, candidates, names)
    return best or next(iter(candidates), None)


def table_catalogue(
    table: Table, id_column: str, labels_column: str | None, schema: str, kind: str | None
) -> Catalogue:
    """Return the galaxies of a table of votes or labels, in its order, of which no image is needed.

    Args:
        table: opened.
        id_column: that names the galaxies.
        labels_column: see `read_catalogue`.
        schema: see `read_catalogue`.
        kind: see `read_catalogue`.

    Raises:
        BadInput: the table can't be read or lacks a column.
    """
    tree, votes, unvoted = None, "", list[Problem]()
    if labels_column is not None:
        _require_label(table, labels_column, id_column)
        read = read_checked(table, id_column, texts=[labels_column])
        rows = _labels(read, labels_column)
    else:
        rule = SCHEMAS.find(schema, setting("schema"))
        rows, given, unvoted = _votes(table, rule, id_column, kind)
        tree, votes, read = rule.tree, given.kind, given.rows
    problems = _problems(table.reference, read)
    rows = rows.assign(row=rows.index, image="").reset_index(drop=True)
    path = Path(table.reference)
    return Catalogue(path, table.reference, rows, tree, read.count, problems, unvoted, kind=votes)


def read_words(path: str | Path, columns: Sequence[str], id_column: str | None = None) -> Catalogue:
    """Read a catalogue with columns of words, of which some may be empty in some rows.

    Args:
        path: see `read_catalogue`.
        columns: of words.
        id_column: that names the galaxies and their images; by default GalaxyID.

    Returns:
        The sound galaxies, with the words as `word_<column>`, empty text where there is none.

    Raises:
        BadInput: the table can't be read or lacks a column.
    """
    layout, table = _open(path)
    ids = id_column or _label_ids(table)
    for column in columns:
        _require_label(table, column, ids)
    read = read_checked(table, ids, texts=list(columns))
    layout = _with_references(layout, table, ids)
    rows = pd.DataFrame({"galaxy": read.ids.astype(object)}, index=read.rows)
    for column in columns:
        rows[WORD + column] = read.texts[column].fillna("").to_numpy(object)
    return _with_images(Path(path), layout, None, rows[read.sound], read, [])


def locate_images(path: str | Path, galaxies: pd.Series) -> pd.Series:
    """Return the references of some galaxies' images in a catalogue, missing where there is none.

    Args:
        path: see `find_layout`.
        galaxies: their ids.
    """
    layout, table = _open(path)
    images = galaxies.map(layout.image_of)
    if not images.isna().any():
        return images
    known = {name.lower(): name for name in reversed(table.columns)}
    for name in (known[lower] for lower in ID_COLUMNS if lower in known):
        layout = _with_references(layout, table, name)
        images = galaxies.map(layout.image_of)
        if not images.isna().any():
            break
    return images


def _open(path: str | Path, image_column: str | None = None) -> tuple[Layout, Table]:
    if Path(path).is_file() and not str(path).lower().endswith(".zip"):
        # A file that is no table is refused before its images are looked for.
        open_table(path)
    layout = find_layout(path, need_images=False)
    table = open_table(layout.table)
    if not layout.images and not image_columns(table.columns, image_column):
        if likely := likely_image_column(table):
            raise BadInput(f"no images for {layout.table}", _name_column(likely))
        find_layout(path)
    return layout, table


def _name_column(column: str | None) -> str:
    return f"name the column of images: {setting('image_column', column)}"


def _label_ids(table: Table) -> str:
    """Return the column of ids of a table with class names, by default."""
    return next((name for name in LABEL_IDS if name in table), ID_COLUMN)


def _texts_by_id(table: Table, ids: str, columns: Sequence[str]) -> pd.DataFrame:
    """Return some columns as text, "" where empty, a row an id, and the column `row`."""
    parts = []
    for piece in table.pieces(list(dict.fromkeys([ids, *columns]))):
        texts = {name: as_text(piece.frame[name]).fillna("") for name in columns}
        frame = pd.DataFrame(texts).assign(row=piece.frame.index)
        parts.append(frame.set_axis(as_ids(piece.frame[ids])[0]))
    if not parts:
        return pd.DataFrame(columns=[*columns, "row"])
    whole = pd.concat(parts)
    return whole[whole.index.notna() & ~whole.index.duplicated()]


def _with_references(layout: Layout, table: Table, ids: str, chosen: str | None = None) -> Layout:
    """Return the layout with the images that the table's column names, by galaxy.

    Without a chosen column, it counts if any image that it names is there.
    """
    columns = image_columns(table.columns, chosen)
    if not columns:
        return layout
    try:
        texts = _texts_by_id(table, ids, columns)
    except BadInput:
        if chosen:
            raise
        # A column of pictures, which has another use.
        return layout
    joined = map(join_path, texts[columns].itertuples(index=False))
    paths = dict(zip(texts.index, joined, strict=True))
    references = find_references(paths, Path(layout.table).absolute().parent, layout.images)
    if not references and (layout.images and not chosen):
        return layout
    named = layout.images if not chosen else {}
    missing = {
        galaxy: f"no image {path}" if path else f"{columns[-1]} is empty"
        for galaxy, path in paths.items()
        if galaxy not in references
    }
    return replace(layout, references=references, missing=missing, images=dict(named))


def _with_parts(catalogue: Catalogue, table: Table, ids: str, column: str) -> Catalogue:
    """Return the catalogue with the part of the split of each galaxy."""
    texts = _texts_by_id(table, ids, [column])
    words = dict(zip(texts.index, zip(texts[column], texts["row"], strict=True), strict=True))
    parts, problems = {}, []
    for galaxy in catalogue.table["galaxy"]:
        text, number = words[galaxy]
        part = PART_NAMES.get(text.lower())
        if part is None:
            what = f"{column} is {text!r}, none of {', '.join(PARTS)}" if text else ""
            row = f"{table.reference} row {number}"
            problems.append(Problem(row, what or f"{column} is empty", galaxy))
        else:
            parts[galaxy] = part
    return replace(catalogue.set_aside(problems), parts=parts)


def _with_images(
    path: Path,
    layout: Layout,
    tree: Tree | None,
    rows: pd.DataFrame,
    read: CheckedRows,
    unvoted: list[Problem],
) -> Catalogue:
    problems = _problems(layout.table, read)
    table, without_image = _join_images(rows, layout)
    used = {layout.image_of(galaxy) for galaxy in read.ids.dropna()}
    catalogue = Catalogue(
        path,
        layout.table,
        table,
        tree,
        read.count,
        problems + without_image + _unsafe_names(layout),
        unvoted,
        sum(reference not in used for reference in layout.images.values()),
        layout.note,
    )
    return catalogue.set_aside(_doubled_images(table, layout))


def _problems(source: str, read: CheckedRows) -> list[Problem]:
    """Return the faults of a table's rows."""
    known = dict(zip(read.rows.tolist(), read.ids, strict=True))
    return [
        Problem(f"{source} row {row}", words, _text_or_none(known.get(row)))
        for row, words in sorted(read.words.items())
    ]


def _text_or_none(value: object) -> str | None:
    return value if isinstance(value, str) else None


def _require_label(table: Table, labels_column: str, ids: str) -> None:
    for column in (ids, labels_column):
        if column in table:
            continue
        of_ids = column == ids
        others = [name for name in table.columns if name not in (ids, labels_column)]
        known = [name for name in others if of_ids and name.lower() in ID_COLUMNS]
        if near := near_names(column, others) or known:
            meant = setting("id_column", near[0]) if of_ids else near[0]
            remedy = f"did you mean {meant}?"
        else:
            named = f"; name the column of ids with {setting('id_column')}" if of_ids else ""
            remedy = did_you_mean(column, table.columns) + named
        raise BadInput(f"{table.reference}: column {column!r} is missing", remedy)


def _labels(read: CheckedRows, column: str) -> pd.DataFrame:
    """Return the sound rows, each with its `label`."""
    labels = read.texts[column]
    read.fault(labels.isna().to_numpy(bool), f"{column} is empty")
    rows = pd.DataFrame(
        {"galaxy": read.ids.astype(object), "label": labels.astype(object)}, index=read.rows
    )
    return rows[read.sound]


def _votes(
    table: Table, schema: Schema, ids: str | None, kind: str | None
) -> tuple[pd.DataFrame, Votes, list[Problem]]:
    """Return the sound rows with votes, the votes of all rows, and the galaxies without votes."""
    votes = gather_votes(table, schema, kind, ids)
    read, answers = votes.rows, schema.tree.columns
    rows = pd.DataFrame(votes.cumulative, columns=answers, index=read.rows)
    rows.insert(0, "galaxy", votes.galaxy)
    if votes.counts is not None:
        counts = pd.DataFrame(votes.counts, index=rows.index, columns=prefixed(COUNT, answers))
        rows = rows.join(counts)
    unvoted = [
        Problem(f"{table.reference} row {row}", NO_VOTES, galaxy)
        for row, galaxy in rows.loc[votes.unvoted, "galaxy"].items()
    ]
    return rows[read.sound & ~votes.unvoted], votes, unvoted


def _best_ids(table: Table, ids: Sequence[str], names: Collection[str]) -> str | None:
    """Return the column of ids that has most of some names, None for a schema's first.

    Args:
        table: opened.
        ids: columns that can name a galaxy; not all are in the table.
        names: of images.
    """
    candidates = [name for name in ids if name in table]
    if len(candidates) < 2:
        return None
    matches = dict.fromkeys(candidates, 0)
    for piece in table.pieces(candidates):
        for name in candidates:
            matches[name] += int(as_ids(piece.frame[name])[0].isin(list(names)).sum())
    return max(candidates, key=matches.__getitem__) if any(matches.values()) else None


def _join_images(table: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, list[Problem]]:
    images = table["galaxy"].map(layout.image_of)
    table = table.assign(row=table.index, image=images)
    absent = table["image"].isna()
    _require_some(table, absent, layout)
    problems = [
        Problem(f"{layout.table} row {row}", layout.fault_of(galaxy), galaxy)
        for row, galaxy in table.loc[absent, ["row", "galaxy"]].itertuples(index=False)
    ]
    return _in_order(table[~absent]), problems


def _require_some(table: pd.DataFrame, absent: pd.Series, layout: Layout) -> None:
    """Raise BadInput if no galaxy at all has an image: then the names don't match."""
    if absent.all() and len(table) > 1 and layout.missing:
        raise BadInput(
            f"{layout.table}: none of its {len(table):,} galaxies has an image: "
            f"{layout.fault_of(table['galaxy'].iloc[0])}",
            f"paths are relative to the table's folder, or absolute; {_name_column(None)}",
        )
    if absent.all() and len(table) > 1:
        images, galaxy = list(layout.images.values()), table["galaxy"].iloc[0]
        remedy = (
            "call the images as the galaxies are, or name the column of ids with "
            f"{setting('id_column')}, or that of images with {setting('image_column')}"
        )
        if likely := likely_image_column(open_table(layout.table)):
            remedy = _name_column(likely)
        elif any(name.lstrip("0") == galaxy.lstrip("0") for name in layout.images):
            remedy = "leading zeros are all that differs: call both alike, ids as text"
        raise BadInput(
            f"{layout.table}: none of its {len(table):,} galaxies has an image: no image "
            f"{galaxy}.jpg; the first of {len(images):,} images is {images[0]}",
            remedy,
        )


def _doubled_images(table: pd.DataFrame, layout: Layout) -> list[Problem]:
    """Return a problem for every galaxy with another image of its name and of other content."""
    return [
        Problem(other, f"galaxy {galaxy} has another image: {image}", galaxy)
        for galaxy, image in table[["galaxy", "image"]].itertuples(index=False)
        if galaxy not in layout.references
        for other in layout.doubled.get(layout.name_of(galaxy), ())
        if not same_content(image, other)
    ]


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    numeric = table["galaxy"].str.fullmatch(r"\d{1,30}").all()
    key = (lambda ids: ids.map(int)) if numeric else None
    return table.sort_values("galaxy", key=key, kind="stable").reset_index(drop=True)


def _unsafe_names(layout: Layout) -> list[Problem]:
    return [
        Problem(reference, "the name leads outside the folder; such a file is never opened")
        for reference in layout.unsafe
    ]
