"""Reading a catalogue and checking it: which galaxies there are, and what is wrong with the rest.

Nothing is repaired: a row is either as its author must have meant it, or set aside by name.
"""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd

from galaxymorph.base import REFERENCE_SEPARATOR, BadInput, list_members, read_bytes
from galaxymorph.zoo.layout import Layout, find_layout
from galaxymorph.zoo.tree import GALAXY_ZOO_CHALLENGE, Tree, broken_sums

ID_COLUMN = "GalaxyID"


@dataclass(frozen=True)
class Problem:
    """What is wrong with one row or one image, and which galaxy it belongs to, if any."""

    where: str
    what: str
    galaxy: str | None = None

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


@dataclass
class Catalogue:
    """The galaxies whose rows are sound and whose images are there.

    `table` has a row a galaxy in ascending order: `galaxy` (the id, text), `image` (a reference),
    `row` (its line in the file) and the table's own columns.
    """

    path: Path
    source: str
    table: pd.DataFrame
    tree: Tree | None
    rows: int
    problems: list[Problem] = field(default_factory=list)
    unused_images: int = 0

    def set_aside(self, problems: Iterable[Problem]) -> Catalogue:
        """Return the catalogue without the galaxies that these problems name."""
        problems = list(problems)
        bad = {problem.galaxy for problem in problems}
        table = self.table[~self.table["galaxy"].isin(bad)].reset_index(drop=True)
        return Catalogue(
            self.path,
            self.source,
            table,
            self.tree,
            self.rows,
            [*self.problems, *problems],
            self.unused_images,
        )

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
    raw = _read_table(layout.table)
    _require_columns(raw, layout.table, labels_column)
    tree = GALAXY_ZOO_CHALLENGE if labels_column is None else None
    numbers, problems = _check_rows(raw, layout.table, tree, labels_column)
    table, without_image = _join_images(numbers, layout)
    problems += without_image + _unsafe_names(layout)
    used = set(raw[ID_COLUMN])
    return Catalogue(
        Path(path),
        layout.table,
        table,
        tree,
        len(raw),
        problems,
        sum(stem not in used for stem in layout.images),
    )


def _read_table(reference: str) -> pd.DataFrame:
    """Return the table with ids as text, and `row`, the line in the file (the header is 1)."""
    data = read_bytes(reference)
    if reference.endswith(".zip"):
        inner = [name for name in list_members(reference) if name.endswith(".csv")]
        if not inner:
            raise BadInput(f"{reference}: no CSV table inside", "download it again")
        data = read_bytes(f"{reference}{REFERENCE_SEPARATOR}{inner[0]}")
    try:
        if reference.endswith(".gz"):
            data = gzip.decompress(data)
        if reference.endswith(".parquet"):
            table = pd.read_parquet(io.BytesIO(data))
        else:
            table = pd.read_csv(
                io.BytesIO(data), dtype={ID_COLUMN: str}, skip_blank_lines=False, low_memory=False
            )
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else "unreadable"
        raise BadInput(f"{reference}: not a readable table ({reason})", "mend the file") from None
    table["row"] = np.arange(2, len(table) + 2)
    return table


def _require_columns(table: pd.DataFrame, name: str, labels_column: str | None) -> None:
    votes = GALAXY_ZOO_CHALLENGE.columns
    needed = [ID_COLUMN, *(votes if labels_column is None else [labels_column])]
    missing = [column for column in needed if column not in table]
    if not missing:
        return
    if missing == votes:
        raise BadInput(
            f"{name}: no vote fractions (column {votes[0]} and the others)",
            "name the column of class names with --labels-column",
        )
    raise BadInput(
        f"{name}: column {missing[0]!r} is missing"
        + (f" (and {len(missing) - 1} more)" if len(missing) > 1 else ""),
        f"it has {', '.join(list(table.columns)[:6])}…",
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

    ids = table[ID_COLUMN].astype("string").str.strip()
    table[ID_COLUMN] = ids.astype(object)
    fault(ids.isna() | (ids == ""), f"{ID_COLUMN} is empty")
    first = raw["row"].groupby(ids).transform("min")
    fault(
        ids.duplicated(keep=False).astype(bool),
        ids.str.cat(first.astype("Int64").astype("string"), sep=", first in row ")
        .radd("doubled GalaxyID ")
        .fillna(""),
    )
    if tree is None:
        fault(table[labels_column].isna(), f"{labels_column} is empty")
        table["label"] = table[labels_column].astype("string").str.strip().astype(object)
    else:
        _check_votes(table, tree, fault)
    problems = [
        Problem(f"{name} row {row}", words, galaxy if isinstance(galaxy, str) else None)
        for row, words, galaxy in zip(table["row"], what, table[ID_COLUMN], strict=True)
        if words
    ]
    return table[what == ""], problems


def _check_votes(table: pd.DataFrame, tree: Tree, fault) -> None:
    for column in tree.columns:
        values = table[column]
        if not pd.api.types.is_float_dtype(values):
            table[column] = pd.to_numeric(values, errors="coerce").astype(float)
        lost = table[column].isna()
        if lost.any():
            fault(lost & values.isna(), f"{column} is empty")
            fault(lost, values.map(lambda value, at=column: f"{at} is {value!r}, not a number"))
        outside = ~table[column].between(0, 1) & ~lost
        if outside.any():
            fault(
                outside,
                table[column].map(lambda value, at=column: f"{at} is {value:g}, outside 0 to 1"),
            )
    broken = broken_sums(tree, table[tree.columns].to_numpy(float))
    for question, wrong in zip(tree.questions, broken.T, strict=True):
        fault(
            pd.Series(wrong, index=table.index),
            f"the answers of question {question.name} don't sum to the share who reached it",
        )


def _join_images(table: pd.DataFrame, layout: Layout) -> tuple[pd.DataFrame, list[Problem]]:
    table = table.rename(columns={ID_COLUMN: "galaxy"})
    table["image"] = table["galaxy"].map(layout.images)
    absent = table["image"].isna()
    problems = [
        Problem(f"{layout.table} row {row}", f"no image {galaxy}.jpg", galaxy)
        for row, galaxy in table.loc[absent, ["row", "galaxy"]].itertuples(index=False)
    ]
    return _in_order(table[~absent]), problems


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    numeric = table["galaxy"].str.fullmatch(r"\d{1,30}").all()
    key = (lambda ids: ids.map(int)) if numeric else None
    return table.sort_values("galaxy", key=key, kind="stable").reset_index(drop=True)


def _unsafe_names(layout: Layout) -> list[Problem]:
    return [
        Problem(reference, "the name leads out of the folder; it is never opened")
        for reference in layout.unsafe
    ]
