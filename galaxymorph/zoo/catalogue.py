"""Reading a catalogue and checking it: which galaxies there are, and what is wrong with the rest.

Nothing is repaired: a row is either as its author must have meant it, or set aside by name.
"""

from __future__ import annotations

import csv
import gzip
import io
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, list_members, one_line, read_bytes
from galaxymorph.zoo.image_files import is_usable, same_content
from galaxymorph.zoo.layout import Layout, find_layout
from galaxymorph.zoo.schemas import SCHEMAS
from galaxymorph.zoo.tree import GALAXY_ZOO_CHALLENGE, Tree, broken_sums
from galaxymorph.zoo.votes import read_votes

ID_COLUMN = "GalaxyID"
# What the columns of a vote count begin with; the answer follows.
COUNT = "count_"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row or one image, and which galaxy it belongs to, if any."""

    where: str
    what: str
    galaxy: str | None = None

    def __str__(self) -> str:
        return one_line(f"{self.where}: {self.what}")


@dataclass
class Catalogue:
    """The galaxies whose rows are sound and whose images are there.

    `table` has a row a galaxy in ascending order: `galaxy` (the id, text), `image` (a reference),
    `row` (its line in the file) and the table's own columns. `note` says which files among the
    images are none.
    """

    path: Path
    source: str
    table: pd.DataFrame
    tree: Tree | None
    rows: int
    problems: list[Problem] = field(default_factory=list)
    unused_images: int = 0
    note: str = ""

    def set_aside(self, problems: Iterable[Problem]) -> Catalogue:
        """Return the catalogue without the galaxies that these problems name."""
        problems = list(problems)
        bad = {problem.galaxy for problem in problems}
        table = self.table[~self.table["galaxy"].isin(bad)].reset_index(drop=True)
        return replace(self, table=table, problems=[*self.problems, *problems])

    def rejected(self) -> pd.DataFrame:
        """Return the problems as a table: `galaxy` (empty if none), `where`, `what`."""
        return pd.DataFrame(
            [(problem.galaxy, problem.where, problem.what) for problem in self.problems],
            columns=["galaxy", "where", "what"],
        )

    def require_sound(self) -> None:
        """Raise BadInput, naming the first problem and their number, if there is any."""
        if not self.problems:
            return
        more = f" (and {len(self.problems) - 1:,} more)" if len(self.problems) > 1 else ""
        raise BadInput(
            f"{self.problems[0]}{more}",
            "mend it, or use --skip-bad to go on without; `data check` lists them all",
        )


def read_catalogue(path: str | Path, labels_column: str | None = None) -> Catalogue:
    """Read a catalogue in the Kaggle layout, or one with plain labels.

    Args:
        path: a folder, a zip or a table, see `find_layout`.
        labels_column: the column of class names, for a table without vote fractions.

    Returns:
        The sound galaxies, and a problem for every other row.

    Raises:
        BadInput: the table can't be read or lacks a column.
    """
    layout = find_layout(path)
    raw, overlong = _read_table(layout.table, labels_column)
    _require_columns(raw, layout.table, labels_column)
    if raw.empty and not overlong:
        raise BadInput(f"{layout.table}: the table has no rows", "add a row a galaxy")
    raw[ID_COLUMN] = raw[ID_COLUMN].astype("string").str.strip()
    tree = GALAXY_ZOO_CHALLENGE if labels_column is None else None
    numbers, problems = _check_rows(raw, layout.table, tree, labels_column)
    table, without_image = _join_images(numbers, layout)
    problems += overlong + without_image + _unsafe_names(layout)
    used = {layout.name_of(galaxy) for galaxy in raw[ID_COLUMN].dropna()}
    catalogue = Catalogue(
        Path(path),
        layout.table,
        table,
        tree,
        len(raw) + len(overlong),
        problems,
        sum(stem not in used for stem in layout.images),
        layout.note,
    )
    return catalogue.set_aside(_doubled_images(table, layout))


def read_vote_catalogue(path: str | Path, schema: str, id_column: str | None = None) -> Catalogue:
    """Read a catalogue whose table follows one of `SCHEMAS` other than the challenge's.

    Args:
        path: as for `read_catalogue`; the table may be FITS too, if it is named itself.
        schema: one of `SCHEMAS`.
        id_column: that names the galaxies, and their images; by itself, one of the schema's.

    Returns:
        The galaxies with an image: the cumulative vote fraction of every answer of the schema's
        tree, and `count_<answer>` where the table has counts; a problem for every other row.

    Raises:
        BadInput: the table can't be read, or a row of it is wrong, see `read_votes`.
    """
    layout = find_layout(path)
    if REFERENCE_SEPARATOR in layout.table:
        raise BadInput(f"{layout.table}: a vote catalogue in an archive", "unpack the table")
    votes = read_votes(layout.table, schema, id_column=id_column)
    answers = votes.schema.tree.columns
    # The header is row 1, as `read_votes` counts.
    rows = pd.DataFrame(
        votes.cumulative, columns=answers, index=np.arange(2, len(votes.galaxy) + 2)
    )
    rows.insert(0, ID_COLUMN, votes.galaxy)
    if votes.counts is not None:
        counts = pd.DataFrame(votes.counts, index=rows.index)
        rows = rows.join(counts.set_axis([COUNT + answer for answer in answers], axis=1))
    table, without_image = _join_images(rows, layout)
    known = {layout.name_of(galaxy) for galaxy in votes.galaxy}
    catalogue = Catalogue(
        Path(path),
        layout.table,
        table,
        votes.schema.tree,
        len(rows),
        without_image + _unsafe_names(layout),
        sum(stem not in known for stem in layout.images),
        layout.note,
    )
    return catalogue.set_aside(_doubled_images(table, layout))


def _read_table(reference: str, labels_column: str | None) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the table and a problem for each row that had to be left out of it.

    The index is the row's line in the file (the header is 1); ids and plain labels are text.
    """
    data = read_bytes(reference)
    if reference.endswith(".zip"):
        members = list_members(reference)
        inner = [name for name in members if name.endswith(".csv") and is_usable(name)]
        if not inner:
            raise BadInput(f"{reference}: no CSV table inside", "download it again")
        data = read_bytes(f"{reference}{REFERENCE_SEPARATOR}{inner[0]}")
    try:
        if reference.endswith(".gz"):
            data = gzip.decompress(data)
        if reference.endswith(".parquet"):
            table, overlong = pd.read_parquet(io.BytesIO(data)), {}
        else:
            table, overlong = _parse_csv(
                data.rstrip(b"\r\n"), [ID_COLUMN, labels_column or ID_COLUMN]
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise BadInput(f"{reference}: not a readable table ({reason})", "mend the file") from None
    lines = np.arange(2, len(table) + len(overlong) + 2)
    table.index = pd.Index(np.setdiff1d(lines, list(overlong)))
    return table, [Problem(f"{reference} row {row}", what) for row, what in overlong.items()]


def _parse_csv(data: bytes, text: list[str]) -> tuple[pd.DataFrame, dict[int, str]]:
    """Return the table without the rows that have more fields than the header, and those rows."""

    def parse(skip: Iterable[int] = ()) -> pd.DataFrame:
        with warnings.catch_warnings():
            # Where the first row has a field too many, pandas drops it and only warns.
            warnings.simplefilter("error", pd.errors.ParserWarning)
            return pd.read_csv(
                io.BytesIO(data),
                dtype=dict.fromkeys(text, str),
                index_col=False,
                skip_blank_lines=False,
                low_memory=False,
                skiprows=[row - 1 for row in skip],
            )

    try:
        return parse(), {}
    except (pd.errors.ParserError, pd.errors.ParserWarning) as error:
        # pandas counts from the header, which is its row 0.
        if quote := re.search(r"EOF inside string starting at row (\d+)", str(error)):
            raise ValueError(f"a quote in row {int(quote[1]) + 1} is never closed") from None
        header, *rows = csv.reader(io.StringIO(data.decode("utf-8-sig"), newline=""))
    overlong = {
        line: f"{len(row)} fields, but the header has {len(header)}"
        for line, row in enumerate(rows, 2)
        if len(row) > len(header)
    }
    return parse(overlong), overlong


def _require_columns(table: pd.DataFrame, name: str, labels_column: str | None) -> None:
    votes = GALAXY_ZOO_CHALLENGE.columns
    needed = [ID_COLUMN, *(votes if labels_column is None else [labels_column])]
    missing = [column for column in needed if column not in table]
    if not missing:
        return
    others = [schema for schema in SCHEMAS.values() if schema.tree is not GALAXY_ZOO_CHALLENGE]
    for schema in others if labels_column is None else ():
        if any(set(schema.answer_columns(kind)) <= set(table) for kind in schema.columns):
            raise BadInput(
                f"{name}: its votes are {schema.tree.name}'s",
                f"fit with --target tree --schema {schema.tree.name}",
            )
    if missing == votes:
        raise BadInput(
            f"{name}: no vote fractions (column {votes[0]} and the others)",
            "name the column of class names with --labels-column",
        )
    raise BadInput(
        f"{name}: column {missing[0]!r} is missing"
        + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
        f"it has {', '.join(map(str, table.columns[:6]))}…",
    )


def _check_rows(
    raw: pd.DataFrame, name: str, tree: Tree | None, labels_column: str | None
) -> tuple[pd.DataFrame, list[Problem]]:
    """Return the sound rows, votes as numbers, and the problems of the others."""
    table = raw.copy()
    # `what` holds the first fault of each row; later checks see only rows without one.
    what = pd.Series("", index=table.index, dtype=object)

    def fault(rows: pd.Series, words: str | pd.Series) -> None:
        rows = rows & (what == "")
        what[rows] = words[rows] if isinstance(words, pd.Series) else words

    ids = raw[ID_COLUMN]
    table[ID_COLUMN] = ids.astype(object)
    fault(ids.isna() | (ids == ""), f"{ID_COLUMN} is empty")
    first = raw.index.to_series().groupby(ids).transform("min")
    fault(
        ids.duplicated(keep=False).astype(bool),
        ids.str.cat(first.astype("Int64").astype("string"), sep=", first in row ")
        .radd("doubled GalaxyID ")
        .fillna(""),
    )
    if tree is None:
        labels = table[labels_column].astype("string").str.strip()
        fault(labels.isna() | (labels == ""), f"{labels_column} is empty")
        table["label"] = labels.astype(object)
    else:
        _check_votes(table, tree, fault)
    problems = [
        Problem(f"{name} row {row}", words, galaxy if isinstance(galaxy, str) else None)
        for row, words, galaxy in zip(table.index, what, table[ID_COLUMN], strict=True)
        if words
    ]
    return table[what == ""], problems


def _check_votes(table: pd.DataFrame, tree: Tree, fault) -> None:
    for column in tree.columns:
        values = table[column]
        if values.dtype != float:
            table[column] = pd.to_numeric(values, errors="coerce").astype(float)
        lost = table[column].isna()
        if lost.any():
            fault(lost & values.isna(), f"{column} is empty or NaN")
            fault(lost, values.map(lambda value, at=column: f"{at} is {value!r}, not a number"))
        outside = ~table[column].between(0, 1) & ~lost
        if outside.any():
            fault(
                outside,
                table[column].map(lambda value, at=column: f"{at} is {value:g}, outside 0 to 1"),
            )
    votes = table[tree.columns].to_numpy(float)
    broken = broken_sums(tree, np.where(np.isfinite(votes), votes, np.nan))
    for question, wrong in zip(tree.questions, broken.T, strict=True):
        fault(
            pd.Series(wrong, index=table.index),
            f"the answers of question {question.name} don't sum to the share who reached it",
        )


def _join_images(table: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, list[Problem]]:
    ours = ["galaxy", "image", "row"]
    table = table.drop(columns=ours, errors="ignore").rename(columns={ID_COLUMN: "galaxy"})
    table["row"] = table.index
    table["image"] = table["galaxy"].map(layout.name_of).map(layout.images)
    absent = table["image"].isna()
    _require_some(table, absent, layout)
    problems = [
        Problem(f"{layout.table} row {row}", f"no image {galaxy}.jpg", galaxy)
        for row, galaxy in table.loc[absent, ["row", "galaxy"]].itertuples(index=False)
    ]
    return _in_order(table[~absent]), problems


def _require_some(table: pd.DataFrame, absent: pd.Series, layout: Layout) -> None:
    """Raise BadInput if no galaxy at all has an image: then the names don't match."""
    if absent.all() and len(table) > 1:
        images = list(layout.images.values())
        raise BadInput(
            f"{layout.table}: none of its {len(table):,} galaxies has an image: the first is "
            f"{table['galaxy'].iloc[0]!r}, and the first of {len(images):,} images is {images[0]}",
            "call the images as the galaxies are, or name the column of ids",
        )


def _doubled_images(table: pd.DataFrame, layout: Layout) -> list[Problem]:
    """Return a problem for every galaxy with another image of its name and of other content."""
    return [
        Problem(other, f"galaxy {galaxy} has another: {image}", galaxy)
        for galaxy, image in table[["galaxy", "image"]].itertuples(index=False)
        for other in layout.doubled.get(layout.name_of(galaxy), ())
        if not same_content(image, other)
    ]


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    numeric = table["galaxy"].str.fullmatch(r"\d{1,30}").all()
    key = (lambda ids: ids.map(int)) if numeric else None
    return table.sort_values("galaxy", key=key, kind="stable").reset_index(drop=True)


def _unsafe_names(layout: Layout) -> list[Problem]:
    return [
        Problem(reference, "the name leads out of the folder; it is never opened")
        for reference in layout.unsafe
    ]
