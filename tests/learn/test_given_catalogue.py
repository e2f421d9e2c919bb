"""A catalogue that says where its images are, and which galaxies train and are tested."""

import numpy as np
import pandas as pd
import pytest

from galaxymorph.base import BadInput
from galaxymorph.learn import Recipe, gather_galaxies
from galaxymorph.learn.galaxies import draw_split
from galaxymorph.predict.listing import list_images
from galaxymorph.zoo import locate_images, read_catalogue
from tests.conftest import galaxymorph
from tests.makers import image_bytes, picture

pytestmark = pytest.mark.usefixtures("undrawn")

NUMBER = 24
FOLDERS = ("J00", "J01")


@pytest.fixture
def catalogue(tmp_path):
    """Images in subfolders under names that aren't the ids, and none beside the table."""
    names = [f"cutout_{number}.jpg" for number in range(NUMBER)]
    folders = [FOLDERS[number % 2] for number in range(NUMBER)]
    for number, (folder, name) in enumerate(zip(folders, names, strict=True)):
        (tmp_path / "elsewhere" / folder).mkdir(parents=True, exist_ok=True)
        data = image_bytes(picture(number))
        (tmp_path / "elsewhere" / folder / name).write_bytes(data)
    place = tmp_path / "elsewhere"
    table = pd.DataFrame(
        {
            "id_str": [f"g{number:02d}" for number in range(NUMBER)],
            "label": ["disk", "ball", "ball"] * (NUMBER // 3),
            "subfolder": [f"../elsewhere/{folder}" for folder in folders],
            "filename": names,
            "file_loc": [
                str(place / folder / name) for folder, name in zip(folders, names, strict=True)
            ],
            "part": (["training"] * 8 + ["Val"] * 2 + ["test"] * 2) * 2,
        }
    )
    (tmp_path / "tables").mkdir()
    return table, tmp_path / "tables" / "catalogue.csv"


@pytest.mark.parametrize(
    ("columns", "chosen"),
    [
        (["file_loc"], None),
        (["subfolder", "filename"], None),
        (["image_path"], None),
        (["png"], "png"),
        (["file_loc", "filename"], "file_loc"),
    ],
)
def test_fit_and_predict_find_images_by_the_same_columns(catalogue, columns, chosen):
    table, path = catalogue
    table = table.assign(image_path=table["file_loc"], png=table["file_loc"])
    table[["id_str", "label", *columns]].to_csv(path, index=False)
    read = read_catalogue(path, "label", image_column=chosen)
    assert read.problems == []
    assert read.table["galaxy"].tolist() == table["id_str"].tolist()
    for image, wanted in zip(read.table["image"], table["file_loc"], strict=True):
        assert (path.parent / image).resolve() == (path.parent / wanted).resolve()
    if chosen is None:
        assert locate_images(path, read.table["galaxy"]).notna().all()
        listed = [(path.parent / row.image).resolve() for row in list_images(path)]
        assert [str(image) for image in listed] == table["file_loc"].tolist()


def test_a_path_of_another_machine_stands_for_the_image_of_its_name(catalogue):
    table, path = catalogue
    images = list((path.parent.parent / "elsewhere").rglob("*.jpg"))
    for image in images:
        image.rename(path.parent / image.name)
    moved = "/Volumes/alpha/" + table["filename"]
    table[["id_str", "label"]].assign(file_loc=moved).to_csv(path, index=False)
    assert read_catalogue(path, "label").problems == []
    # A column that has another use leaves the ids the names of images.
    for image in images:
        number = int(image.stem.rpartition("_")[2])
        (path.parent / image.name).rename(path.parent / f"g{number:02d}.jpg")
    table[["id_str", "label"]].assign(file="x").to_csv(path, index=False)
    assert read_catalogue(path, "label").problems == []


def test_a_missing_image_is_told_by_the_path_and_a_wrong_column_by_its_name(catalogue, capsys):
    table, path = catalogue
    table.loc[3, "file_loc"] = "nowhere/a.jpg"
    table.loc[4, "file_loc"] = ""
    table[["id_str", "label", "file_loc"]].to_csv(path, index=False)
    read = read_catalogue(path, "label")
    assert [(problem.row, problem.what) for problem in read.problems] == [
        (5, "no image nowhere/a.jpg"),
        (6, "file_loc is empty"),
    ]
    words = ["data", "check", path, "--labels-column", "label"]
    assert galaxymorph(*words, "--image-column", "file_lok") == 2
    assert "did you mean 'file_loc'" in capsys.readouterr().err
    table.assign(file_loc="x.jpg")[["id_str", "label", "file_loc"]].to_csv(path, index=False)
    with pytest.raises(BadInput, match=r"none of its 24 galaxies has an image: no image x\.jpg"):
        read_catalogue(path, "label")


def recipe(**settings) -> Recipe:
    return Recipe(labels_column="label", size=32, **settings)


def test_a_column_of_parts_is_kept_to(catalogue):
    table, path = catalogue
    table.to_csv(path, index=False)
    chosen = recipe(split_column="part", calibration=0.1)
    split = draw_split(gather_galaxies(path, chosen, cache=False), chosen).set_index("galaxy")
    given = table.set_index("id_str")["part"]
    for name, words in (("valid", "Val"), ("test", "test")):
        assert set(split.index[split["split"] == name]) == set(given.index[given == words])
    calibrating = split.index[split["split"] == "calibration"]
    assert len(calibrating) == 3 and (given[calibrating] == "training").all()
    assert len(split) == NUMBER


def test_two_tables_train_and_are_tested(catalogue):
    table, path = catalogue
    table[:18].to_csv(path, index=False)
    other = path.with_name("labels_of_test.csv")
    table[18:].to_csv(other, index=False)
    chosen = recipe(test_data=str(other), calibration=0.0)
    split = draw_split(gather_galaxies(path, chosen, cache=False), chosen)
    tested = split["galaxy"][split["split"] == "test"]
    assert sorted(tested) == table["id_str"][18:].tolist()
    assert (split["split"] == "valid").sum() == 2
    table[17:].to_csv(other, index=False)
    with pytest.raises(BadInput, match=r"galaxy g17 is in .*catalogue\.csv too \(1 such\)"):
        gather_galaxies(path, chosen, cache=False)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.replace({"part": {"Val": "other"}}), "row 10: part is 'other', none of train"),
        (lambda t: t.assign(part=np.where(t.index == 2, None, t["part"])), "row 4: part is empty"),
        (lambda t: t.assign(part="train"), "no galaxy is in the part 'test'"),
        (
            lambda t: t.assign(part=np.where(t["label"] == "disk", "test", "train")),
            "class 'disk' has no galaxy in the part train",
        ),
    ],
)
def test_a_split_that_cannot_be_kept_to_is_refused(change, words, catalogue):
    table, path = catalogue
    change(table).to_csv(path, index=False)
    chosen = recipe(split_column="part")
    with pytest.raises(BadInput, match=words):
        draw_split(gather_galaxies(path, chosen, cache=False), chosen)


def test_settings_that_contradict_a_given_split_are_refused(catalogue, capsys):
    table, path = catalogue
    table.to_csv(path, index=False)
    words = ["fit", "--data", path, "--labels-column", "label", "--split-column", "part"]
    for more in (["--folds", "5"], ["--held-out", "0.2"], ["--test-data", "x.csv"]):
        assert galaxymorph(*words, *more) == 2
        assert "split" in capsys.readouterr().err
