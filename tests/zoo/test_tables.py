"""One reader of tables for every command: formats by content, rows by number, ids as text."""

import gzip
import io
import zipfile

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import MaskedColumn, Table

from galaxymorph.base import BadInput
from galaxymorph.predict.listing import list_images
from galaxymorph.zoo import open_table, read_catalogue, read_votes
from galaxymorph.zoo.checks import as_ids, as_numbers, as_text
from tests.conftest import galaxymorph
from tests.makers import galaxy_images, write_files
from tests.zoo.test_votes import made_votes, write

LONG = "587722981736120347"


def listed(path) -> list[tuple[str, str]]:
    return [tuple(row[:2]) for row in list_images(path)]


def labelled(folder, name: str, data: bytes, **how) -> list[tuple[str, str]]:
    """What `fit` reads of a table of plain labels beside two images."""
    files = {f"images/{n}.jpg": image for n, image in zip("12", galaxy_images(2).values())}  # noqa: B905
    write_files(folder, files | {name: data})
    table = read_catalogue(folder / name, labels_column="image", id_column="id", **how).table
    return list(table[["galaxy", "label"]].itertuples(index=False, name=None))


PLAIN = "id,image,other\n1,a.jpg,x\n2,b.jpg,y\n"
SPELLINGS = {
    "plain": ("t.csv", PLAIN),
    "upper case": ("T.CSV", PLAIN),
    "no ending that is known": ("t.dat", PLAIN),
    "byte order mark": ("t.csv", "\ufeff" + PLAIN),
    "UTF-16": ("t.csv", PLAIN.encode("utf-16")),
    "UTF-16 without a mark": ("t.csv", PLAIN.encode("utf-16-le")),
    "semicolons": ("t.csv", PLAIN.replace(",", ";")),
    "tabs": ("t.tsv", PLAIN.replace(",", "\t")),
    "bars": ("t.txt", PLAIN.replace(",", "|")),
    "CRLF": ("t.csv", PLAIN.replace("\n", "\r\n")),
    "CR": ("t.csv", PLAIN.replace("\n", "\r")),
    "blanks about the cells": ("t.csv", PLAIN.replace(",", " , ")),
    "a comma at the end of every row": ("t.csv", "id,image,other\n1,a.jpg,x,\n2,b.jpg,y,\n"),
    "a comma at the end of one row": ("t.csv", "id,image,other\n1,a.jpg,x,\n2,b.jpg,y\n"),
    "commas at the ends of all lines": ("t.csv", PLAIN.replace("\n", ",,\n")),
    "an index without a name": ("t.csv", ",id,image,other\n0,1,a.jpg,x\n1,2,b.jpg,y\n"),
    "a comment": ("t.csv", f'"# made by hand, 2020",,\n{PLAIN}'),
    "comments": ("t.csv", f"# made by hand\n#\n{PLAIN}"),
    "a commented header": ("t.csv", f"# made by hand\n# {PLAIN}"),
    "a quoted line break": ("t.csv", 'id,image,other\n1,a.jpg,"x\ny"\n2,b.jpg,y\n'),
    "gzip": ("t.csv.gz", gzip.compress(PLAIN.encode())),
    "gzip without its ending": ("t.csv", gzip.compress(PLAIN.encode())),
    "blank lines at the end": ("t.csv", PLAIN + "\n\n"),
    "short rows": ("t.csv", "id,image,other\n1,a.jpg\n2,b.jpg\n"),
}


@pytest.mark.parametrize(("name", "data"), SPELLINGS.values(), ids=SPELLINGS)
def test_every_spelling_of_a_text_is_the_same_table_to_every_reader(name, data, tmp_path):
    data = data if isinstance(data, bytes) else data.encode()
    (tmp_path / name).write_bytes(data)
    expected = [("1", "a.jpg"), ("2", "b.jpg")]
    assert listed(tmp_path / name) == expected
    assert labelled(tmp_path / "fit", name, data) == expected


def binary(kind: str, table: pd.DataFrame) -> bytes:
    stream = io.BytesIO()
    if kind == "parquet":
        table.to_parquet(stream, index=False)
    elif kind == "feather":
        table.to_feather(stream)
    elif kind == "zip":
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("t.csv", table.to_csv(index=False))
    else:
        stored = Table.from_pandas(table)
        text = io.StringIO()
        form = {"fits": "fits", "vot": "votable", "ecsv": "ascii.ecsv"}[kind]
        stored.write(text if kind == "ecsv" else stream, format=form)
        return stream.getvalue() or text.getvalue().encode()
    return stream.getvalue()


KINDS = ["parquet", "feather", "zip", "fits", "vot", "ecsv"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ids", [["1", "2"], [1, 2], [LONG, "007"], [int(LONG), 2]], ids=str)
def test_every_format_keeps_the_digits_of_ids(kind, ids, tmp_path):
    path = tmp_path / f"t.{kind}"
    path.write_bytes(binary(kind, pd.DataFrame({"id": ids, "image": ["a.jpg", "b.jpg"]})))
    assert listed(path) == [(str(ids[0]), "a.jpg"), (str(ids[1]), "b.jpg")]


@pytest.mark.parametrize("kind", ["parquet", "fits", "feather"])
def test_the_name_of_a_file_does_not_decide_its_format(kind, tmp_path):
    path = tmp_path / "t.csv"
    path.write_bytes(binary(kind, pd.DataFrame({"id": ["1"], "image": ["a.jpg"]})))
    assert listed(path) == [("1", "a.jpg")]


@pytest.mark.parametrize("word", ["None", "NA", "N/A", "n/a", "null", "NULL", "nan", "NaN"])
@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_word_is_text_whatever_it_says(word, ending, tmp_path):
    table = pd.DataFrame({"id": [word, "2"], "image": ["1.jpg", "2.jpg"], "kind": ["x", word]})
    path = tmp_path / f"t.{ending}"
    write(table, path)
    assert listed(path) == [(word, "1.jpg"), ("2", "2.jpg")]
    images = dict(
        zip((f"{word.replace('/', '')}.jpg", "2.jpg"), galaxy_images(2).values(), strict=True)
    )
    write_files(tmp_path, images)
    if "/" not in word:
        read = read_catalogue(path, labels_column="kind", id_column="id")
        assert read.problems == []
        assert dict(zip(read.table["galaxy"], read.table["label"], strict=True)) == {
            word: "x",
            "2": word,
        }


def test_a_gap_makes_no_float_of_whole_numbers(tmp_path):
    table = pd.DataFrame({"id": pd.array([int(LONG), None], "Int64"), "image": ["a.jpg", "b.jpg"]})
    table.to_parquet(tmp_path / "t.parquet")
    assert listed(tmp_path / "t.parquet") == [(LONG, "a.jpg"), ("b", "b.jpg")]
    masked = MaskedColumn([int(LONG), 2], mask=[False, True])
    stored = Table({"id": masked, "image": ["a.jpg  ", "b.jpg"]})
    for ending, form in (("fits", "fits"), ("vot", "votable"), ("ecsv", "ascii.ecsv")):
        stored.write(tmp_path / f"t.{ending}", format=form)
        assert listed(tmp_path / f"t.{ending}") == [(LONG, "a.jpg"), ("b", "b.jpg")]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        (np.array([5.877e17, 1]), "is 5.877e+17, no exact number"),
        (np.array([1.5, 2]), "is 1.5, no exact number"),
        (np.array([2**24, 1], np.float32), "no exact number"),
        (np.array(["5.87732E+17", "1"], object), "is 5.87732E+17, no exact number: a spreadsheet"),
        (np.array(["5,87732E17", "1"], object), "no exact number"),
    ],
    ids=str,
)
def test_ids_whose_digits_are_lost_are_refused(values, words, tmp_path):
    text, lost = as_ids(pd.Series(values, index=[2, 3]))
    assert list(lost) == [2]
    assert words in lost[2]
    table = pd.DataFrame({"id": values, "image": ["a.jpg", "b.jpg"]})
    table.to_parquet(tmp_path / "t.parquet")
    with pytest.raises(BadInput, match="row 2: id is .* no exact number"):
        listed(tmp_path / "t.parquet")


def test_small_whole_floats_are_whole_numbers_again_and_names_stay():
    assert as_ids(pd.Series([123.0, np.nan, 7.0]))[0].fillna("").tolist() == ["123", "", "7"]
    assert as_ids(pd.Series(["2E3140", "007", "1e5"]))[1] == {}
    assert as_text(pd.Series([" a ", "", None, b"", "b\0\0"])).fillna("-").tolist()[0] == "a"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        (" 3 ", 3),
        ("1e-3", 1e-3),
        ("", np.nan),
        ("NaN", np.nan),
        ("NA", np.nan),
        ("null", np.nan),
        ("None", np.nan),
        ("--", np.nan),
        ("\\N", np.nan),
    ],
)
def test_cells_that_say_that_there_is_no_number_are_empty(text, value):
    numbers, lost = as_numbers(pd.Series([text], dtype=object))
    assert np.array_equal(numbers, [value], equal_nan=True)
    assert not lost.any()


@pytest.mark.parametrize("text", ["many", "True", "0x1", "1_0", "0,5", "½", "1 2"])
def test_other_text_is_no_number(text):
    assert as_numbers(pd.Series([text], dtype=object))[1].all()


def test_semicolons_go_with_decimal_commas(tmp_path):
    table = made_votes("galaxy-zoo-decals")
    columns = ["iauname", *[name for name in table if name.endswith("_fraction")]]
    written = table[columns].to_csv(index=False, sep=";", decimal=",")
    (tmp_path / "t.csv").write_text(written)
    expected = read_votes(write(table[columns], tmp_path / "plain.csv"))
    assert np.allclose(read_votes(tmp_path / "t.csv").cumulative, expected.cumulative)


ROWS = 'id,note,image\n1,"x\ny",a.jpg\n2,y,z,b.jpg\n\n3,w,c.jpg\n4,"q,r",d.jpg,e\n'


def test_a_row_of_too_many_fields_is_a_fault_by_its_number_and_the_others_are_intact(tmp_path):
    (tmp_path / "t.csv").write_text(ROWS)
    rows = list(list_images(tmp_path / "t.csv"))
    assert [(row.id, row.image, row.fault) for row in rows] == [
        ("1", "a.jpg", ""),
        ("row 3", "", "row 3: 4 fields, but the header has 3"),
        ("3", "c.jpg", ""),
        ("row 6", "", "row 6: 4 fields, but the header has 3"),
    ]
    write_files(tmp_path, {f"{n}.jpg": b"" for n in "1234"})
    read = read_catalogue(tmp_path / "t.csv", labels_column="image", id_column="id")
    assert read.table["row"].tolist() == [2, 5]
    assert [str(problem).split(" row ")[1] for problem in read.problems] == [
        "3: 4 fields, but the header has 3",
        "4: id is empty",
        "6: 4 fields, but the header has 3",
    ]


def test_a_comma_within_a_text_is_no_comma_at_the_end_where_last_cells_are_empty(tmp_path):
    (tmp_path / "t.csv").write_text("id,name,image,note\n1,x,a.jpg,\n2,y,z,b.jpg,\n3,y,c.jpg,n\n")
    assert listed(tmp_path / "t.csv") == [("1", "a.jpg"), ("row 3", ""), ("3", "c.jpg")]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_two_columns_of_one_name_are_named_with_their_places(kind, tmp_path):
    path = tmp_path / f"t.{kind}"
    if kind == "csv":
        path.write_text("image,id,image\na,1,b\n")
    else:
        import pyarrow as pa
        from pyarrow import parquet

        arrays = [pa.array(["a"]), pa.array(["1"]), pa.array(["b"])]
        parquet.write_table(pa.table(arrays, names=["image", "id", "image"]), path)
    with pytest.raises(BadInput, match="two columns are called 'image', numbers 1 and 3"):
        open_table(path)


FOREIGN = {
    "Galaxy10.h5": (b"\x89HDF\r\n\x1a\n" + bytes(99), "not a readable table"),
    "t.xls": (b"\xd0\xcf\x11\xe0" + bytes(99), "an old Excel workbook"),
    "t.npy": (b"\x93NUMPY" + bytes(99), "a NumPy array"),
    "page.csv": (b"<!DOCTYPE html><html>", "a web page"),
    "lfs.parquet": (b"version https://git-lfs.github.com/spec/v1\n", "a Git LFS pointer"),
    "t.json": (b'[{"id": 1}]', "JSON"),
    "picture.csv": (galaxy_images(1)["100001.jpg"], "a JPEG image"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_is_no_table_is_told_by_its_kind_before_all_else(name, tmp_path, capsys):
    data, words = FOREIGN[name]
    (tmp_path / name).write_bytes(data)
    for command in (["data", "check", tmp_path / name], ["fit", "--data", tmp_path / name]):
        assert galaxymorph(*command) == 2
        error = capsys.readouterr().err
        assert error.startswith(f"error: {tmp_path / name}: ")
        assert words in error
        assert len(error.splitlines()) == 1
    with pytest.raises(BadInput, match=words):
        list_images(tmp_path / name)


@pytest.mark.parametrize("nested", [True, False])
def test_a_column_of_pictures_is_named(nested, tmp_path):
    picture = galaxy_images(1)["100001.jpg"]
    cell = {"bytes": picture, "path": None} if nested else picture
    pd.DataFrame({"id": ["1"], "image": [cell]}).to_parquet(tmp_path / "hf.parquet")
    with pytest.raises(BadInput, match="the column 'image' holds pictures, not paths"):
        listed(tmp_path / "hf.parquet")


def test_an_image_is_no_table_of_fits(tmp_path):
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(tmp_path / "t.fits")
    with pytest.raises(BadInput, match="no table in this FITS file"):
        open_table(tmp_path / "t.fits")


def test_an_empty_cell_alone_in_its_row_is_a_row(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text('image\na.jpg\n""\nb.jpg\n\n', encoding="utf-8")
    assert [row.image for row in list_images(str(path))] == ["a.jpg", "", "b.jpg"]


def test_a_separators_note_and_rows_of_separators_alone_are_no_galaxies(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("sep=;\nid;image\n007;a.jpg\n;\n;\n", encoding="utf-8")
    assert [(row.id, row.image) for row in list_images(str(path))] == [("007", "a.jpg")]
