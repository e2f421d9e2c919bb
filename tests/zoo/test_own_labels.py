"""A catalogue of one's own: plain labels, ids of any column, and what a fit of them will need."""

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from PIL import Image

from galaxymorph.zoo import handed_classes, label_catalogue, read_catalogue
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.makers import image_bytes, picture

pytestmark = pytest.mark.usefixtures("undrawn")


def own_catalogue(folder, labels, ending="csv", names=None):
    """A table of ids and labels under names of its own, and an image each."""
    images = folder / "images"
    images.mkdir(parents=True)
    names = names or [f"J{1000 + n}" for n in range(len(labels))]
    for n, name in enumerate(names):
        (images / f"{name}.png").write_bytes(image_bytes(picture(n, (64, 64)), "PNG"))
    table = pd.DataFrame(
        {"ra": np.linspace(0, 1, len(labels)), "objname": names, "morphology": labels}
    )
    path = folder / f"own.{ending}"
    if ending == "csv":
        table.to_csv(path, index=False)
    elif ending == "parquet":
        table.to_parquet(path, index=False)
    else:
        kinds = {"vot": "votable", "ecsv": "ascii.ecsv"}
        Table.from_pandas(table).write(path, format=kinds.get(ending, ending))
    return path


OWN = ["--labels-column", "morphology", "--id-column", "objname"]


@pytest.mark.parametrize("ending", ["csv", "parquet", "fits", "vot", "ecsv"])
def test_check_show_and_fit_take_the_same_two_columns(tmp_path, capsys, ending):
    path = own_catalogue(tmp_path / "my", ["disk", "smooth"] * 6, ending)
    assert galaxymorph("data", "check", path, *OWN) == 0
    assert "disk 6, smooth 6" in capsys.readouterr().out
    sheet = tmp_path / "sheet.png"
    assert galaxymorph("survey", "show", path, *OWN, "-o", sheet, "--n", "4") == 0
    assert Image.open(sheet).width > 64
    words = ["--data", path, "--recipe", RECIPE, *QUICK, "--epochs", "1", "--keep", "last"]
    assert galaxymorph("fit", *words, *OWN, "--out", tmp_path, "--name", "run") == 0
    split = pd.read_csv(tmp_path / "run" / "split.csv", dtype=str)
    assert sorted(split["galaxy"]) == [f"J{1000 + n}" for n in range(12)]
    assert set(split["label"]) == {"disk", "smooth"}


@pytest.mark.parametrize("command", ["data check", "survey show", "fit --data"])
def test_a_mistyped_column_is_named_with_the_one_that_is_meant(tmp_path, capsys, command):
    path = own_catalogue(tmp_path / "my", ["disk", "smooth"] * 6)
    for wrong, words in (
        (["--labels-column", "morfology", "--id-column", "objname"], "did you mean morphology?"),
        (["--labels-column", "morphology", "--id-column", "objnam"], "--id-column objname?"),
    ):
        assert galaxymorph(*command.split(), path, *wrong) == 2
        assert words in capsys.readouterr().err


def test_what_a_fit_would_refuse_is_said_by_the_check(tmp_path, capsys):
    few = own_catalogue(tmp_path / "few", ["disk"] * 9 + ["smooth"] * 3)
    assert galaxymorph("data", "check", few, *OWN) == 2
    fault = "class 'smooth' has 3 galaxies, but a split into train, valid and test needs 4"
    output = capsys.readouterr().out
    assert f"fit would stop: {fault}" in output
    assert "--scheme" not in output
    assert galaxymorph("fit", "--data", few, *OWN, "--out", tmp_path / "runs") == 2
    assert fault in capsys.readouterr().err
    # Four of each class are too few where there are two: of three that are held out one is smooth.
    scarce = own_catalogue(tmp_path / "scarce", ["disk"] * 4 + ["smooth"] * 4)
    assert galaxymorph("data", "check", scarce, *OWN, "--skip-bad") == 2
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith("fit would stop: ")
    ]
    assert galaxymorph("fit", "--data", scarce, *OWN, "--out", tmp_path / "runs") == 2
    assert line.removeprefix("fit would stop: ") in capsys.readouterr().err
    enough = own_catalogue(tmp_path / "enough", ["disk", "smooth"] * 6)
    assert galaxymorph("data", "check", enough, *OWN) == 0
    assert "would stop" not in capsys.readouterr().out


@pytest.mark.parametrize("name", ["nan", "N/A", "None", "-", "?"])
def test_a_class_that_reads_like_none_gets_a_line(tmp_path, capsys, name):
    path = own_catalogue(tmp_path / "my", ["disk", "smooth", name] * 4)
    galaxymorph("data", "check", path, *OWN)
    line = f"4 galaxies of a class called {name!r}: if this means that the label is unknown, leave"
    assert line in capsys.readouterr().out
    assert galaxymorph("fit", "--data", path, *OWN, "--folds", "9", "--out", tmp_path) == 2
    assert f"warning: {line}" in capsys.readouterr().err


def test_classes_that_are_numbers_are_in_the_order_of_their_values(tmp_path):
    types = ["-5", "10", "2", "-3", "irregular", "0.5"]
    path = own_catalogue(tmp_path / "my", types * 4)
    catalogue = read_catalogue(path, "morphology", id_column="objname")
    _, classes = label_catalogue(catalogue, "layer1")
    assert classes == ["-5", "-3", "0.5", "2", "10", "irregular"]


def test_problems_are_in_the_order_of_the_rows_blank_images_too(tmp_path, capsys):
    path = own_catalogue(tmp_path / "my", ["disk", "smooth"] * 6)
    Image.new("RGB", (64, 64)).save(path.parent / "images" / "J1002.png")
    (path.parent / "images" / "J1007.png").unlink()
    table = pd.read_csv(path)
    table.loc[9, "morphology"] = None
    table.to_csv(path, index=False)
    assert galaxymorph("data", "check", path, *OWN) == 2
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith(str(path))]
    rows = [int(line.removeprefix(f"{path} row ").split(":")[0]) for line in lines]
    assert rows == [4, 9, 11]


@pytest.mark.parametrize(
    ("ids", "names"), [(["7", "8"], ["007", "008"]), (["07", "08"], ["7", "8"])]
)
def test_zeros_before_an_id_are_told(tmp_path, capsys, ids, names):
    path = own_catalogue(tmp_path / "my", ["disk", "smooth"], names=names)
    path.write_text(
        path.read_text()
        .replace(f",{names[0]},", f",{ids[0]},")
        .replace(f",{names[1]},", f",{ids[1]},")
    )
    assert galaxymorph("data", "check", path, *OWN) == 2
    assert "leading zeros are all that differs" in capsys.readouterr().err


def test_a_folder_of_a_folder_a_class_gets_advice(tmp_path, capsys):
    for name in ("disk", "smooth"):
        (tmp_path / "my" / name).mkdir(parents=True)
        (tmp_path / "my" / name / "1.jpg").write_bytes(image_bytes(picture(1)))
    for words in (["data", "check"], ["fit", "--data"]):
        assert galaxymorph(*words, tmp_path / "my") == 2
        assert "if the folders are classes (disk, smooth), write a table" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("classes", "handed"),
    [
        (["elliptical", "spiral_clockwise", "spiral_anticlockwise"], 2),
        (["edge", "spiralCW", "spiralCCW"], 2),
        (["cw", "acw"], 2),
        (["S-wise", "Z-wise", "other"], 2),
        (["spiral s", "spiral z"], 2),
        (["left-handed", "right-handed"], 2),
        (["arm_left", "arm_right", "none"], 2),
        (["links", "rechts"], 2),
        (["im Uhrzeigersinn", "Scheibe"], 1),
        (["horaire", "antihoraire"], 2),
        (["dextrógiro", "levógiro"], 2),
        (["E", "S0", "S", "Irr"], 0),
        (["disk right", "smooth"], 0),
        (["elliptical", "spiral", "irregular"], 0),
    ],
)
def test_names_tell_of_handedness(classes, handed):
    assert len(handed_classes(classes)) == handed


def test_handed_classes_get_a_warning_but_with_no_flips(tmp_path, capsys):
    path = own_catalogue(tmp_path / "my", ["cw", "ccw"] * 6)
    assert galaxymorph("data", "check", path, *OWN) == 0
    assert "cw, ccw" in (output := capsys.readouterr().out) or "ccw, cw" in output
    words = ["fit", "--data", path, "--recipe", RECIPE, *QUICK, "--epochs", "1", *OWN]
    assert galaxymorph(*words, "--out", tmp_path, "--name", "flipped") == 0
    assert "fit again with --no-flips" in capsys.readouterr().err
    assert galaxymorph(*words, "--no-flips", "--out", tmp_path, "--name", "run") == 0
    assert "--no-flips" not in capsys.readouterr().err
