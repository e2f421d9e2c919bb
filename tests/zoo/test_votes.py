import gzip
import warnings

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxymorph.base import BadInput
from galaxymorph.zoo import SCHEMAS, read_votes, to_cumulative
from galaxymorph.zoo.tree import broken_sums
from tests.makers import PUBLISHED, votes_table

ASKED = 40


def made_votes(name: str, n: int = 6, seed: int = 0) -> pd.DataFrame:
    """A catalogue as released: volunteers walk the tree; counts, totals, fractions, an id."""
    schema, rng = SCHEMAS.find(name), np.random.default_rng(seed)
    tree = schema.tree
    counts = np.zeros((n, len(tree.columns)), int)
    for at in tree.walk:
        members = np.flatnonzero(tree.membership[at])
        asked = ASKED if tree.asked_of_all[at] else counts @ tree.leads[at].astype(int)
        chances = rng.dirichlet(np.ones(len(members)), n)
        counts[:, members] = rng.multinomial(asked, chances)
    totals = counts @ tree.membership.T.astype(int)
    with np.errstate(invalid="ignore"):
        fractions = counts / (totals @ tree.membership.astype(int))
    columns = {schema.ids[0]: [f"J{number:04d}" for number in range(n)]}
    columns |= dict(zip(schema.answer_columns("counts"), counts.T, strict=True))
    for kind in set(schema.columns) & {"fraction", "weighted"}:
        columns |= dict(zip(schema.answer_columns(kind), fractions.T, strict=True))
    if "debiased" in schema.columns:
        debiased = np.minimum(fractions * rng.uniform(0.5, 1.5, fractions.shape), 1)
        columns |= dict(zip(schema.answer_columns("debiased"), debiased.T, strict=True))
    for at, names in enumerate(schema.total_columns().values()):
        if names:
            columns[names[0]] = totals[:, at]
    columns["ra"] = rng.uniform(0, 360, n)
    return pd.DataFrame(columns)


def write(table: pd.DataFrame, path):
    if path.name.endswith(".csv"):
        table.to_csv(path, index=False)
    elif path.name.endswith(".csv.gz"):
        path.write_bytes(gzip.compress(table.to_csv(index=False).encode()))
    elif path.name.endswith(".parquet"):
        table.to_parquet(path, index=False)
    else:
        Table.from_pandas(table).write(path, format="fits")
    return path


every_schema = pytest.mark.parametrize("name", SCHEMAS)


@pytest.mark.parametrize(
    ("name", "ending"),
    [
        *((name, "csv") for name in SCHEMAS),
        *((name, ending) for name in PUBLISHED for ending in ("csv.gz", "parquet", "fits")),
        ("gz_evo_v2", "fits.gz"),
    ],
)
def test_every_schema_is_told_and_read_from_every_kind_of_file(name, ending, tmp_path):
    table = made_votes(name)
    votes = read_votes(write(table, tmp_path / f"votes.{ending}"))
    schema = SCHEMAS.find(name)
    assert votes.schema is schema
    assert votes.kind == "counts"
    assert votes.galaxy.tolist() == table[schema.ids[0]].tolist()
    assert (votes.counts == table[schema.answer_columns("counts")]).all(axis=None)
    assert votes.counts.dtype == float
    asked = votes.counts @ schema.tree.membership.T @ schema.tree.membership
    expected = votes.counts / np.where(asked, asked, np.nan)
    assert np.allclose(votes.conditional, expected, equal_nan=True)
    assert np.allclose(votes.cumulative, to_cumulative(schema.tree, expected))
    assert not broken_sums(schema.tree, votes.cumulative).any()


@every_schema
def test_whole_numbers_of_votes_walk_down_the_tree_as_they_are(name, tmp_path):
    """All that a path's volunteers do next is counted, so cumulative x volunteers = counts."""
    votes = read_votes(write(made_votes(name, 40), tmp_path / "votes.parquet"))
    assert np.allclose(votes.cumulative * ASKED, votes.counts)


@pytest.mark.parametrize("kind", ["fraction", "weighted", "debiased"])
def test_the_fractions_can_come_from_other_columns_than_the_counts(kind, tmp_path):
    table = made_votes("galaxy-zoo-2")
    votes = read_votes(write(table, tmp_path / "votes.fits"), kind=kind)
    tree = votes.schema.tree
    raw = table[votes.schema.answer_columns(kind)].to_numpy()
    sums = np.nan_to_num(raw) @ tree.membership.T @ tree.membership
    assert votes.kind == kind
    assert votes.counts is not None
    assert np.allclose(votes.conditional, raw / np.where(sums, sums, np.nan), equal_nan=True)
    asked = (votes.conditional >= 0) @ tree.membership.T > 0
    assert np.allclose((np.nan_to_num(votes.conditional) @ tree.membership.T)[asked], 1)


def test_fractions_alone_are_enough(tmp_path):
    table = made_votes("galaxy-zoo-decals")
    wanted = ["iauname", *SCHEMAS.find("galaxy-zoo-decals").answer_columns("fraction")]
    votes = read_votes(write(table[wanted].round(3), tmp_path / "votes.csv"))
    assert votes.kind == "fraction"
    assert votes.counts is None
    full = read_votes(write(table, tmp_path / "full.csv"))
    assert np.allclose(votes.conditional, full.conditional, atol=2e-3, equal_nan=True)


def test_the_kaggle_table_is_cumulative(tmp_path):
    table = votes_table(5)
    votes = read_votes(write(table, tmp_path / "training_solutions_rev1.csv"))
    assert votes.schema.tree.name == "galaxy-zoo-challenge"
    assert votes.kind == "cumulative"
    assert votes.galaxy.tolist() == table["GalaxyID"].tolist()
    assert np.allclose(votes.cumulative, table[votes.schema.tree.columns], atol=1e-5)


def test_the_real_kaggle_table_is_read_as_it_is(real):
    path = real / "galaxy-zoo-challenge" / "solutions_high_confidence.csv.gz"
    votes = read_votes(path)
    assert votes.galaxy.shape == (16_853,)
    raw = pd.read_csv(path)[votes.schema.tree.columns].to_numpy()
    assert np.allclose(votes.cumulative, raw, atol=1e-5)


def test_ids_of_eighteen_digits_survive_in_every_kind_of_file(tmp_path):
    table = made_votes("galaxy-zoo-2", n=3)
    ids = [587722981736120347, 587722981736579107, 588015509268725778]
    table["dr7objid"] = ids
    for ending in ("csv", "parquet", "fits"):
        votes = read_votes(write(table, tmp_path / f"votes.{ending}"))
        assert votes.galaxy.tolist() == [str(number) for number in ids]
    table["dr7objid"] = table["dr7objid"].astype(float)
    with pytest.raises(BadInput, match=r"row 2: dr7objid is 5\.877\S+e\+17, no exact number"):
        read_votes(write(table, tmp_path / "floats.parquet"))


def test_small_ids_that_became_floats_are_whole_numbers_again(tmp_path):
    table = made_votes("galaxy-zoo-2", n=3).assign(dr7objid=[100008.0, 100023.0, 100053.0])
    votes = read_votes(write(table, tmp_path / "votes.parquet"))
    assert votes.galaxy.tolist() == ["100008", "100023", "100053"]


def test_fits_of_a_foreign_byte_order_padded_bytes_and_upper_case(tmp_path):
    table = made_votes("galaxy-zoo-decals", n=4)
    columns = [fits.Column("IAUNAME", "30A", array=[f"{name}   " for name in table["iauname"]])]
    columns += [
        fits.Column(name.upper(), "J" if table[name].dtype == int else "D", array=table[name])
        for name in table.columns[1:]
    ]
    path = tmp_path / "votes.fits"
    fits.HDUList([fits.PrimaryHDU(), fits.BinTableHDU.from_columns(columns)]).writeto(path)
    assert fits.getdata(path)["BAR_NO"].dtype.byteorder == ">"
    votes = read_votes(path)
    assert votes.galaxy.tolist() == table["iauname"].tolist()
    assert votes.counts.dtype.isnative
    assert (votes.counts == table[votes.schema.answer_columns("counts")]).all(axis=None)


def test_an_id_of_ones_own(tmp_path):
    table = made_votes("galaxy-zoo-2").rename(columns={"dr7objid": "name"})
    path = write(table, tmp_path / "votes.csv")
    with pytest.raises(BadInput, match="column 'dr7objid' or 'dr8objid' or 'GalaxyID' is missing"):
        read_votes(path)
    assert read_votes(path, id_column="name").galaxy[0] == "J0000"


def test_an_id_that_was_the_index_of_a_frame_is_found_in_its_parquet(tmp_path):
    path = tmp_path / "votes.parquet"
    table = made_votes("galaxy-zoo-decals")
    table.set_index("iauname").to_parquet(path)
    assert read_votes(path).galaxy.tolist() == table["iauname"].tolist()


def test_a_question_without_any_value_was_not_asked(tmp_path):
    table = made_votes("galaxy-zoo-decals")
    bar = [column for column in table if column.startswith("bar_")]
    table[bar] = table[bar].astype(float)
    table.loc[2, bar] = np.nan
    votes = read_votes(write(table, tmp_path / "votes.csv"))
    at = [votes.schema.tree.columns.index(f"bar_{answer}") for answer in ("strong", "weak", "no")]
    assert (votes.counts[2, at] == 0).all()
    assert np.isnan(votes.conditional[2, at]).all()


def set_cell(column, value, row: int = 4):
    def change(table):
        table[column] = table[column].astype(object)
        table.loc[row - 2, column] = value

    return change


def add(column, by, row: int = 4):
    def change(table):
        table.loc[row - 2, column] += by

    return change


ARMS = "t04_spiral_a08_spiral"
FAULTS = {
    "negative": (set_cell(f"{ARMS}_count", -1), None, f"{ARMS}_count is -1, not a number of votes"),
    "part of a vote": (set_cell(f"{ARMS}_count", 1.5), None, f"{ARMS}_count is 1.5, not a number"),
    "inf": (set_cell(f"{ARMS}_count", "inf"), None, f"{ARMS}_count is inf, not a number of votes"),
    "text": (set_cell(f"{ARMS}_count", "many"), None, f"{ARMS}_count is 'many', not a number"),
    "answered in part": (
        set_cell(f"{ARMS}_count", None),
        None,
        f"{ARMS}_count is nan, but other answers have a value",
    ),
    "total": (
        add("t01_smooth_or_features_total_count", 1),
        None,
        "t01_smooth_or_features_total_count is 41, but its answers have 40 votes",
    ),
    "over 1": (set_cell(f"{ARMS}_debiased", 1.01), "debiased", "is 1.01, outside 0 to 1"),
    "under 0": (set_cell(f"{ARMS}_fraction", -0.01), "fraction", "is -0.01, outside 0 to 1"),
    "sum": (
        set_cell("t01_smooth_or_features_a01_smooth_weighted_fraction", 0.0),
        "weighted",
        "the answers of question t01_smooth_or_features don't sum to 1",
    ),
    "empty id": (set_cell("dr7objid", "  "), None, "dr7objid is empty"),
    "missing id": (set_cell("dr7objid", None), None, "dr7objid is empty"),
    "doubled id": (set_cell("dr7objid", "J0000"), None, "doubled dr7objid J0000"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_that_names_file_row_and_column(fault, tmp_path):
    change, kind, words = FAULTS[fault]
    table = made_votes("galaxy-zoo-2")
    change(table)
    path = write(table, tmp_path / "votes.csv")
    with pytest.raises(BadInput) as error:
        read_votes(path, kind=kind)
    # Of two rows with one id the first is named, and then the other.
    row = 2 if fault == "doubled id" else 4
    assert str(error.value).startswith(f"{path} row {row}: ")
    assert words in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_cumulative_fractions_that_break_the_tree_are_refused(tmp_path):
    table = votes_table(5)
    table.loc[1, "Class4.1"] += 0.1
    with pytest.raises(BadInput, match="row 3: the answers of question 4 don't sum to the share"):
        read_votes(write(table, tmp_path / "votes.csv"))


@pytest.mark.parametrize("schema", ["galaxy-zoo-challenge", "galaxy-zoo-2"])
def test_percentages_are_refused_with_the_remedy(schema, tmp_path):
    table = votes_table(5) if schema == "galaxy-zoo-challenge" else made_votes(schema)
    kind = "cumulative" if schema == "galaxy-zoo-challenge" else "fraction"
    columns = SCHEMAS[schema].answer_columns(kind)
    table[columns] *= 100
    path = write(table, tmp_path / "votes.csv")
    with pytest.raises(BadInput, match="have values up to .*; divide percentages by 100") as error:
        read_votes(path, kind=kind)
    assert str(error.value).startswith(f"{path}: {columns[0]} to {columns[-1]} ")
    table[columns] /= 100
    assert not read_votes(write(table, path), kind=kind).rows.words


def test_the_same_fault_in_several_rows_is_told_once_with_their_number(tmp_path):
    table = made_votes("galaxy-zoo-2")
    table.loc[1:4, f"{ARMS}_count"] = -1
    with pytest.raises(BadInput, match=r"row 3: .* \(and 3 more rows\); correct the table"):
        read_votes(write(table, tmp_path / "votes.csv"))


def test_a_column_of_a_schema_is_not_to_be_renamed_to_another_of_it(tmp_path):
    ring = "smooth-or-featured_featured-or-disk_fraction"
    table = pd.DataFrame({"iauname": ["J1"], "ring": [1], ring: [0.5]})
    with pytest.raises(BadInput) as error:
        read_votes(write(table, tmp_path / "votes.csv"), "galaxy-zoo-challenge")
    words = "did you mean schema='galaxy-zoo-decals'? The table lacks smooth-or-featured_smooth"
    assert words in str(error.value)
    assert "rename" not in str(error.value)


def test_missing_columns_are_named_with_the_nearest_schema(tmp_path):
    table = made_votes("galaxy-zoo-2")
    gone = SCHEMAS.find("galaxy-zoo-2").answer_columns("counts")[3:5]
    table = table[
        [c for c in table if c in {"dr7objid", *SCHEMAS["galaxy-zoo-2"].answer_columns("counts")}]
    ]
    path = write(table.drop(columns=gone), tmp_path / "votes.parquet")
    words = (
        r"column 't02_edgeon_a04_yes_count' is missing \(and 1 more\); schema galaxy-zoo-2 needs"
    )
    with pytest.raises(BadInput, match=words):
        read_votes(path)
    with pytest.raises(BadInput, match="without the debiased columns of galaxy-zoo-decals"):
        read_votes(path, "galaxy-zoo-decals", "debiased")
    with pytest.raises(BadInput, match="schema galaxy-zoo-challenge has no debiased columns"):
        read_votes(path, "galaxy-zoo-challenge", "debiased")
    with pytest.raises(BadInput, match="kind 'raw' is unknown; use one of counts, fraction"):
        read_votes(path, kind="raw")


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("votes.csv", b"a,b\n1,2\n", "without the vote columns of a known schema"),
        ("votes.csv", b"", "not a readable table"),
        ("votes.csv.gz", b"\x1f\x8bno", "not a readable table"),
        ("votes.parquet", b"PAR1 cut off", "not a readable table"),
        (
            "votes.fits",
            b"SIMPLE  =                    T" + b" " * 100,
            "not a readable table|no table",
        ),
        ("votes.txt", b"a", "without the vote columns of a known schema"),
        (None, b"", "no such file"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(name, data, words, tmp_path):
    path = tmp_path / (name or "gone.csv")
    if name:
        path.write_bytes(data)
    with pytest.raises(BadInput, match=words) as error, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read_votes(path)
    assert str(path) in str(error.value)
    assert len(str(error.value).splitlines()) == 1


def test_a_table_without_rows_and_one_with_a_row_too_long_are_refused(tmp_path):
    table = made_votes("galaxy-zoo-2", n=3)
    with pytest.raises(BadInput, match="the table has no rows"):
        read_votes(write(table[:0], tmp_path / "empty.csv"))
    path = write(table, tmp_path / "long.csv")
    lines = path.read_text().splitlines()
    for row in (1, 2):
        path.write_text("\n".join([*lines[:row], f"{lines[row]},1", *lines[row + 1 :], ""]))
        with pytest.raises(BadInput, match="not a readable table"):
            read_votes(path)


@pytest.mark.parametrize("values", [[True, True], pd.to_datetime(["2020-01-01", "2021-01-01"])])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_truth_values_and_dates_are_no_votes(values, ending, tmp_path):
    table = made_votes("galaxy-zoo-2", n=2)
    table[f"{ARMS}_count"] = values
    with pytest.raises(BadInput, match=f"row 2: {ARMS}_count is .*, not a number"):
        read_votes(write(table, tmp_path / f"votes.{ending}"))


def test_two_columns_of_one_name_are_refused(tmp_path):
    path = write(made_votes("galaxy-zoo-2"), tmp_path / "votes.csv")
    path.write_text(path.read_text().replace(",ra\n", f",{ARMS}_count\n", 1))
    with pytest.raises(BadInput, match=f"two columns are called '{ARMS}_count'"):
        read_votes(path)


def test_only_the_columns_in_use_are_read(tmp_path):
    table = made_votes("galaxy-zoo-2").assign(t01_smooth_or_features_a01_smooth_flag="not a number")
    table["t02_edgeon_a04_yes_debiased"] = 7.0
    votes = read_votes(write(table, tmp_path / "votes.csv"))
    assert votes.kind == "counts"


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.integers(0, 5), st.integers(0, 34), st.one_of(st.floats(), st.text(max_size=4)))
def test_any_value_in_any_cell_is_read_or_refused(tmp_path, row, column, value):
    schema = SCHEMAS.find("galaxy-zoo-decals")
    table = made_votes("galaxy-zoo-decals")[["iauname", *schema.answer_columns("counts")]]
    table = table.astype(object)
    table.iloc[row, column] = value
    path = tmp_path / "any.csv"
    path.write_bytes(table.to_csv(index=False).encode("utf-8", "replace"))
    try:
        votes = read_votes(path)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
        assert str(path) in str(error)
        return
    assert ((votes.counts >= 0) & np.isfinite(votes.counts)).all()
    assert np.isfinite(votes.cumulative).all()


@pytest.mark.parametrize("column", ["dr7objid", "t01_smooth_or_features_a01_smooth_count"])
def test_bytes_that_are_no_text_are_refused_wherever_they_stand(tmp_path, column):
    """Found by fuzzing: pyarrow gives a column of bytes, and pandas fails on it much later."""
    path = tmp_path / "votes.csv"
    table = made_votes("galaxy-zoo-2")
    head = ",".join(map(str, table.columns)).encode()
    cells = [str(value).encode() for value in table.iloc[0]]
    cells[list(table.columns).index(column)] = b"0\x80\xb0"
    path.write_bytes(b"\n".join([head, b",".join(cells), b""]))
    with pytest.raises(BadInput, match="not a readable table"):
        read_votes(path)
