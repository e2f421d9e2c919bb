import gzip
from pathlib import Path

import pandas as pd
import pytest

from galaxymorph.zoo import read_catalogue
from tests.conftest import galaxymorph
from tests.makers import (
    FIRST_ID,
    IMAGES,
    TABLE,
    change_cell,
    change_table,
    folder_of_zips,
    folder_with_outer_zip_of_stored_zips,
    galaxy_ids,
    galaxy_images,
    image_bytes,
    in_folder,
    labels_bytes,
    outer_zip_of_deflated_zips,
    path_of_the_table,
    picture,
    table_bytes,
    votes_table,
    write_files,
    write_kaggle_folder,
    zip_bytes,
)

# A warning would be a second line, and none that a user could act on.
pytestmark = pytest.mark.filterwarnings("error")

ROW = 4
ON_THE_ROW = FIRST_ID + ROW - 2


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


def problem_lines(out: str) -> list[str]:
    return [line for line in out.splitlines() if TABLE in line and " row " in line]


def cell(column: str, value: str):
    return lambda folder: change_cell(folder, ROW, column, value)


def lengthen(*rows: int):
    def change(lines: list[str]) -> None:
        for row in rows:
            lines[row - 1] += ",0.5"

    return lambda folder: change_table(folder, change)


def shorten(folder: Path) -> None:
    def change(lines: list[str]) -> None:
        lines[ROW - 1] = ",".join(lines[ROW - 1].split(",")[:16])

    change_table(folder, change)


def image_of(data: bytes | None):
    def change(folder: Path) -> None:
        path = folder / IMAGES / f"{ON_THE_ROW}.jpg"
        path.unlink()
        if data is not None:
            path.write_bytes(data)

    return change


BAD_ROWS = {
    "text": (cell("Class1.1", "high"), "Class1.1 is 'high', not a number"),
    "decimal comma": (cell("Class1.1", '"0,5"'), "Class1.1 is '0,5', not a number"),
    "empty value": (cell("Class3.2", ""), "Class3.2 is empty or NaN"),
    "NaN": (cell("Class11.6", "NaN"), "Class11.6 is empty or NaN"),
    "over 1": (cell("Class1.1", "1.5"), "Class1.1 is 1.5, outside 0 to 1"),
    "under 0": (cell("Class9.1", "-0.25"), "Class9.1 is -0.25, outside 0 to 1"),
    "inf": (cell("Class8.7", "inf"), "Class8.7 is inf, outside 0 to 1"),
    "minus inf": (cell("Class1.3", "-Infinity"), "Class1.3 is -inf, outside 0 to 1"),
    "broken sum": (
        cell("Class6.1", "0.987654"),
        "the answers of question 6 don't sum to the share who reached it",
    ),
    "empty id": (cell("GalaxyID", ""), "GalaxyID is empty"),
    "id of spaces": (cell("GalaxyID", "  "), "GalaxyID is empty"),
    "too few fields": (shorten, "Class7.1 is empty or NaN"),
    "too many fields": (lengthen(ROW), "39 fields, but the header has 38"),
    "missing image": (image_of(None), f"no image {ON_THE_ROW}.jpg"),
    "empty image": (image_of(b""), f"{ON_THE_ROW}.jpg: the file is empty; download it again"),
    "text as image": (
        image_of(b"<html>not found</html>"),
        f"{ON_THE_ROW}.jpg: not an image; download it again",
    ),
    "truncated image": (image_of(image_bytes(picture())[:400]), f"{ON_THE_ROW}.jpg: damaged ("),
    "CMYK image": (
        image_of(image_bytes(picture().convert("CMYK"))),
        f"{ON_THE_ROW}.jpg: the image is CMYK, not 8-bit RGB or grey; convert it to RGB",
    ),
}


@pytest.mark.parametrize(("spoil", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_one_bad_row_is_one_line_with_file_row_and_fault(spoil, words, kaggle, here, capsys):
    spoil(kaggle)
    assert galaxymorph("data", "check", kaggle) == 2
    captured = capsys.readouterr()
    (line,) = problem_lines(captured.out)
    assert line.startswith(f"{kaggle / TABLE} row {ROW}: ")
    assert words in line
    assert captured.err == ""
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(("spoil", "words"), BAD_ROWS.values(), ids=BAD_ROWS)
def test_skip_bad_sets_one_bad_row_aside_and_keeps_the_others(spoil, words, kaggle, here, capsys):
    spoil(kaggle)
    assert galaxymorph("data", "check", kaggle, "--skip-bad") == 0
    assert "4 sound" in capsys.readouterr().out
    rejected = pd.read_csv(here / "rejected.csv", dtype=str)
    (where,), (what,) = rejected["where"], rejected["what"]
    assert where == f"{kaggle / TABLE} row {ROW}"
    assert words in what
    table = read_catalogue(kaggle).table.set_index("galaxy").drop(str(ON_THE_ROW), errors="ignore")
    expected = votes_table(5).drop(index=ROW - 2).set_index("GalaxyID")
    assert table.index.tolist() == expected.index.tolist()
    assert table["row"].tolist() == [2, 3, 5, 6]
    assert table[expected.columns].to_numpy().tolist() == expected.to_numpy().tolist()


@pytest.mark.parametrize("are_beside", [True, False])
def test_a_column_that_looks_like_images_is_proposed(tmp_path, are_beside, capsys):
    images = {f"{place}.jpg": image_bytes(picture(place)) for place in range(12)}
    folder = "pictures" if are_beside else "../elsewhere"
    rows = [f"{100 + place},{folder}/{place}.jpg,{'ab'[place % 2]}" for place in range(12)]
    table = "\n".join(["GalaxyID,photo,kind", *rows, ""]).encode()
    path = write_files(tmp_path / "mine", {"mine.csv": table, **in_folder(images, folder)})
    command = ["data", "check", path / "mine.csv", "--labels-column", "kind"]
    assert galaxymorph(*command) == 2
    assert "name the column of images: --image-column photo\n" in capsys.readouterr().err
    assert galaxymorph(*command, "--image-column", "photo") == 0
    assert "12 sound, 0 with a problem" in capsys.readouterr().out


def test_every_row_with_a_problem_is_counted(kaggle, capsys):
    change_cell(kaggle, 2, "GalaxyID", "")
    change_cell(kaggle, 3, "Class1.1", "high")
    (kaggle / IMAGES / f"{FIRST_ID + 2}.jpg").unlink()
    change_cell(kaggle, 6, "Class1.1", "2")
    assert galaxymorph("data", "check", kaggle) == 2
    assert "1 sound, 4 with a problem" in capsys.readouterr().out


def test_ids_that_a_spreadsheet_rounded_are_counted_row_by_row(kaggle, capsys):
    for row in range(2, 7):
        change_cell(kaggle, row, "GalaxyID", "5.87723E+17")
    assert galaxymorph("data", "check", kaggle) == 2
    assert "0 sound, 5 with a problem" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("kinds", "words"),
    [
        (
            "ababb",
            "1 image has the content of another (the first: 100004 is 100002): a split keeps",
        ),
        (
            "abaab",
            "1 image has the content of another (the first: 100004 is 100002), 1 of them with "
            "another class: a split keeps",
        ),
    ],
)
def test_copies_are_named_and_those_of_another_class_counted(tmp_path, kinds, words, capsys):
    rows = [f"{name},{kind}" for name, kind in zip(galaxy_ids(5), kinds, strict=True)]
    images = galaxy_images(5)
    images["100004.jpg"] = images["100002.jpg"]
    table = "\n".join(["GalaxyID,kind", *rows, ""]).encode()
    folder = write_files(tmp_path / "mine", {"kinds.csv": table, **images})
    # Five galaxies are too few for a fit.
    assert galaxymorph("data", "check", folder, "--labels-column", "kind") == 2
    assert words in capsys.readouterr().out


def test_a_doubled_galaxy_is_named_in_each_of_its_rows_and_no_row_of_it_is_kept(kaggle, capsys):
    change_cell(kaggle, ROW, "GalaxyID", f" {FIRST_ID}")
    assert galaxymorph("data", "check", kaggle, "--skip-bad") == 0
    captured = capsys.readouterr()
    assert problem_lines(captured.out) == [
        f"{kaggle / TABLE} row {row}: doubled GalaxyID {FIRST_ID}, {other}"
        for row, other in ((2, f"again in row {ROW}"), (ROW, "first in row 2"))
    ]
    assert captured.err == "written: rejected.csv\n"
    assert "3 sound, 2 with a problem" in captured.out
    assert read_catalogue(kaggle).table["galaxy"].tolist() == ["100002", "100004", "100005"]


@pytest.mark.parametrize("rows", [(2,), (2, 3), (2, 3, 4, 5, 6), (3, 6)])
def test_rows_of_too_many_fields_shift_no_other_row(rows, kaggle, capsys):
    lengthen(*rows)(kaggle)
    assert galaxymorph("data", "check", kaggle) == 2
    assert problem_lines(capsys.readouterr().out) == [
        f"{kaggle / TABLE} row {row}: 39 fields, but the header has 38" for row in rows
    ]
    kept = [row for row in range(2, 7) if row not in rows]
    table = read_catalogue(kaggle).table
    assert table["row"].tolist() == kept
    assert table["galaxy"].tolist() == [str(FIRST_ID + row - 2) for row in kept]


def test_many_problems_are_shown_in_part_and_written_in_full(tmp_path, here, capsys):
    folder = write_kaggle_folder(tmp_path / "kaggle", 15)
    for row in range(2, 15):
        change_cell(folder, row, "Class1.1", "x")
    assert galaxymorph("data", "check", folder) == 2
    captured = capsys.readouterr()
    assert len(problem_lines(captured.out)) == 10
    assert (
        captured.out.splitlines()[-1]
        == "… and 3 more; --skip-bad lists all of them in rejected.csv"
    )
    assert galaxymorph("data", "check", folder, "--skip-bad") == 0
    rejected = pd.read_csv(here / "rejected.csv", dtype=str)
    assert rejected["galaxy"].tolist() == galaxy_ids(13)


def test_quick_sees_a_missing_image_but_not_a_damaged_one(kaggle, capsys):
    image_of(b"no image")(kaggle)
    assert galaxymorph("data", "check", kaggle, "--quick") == 0
    assert "not decoded" in capsys.readouterr().out
    image_of(None)(kaggle)
    assert galaxymorph("data", "check", kaggle, "--quick") == 2


@pytest.mark.parametrize(
    "write",
    [
        write_kaggle_folder,
        folder_of_zips,
        outer_zip_of_deflated_zips,
        folder_with_outer_zip_of_stored_zips,
        path_of_the_table,
    ],
)
def test_a_sound_catalogue_passes_and_the_screen_says_what_is_in_it(write, tmp_path, here, capsys):
    assert galaxymorph("data", "check", write(tmp_path / "data", 12)) == 0
    out = capsys.readouterr().out
    for words in ("12 sound, 0 with a problem", "0 missing, 0 without a row", "obey the tree"):
        assert words in out
    for scheme in ("layer1", "hubble", "gz2-five"):
        assert scheme in out
    assert list(here.iterdir()) == []


def test_a_sound_catalogue_with_plain_labels_passes_and_counts_its_classes(tmp_path, capsys):
    folder = write_files(tmp_path / "mine", {"kinds.csv": labels_bytes(12), **galaxy_images(12)})
    assert galaxymorph("data", "check", folder, "--labels-column", "kind") == 0
    out = capsys.readouterr().out
    assert "none: plain labels" in out
    assert "disk 6, smooth 6" in out


def test_a_member_that_leads_out_is_named_and_written_nowhere(kaggle, tmp_path, capsys):
    images = in_folder(galaxy_images(5)) | {"../evil.jpg": image_bytes(picture())}
    (kaggle / f"{IMAGES}.zip").write_bytes(zip_bytes(images))
    assert galaxymorph("data", "check", kaggle) == 2
    line = f"{kaggle / IMAGES}.zip::../evil.jpg: the name leads outside the folder"
    assert line in capsys.readouterr().out
    assert galaxymorph("data", "check", kaggle, "--skip-bad") == 0
    assert "5 sound" in capsys.readouterr().out
    assert list(tmp_path.rglob("*evil*")) == []


def test_an_image_that_its_zip_holds_damaged_is_named_with_its_row(kaggle, tmp_path, capsys):
    data = bytearray(zip_bytes(galaxy_images(5)))
    data[data.index(f"{ON_THE_ROW}.jpg".encode()) + 100] ^= 0xFF
    files = {TABLE: table_bytes(5), f"{IMAGES}.zip": bytes(data)}
    folder = write_files(tmp_path / "zipped", files)
    assert galaxymorph("data", "check", folder) == 2
    (line,) = problem_lines(capsys.readouterr().out)
    reference = f"{folder / IMAGES}.zip::{ON_THE_ROW}.jpg"
    assert line.startswith(f"{folder / TABLE} row {ROW}: {reference}: can't be read (Bad CRC-32")


def drop_column(column: str):
    def change(lines: list[str]) -> None:
        at = lines[0].split(",").index(column)
        for n, line in enumerate(lines):
            cells = line.split(",")
            lines[n] = ",".join(cells[:at] + cells[at + 1 :])

    return lambda folder: change_table(folder, change)


def table_of(data: bytes, name: str = TABLE):
    def change(folder: Path) -> None:
        (folder / TABLE).unlink()
        (folder / name).write_bytes(data)

    return change


def images_of(data: bytes):
    def change(folder: Path) -> None:
        for path in (folder / IMAGES).iterdir():
            path.unlink()
        (folder / f"{IMAGES}.zip").write_bytes(data)

    return change


def unclosed_quote(folder: Path) -> None:
    change_cell(folder, ROW, "Class1.1", '"0.5')


GZIPPED = gzip.compress(table_bytes(5))
ZIPPED = zip_bytes({TABLE: table_bytes(5)})
ZIPPED_IMAGES = zip_bytes(galaxy_images(5))

BAD_FILES = {
    "missing column": (
        drop_column("Class4.2"),
        f"{TABLE}: column 'Class4.2' is missing; schema galaxy-zoo-challenge needs",
    ),
    "missing id": (
        drop_column("GalaxyID"),
        f"{TABLE}: column 'GalaxyID' is missing; give the column of galaxy ids",
    ),
    "no votes": (
        table_of(labels_bytes(5)),
        f"{TABLE}: without the vote columns of galaxy-zoo-challenge (Class1.1 and the others); "
        "name the column of class names with --labels-column",
    ),
    "empty file": (table_of(b""), f"{TABLE}: not a readable table (No columns to parse"),
    "header only": (table_of(table_bytes(0)), f"{TABLE}: the table has no rows; add"),
    "binary": (table_of(image_bytes(picture())), f"{TABLE}: not a readable table ("),
    "unclosed quote": (
        unclosed_quote,
        f"{TABLE}: not a readable table (a quote in row {ROW} is never closed)",
    ),
    "truncated gz": (table_of(GZIPPED[:-200], f"{TABLE}.gz"), f"{TABLE}.gz: not a readable table"),
    "damaged gz": (
        table_of(GZIPPED[:99] + b"\xff" * 9 + GZIPPED[108:], f"{TABLE}.gz"),
        f"{TABLE}.gz: not a readable table",
    ),
    "text as gz": (
        table_of(table_bytes(5), f"{TABLE}.gz"),
        f"{TABLE}.gz: not a readable table (Not a gzipped file",
    ),
    "text as parquet": (
        table_of(table_bytes(5), "training_solutions_rev1.parquet"),
        "training_solutions_rev1.parquet: not a readable table",
    ),
    "text as zip of the table": (
        table_of(table_bytes(5), "training_solutions_rev1.zip"),
        "training_solutions_rev1.zip: not a readable zip (File is not a zip file)",
    ),
    "truncated zip of the table": (
        table_of(ZIPPED[:-30], "training_solutions_rev1.zip"),
        "training_solutions_rev1.zip: not a readable zip",
    ),
    "zip without a table": (
        table_of(zip_bytes({"readme.txt": b"hello"}), "training_solutions_rev1.zip"),
        "training_solutions_rev1.zip: it contains no table",
    ),
    "text as zip of images": (images_of(b"<html>"), f"{IMAGES}.zip: not a readable zip"),
    "truncated zip of images": (images_of(ZIPPED_IMAGES[:-30]), f"{IMAGES}.zip: not a readable"),
    "empty zip of images": (images_of(zip_bytes({})), f"no images for {{folder}}/{TABLE}"),
}


@pytest.mark.parametrize("options", [[], ["--skip-bad"]], ids=["plain", "skip-bad"])
@pytest.mark.parametrize(("spoil", "words"), BAD_FILES.values(), ids=BAD_FILES)
def test_a_file_that_cannot_be_used_is_one_line_that_names_it(
    spoil, words, options, kaggle, here, capsys
):
    spoil(kaggle)
    assert galaxymorph("data", "check", kaggle, *options) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    (line,) = captured.err.splitlines()
    assert line.startswith("error: ")
    assert words.format(folder=kaggle) in line
    assert str(kaggle) in line
    assert list(here.iterdir()) == []


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (
            "nowhere",
            "nowhere: no such file or folder; give a table, or the folder of Kaggle's files",
        ),
        ("nowhere.zip", "nowhere.zip: no such file or folder"),
        ("empty", "empty: no table of galaxies; give the folder or the path of the table, or put"),
        ("table only", f"no images for table only/{TABLE}; put images_training_rev1.zip or"),
        ("images only", "images only: no table of galaxies"),
        ("text.zip", "text.zip: not a readable zip"),
        ("empty.zip", "empty.zip: no table of galaxies"),
        ("picture.jpg", "picture.jpg: not a readable table"),
    ],
)
def test_a_path_without_a_catalogue_is_one_line_that_names_it(path, words, here, capsys):
    (here / "empty").mkdir()
    write_files(here / "table only", {TABLE: table_bytes(2)})
    write_files(here / "images only", in_folder(galaxy_images(2)))
    pictures = {"picture.jpg": image_bytes(picture()), "1.jpg": image_bytes(picture())}
    write_files(here, {"text.zip": b"<html>", "empty.zip": zip_bytes({})} | pictures)
    assert galaxymorph("data", "check", path) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {words}")


def test_a_labels_column_that_is_not_there_is_named(kaggle, capsys):
    assert galaxymorph("data", "check", kaggle, "--labels-column", "kind") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {kaggle / TABLE}: column 'kind' is missing; it has GalaxyID, ")


def test_check_in_the_catalogues_own_folder_can_be_repeated_after_skip_bad(
    tmp_path, monkeypatch, capsys
):
    files = {"kinds.csv": labels_bytes(13), **galaxy_images(12)}
    monkeypatch.chdir(write_files(tmp_path / "mine", files))
    for _ in range(2):
        assert galaxymorph("data", "check", ".", "--labels-column", "kind", "--skip-bad") == 0
        assert "12 sound, 1 with a problem" in capsys.readouterr().out
