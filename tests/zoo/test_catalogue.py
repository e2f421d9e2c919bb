import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from galaxymorph.base import BadInput
from galaxymorph.images import decode, image_problems, inspect_images
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE as TREE
from galaxymorph.zoo import Problem, count_classes, read_catalogue
from galaxymorph.zoo.tree import broken_sums
from tests.makers import (
    FIRST_ID,
    IMAGES,
    TABLE,
    change_cell,
    change_table,
    folder_of_zips,
    galaxy_ids,
    galaxy_images,
    labels_bytes,
    table_bytes,
    votes_table,
    write_files,
    write_kaggle_folder,
)

pytestmark = pytest.mark.filterwarnings("error")


def with_labels(folder, text: str):
    return write_files(folder, {"kinds.csv": text.encode(), **galaxy_images(5)})


def test_galaxies_are_in_ascending_order_of_the_number_whatever_the_order_of_the_rows(tmp_path):
    files = {f"{n}.jpg": b"" for n in (9, 10, 100)}
    rows = "GalaxyID,kind\n100,a\n9,b\n10,c\n"
    folder = write_files(tmp_path / "mine", {"kinds.csv": rows.encode(), **files})
    table = read_catalogue(folder, "kind").table
    assert table["galaxy"].tolist() == ["9", "10", "100"]
    assert table["row"].tolist() == [3, 4, 2]
    assert table["label"].tolist() == ["b", "c", "a"]


def test_ids_that_are_no_numbers_are_kept_as_they_are(tmp_path):
    files = {f"{name}.jpg": b"" for name in ("NGC_1300", "M51", "0042")}
    rows = "GalaxyID,kind\nNGC_1300,a\nM51,b\n0042,c\n"
    folder = write_files(tmp_path / "mine", {"kinds.csv": rows.encode(), **files})
    assert read_catalogue(folder, "kind").table["galaxy"].tolist() == ["0042", "M51", "NGC_1300"]


def test_the_votes_of_the_makers_obey_the_tree():
    votes = votes_table(20)
    assert not broken_sums(TREE, votes[TREE.columns].to_numpy()).any()


@pytest.mark.parametrize("dtype", ["float32", "Float64", "object", "str"])
def test_votes_of_any_type_in_a_parquet_table_are_read_as_numbers(dtype, kaggle):
    table = votes_table(5)
    columns = [name for name in table if name != "GalaxyID"]
    table[columns] = table[columns].astype(dtype)
    (kaggle / TABLE).unlink()
    table.to_parquet(kaggle / "training_solutions_rev1.parquet", index=False)
    catalogue = read_catalogue(kaggle)
    assert catalogue.problems == []
    assert np.allclose(catalogue.table[columns], votes_table(5)[columns], atol=1e-7)
    assert set(catalogue.table[columns].dtypes.astype(str)) == {"float64"}


def test_a_missing_value_in_a_parquet_table_is_a_problem_of_its_row(kaggle):
    table = votes_table(5).convert_dtypes()
    table.loc[2, "Class1.2"] = pd.NA
    (kaggle / TABLE).unlink()
    table.to_parquet(kaggle / "training_solutions_rev1.parquet", index=False)
    (problem,) = read_catalogue(kaggle).problems
    assert str(problem).endswith(".parquet row 4: Class1.2 is empty or NaN")


def test_only_the_first_fault_of_a_row_is_told(kaggle):
    change_cell(kaggle, 3, "Class1.1", "x")
    change_cell(kaggle, 3, "Class1.2", "7")
    (problem,) = read_catalogue(kaggle).problems
    assert problem.what == "Class1.1 is 'x', not a number"
    assert problem.galaxy == str(FIRST_ID + 1)


@pytest.mark.parametrize("column", ["galaxy", "image", "row", "label", "kind", "Class1.1"])
def test_a_column_of_any_name_can_hold_the_labels(column, tmp_path):
    folder = write_files(
        tmp_path / "mine", {"kinds.csv": labels_bytes(5, column), **galaxy_images(5)}
    )
    catalogue = read_catalogue(folder, labels_column=column)
    assert catalogue.table["label"].tolist() == ["smooth", "disk", "smooth", "disk", "smooth"]
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(5)
    assert catalogue.table["row"].tolist() == [2, 3, 4, 5, 6]
    assert count_classes(catalogue) == {"plain labels": {"disk": 2, "smooth": 3}}


@pytest.mark.parametrize("column", ["galaxy", "image", "row", "label"])
def test_columns_named_as_ours_do_not_replace_them(column, kaggle):
    change_table(kaggle, lambda lines: lines.__setitem__(0, f"{lines[0]},{column}"))
    change_table(
        kaggle,
        lambda lines: lines.__setitem__(slice(1, None), [f"{line},theirs" for line in lines[1:]]),
    )
    catalogue = read_catalogue(kaggle)
    assert catalogue.problems == []
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(5)
    assert catalogue.table["row"].tolist() == [2, 3, 4, 5, 6]
    assert all(image.startswith(str(kaggle)) for image in catalogue.table["image"])
    assert count_classes(catalogue)["layer1"].keys() == {"elliptical", "spiral", "irregular"}


@pytest.mark.parametrize("empty", ["", "  ", '""'])
def test_an_empty_label_is_a_problem_and_numbers_stay_as_written(empty, tmp_path):
    ids = galaxy_ids(5)
    rows = [f"{ids[0]},0", f"{ids[1]},1", f"{ids[2]},{empty}", f"{ids[3]},007", f"{ids[4]}, 1 "]
    folder = with_labels(tmp_path / "mine", "\n".join(["GalaxyID,kind", *rows]))
    catalogue = read_catalogue(folder, "kind")
    (problem,) = catalogue.problems
    assert str(problem) == f"{folder / 'kinds.csv'} row 4: kind is empty"
    assert catalogue.table["label"].tolist() == ["0", "1", "007", "1"]


def test_a_quoted_line_break_shifts_no_row_that_is_set_aside(tmp_path):
    ids = galaxy_ids(5)
    rows = ["GalaxyID,kind,note", f'{ids[0]},a,"two\nlines"', f"{ids[1]},b,x,y", f"{ids[2]},c,z"]
    folder = with_labels(tmp_path / "mine", "\n".join(rows))
    catalogue = read_catalogue(folder, "kind")
    assert catalogue.table["label"].tolist() == ["a", "c"]
    (problem,) = catalogue.problems
    assert str(problem) == f"{folder / 'kinds.csv'} row 3: 4 fields, but the header has 3"


def test_a_comma_at_the_end_of_every_row_is_no_fault(kaggle):
    change_table(kaggle, lambda lines: lines.__setitem__(slice(1, 6), [f"{x}," for x in lines[1:]]))
    catalogue = read_catalogue(kaggle)
    assert catalogue.problems == []
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(5)


def test_a_blank_line_is_a_row_without_an_id_and_shifts_no_other(kaggle):
    change_table(kaggle, lambda lines: lines.insert(2, ""))
    catalogue = read_catalogue(kaggle)
    assert [str(problem) for problem in catalogue.problems] == [
        f"{kaggle / TABLE} row 3: GalaxyID is empty"
    ]
    assert catalogue.table["row"].tolist() == [2, 4, 5, 6, 7]


def test_windows_line_ends_and_a_byte_order_mark_are_no_fault(kaggle):
    data = (kaggle / TABLE).read_bytes()
    (kaggle / TABLE).write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    assert len(read_catalogue(kaggle).table) == 5


def test_a_problem_is_one_line_even_where_the_id_has_two(tmp_path):
    folder = with_labels(tmp_path / "mine", 'GalaxyID,kind\n"1\n2",a\n')
    (problem,) = read_catalogue(folder, "kind").problems
    assert str(problem).endswith(r"row 2: no image 1\n2.jpg")


def test_the_message_is_one_line_even_where_the_header_has_two(tmp_path):
    folder = with_labels(tmp_path / "mine", '"Galaxy\nID",kind\n1,a\n')
    with pytest.raises(BadInput, match="column 'GalaxyID' is missing") as error:
        read_catalogue(folder, "kind")
    assert len(str(error.value).splitlines()) == 1


def test_a_sound_catalogue_is_sound_and_a_bad_one_says_how_many_more(kaggle):
    read_catalogue(kaggle).require_sound()
    for row in (3, 5, 6):
        change_cell(kaggle, row, "Class1.1", "x")
    with pytest.raises(BadInput) as error:
        read_catalogue(kaggle).require_sound()
    assert str(error.value) == (
        f"{kaggle / TABLE} row 3: Class1.1 is 'x', not a number (and 2 more); correct it, or "
        "exclude such rows with skip_bad; `data check` lists all of them"
    )


def test_set_aside_leaves_out_the_named_galaxies_and_keeps_their_problems(kaggle):
    change_cell(kaggle, 6, "GalaxyID", "")
    catalogue = read_catalogue(kaggle).set_aside([Problem("here", "blurred", str(FIRST_ID + 1))])
    assert catalogue.table["galaxy"].tolist() == ["100001", "100003", "100004"]
    assert catalogue.rows == 5
    rejected = catalogue.rejected()
    assert rejected["what"].tolist() == ["GalaxyID is empty", "blurred"]
    assert rejected["galaxy"].iloc[1] == str(FIRST_ID + 1)


def test_a_catalogue_without_one_sound_row_is_empty_with_every_problem(tmp_path):
    folder = write_kaggle_folder(tmp_path / "kaggle", 3)
    for row in (2, 3, 4):
        change_cell(folder, row, "Class1.1", "2")
    catalogue = read_catalogue(folder)
    assert len(catalogue.table) == 0
    assert len(catalogue.problems) == 3
    assert sum(sum(classes.values()) for classes in count_classes(catalogue).values()) == 0


def test_inspection_names_the_image_and_the_row_and_digests_the_others(tmp_path):
    folder = folder_of_zips(tmp_path / "data", 4)
    catalogue = read_catalogue(folder)
    references = [*catalogue.table["image"][:3], f"{folder}/images_training_rev1.zip::gone.jpg"]
    result = inspect_images(references)
    assert len({inspection.digest for inspection in result[:3]}) == 3
    (problem,) = image_problems(catalogue, result)
    assert problem.galaxy == str(FIRST_ID + 3)
    assert str(problem) == (
        f"{folder}/training_solutions_rev1.zip row 5: {references[3]}: no such file; check the "
        f"path: the zip holds 4 files, such as {IMAGES}/{FIRST_ID}.jpg"
    )


def reads_or_refuses(folder, data: bytes, labels_column: str | None = None) -> None:
    (folder / TABLE).write_bytes(data)
    try:
        catalogue = read_catalogue(folder, labels_column)
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
        assert str(folder / TABLE) in str(error)
        return
    assert len(catalogue.table) + len(catalogue.problems) == catalogue.rows
    count_classes(catalogue)
    for problem in catalogue.problems:
        assert len(str(problem).splitlines()) == 1
        assert str(problem).startswith(f"{folder / TABLE} row ")


@pytest.fixture(scope="module")
def any_table(new_folder):
    return write_kaggle_folder(new_folder("any") / "kaggle", 3)


FEW = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FEW
@given(st.binary(max_size=300))
@example(b"\x00")
@example(b"\n\n\n")
@example(b'"')
@example(b",")
def test_any_bytes_as_a_table_are_read_or_refused(any_table, data):
    reads_or_refuses(any_table, data)


@FEW
@given(st.binary(max_size=60).map(lambda tail: b"GalaxyID,kind\n" + tail))
@example(b"GalaxyID,kind\n100001,a,b\n100002,\n\n")
@example(b"GalaxyID,kind\n,\n,\n")
@example(b"GalaxyID,kind\n1,a\n1,b\n1,c\n")
def test_any_rows_with_labels_are_read_or_refused(any_table, data):
    reads_or_refuses(any_table, data, labels_column="kind")


CELLS = st.one_of(
    st.text(max_size=6),
    st.sampled_from(["", "nan", "inf", "1e999", "-0", "0x1", "1_0", "9" * 40, '"', "True", "½"]),
    st.floats().map(str),
    st.integers().map(str),
)


@FEW
@given(st.integers(2, 4), st.integers(0, 37), CELLS)
@example(2, 0, "\x00")
@example(3, 5, "\x00\x01")
def test_any_text_in_one_cell_leaves_the_other_rows_as_they_were(any_table, row, column, text):
    rows = [line.split(",") for line in table_bytes(3).decode().splitlines()]
    rows[row - 1][column] = f'"{text.replace(chr(34), chr(34) * 2)}"'
    data = "\n".join(",".join(cells) for cells in rows)
    reads_or_refuses(any_table, data.encode("utf-8", "surrogatepass"))
    (any_table / TABLE).write_bytes(data.encode("utf-8", "ignore"))
    kept = read_catalogue(any_table).table["row"]
    assert set(kept) >= {2, 3, 4} - {row} or column == 0


@FEW
@given(st.data())
def test_a_table_with_any_bytes_changed_is_read_or_refused(any_table, data):
    table = bytearray(table_bytes(3))
    start = data.draw(st.integers(0, len(table)))
    stop = data.draw(st.integers(start, min(len(table), start + 30)))
    table[start:stop] = data.draw(st.binary(max_size=30))
    reads_or_refuses(any_table, bytes(table))


def test_the_images_of_the_makers_are_sound(kaggle):
    for name in galaxy_images(5):
        assert decode(str(kaggle / IMAGES / name)).size == (16, 12)


def test_ids_that_a_table_has_as_floats_are_whole_numbers_again(tmp_path):
    ids = galaxy_ids(5)
    rows = [f"{name}.0,a" for name in ids]
    folder = with_labels(tmp_path / "mine", "\n".join(["GalaxyID,kind", *rows]))
    assert read_catalogue(folder, "kind").table["galaxy"].tolist() == ids
    files = {f"{name}.jpg": b"" for name in ("1.0", "J2.0")}
    folder = write_files(
        tmp_path / "names", {"kinds.csv": b"GalaxyID,kind\n1.0,a\nJ2.0,b\n", **files}
    )
    assert read_catalogue(folder, "kind").table["galaxy"].tolist() == ["1.0", "J2.0"]
