"""The column `part`: which of the images that are predicted are the run's own."""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Table
from PIL import Image

from galaxymorph.learn import Run
from galaxymorph.predict.column_kinds import KINDS, column_kind
from galaxymorph.predict.overlap import load_split_parts
from tests.conftest import galaxymorph
from tests.makers import zip_bytes

NEW = 3


@pytest.fixture(scope="module")
def mixed(run, new_folder):
    """A folder of images: a run's own under other names, others under its own's ids, new ones.

    Returned with what `part` should be, by the image's name.
    """
    folder = new_folder("mixed")
    split = Run(run).split.drop_duplicates("split").set_index("split")
    expected: dict[str, str | None] = {}
    for part, row in split.iterrows():
        shutil.copy(row["image"], folder / f"renamed-{part}.jpg")
        expected[f"renamed-{part}"] = part
    test = Run(run).split.query("split == 'test'").iloc[1]
    rng = np.random.default_rng(5)
    for name in (test["galaxy"], *(f"new{n}" for n in range(NEW))):
        pixels = rng.integers(0, 255, (64, 64, 3), np.uint8)
        Image.fromarray(pixels).save(folder / f"{name}.jpg")
        expected[name] = None
    expected[test["galaxy"]] = "test"
    return folder, expected


def parts_in(table: pd.DataFrame, name: str = "galaxy") -> dict[str, str | None]:
    assert table.columns.tolist().index("part") == 2
    column = table["part"].astype(object).where(table["part"].notna(), None)
    return dict(zip(table[name].astype(str), column, strict=True))


@pytest.mark.parametrize("ending", ["csv", "parquet", "json"])
def test_predictions_name_the_runs_own_by_content_and_by_id(run, mixed, tmp_path, capsys, ending):
    folder, expected = mixed
    out = tmp_path / f"t.{ending}"
    words = ["--json"] if ending == "json" else ["-o", out]
    assert galaxymorph("predict", run, folder, *words) == 0
    output = capsys.readouterr()
    read = {"csv": pd.read_csv, "parquet": pd.read_parquet}.get(ending)
    table = read(out) if read else pd.DataFrame(json.loads(output.out))
    assert parts_in(table) == expected
    assert (
        "5 of 8 images used in the model's fit (`part`: 1 train, 1 valid, 1 calibration, 2 test)"
    ) in output.err


@pytest.mark.parametrize("part", ["train", "test", None])
def test_of_one_image_its_part_is_said(run, mixed, capsys, part):
    folder, expected = mixed
    name = next(name for name, known in expected.items() if known == part)
    assert galaxymorph("predict", run, folder / f"{name}.jpg") == 0
    error = capsys.readouterr().err
    assert ("the image is in the" in error) == (part is not None)
    if part is not None:
        assert f"in the {part} part of the model's fit" in error
    assert ("says nothing of new images" in error) == (part == "train")


def test_where_none_is_of_the_test_part_none_is_called_new(run, mixed, capsys):
    folder, expected = mixed
    names = [name for name, known in expected.items() if known in ("train", None)]
    assert galaxymorph("predict", run, *(folder / f"{name}.jpg" for name in names)) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if "used in the" in line)
    assert line.endswith("(`part`: 1 train); of these none is new to the model")


@pytest.mark.parametrize("ending", ["folder", "zip", "csv", "parquet", "fits", "vot", "ecsv"])
def test_catalogues_of_every_kind_do(run, mixed, tmp_path, capsys, ending):
    folder, expected = mixed
    listing = pd.DataFrame(
        {"objid": list(expected), "image": [str(folder / f"{name}.jpg") for name in expected]}
    )
    path = folder if ending == "folder" else tmp_path / f"t.{ending}"
    if ending == "csv":
        listing.to_csv(path, index=False)
    elif ending == "parquet":
        listing.to_parquet(path, index=False)
    elif ending == "zip":
        images = {f"{name}.jpg": (folder / f"{name}.jpg").read_bytes() for name in expected}
        path.write_bytes(zip_bytes(images))
    elif ending != "folder":
        kinds = {"vot": "votable", "ecsv": "ascii.ecsv"}
        table = Table.from_pandas(listing)
        table.write(path, format=kinds.get(ending, ending))
    out = tmp_path / "out"
    assert galaxymorph("predict", run, path, "-o", f"{out}/", "--partition", "3") == 0
    assert parts_in(pd.read_parquet(out)) == expected
    assert "5 of 8 images used in the model's fit" in capsys.readouterr().err


def test_triage_marks_them_where_volunteers_do_not_see_it(run, mixed, tmp_path, capsys):
    folder, expected = mixed
    assert galaxymorph("triage", run, folder, "-o", tmp_path / "out", "--number", "8") == 0
    table = pd.read_csv(tmp_path / "out" / "manifest.csv")
    result = table["#part"].astype(object).where(table["#part"].notna(), None)
    assert dict(zip(table["galaxy"].astype(str), result, strict=True)) == expected
    assert "5 of 8 images used in the model's fit" in capsys.readouterr().err


def test_ids_of_simulated_galaxies_mean_nothing_elsewhere(run, mixed, tmp_path):
    folder, expected = mixed
    copied = Path(shutil.copytree(run, tmp_path / "run"))
    own = copied / "recipe.json"
    record = json.loads(own.read_text())
    record["data"]["source"] = str(copied / "table.csv")
    own.write_text(json.dumps(record))
    names = [name for name in expected if not name.startswith("renamed")]
    images = [str(folder / f"{name}.jpg") for name in names]
    assert any(load_split_parts(str(copied)).parts_of(names, images))
    load_split_parts.cache_clear()
    (copied / "survey.json").write_text("{}")
    assert not any(load_split_parts(str(copied)).parts_of(names, images))
    load_split_parts.cache_clear()


def test_a_safetensors_file_knows_its_split_by_the_images(run, mixed, tmp_path):
    folder, expected = mixed
    file, out = tmp_path / "model.safetensors", tmp_path / "t.csv"
    assert galaxymorph("export", run, "-o", file) == 0
    assert galaxymorph("predict", file, folder, "-o", out) == 0
    parts = parts_in(pd.read_csv(out))
    # One of the five is known by its id alone, which is no part of the file.
    known = {name for name, part in parts.items() if isinstance(part, str)}
    assert len(known) == 4
    assert {name: parts[name] for name in known} == {name: expected[name] for name in known}


@pytest.mark.parametrize("to", ["t.csv", "out/"])
def test_an_exported_file_does_with_the_split_beside_it(
    run, onnx_file, mixed, tmp_path, capsys, to
):
    folder, expected = mixed
    file, out = Path(shutil.copy(onnx_file, tmp_path)), f"{tmp_path}/{to}"
    assert galaxymorph("predict", file, folder, "-o", out) == 0
    read = pd.read_parquet if to == "out/" else pd.read_csv
    assert "part" not in read(out)
    assert f"{file}: without split.csv beside it" in capsys.readouterr().err
    shutil.copy(run / "split.csv", tmp_path)
    load_split_parts.cache_clear()
    # Of a folder that is filled already the columns would differ.
    again = f"{tmp_path}/with-{to}"
    assert galaxymorph("predict", file, folder, "-o", again) == 0
    assert parts_in(read(again)) == expected
    if to == "out/":
        assert galaxymorph("predict", file, folder, "-o", out) == 2
        assert "another split beside the model" in capsys.readouterr().err


def test_a_runs_own_files_know_its_split(run):
    for name in ("model.pkl", "model.safetensors", "model.json"):
        assert load_split_parts(str(run / name)) == load_split_parts(str(run))


def test_what_one_of_several_models_trained_on_is_no_new_galaxy(run, tmp_path):
    split = Run(run).split
    other = split.assign(split=split["split"].map({"test": "train"}).fillna(split["split"]))
    for number, table in enumerate((split, other), 1):
        member = tmp_path / "run" / "folds" / str(number)
        member.mkdir(parents=True)
        table.to_csv(member / "split.csv", index=False)
    record = json.loads((run / "recipe.json").read_text())
    record["recipe"]["folds"] = 2
    (tmp_path / "run" / "recipe.json").write_text(json.dumps(record))
    own = load_split_parts(str(tmp_path / "run"))
    tested = split.query("split == 'test'")
    assert set(own.parts(tested["galaxy"], [""] * len(tested))) == {"train"}


def test_a_damaged_split_is_named(run, mixed, tmp_path, capsys):
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / "split.csv").write_text("galaxy,digest,split\n1,ab,tset\n")
    assert galaxymorph("predict", copy, mixed[0], "-o", tmp_path / "t.csv", "--no-drift") == 2
    assert f"error: {copy / 'split.csv'}: damaged (" in capsys.readouterr().err


@pytest.mark.parametrize("ending", ["csv", "parquet", "fits", "vot"])
def test_columns_of_the_table_are_kept_as_they_are(run, mixed, tmp_path, capsys, ending):
    folder, expected = mixed
    number = len(expected)
    listing = pd.DataFrame(
        {
            "objid": [1237648720693755918 + n for n in range(number)],
            "image": [str(folder / f"{name}.jpg") for name in expected],
            "ra": np.linspace(0, 359.123456789, number),
            "plate": [f"{n:04d}" for n in range(number)],
            "specz": [None if n == 2 else n / 7 for n in range(number)],
            "n_votes": range(number),
        }
    )
    path = tmp_path / f"t.{ending}"
    if ending == "csv":
        listing.to_csv(path, index=False)
    elif ending == "parquet":
        listing.to_parquet(path, index=False)
    else:
        table = Table.from_pandas(listing)
        table.write(path, format={"vot": "votable"}.get(ending, ending))
    out, words = tmp_path / "out", ["predict", run, path, "--partition", "3"]
    assert galaxymorph(*words, "--keep", "ra, plate,n_votes,specz", "-o", f"{out}/") == 0
    result = pd.read_parquet(out)
    assert result["galaxy"].tolist() == listing["objid"].astype(str).tolist()
    for name in ("ra", "specz"):
        assert np.array_equal(result[name], listing[name], equal_nan=True)
    assert result["plate"].tolist() == listing["plate"].tolist()
    assert result["n_votes"].tolist() == list(range(number))
    capsys.readouterr()
    assert galaxymorph(*words, "-o", f"{out}/") == 2
    output = capsys.readouterr().err
    assert "another choice of columns" in output
    assert "ra, plate, specz and 1 more aren't copied to the predictions; --keep ra" in output
    every = tmp_path / "every"
    assert galaxymorph(*words, "--keep", "all", "-o", f"{every}/") == 0
    assert list(pd.read_parquet(every))[:7] == [
        "galaxy",
        "image",
        "ra",
        "plate",
        "specz",
        "n_votes",
        "part",
    ]
    for wrong, message in (("raa", "did you mean 'ra'?"), ("dec", "it has ra, plate")):
        assert galaxymorph(*words, "--keep", wrong, "-o", f"{tmp_path}/wrong/") == 2
        assert message in capsys.readouterr().err
    assert galaxymorph("predict", run, folder, "--keep", "ra", "-o", f"{tmp_path}/wrong/") == 2
    assert "is not a table" in capsys.readouterr().err
    assert not (tmp_path / "wrong").exists()


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "", "-20"], "integer"),
        (["9223372036854775807"], "integer"),
        (["9223372036854775808"], "text"),
        (["1.5", "2e-3", ".5", "nan", "-inf"], "number"),
        (["0.5", "1237648720693755918"], "text"),
        (["007", "8"], "text"),
        (["12_34"], "text"),
        (["0x1f"], "text"),
        (["M31"], "text"),
    ],
)
def test_what_a_kept_column_holds_is_told_from_all_of_it(cells, kind):
    known = "integer"
    for cell in cells:
        known = column_kind(cell, known)
    assert known == kind
    column = KINDS[known](cells)
    assert [None if pd.isna(cell) else str(cell) for cell in column][0] is not None
