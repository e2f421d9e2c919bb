"""One listing of images: any depth, any zip, any ending, and a word on what is left out."""

import bz2
import gzip
import os
import unicodedata
import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.table import Table

from galaxymorph.base import BadInput, read_bytes
from galaxymorph.learn import gather_galaxies, make_recipe, unlabelled_images
from galaxymorph.zoo import find_layout, list_image_files, read_catalogue, require_images
from galaxymorph.zoo.image_files import image_name, walk
from tests.conftest import galaxymorph
from tests.makers import (
    FIRST_ID,
    IMAGES,
    OUTER_ZIP,
    TABLE,
    galaxy_ids,
    galaxy_images,
    image_bytes,
    in_folder,
    labels_bytes,
    picture,
    table_bytes,
    write_files,
    zip_bytes,
)

JPEG = image_bytes(picture(1))
FITS = (b"SIMPLE  =                    T".ljust(80) + b"END".ljust(80)).ljust(2880)


def names(place: Path) -> list[str]:
    return [file.name for file in list_image_files(place).images]


def test_images_are_listed_at_any_depth_and_in_zips_of_any_name(tmp_path):
    pictures = [image_bytes(picture(k)) for k in range(8)]
    inner = zip_bytes({"deep/er/6.jpg": pictures[6]})
    files = {
        "0.jpg": pictures[0],
        "J000/1.jpg": pictures[1],
        "a/b/c/d/e/2.jpg": pictures[2],
        "images_training_rev1/images_training_rev1/3.jpg": pictures[3],
        "dr5_part1.zip": zip_bytes({"4.jpg": pictures[4]}),
        "a/OTHER.ZIP": zip_bytes({"folder/in a folder/5.jpg": pictures[5], "inner.zip": inner}),
        "images_test_rev1.zip": zip_bytes({"images_test_rev1/7.jpg": pictures[7]}),
    }
    result = list_image_files(write_files(tmp_path / "all", files))
    by_name = {image_name(file.name): read_bytes(file.reference) for file in result.images}
    assert by_name == {str(k): pictures[k] for k in range(8)}
    assert result.notes() == []
    # The same, zipped as a whole, which makes a zip in a zip in a zip.
    whole = tmp_path / "whole.zip"
    whole.write_bytes(zip_bytes(files))
    zipped = list_image_files(whole)
    assert {image_name(file.name) for file in zipped.images} == set("01234567")
    assert {read_bytes(file.reference) for file in zipped.images} == set(pictures)
    assert zipped.notes() == []
    # A zip could hold itself.
    nested = zip_bytes({"0.jpg": pictures[0]})
    for _ in range(6):
        nested = zip_bytes({"1.zip": nested})
    whole.write_bytes(zip_bytes({"2.jpg": pictures[2], "3.zip": nested}))
    zipped = list_image_files(whole)
    assert [image_name(file.name) for file in zipped.images] == ["2"]
    assert zipped.notes() == ["1 file skipped: 1 zip, too deep in others"]


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("1.jpe", JPEG),
        ("1.JFIF", JPEG),
        ("1.Jpg", JPEG),
        ("1", JPEG),
        ("1.img", JPEG),
        ("1.dat", image_bytes(picture(1), "PNG")),
        ("1.tif", b"II*\0"),
        ("1.TIFF", b"MM\0*"),
        ("1.webp", image_bytes(picture(1), "WEBP")),
        ("1.bmp", image_bytes(picture(1), "BMP")),
        ("1.gif", image_bytes(picture(1), "GIF")),
        ("1.fts", FITS),
        ("1.FITS", FITS),
        ("1.fit.gz", gzip.compress(FITS)),
        ("1.fits.bz2", bz2.compress(FITS)),
        ("1.fz", FITS),
        ("1.gz", gzip.compress(FITS)),
        ("1.bz2", bz2.compress(FITS)),
        ("1.fits.fz", FITS),
        ("1.FITS.GZ", gzip.compress(FITS)),
    ],
    # Packed data holds the time, and every process must name its tests alike.
    ids=lambda value: value if isinstance(value, str) else "",
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_an_image_is_told_by_what_it_is(tmp_path, name, data, packed):
    files = {f"place/{name}": data}
    place = write_files(tmp_path, {"place.zip": zip_bytes(files)} if packed else files)
    result = list_image_files(place / ("place.zip" if packed else "place"))
    assert [image_name(file.name) for file in result.images] == ["1"]
    assert not result.skipped


def test_what_is_left_out_is_counted_and_named_in_one_line(tmp_path):
    files = {
        "1.jpg": JPEG,
        "a.npy": b"\x93NUMPY",
        "b/b.npy": b"\x93NUMPY",
        "notes.txt": b"mine",
        "c": b"no image",
        "d.tar.gz": gzip.compress(b"x"),
        "thumbnails/1.jpg": JPEG,
        "thumbnails/2.jpg": JPEG,
    }
    place = write_files(tmp_path / "place", files)
    (place / "gone.jpg").symlink_to("nowhere.jpg")
    os.mkfifo(place / "pipe.jpg")
    result = list_image_files(place)
    assert names(place) == ["1.jpg"]
    assert result.skipped == Counter(
        {
            ".npy": 2,
            "in folders of thumbnails": 2,
            ".txt": 1,
            "without an ending": 1,
            ".tar.gz": 1,
            "broken link": 1,
            "no plain file": 1,
        }
    )
    (note,) = result.notes()
    assert note.startswith("9 files skipped: 2 ")
    assert note.endswith("1 more")
    shown = [kind for kind, number in result.skipped.items() if f"{number} {kind}" in note]
    assert len(shown) == 6


def test_tables_and_texts_beside_images_need_no_word(tmp_path):
    files = {"1.jpg": JPEG, "labels.csv": b"a\n", "README.md": b"x", "licence.txt": b"x"}
    assert list_image_files(write_files(tmp_path / "place", files)).notes() == []


def test_what_systems_leave_is_no_galaxy(tmp_path):
    junk = [
        "__MACOSX/._1.jpg",
        "._1.jpg",
        ".hidden.jpg",
        ".thumbnails/1.jpg",
        ".git/1.jpg",
        ".ipynb_checkpoints/1-checkpoint.jpg",
        "@eaDir/1.jpg",
        "Thumbs.db",
        "sub/.DS_Store",
        "sub/desktop.ini",
        "__pycache__/a.pyc",
    ]
    files = dict.fromkeys(junk, JPEG) | {"1.jpg": JPEG}
    place = write_files(tmp_path / ".hidden place", files)
    zipped = write_files(tmp_path, {"place.zip": zip_bytes(files)}) / "place.zip"
    for item in (place, zipped):
        assert names(item) == ["1.jpg"]
        assert list_image_files(item).notes() == []


@pytest.mark.parametrize("target", ["..", "../..", ".", "here"])
def test_links_in_a_loop_end(tmp_path, target):
    place = write_files(tmp_path / "place" / "in", {"1.jpg": JPEG}).parent
    (place / "in" / "here").symlink_to(target)
    assert [name for name in names(place) if name == "in/1.jpg"] == ["in/1.jpg"]
    assert len(names(place / "in")) == 1


def test_a_linked_folder_and_a_linked_file_are_followed_once(tmp_path):
    away = write_files(tmp_path / "away", {"2.jpg": image_bytes(picture(2))})
    place = write_files(tmp_path / "place", {"1.jpg": JPEG})
    for name in ("b", "a"):
        (place / name).symlink_to(away)
    (place / "3.jpg").symlink_to(away / "2.jpg")
    assert names(place) == ["1.jpg", "3.jpg", "a/2.jpg"]


@pytest.mark.parametrize("written", ["NFC", "NFD"])
@pytest.mark.parametrize("asked", ["NFC", "NFD"])
def test_names_of_any_unicode_form_match(tmp_path, written, asked):
    name, wanted = (unicodedata.normalize(form, "Grünä.jpg") for form in (written, asked))
    place = write_files(tmp_path / "mine", {name: JPEG, "x.zip": zip_bytes({name: JPEG})})
    assert read_bytes(place / wanted) == JPEG
    assert read_bytes(f"{place / 'x.zip'}::{wanted}") == JPEG
    table = f"GalaxyID,kind\n{wanted[:-4]},disk\n"
    (place / "labels.csv").write_text(table, encoding="utf-8")
    assert read_catalogue(place, "kind").problems == []


def zip_without_a_flag(path: Path, name: bytes) -> Path:
    """A zip whose only name is these bytes, of which it doesn't say how they are coded."""
    stand_in = "n" * len(name)
    data = zip_bytes({f"{stand_in}.jpg": JPEG})
    path.write_bytes(data.replace(stand_in.encode(), name))
    return path


@pytest.mark.parametrize(
    ("raw", "plain"),
    [
        ("Grün".encode(), "Grün.jpg"),
        (unicodedata.normalize("NFD", "Grün").encode(), "Grün.jpg"),
        ("Grün".encode("cp437"), "Grün.jpg"),
        (b"images\\sub\\1", "images/sub/1.jpg"),
    ],
)
def test_zips_of_other_systems_have_the_names_their_authors_gave(tmp_path, raw, plain):
    path = zip_without_a_flag(tmp_path / "mine.zip", raw)
    (file,) = list_image_files(path).images
    assert file.name == plain
    assert read_bytes(file.reference) == JPEG
    assert read_bytes(f"{path}::{plain}") == JPEG


def test_files_that_unzip_left_with_backslashes_in_their_names_are_found(tmp_path):
    place = write_files(
        tmp_path / "place", {"images\\1.jpg": JPEG, "labels.csv": b"GalaxyID,k\n1,a\n"}
    )
    assert read_catalogue(place, "k").problems == []


def test_windows_folders_in_a_zip_are_no_files(tmp_path):
    path = tmp_path / "mine.zip"
    path.write_bytes(zip_bytes({"images\\": b"", "images\\1.jpg": JPEG}))
    assert names(path) == ["images/1.jpg"]


def test_copies_of_one_image_are_taken_once_and_namesakes_are_told(tmp_path):
    other = image_bytes(picture(2))
    files = {"1.jpg": JPEG, "a.zip": zip_bytes({"1.jpg": JPEG}), "b/1.jpg": other, "2.png": other}
    result = list_image_files(write_files(tmp_path / "place", files))
    assert [file.name for file in result.images] == ["1.jpg", "2.png", "b/1.jpg"]
    copies, namesakes = result.notes()
    assert copies == "1 copy of images left out"
    assert "1.jpg and b/1.jpg" in namesakes


@pytest.mark.parametrize(
    ("name", "galaxy"),
    [
        ("a/1.fits.gz", "1"),
        ("1.FTS.bz2", "1"),
        ("J0910.47-0101", "J0910.47-0101"),
        ("J0910.47-0101.jpg", "J0910.47-0101"),
        ("b\\1.jfif", "1"),
        ("1.image", "1"),
        ("", ""),
    ],
)
def test_an_images_name_has_no_folder_and_no_ending(name, galaxy):
    assert image_name(name) == galaxy


def test_a_place_without_images_says_what_is_there(tmp_path):
    place = write_files(tmp_path / "place", {"a.npy": b"x", "b.csv": b"x", "thumbs/1.jpg": JPEG})
    with pytest.raises(BadInput) as error:
        require_images(place, list_image_files(place))
    assert "place: it contains no images, but 1 .npy, 1 .csv, 1 in" in str(error.value)


def test_a_damaged_zip_or_a_closed_folder_is_named(tmp_path):
    place = write_files(tmp_path / "place", {"1.jpg": JPEG, "half.zip": b"PK\x03\x04half"})
    with pytest.raises(BadInput, match=r"half\.zip: not a readable zip"):
        list_image_files(place)
    (place / "labels.csv").write_bytes(b"GalaxyID,k\n1,a\n")
    assert "1 unreadable zip" in read_catalogue(place, "k").note
    (place / "half.zip").rename(place / "images.zip")
    with pytest.raises(BadInput, match=r"images\.zip: not a readable zip"):
        read_catalogue(place, "k")


def test_names_are_in_order_and_relative_as_the_place_is(tmp_path, monkeypatch):
    write_files(tmp_path, {"b.jpg": JPEG, "a/2.jpg": JPEG, "c.zip": zip_bytes({"z.jpg": JPEG})})
    monkeypatch.chdir(tmp_path)
    assert [file.reference for file in walk(".")] == ["a/2.jpg", "b.jpg", "c.zip", "c.zip::z.jpg"]
    assert [file.reference for file in walk("a")] == ["a/2.jpg"]
    assert os.sep == "/"


DEEPER = {
    "doubled": in_folder(galaxy_images(4), f"{IMAGES}/{IMAGES}"),
    "by hundreds": in_folder(galaxy_images(4), f"{IMAGES}/100"),
    "deep": in_folder(galaxy_images(4), "cutouts/sdss/r"),
    "zip of another name": {"cutouts_part1.zip": zip_bytes(galaxy_images(4))},
    "zip in a folder": {"downloads/images_dr5.zip": zip_bytes(in_folder(galaxy_images(4), "x/y"))},
    "zip in a zip": {OUTER_ZIP: zip_bytes({"x.zip": zip_bytes(galaxy_images(4))})},
    "without an ending": {name[:-4]: data for name, data in galaxy_images(4).items()},
}


@pytest.mark.parametrize("name", ["catalogue.fits", "mine.fit.gz", "mine.fits.bz2"])
def test_a_table_of_fits_among_cutouts_is_no_cutout(tmp_path, name):
    cutout = fits.PrimaryHDU(np.zeros((8, 8), "float32"))
    table = fits.BinTableHDU(np.rec.array([(1, "a"), (2, "b")], names="GalaxyID,kind"))
    cutout.writeto(tmp_path / "1.fits")
    image = fits.ImageHDU(cutout.data)
    fits.HDUList([fits.PrimaryHDU(), image, table]).writeto(tmp_path / "2.fits.gz")
    fits.HDUList([fits.PrimaryHDU(), fits.CompImageHDU(cutout.data)]).writeto(
        tmp_path / "3.fits.fz"
    )
    table.writeto(tmp_path / name)
    (tmp_path / "4.fits").write_bytes(b"damaged, which its decoding tells")
    assert names(tmp_path) == ["1.fits", "2.fits.gz", "3.fits.fz", "4.fits"]
    assert list_image_files(tmp_path).notes() == ["1 file skipped: 1 FITS table"]


@pytest.mark.parametrize(
    "name", ["labels.CSV", "mine.tsv", "mine.csv.bz2", "catalog.fits", "Labels.Parquet"]
)
def test_a_folders_table_may_be_of_any_format(tmp_path, name):
    frame = pd.DataFrame({"GalaxyID": galaxy_ids(3), "kind": ["a", "b", "a"]})
    place = write_files(tmp_path / "data", in_folder(galaxy_images(3), "cutouts"))
    if name.lower().endswith(".parquet"):
        frame.to_parquet(place / name)
    elif name.endswith(".fits"):
        Table.from_pandas(frame).write(place / name)
    else:
        frame.to_csv(place / name, index=False, sep="\t" if "tsv" in name else ",")
    catalogue = read_catalogue(place, "kind")
    assert catalogue.source == str(place / name)
    assert catalogue.table["galaxy"].tolist() == galaxy_ids(3)
    assert catalogue.problems == []


@pytest.mark.parametrize("how", DEEPER)
@pytest.mark.parametrize("named", [False, True], ids=["folder", "table"])
def test_a_catalogues_images_lie_at_any_depth(tmp_path, how, named):
    folder = write_files(tmp_path / "data", {"labels.csv": labels_bytes(4), **DEEPER[how]})
    catalogue = read_catalogue(folder / "labels.csv" if named else folder, "kind")
    assert catalogue.problems == []
    assert catalogue.unused_images == 0
    pictures = [read_bytes(reference) for reference in catalogue.table["image"]]
    assert pictures == list(galaxy_images(4).values())


def test_ids_may_be_the_names_of_files(tmp_path):
    rows = "".join(f"{name},disk\n" for name in galaxy_images(3))
    files = {"labels.csv": f"GalaxyID,kind\n{rows}".encode(), **in_folder(galaxy_images(3))}
    assert read_catalogue(write_files(tmp_path / "data", files), "kind").problems == []


def test_a_fit_never_takes_test_images(tmp_path):
    test = image_bytes(picture(99))
    for name, where in {
        "folder": {f"images_test_rev1/{FIRST_ID + 1}.jpg": test},
        "doubled": {f"images_test_rev1/images_test_rev1/{FIRST_ID + 1}.jpg": test},
        "zip": {"images_test_rev1.zip": zip_bytes({f"{FIRST_ID + 1}.jpg": test})},
    }.items():
        for place in (IMAGES, "images"):
            files = {TABLE: table_bytes(2), **in_folder(galaxy_images(1), place), **where}
            catalogue = read_catalogue(write_files(tmp_path / name / place, files))
            assert catalogue.table["galaxy"].tolist() == galaxy_ids(1)
            assert [problem.what for problem in catalogue.problems] == [
                f"no image {FIRST_ID + 1}.jpg"
            ]
        files = {TABLE: table_bytes(2), **where}
        with pytest.raises(BadInput, match="no images for"):
            find_layout(write_files(tmp_path / name / "alone", files))


def test_labels_of_ones_own_may_be_of_test_images(tmp_path):
    files = {"labels.csv": labels_bytes(3), **in_folder(galaxy_images(3), "images_test_rev1")}
    assert read_catalogue(write_files(tmp_path / "data", files), "kind").problems == []


def test_a_catalogue_further_in_keeps_its_images_to_itself(tmp_path):
    """As the simulated galaxies do, whose names may be the same."""
    inner = {TABLE: table_bytes(3), **in_folder({f"{FIRST_ID}.jpg": image_bytes(picture(50))})}
    for place in (IMAGES, "cutouts"):
        files = {TABLE: table_bytes(3), **in_folder(galaxy_images(3), place)}
        folder = write_files(tmp_path / place, files | in_folder(inner, "simulated"))
        catalogue = read_catalogue(folder)
        assert catalogue.problems == []
        pictures = [read_bytes(reference) for reference in catalogue.table["image"]]
        assert pictures == list(galaxy_images(3).values())


def test_when_no_name_matches_both_sides_are_shown(tmp_path):
    files = {"labels.csv": labels_bytes(3), "x/J1.jpg": JPEG, "x/J2.jpg": JPEG}
    with pytest.raises(BadInput) as error:
        read_catalogue(write_files(tmp_path / "data", files), "kind")
    assert f"none of its 3 galaxies has an image: no image {FIRST_ID}.jpg" in str(error.value)
    assert "x/J1.jpg" in str(error.value)


def test_data_check_and_fit_say_what_they_leave_out(tmp_path, capsys):
    extra = {"cutouts/0.npy": b"\x93NUMPY", "cutouts/7.jpg": JPEG}
    files = {"labels.csv": labels_bytes(3), **in_folder(galaxy_images(3), "cutouts"), **extra}
    place = write_files(tmp_path / "data", files)
    # A class of one galaxy would stop a fit.
    assert galaxymorph("data", "check", place, "--labels-column", "kind") == 2
    printed = " ".join(capsys.readouterr().out.split())
    assert "left out 1 file skipped: 1 .npy" in printed
    assert "0 missing, 1 without a row" in printed
    recipe = replace(make_recipe("baseline", {"labels_column": "kind"}), size=32)
    assert len(gather_galaxies(place, recipe).table) == 3
    error = capsys.readouterr().err
    assert "1 file skipped: 1 .npy" in error
    assert f"images without a row in {place / 'labels.csv'}: 1" in error


def test_unlabelled_images_are_listed_as_all_images_are(tmp_path, capsys):
    other = {f"x/y/{name}": data for name, data in galaxy_images(30).items()}
    more = {"a.zip": zip_bytes({f"{k}.jpg": image_bytes(picture(k + 100)) for k in range(30)})}
    place = write_files(tmp_path / "survey", other | more | {"0.npy": b"\x93NUMPY"})
    recipe = make_recipe("baseline", {"adapt": "coral", "unlabelled": str(place)})
    assert len(unlabelled_images(replace(recipe, size=32)).frames.rows) == 60
    assert f"unlabelled={str(place)!r}: 1 file skipped: 1 .npy" in capsys.readouterr().err


def test_the_same_galaxy_in_two_zips_is_a_problem_unless_it_is_the_same_image(tmp_path):
    same, other = JPEG, image_bytes(picture(2))
    for data, problems in ((same, 0), (other, 1)):
        files = {
            "labels.csv": labels_bytes(1),
            "a.zip": zip_bytes({f"images/{FIRST_ID}.jpg": JPEG}),
            "b.zip": zip_bytes({f"images/{FIRST_ID}.jpg": data}),
        }
        catalogue = read_catalogue(write_files(tmp_path / str(problems), files), "kind")
        assert len(catalogue.problems) == problems
    assert "b.zip" in str(catalogue.problems[0]) and "a.zip" in str(catalogue.problems[0])


def test_a_zip_of_a_gigabyte_of_names_is_listed_without_reading_its_images(tmp_path, monkeypatch):
    path = tmp_path / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(2000):
            archive.writestr(f"images/{number}.jpg", b"not read")
    monkeypatch.setattr("galaxymorph.zoo.image_files.read_head", None)
    monkeypatch.setattr("galaxymorph.zoo.image_files.read_bytes", None)
    assert len(names(path)) == 2000
