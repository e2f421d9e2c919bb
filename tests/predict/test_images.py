"""Which images a prediction is asked for, by folders, zips and names."""

import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.predict.failures import Failures, error_kind
from galaxymorph.predict.images import expand_images, submission_images
from tests.conftest import galaxymorph
from tests.makers import (
    IMAGES,
    challenge_files,
    galaxy_images,
    image_bytes,
    in_folder,
    outer_zip_of_deflated_zips,
    outer_zip_of_stored_zips,
    picture,
    write_files,
    zip_bytes,
)

TEST = "images_test_rev1"


def written(folder: Path) -> Path:
    """Ten images, of which only three end in .jpg or lie at the top, and a file that is none."""
    pictures = [picture(k, (48, 48)) for k in range(10)]
    formats = {
        ".jpg": "JPEG",
        ".tif": "TIFF",
        ".webp": "WEBP",
        ".bmp": "BMP",
        ".jfif": "JPEG",
        ".PNG": "PNG",
        "": "JPEG",
    }
    endings = [".jpg", ".jpg", ".jpg", *formats]
    files = {
        f"{'a/b/' * (k % 2)}{k}{ending}": image_bytes(pictures[k], formats[ending])
        for k, ending in enumerate(endings)
    }
    return write_files(folder, files | {"array.npy": b"\x93NUMPY"})


def test_a_directory_of_ten_images_has_ten_predictions_by_folder_zip_and_name(
    run, tmp_path, capsys
):
    folder = written(tmp_path / "mixed")
    zipped = tmp_path / "mixed.zip"
    with zipfile.ZipFile(zipped, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, f"in/{path.relative_to(folder)}")
    names = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix != ".npy"]
    tables = {}
    for how, given in {"folder": [folder], "zip": [zipped], "names": names}.items():
        assert galaxymorph("predict", run, *given, "--json", "--precision", "fp32") == 0
        output = capsys.readouterr()
        table = pd.DataFrame(json.loads(output.out)).set_index("galaxy").sort_index()
        tables[how] = table.drop(columns="image")
        assert ("1 file skipped: 1 .npy" in output.err) == (how != "names")
    out = tmp_path / "out"
    assert galaxymorph("predict", run, folder, "-o", f"{out}/", "--precision", "fp32") == 0
    assert capsys.readouterr().err.count("1 file skipped: 1 .npy") == 1
    assert tables["folder"].index.tolist() == list("0123456789")
    numbers = [name for name in tables["folder"] if name.startswith("p_")]
    for other in (
        tables["zip"],
        tables["names"],
        pd.read_parquet(out).set_index("galaxy").sort_index(),
    ):
        assert other["predicted"].tolist() == tables["folder"]["predicted"].tolist()
        assert np.allclose(other[numbers], tables["folder"][numbers], atol=1e-5)


def test_a_folder_without_images_says_what_is_there(run, tmp_path, capsys):
    place = write_files(tmp_path / "place", {"a.npy": b"x", "b.tar.gz": b"x", "b/c.csv": b"x"})
    for more in ([], ["-o", f"{tmp_path / 'out'}/"]):
        assert galaxymorph("predict", run, place, *more) == 2
        error = capsys.readouterr().err
        assert "place: it contains no images, but " in error
        assert all(kind in error for kind in ("1 .npy", "1 .tar.gz", "1 .csv"))


def test_what_two_folders_share_is_predicted_once_and_a_name_given_twice_twice(tmp_path):
    place = write_files(tmp_path / "a", in_folder(galaxy_images(2), "b"))
    assert len(expand_images([str(place), str(place / "b")])) == 2
    one = str(place / "b" / "100001.jpg")
    assert expand_images([one, one]) == [one, one]


def test_namesakes_that_differ_are_told(tmp_path, capsys):
    one, other = image_bytes(picture(1)), image_bytes(picture(2))
    place = write_files(tmp_path / "a", {"x/1.jpg": one, "y/1.jpg": other, "z/1.jpg": one})
    assert [Path(path).parent.name for path in expand_images([str(place)])] == ["x", "y"]
    error = capsys.readouterr().err
    assert "1 copy of images left out" in error
    assert "such as x/1.jpg and y/1.jpg, which differ" in error


@pytest.mark.parametrize("how", ["files", "zips", "one zip"])
def test_a_submission_takes_the_test_images_of_the_challenge(tmp_path, capsys, how):
    if how == "files":
        place = write_files(tmp_path / "data", in_folder(galaxy_images(2)))
        write_files(place, in_folder({"7.jpg": b"", "8.jpg": b""}, f"{TEST}/{TEST}"))
        expected = ["7.jpg", "8.jpg"]
    else:
        files = challenge_files(2, zipfile.ZIP_DEFLATED)
        if how == "one zip":
            files = {"galaxy-zoo-the-galaxy-challenge.zip": zip_bytes(files)}
        place = write_files(tmp_path / "data", files)
        expected = ["100001.jpg", "999999.jpg"]
    result = submission_images([str(place)])
    assert [Path(path).name for path in result] == expected
    assert all(TEST in path for path in result)
    assert "images excluded because they are not in the test part: 2" in capsys.readouterr().err


def test_a_submission_without_test_images_is_refused_unless_training_images_are_named(
    tmp_path, capsys
):
    place = write_files(tmp_path / "data", in_folder(galaxy_images(3)))
    with pytest.raises(BadInput, match="3 training images of the challenge and no test images"):
        submission_images([str(place)])
    named = submission_images([str(place / IMAGES)])
    assert len(named) == 3
    assert "warning: 3 images are in the training part" in capsys.readouterr().err
    assert submission_images(named) == named
    own = write_files(tmp_path / "mine", galaxy_images(3))
    assert len(submission_images([str(own)])) == 3


def test_many_skipped_images_are_summed_up(run, tmp_path, capsys):
    files = {f"{number:02}.jpg": b"" for number in range(15)} | {"20.jpg": b"text"}
    place = write_files(tmp_path / "place", files)
    assert galaxymorph("predict", run, place, "--skip-bad") == 2
    *skipped, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: none of the images can be used")
    assert len(skipped) == 11
    assert skipped[-1].startswith("skipped: 6 more (5 the file is empty, 1 ")


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ("/a b/1.jpg: no such file; check the path: there is no folder /a b", "no such file"),
        ("x.zip::1.jpg: damaged (truncated: 12 bytes)", "damaged"),
        ("1.jpg: 9000x9000 pixels, over 40,000,000; make a cutout", "… pixels, over …"),
        ("no file given; give its path", "no file given"),
    ],
)
def test_an_errors_kind_names_no_file(error, kind):
    assert error_kind(error) == kind


def test_failures_are_told_by_their_number():
    failures = Failures(1000)
    assert failures.lines() == []
    failures.add([f"{n}.jpg: no such file; check the path" for n in range(20)])
    head, kind = failures.lines()
    assert head.startswith("20 of 1,000 images (2.0%) couldn't be used; ")
    assert kind == "  20 like this: 0.jpg: no such file; check the path"
    failures.add(["x.jpg: the file is empty"])
    assert failures.lines()[0].startswith("warning: 21 of 1,000 images (2.1%)")
    assert not failures.total
    refusing = Failures(10, refused=1)
    assert (refusing.number, refusing.unusable) == (1, 0)
    assert refusing.lines() == [
        "warning: 1 of 10 images (10.0%) refused as unlike the galaxies that the model was trained "
        "on; outliers=True predicts them too"
    ]
    assert Failures(0).lines() == []


@pytest.mark.parametrize("write", [outer_zip_of_stored_zips, outer_zip_of_deflated_zips])
@pytest.mark.parametrize("folder", [False, True])
def test_the_one_zip_of_kaggles_client_gives_its_test_images(tmp_path, write, folder):
    outer = write(tmp_path / "data", 3)
    result = submission_images([str(outer.parent if folder else outer)])
    assert [Path(path).name for path in result] == ["100001.jpg", "999999.jpg"]
    assert all(TEST in path for path in result)
