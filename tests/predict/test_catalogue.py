"""Catalogues of any size: partitions, kills, broken images, and a cluster."""

import json
import os
import shutil
import time
import zipfile
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from astropy.table import Column, Table
from PIL import Image

from galaxymorph.base import BadInput
from galaxymorph.learn import Run
from galaxymorph.predict import load_predictor
from galaxymorph.predict.listing import list_images
from galaxymorph.predict.outliers import outlier_scores
from galaxymorph.zoo import read_catalogue
from galaxymorph.zoo.table_writing import write_table_file
from tests.conftest import galaxymorph
from tests.processes import Command, run_dask

CLASSES = ["p_elliptical", "p_spiral", "p_irregular"]
# With float32 a machine's instructions don't matter, and one image is predicted like another.
EXACT = ["--precision", "fp32"]


@pytest.fixture(scope="module")
def images(simple):
    return sorted((simple / "images_training_rev1").glob("*.jpg"))


def write_catalogue(path: Path, images: list, repeat: int = 1) -> Path:
    """A table whose rows repeat some images, with ids of their own."""
    rows = [str(image) for image in images] * repeat
    table = pd.DataFrame({"objid": np.arange(len(rows)) + 500, "image": rows})
    table.to_csv(path, index=False)
    return path


def contents(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name[0] != "."}


def test_a_table_becomes_partitions_that_say_what_predict_says(run, images, tmp_path, capsys):
    catalogue = write_catalogue(tmp_path / "mine.csv", images[:25])
    out = tmp_path / "out"
    assert galaxymorph("predict", run, catalogue, "-o", f"{out}/", "--partition", 10, *EXACT) == 0
    assert capsys.readouterr().out.strip() == f"{out}/"
    assert sorted(contents(out)) == [
        "_catalogue.json",
        *[f"part-00000{n}.parquet" for n in range(3)],
    ]
    table = pd.read_parquet(out)
    assert list(table) == [
        "galaxy",
        "image",
        "part",
        "predicted",
        "confidence",
        *CLASSES,
        "entropy",
        "distance",
        "distance_rank",
        "energy",
        "model_id",
        "status",
        "error",
    ]
    assert table["galaxy"].tolist() == [str(500 + n) for n in range(25)]
    assert table["error"].isna().all()
    expected = load_predictor(run, "fp32").predict([str(image) for image in images[:25]])
    assert table["predicted"].tolist() == expected["predicted"].tolist()
    assert np.allclose(table[CLASSES], expected[CLASSES], atol=1e-6)
    shares = expected[CLASSES].to_numpy()
    assert np.allclose(table["entropy"], -(shares * np.log(shares)).sum(axis=1), atol=1e-5)
    about = json.loads((out / "_catalogue.json").read_text())
    assert (about["images"], about["partitions"], about["partition"]) == (25, 3, 10)
    assert table["model_id"].unique().tolist() == [about["model_id"]]
    strange = outlier_scores(Run(run), [str(image) for image in images[:25]])
    # Those are in the recipe's own precision; a rank goes by the nine validation galaxies.
    for name, far in (("distance", 1e-2), ("energy", 2e-2), ("distance_rank", 1 / 9 + 1e-6)):
        assert np.allclose(table[name], strange[name], atol=far)


@pytest.mark.usefixtures("plain")
def test_a_calibrated_runs_catalogue_has_its_sets_and_its_own_views(run, images, tmp_path, capsys):
    own, catalogue = tmp_path / "run", write_catalogue(tmp_path / "mine.csv", images[:25])
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--method", "temperature", "--coverage", "0.8") == 0
    out, command = tmp_path / "out", ["predict", own, catalogue, "--partition", 10, *EXACT]
    assert galaxymorph(*command, "-o", f"{out}/") == 0
    table = pd.read_parquet(out)
    single = tmp_path / "one.parquet"
    where = own, catalogue.parent / "images", "-o", single
    (tmp_path / "images").mkdir()
    for image in images[:25]:
        shutil.copy(image, tmp_path / "images")
    assert galaxymorph("predict", *where, *EXACT, "--coverage", "0.8") == 0
    expected = pd.read_parquet(single).sort_values("galaxy", ignore_index=True)
    order = table.assign(galaxy=[Path(image).stem for image in table["image"]])
    order = order.sort_values("galaxy", ignore_index=True)
    assert order["set"].tolist() == expected["set"].tolist()
    assert np.allclose(order[CLASSES], expected[CLASSES], atol=1e-6)
    for more, words in (
        (["--views", "8"], "number of views (None, now 8)"),
        (["--raw"], "choice between bare and calibrated"),
        (["--coverage", "0.5"], "coverage (0.8, now 0.5)"),
    ):
        assert galaxymorph(*command, *more, "-o", f"{out}/") == 2
        assert words in capsys.readouterr().err
    assert galaxymorph(*command, "--views", "8", "--raw", "-o", f"{tmp_path / 'eight'}/") == 0
    bare = load_predictor(run, "fp32")
    eight = replace(bare, recipe=replace(bare.recipe, views=8))
    expected = eight.predict([str(image) for image in images[:25]])
    assert np.allclose(pd.read_parquet(tmp_path / "eight")[CLASSES], expected[CLASSES], atol=1e-6)


def test_after_a_kill_the_same_command_ends_with_the_same_bytes(run, images, tmp_path, capsys):
    catalogue = write_catalogue(tmp_path / "mine.csv", images, repeat=3)
    arguments = ["predict", run, catalogue, "--partition", "15", "--embeddings", *EXACT, "-o"]
    assert galaxymorph(*arguments, f"{tmp_path / 'whole'}/") == 0
    killed = tmp_path / "killed"
    process = Command(*arguments, f"{killed}/")
    while not (killed / "part-000001.parquet").exists():
        assert process.poll() is None
        time.sleep(0.002)
    process.kill()
    before = {name: data for name, data in contents(killed).items() if name != "_catalogue.json"}
    assert 2 <= len(before) < 12
    capsys.readouterr()
    assert galaxymorph(*arguments, f"{killed}/") == 0
    assert f"{len(before)} of 12 partitions exist" in capsys.readouterr().err
    assert contents(killed) == contents(tmp_path / "whole")


def test_broken_images_are_rows_with_an_error(run, images, tmp_path):
    for image in images[:4]:
        shutil.copy(image, tmp_path)
    names = [image.name for image in images[:4]]
    (tmp_path / names[1]).write_bytes(images[1].read_bytes()[:300])
    (tmp_path / names[2]).write_bytes(b"")
    rows = [*names, "missing.jpg", ""]
    pd.DataFrame({"image": rows}).to_parquet(tmp_path / "mine.parquet")
    out = tmp_path / "out"
    assert galaxymorph("predict", run, tmp_path / "mine.parquet", "-o", f"{out}/", *EXACT) == 0
    table = pd.read_parquet(out)
    assert table["image"].tolist() == rows
    assert table["galaxy"].tolist() == [*(image.stem for image in images[:4]), "missing", ""]
    assert table["error"].isna().tolist() == [True, False, False, True, False, False]
    assert table[["predicted", "confidence", "entropy", *CLASSES]].isna().all(axis=1).tolist() == (
        table["error"].notna().tolist()
    )
    assert "the file is empty" in table["error"][2]
    assert "no such file" in table["error"][4]
    assert table["status"].tolist() == [
        "ok",
        "unreadable",
        "unreadable",
        "ok",
        "missing",
        "unreadable",
    ]
    expected = load_predictor(run, "fp32").predict([str(images[0]), str(images[3])])
    assert np.allclose(table[CLASSES].dropna(), expected[CLASSES], atol=1e-6)


def told(error: str) -> list[str]:
    """The lines on standard error without those of progress, which a slow machine prints.

    Nor with the one that says how badly the run was fitted, which a process prints once.
    """
    lines = [line for line in error.splitlines() if not line.startswith("predicting: ")]
    return [line for line in lines if ". Try: " not in line]


def listing(folder: Path, names: list[str]) -> Path:
    path = folder / "mine.csv"
    pd.DataFrame({"image": names}).to_csv(path, index=False)
    return path


def test_a_catalogue_that_failed_altogether_ends_with_status_1_and_says_so_first(
    run, images, tmp_path, capsys
):
    catalogue = listing(tmp_path, [f"away/{image.name}" for image in images[:4]])
    command = ["predict", run, catalogue, "-o", f"{tmp_path / 'out'}/", "--partition", 3, *EXACT]
    assert galaxymorph(*command) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    first, *kinds = told(printed.err)
    assert first.startswith("error: none of the 4 images could be used; the column `error`")
    assert len(kinds) == 1
    assert kinds[0].startswith(f"  4 like this: {tmp_path}/away/{images[0].name}: ")
    assert kinds[0].endswith(f"there is no folder {tmp_path}/away")
    # Again, with nothing changed, and then with the images there.
    before = contents(tmp_path / "out")
    assert galaxymorph(*command) == 1
    assert "error: none of the 4" in capsys.readouterr().err
    assert contents(tmp_path / "out") == before
    shutil.copytree(images[0].parent, tmp_path / "away")
    assert galaxymorph(*command) == 0
    assert "4 rows with an error in them are tried again" in capsys.readouterr().err
    assert pd.read_parquet(tmp_path / "out")["error"].isna().all()
    command[command.index("-o") + 1] = f"{tmp_path / 'at once'}/"
    assert galaxymorph(*command) == 0
    assert contents(tmp_path / "at once") == contents(tmp_path / "out")


def test_only_partitions_whose_images_came_are_made_anew(run, images, tmp_path, monkeypatch):
    names = [image.name for image in images[:6]]
    for image in (images[0], images[3], images[4], images[5]):
        shutil.copy(image, tmp_path)
    out, catalogue = tmp_path / "out", listing(tmp_path, names)
    command = ["predict", run, catalogue, "-o", f"{out}/", "--partition", 2, *EXACT]
    assert galaxymorph(*command) == 0
    assert pd.read_parquet(out)["error"].isna().tolist() == [True, False, False, True, True, True]
    made = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    shutil.copy(images[2], tmp_path)
    assert galaxymorph(*command) == 0
    assert pd.read_parquet(out)["error"].isna().tolist() == [True, False, True, True, True, True]
    again = {path.name: path.stat().st_mtime_ns for path in out.glob("part-*")}
    assert [name for name in made if made[name] != again[name]] == ["part-000001.parquet"]
    assert sorted(contents(out)) == [
        "_catalogue.json",
        *[f"part-00000{n}.parquet" for n in range(3)],
    ]


@pytest.mark.parametrize(("bad", "prefix"), [(1, "1 of 60 images (1.7%)"), (20, "warning: 20 of")])
def test_errors_are_summed_up_by_kind(run, images, tmp_path, capsys, bad, prefix):
    rows = [str(image) for image in images]
    (tmp_path / "empty.jpg").write_bytes(b"")
    rows[:bad] = ["empty.jpg", *(f"gone/{n}.jpg" for n in range(1, bad))]
    out = f"{tmp_path / 'out'}/"
    assert galaxymorph("predict", run, listing(tmp_path, rows), "-o", out, *EXACT) == 0
    printed = capsys.readouterr()
    assert printed.out.strip() == out
    lines = told(printed.err)
    head = next(line for line in lines if "couldn't be used" in line)
    assert head.startswith(prefix)
    kinds = lines[lines.index(head) + 1 :]
    if bad == 20:
        assert kinds[0].startswith("  19 like this: ")
    assert kinds[-1].startswith(f"  1: {tmp_path}/empty.jpg: ")


def test_a_damaged_partition_is_named_and_made_anew_once_it_is_gone(run, images, tmp_path, capsys):
    catalogue, out = write_catalogue(tmp_path / "mine.csv", images[:4]), tmp_path / "out"
    command = ["predict", run, catalogue, "-o", f"{out}/", "--partition", 2, *EXACT]
    assert galaxymorph(*command) == 0
    before = contents(out)
    (out / "part-000001.parquet").write_bytes(before["part-000001.parquet"][:200])
    capsys.readouterr()
    assert galaxymorph(*command) == 2
    (line,) = told(capsys.readouterr().err)
    assert line.startswith(f"error: {out}/part-000001.parquet: damaged (")
    assert line.endswith("delete it and repeat the command")
    (out / "part-000001.parquet").unlink()
    assert galaxymorph(*command) == 0
    assert contents(out) == before


def test_a_catalogue_without_faults_says_nothing_of_any(run, images, tmp_path, capsys):
    catalogue = write_catalogue(tmp_path / "mine.csv", images[:3])
    assert galaxymorph("predict", run, catalogue, "-o", f"{tmp_path / 'out'}/", *EXACT) == 0
    (parts,) = told(capsys.readouterr().err)
    assert parts.startswith("3 of 3 images used in the model's fit (`part`: ")


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("images\\{name}", None),
        ("images.zip::{name}", None),
        ("images/{stem}.JPG", None),
        ("images.zip::./{stem}.JPG", None),
        ("images.zip::IN\\gone.jpg", "the zip holds 1 files, such as {name}"),
        ("images.zip::x/{name}", "the zip holds {name}"),
        ("C:\\data\\1.jpg", "it is one of Windows"),
        ("/mnt/gone/disk/1.jpg", "there is no folder /mnt/gone"),
        ("https://example.org/1.jpg", "it is an address"),
        ("here.jpg", "here.jpg is in the current folder, and paths are relative to the table's"),
        ("images", "images: can't be read (a folder)"),
        ("", "no file given"),
    ],
)
def test_a_path_is_looked_for_and_told(run, images, tmp_path, monkeypatch, path, words):
    name, folder = images[0].name, tmp_path / "lists"
    (folder / "images").mkdir(parents=True)
    shutil.copy(images[0], folder / "images")
    with zipfile.ZipFile(folder / "images.zip", "w") as archive:
        archive.write(images[0], name)
    (tmp_path / "here.jpg").write_bytes(b"")
    monkeypatch.chdir(tmp_path)
    rows = [f"images/{name}", path.format(name=name, stem=images[0].stem)]
    catalogue, out = listing(folder, rows), tmp_path / "out"
    assert galaxymorph("predict", run, catalogue, "-o", f"{out}/", *EXACT) == 0
    table = pd.read_parquet(out)
    assert table["image"].tolist() == rows
    if words is None:
        assert table["error"].isna().all()
        assert table[CLASSES].iloc[1].tolist() == table[CLASSES].iloc[0].tolist()
    else:
        assert words.format(name=name) in table["error"][1]


@pytest.mark.parametrize("folder", ["/home/someone/images/", "C:\\Users\\me\\"])
def test_a_path_of_another_machine_stands_for_the_image_of_its_name(folder, tmp_path):
    (tmp_path / "deep" / "er").mkdir(parents=True)
    image = tmp_path / "deep" / "er" / "1.jpg"
    image.write_bytes(b"")
    # The folder of the third is here, so that the image is missing.
    rows = [f"{folder}1.jpg", f"{folder}2.jpg", f"{tmp_path}/1.jpg", "there/1.jpg"]
    listed = [row.image for row in list_images(listing(tmp_path, rows))]
    assert listed == [str(image), *rows[1:]]


@pytest.mark.parametrize("kind", ["folder", "zip", "csv.gz", "fits"])
def test_catalogues_come_in_many_forms(run, images, tmp_path, kind):
    source = tmp_path / f"source.{kind}"
    if kind == "folder":
        source.mkdir()
        for image in images[:3]:
            shutil.copy(image, source)
    elif kind == "zip":
        with zipfile.ZipFile(source, "w") as archive:
            for image in images[:3]:
                archive.write(image, image.name)
    elif kind == "csv.gz":
        write_catalogue(source, images[:3])
    else:
        table = Table
        rows = [str(image) for image in images[:3]]
        table({"Image": rows, "GalaxyID": [7, 8, 9]}).write(source)
    assert galaxymorph("predict", run, source, "-o", f"{tmp_path / 'out'}/", *EXACT) == 0
    table = pd.read_parquet(tmp_path / "out")
    ids = {"csv.gz": ["500", "501", "502"], "fits": ["7", "8", "9"]}
    assert table["galaxy"].tolist() == ids.get(kind, [image.stem for image in images[:3]])
    assert table["error"].isna().all()


def test_large_ids_with_gaps_stay_what_they_are(run, images, tmp_path):
    table = pd.DataFrame(
        {
            "objID": pd.array([587722981742084144, None, 587722981742084145], dtype="Int64"),
            "file_loc": [str(image) for image in images[:3]],
        }
    )
    table.to_parquet(tmp_path / "mine.parquet")
    out = tmp_path / "out"
    assert galaxymorph("predict", run, tmp_path / "mine.parquet", "-o", f"{out}/", *EXACT) == 0
    result = pd.read_parquet(out)["galaxy"].tolist()
    assert result == ["587722981742084144", images[1].stem, "587722981742084145"]


def test_the_plain_pipeline_takes_broken_images_and_arrays_too(run, images, tmp_path):
    plain = tmp_path / "plain"
    shutil.copytree(run, plain)
    record = json.loads((run / "recipe.json").read_text())
    record["recipe"] |= {"pipeline": "plain", "precision": "fp32"}
    (plain / "recipe.json").write_text(json.dumps(record))
    predictor = load_predictor(plain, "fp32")
    faults = {}
    (tmp_path / "bad.jpg").write_bytes(b"")
    sources = [str(images[0]), str(tmp_path / "bad.jpg"), np.array(Image.open(images[1]))]
    result = predictor.outputs(sources, lambda n: None, faults)
    assert list(faults) == [1]
    assert "the file is empty" in faults[1]
    expected = predictor.predict([images[0], images[1]])[CLASSES].to_numpy()
    assert np.allclose(result[[0, 2]], expected, atol=1e-6)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("catalogue", "another number of images (3, now 4)"),
        ("partition", "another partition size (4096, now 2)"),
        ("precision", "another precision (fp32, now bf16)"),
        ("model", "another model"),
        ("calibration", "another calibration (None, now "),
        ("stray", "not empty (notes.txt), and no _catalogue.json in it"),
    ],
)
def test_a_folder_holds_one_catalogues_predictions(
    run, images, tmp_path, capsys, monkeypatch, change, words
):
    catalogue, out = write_catalogue(tmp_path / "mine.csv", images[:3]), tmp_path / "out"
    arguments = ["predict", run, catalogue, "-o", f"{out}/", *EXACT]
    if change == "stray":
        out.mkdir()
        (out / "notes.txt").write_text("mine")
    else:
        assert galaxymorph(*arguments) == 0
    before = contents(out)
    if change == "catalogue":
        write_catalogue(catalogue, images[:4])
    elif change == "partition":
        arguments += ["--partition", 2]
    elif change == "precision":
        arguments[-1] = "bf16"
    elif change == "calibration":
        result = {"calibrators": [{"method": "temperature"}]}
        monkeypatch.setattr(
            "galaxymorph.predict.catalogue.describe_calibration", lambda run: result
        )
    elif change == "model":
        arguments[1] = tmp_path / "other"
        shutil.copytree(run, tmp_path / "other")
        with (tmp_path / "other" / "model.safetensors").open("r+b") as weights:
            weights.seek(-1, os.SEEK_END)
            weights.write(b"\x01")
    capsys.readouterr()
    assert galaxymorph(*arguments) == 2
    assert words in capsys.readouterr().err
    assert contents(out) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{images}/{one}", "-o", "{tmp}/"], "an output folder is for a catalogue"),
        (
            ["{images}", "{images}", "-o", "{tmp}/out/"],
            "an output folder is for one catalogue, but 2",
        ),
        (
            ["{images}", "-o", "{tmp}/out/", "--json"],
            "an output folder cannot be combined with --json",
        ),
        (["{images}", "-o", "{tmp}/out.csv", "--partition", "5"], "--partition 5: it needs"),
        (["{tmp}/none.csv", "-o", "{tmp}/out/"], "none.csv: no such file"),
        (["{tmp}/none.csv", "-o", "{tmp}/out/", "--keep", "ra"], "none.csv: no such file"),
        (
            ["{tmp}/odd.csv", "-o", "{tmp}/out/"],
            "no column of image paths; the columns are ra, dec",
        ),
        (
            ["{tmp}/named.csv", "-o", "{tmp}/out/"],
            "the columns are NUMBER, jpeg; name it with --image-column jpeg",
        ),
        (
            ["{tmp}/named.csv", "-o", "{tmp}/out.csv", "--image-column", "jpg"],
            "named.csv: --image-column jpg: the table has no such column; did you mean 'jpeg'?",
        ),
        (
            ["{images}", "-o", "{tmp}/out/", "--id-column", "NUMBER"],
            "--id-column NUMBER: {images} is not a table; leave it out",
        ),
        (
            ["{tmp}/named.csv", "-o", "{tmp}/out.csv", "--image-column", "jpeg", "--skip-bad"],
            "--skip-bad: {tmp}/named.csv is a catalogue, of which an unusable image is a row with",
        ),
        (
            ["{images}", "-o", "{tmp}/out/", "--skip-bad"],
            "--skip-bad: {images} is a catalogue, of which an unusable image is a row with a",
        ),
        (
            ["{tmp}/named.csv", "-o", "{tmp}/out.csv", "--image-column", "jpeg", "--crops", "0.5"],
            "-o {tmp}/out.csv: the predictions of a table cannot be combined with --crops",
        ),
        (["{images}/{one}", "--image-column", "jpeg"], "--image-column jpeg: it needs a catalogue"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(run, images, tmp_path, capsys, arguments, words):
    (tmp_path / "odd.csv").write_text("ra,dec\n1,2\n")
    (tmp_path / "named.csv").write_text(f"NUMBER,jpeg\n007,{images[0]}\n")
    names = {"images": images[0].parent, "one": images[0].name, "tmp": tmp_path}
    assert galaxymorph("predict", run, *[word.format(**names) for word in arguments]) == 2
    error = capsys.readouterr().err
    assert words.format(**names) in error
    assert len(error.splitlines()) == 1


@pytest.mark.parametrize("output", ["out/", "out.csv"])
def test_doubled_ids_of_a_table_are_told_in_a_line(run, images, tmp_path, capsys, output):
    table = tmp_path / "mine.csv"
    ids = ["G1", "G4", "G4", "G5", "G5", "G5"]
    rows = pd.DataFrame({"id": ids, "image": [*images[:5], "gone.jpg"]})
    rows.to_csv(table, index=False)
    galaxymorph("predict", run, table, "-o", f"{tmp_path}/{output}")
    error = capsys.readouterr().err
    assert "\n3 rows with the id of an earlier one, such as G4\n" in f"\n{error}"
    rows.drop_duplicates("id").assign(mag=1).to_csv(table, index=False)
    galaxymorph("predict", run, table, "-o", f"{tmp_path}/once-{output}")
    assert "of an earlier one" not in capsys.readouterr().err


@pytest.fixture(scope="module")
def cluster(new_folder):
    """A scheduler and two workers, each a process of its own: its address, and the workers."""
    pytest.importorskip("distributed")
    folder = new_folder("cluster")
    environment = os.environ | {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "5"}
    file = folder / "scheduler.json"
    own = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]

    def start(kind: str, *words: str) -> Command:
        prepare = partial(run_dask, kind, *own, *words)
        return Command(cwd=folder, env=environment, prepare=prepare)

    scheduler = start("scheduler", "--port", "0", "--dashboard-address", "127.0.0.1:0")
    worker = ["worker", "--nthreads", "1", "--no-nanny", "--name"]
    workers = [start(*worker, f"w{n}") for n in range(2)]
    deadline = time.monotonic() + 60
    while not (file.exists() and file.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.02)
    yield json.loads(file.read_text())["address"], workers
    for process in (*workers, scheduler):
        process.kill()


def test_a_cluster_tries_failed_rows_again(run, images, tmp_path, cluster, capsys):
    address, _ = cluster
    catalogue = listing(tmp_path, [image.name for image in images[:4]])
    command = ["predict", run, catalogue, "-o", f"{tmp_path / 'out'}/", "--partition", 2, *EXACT]
    command += ["--scheduler", address]
    assert galaxymorph(*command) == 1
    assert "error: none of the 4 images could be used" in capsys.readouterr().err
    for image in images[1:4]:
        shutil.copy(image, tmp_path)
    assert galaxymorph(*command) == 0
    assert "warning: 1 of 4 images (25.0%) couldn't be used" in capsys.readouterr().err
    assert pd.read_parquet(tmp_path / "out")["error"].isna().tolist() == [False, True, True, True]


# The last with a cluster, of which it kills a worker.
def test_a_cluster_loses_no_row_when_a_worker_is_killed(run, images, tmp_path, cluster):
    address, workers = cluster
    catalogue = write_catalogue(tmp_path / "mine.csv", images, repeat=3)
    arguments = ["predict", run, catalogue, "--partition", "15", *EXACT, "-o"]
    out = tmp_path / "out"
    process = Command(*arguments, f"{out}/", "--scheduler", address)
    while not (out / "part-000001.parquet").exists():
        assert process.poll() is None, process.result().stderr
        time.sleep(0.002)
    workers[0].kill()
    assert len(list(out.glob("part-*"))) < 12
    done = process.result(timeout=120)
    assert done.returncode == 0, done.stderr
    assert galaxymorph(*arguments, f"{tmp_path / 'local'}/") == 0
    result, local = pd.read_parquet(out), pd.read_parquet(tmp_path / "local")
    assert result["galaxy"].tolist() == [str(500 + n) for n in range(180)]
    exact = ["galaxy", "image", "predicted", "model_id", "error"]
    assert result[exact].equals(local[exact])
    # Workers share the cores, and sums in another order end with other bits.
    assert np.allclose(result[CLASSES], local[CLASSES], atol=1e-5)


def test_a_scheduler_that_does_not_answer_is_named(run, images, tmp_path, monkeypatch, capsys):
    cluster = pytest.importorskip("galaxymorph.predict.cluster")
    pytest.importorskip("distributed")
    monkeypatch.setattr(cluster, "SECONDS_TO_CONNECT", 0.2)
    arguments = [images[0].parent, "-o", f"{tmp_path / 'out'}/", "--scheduler", "tcp://127.0.0.1:9"]
    assert galaxymorph("predict", run, *arguments) == 2
    assert "--scheduler tcp://127.0.0.1:9: no answer" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".csv", ".parquet", ".fits"])
def test_a_listing_that_is_damaged_anywhere_is_refused_in_a_line(tmp_path, ending):
    """Found by fuzzing: Parquet's pages are read late, and fail with errors of many types."""
    path = tmp_path / f"list{ending}"
    table = pd.DataFrame({"id": [f"g{n}" for n in range(50)], "image": ["a.jpg"] * 50})
    if ending == ".csv":
        table.to_csv(path, index=False)
    elif ending == ".parquet":
        table.to_parquet(path, index=False)
    else:
        Table.from_pandas(table).write(path)
    sound, rng, refused = path.read_bytes(), np.random.default_rng(0), 0
    for _ in range(150):
        data = bytearray(sound)
        for at in rng.integers(0, len(data), 3):
            data[at] = rng.integers(256)
        path.write_bytes(data)
        try:
            list(list_images(path))
        except BadInput as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5 or ending == ".csv"


@pytest.mark.parametrize("output", [[], ["--json"]])
@pytest.mark.parametrize("name", ["cat.csv", "CAT.CSV", "cat.parquet", "cat.tsv"])
def test_a_table_in_place_of_an_image_is_told_where_it_goes(run, tmp_path, capsys, name, output):
    table = pd.DataFrame({"id": ["1"], "image": ["a.jpg"]})
    if name.endswith("parquet"):
        table.to_parquet(tmp_path / name)
    else:
        table.to_csv(tmp_path / name, index=False, sep="\t" if name.endswith("tsv") else ",")
    command = ["predict", run, tmp_path / name, *(word.format(tmp=tmp_path) for word in output)]
    assert galaxymorph(*command) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line == (
        f"error: {tmp_path / name}: a table, not an image; "
        "predict a catalogue with -o FILE or -o FOLDER/"
    )


@pytest.mark.parametrize("folder", [True, False])
def test_another_kind_of_file_is_told_as_what_it_is(run, tmp_path, capsys, folder):
    (tmp_path / "Galaxy10.npy").write_bytes(b"\x93NUMPY" + bytes(300))
    output = ["-o", f"{tmp_path / 'out'}/"] if folder else []
    assert galaxymorph("predict", run, tmp_path / "Galaxy10.npy", *output) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a NumPy array" in line


def test_a_damaged_row_is_a_row_with_an_error_and_commas_shift_no_other(run, images, tmp_path):
    names = [str(image) for image in images[:3]]
    rows = [f"{n},x,{name},{names[0]}," for n, name in enumerate(names)]
    rows.insert(1, f"7,y,z,{names[1]},{names[2]}")
    text = "\n".join(["id,note,image,image_hires", *rows, ""])
    (tmp_path / "mine.csv").write_text(text)
    out = tmp_path / "out"
    assert galaxymorph("predict", run, tmp_path / "mine.csv", "-o", f"{out}/", *EXACT) == 0
    table = pd.read_parquet(out)
    assert table["galaxy"].tolist() == ["0", "row 3", "1", "2"]
    assert table["image"].tolist() == [names[0], "", *names[1:]]
    assert table["error"].tolist()[1] == "row 3: 5 fields, but the header has 4"
    assert table["error"].isna().tolist() == [True, False, True, True]


def test_triage_takes_a_table_of_images(run, images, tmp_path):
    catalogue = write_catalogue(tmp_path / "mine.tsv", images[:5])
    out = tmp_path / "out"
    command = ["triage", run, catalogue, "-o", out, "--number", 2, "--source", "single"]
    assert galaxymorph(*command) == 0
    assert len(pd.read_csv(out / "manifest.csv")) == 2


@pytest.mark.parametrize("ids", [["008", "J09/10+01", "a b", "é"], None])
def test_the_manifest_of_a_table_has_its_ids(run, images, tmp_path, ids):
    table = pd.DataFrame({"image": images[:4]})
    names = [Path(image).stem for image in images[:4]]
    if ids:
        table.insert(0, "objid", ids)
    table.to_csv(tmp_path / "mine.csv", index=False)
    out = tmp_path / "out"
    command = ["triage", run, tmp_path / "mine.csv", images[4], "-o", out, "--source", "single"]
    assert galaxymorph(*command) == 0
    manifest = pd.read_csv(out / "manifest.csv", dtype=str).set_index("#source")
    assert manifest.loc[[str(image) for image in images[:4]], "galaxy"].tolist() == (ids or names)
    assert manifest.loc[str(images[4]), "galaxy"] == Path(images[4]).stem
    assert all((out / name).is_file() for name in manifest["image"])


NAMED = ["--id-column", "NUMBER", "--image-column", "jpeg"]


def named_columns(folder: Path, images: list, ending: str) -> Path:
    """A table of ids and images in columns of unusual names, besides those of usual ones."""
    names = {"NUMBER": ["x7", "x8"], "jpeg": list(map(str, images[:2]))}
    table = Table(names | {"objid": [1, 2], "image": ["a", "b"]})
    table.write(folder / f"mine{ending}", format="fits" if ending == ".fits" else "ascii.csv")
    return folder / f"mine{ending}"


@pytest.mark.parametrize("ending", [".csv", ".fits"])
@pytest.mark.parametrize("output", ["out/", "out.csv"])
def test_the_columns_of_ids_and_images_can_be_named(run, images, tmp_path, ending, output, capsys):
    catalogue, out = named_columns(tmp_path, images, ending), tmp_path / output.strip("/")
    command = ["predict", run, catalogue, "-o", f"{tmp_path}/{output}", "--keep", "objid"]
    assert galaxymorph(*command, *NAMED) == 0
    table = pd.read_parquet(out) if out.is_dir() else pd.read_csv(out)
    assert table["galaxy"].tolist() == ["x7", "x8"]
    assert table["image"].tolist() == list(map(str, images[:2]))
    assert table["objid"].tolist() == [1, 2]
    assert table["confidence"].notna().all()
    if out.is_dir():
        capsys.readouterr()
        assert galaxymorph(*command, *NAMED[2:]) == 2
        assert "another column of ids (NUMBER, now None)" in capsys.readouterr().err


@pytest.mark.parametrize("ending", [".fits", ".vot", ".parquet", ".ecsv", ".h5", ".csv"])
def test_kept_columns_have_the_types_of_the_table(run, images, tmp_path, ending):
    path, out = tmp_path / f"mine{ending}", tmp_path / "out"
    kept = {"ra": [10.0, 1e20], "number": [3, 4], "name": ["007", "12"], "digits": ["7", "12"]}
    table = pd.DataFrame({"id": ["a", "b"], "image": list(map(str, images[:2])), **kept})
    write_table_file(path, table)
    assert galaxymorph("predict", run, path, "-o", f"{out}/", "--keep", ",".join(kept)) == 0
    result = pd.read_parquet(out)
    kinds = [result[name].dtype.kind for name in ("ra", "number")]
    assert kinds == ["f", "i"]
    assert result["ra"].tolist() == kept["ra"]
    assert result["name"].tolist() == kept["name"]
    assert result["digits"].tolist() == ([7, 12] if ending == ".csv" else kept["digits"])


def test_ids_that_pandas_made_floats_are_those_of_a_fit(run, images, tmp_path):
    path = tmp_path / "mine.csv"
    table = pd.DataFrame({"id": [100053, None, 12], "image": list(map(str, images[:3]))})
    table["label"] = ["spiral", "spiral", "elliptical"]
    table.to_csv(path, index=False)
    assert "100053.0" in path.read_text()
    listed = [row.id for row in list_images(path)]
    assert listed == ["100053", images[1].stem, "12"]
    labelled = read_catalogue(path, "label", id_column="id").table["galaxy"].tolist()
    assert sorted(labelled) == ["100053", "12"]


@pytest.mark.parametrize("output", ["out/", "out.vot"])
def test_kept_columns_that_predictions_have_too_are_told_apart(run, images, tmp_path, output):
    path = tmp_path / "mine.ecsv"
    table = Table({"id": ["a", "b"], "image": list(map(str, images[:2])), "galaxy": ["M 1", "M 2"]})
    table["confidence"] = Column([5, 6], unit="mag", description="by hand")
    table["confidence_catalogue"] = [7, 8]
    table.write(path)
    assert galaxymorph("predict", run, path, "-o", f"{tmp_path}/{output}", "--keep", "all") == 0
    written = tmp_path / output
    folder = written.is_dir()
    result = Table.from_pandas(pd.read_parquet(written)) if folder else Table.read(written)
    assert list(map(str, result["galaxy"])) == ["a", "b"]
    assert list(map(str, result["galaxy_catalogue"])) == ["M 1", "M 2"]
    assert all(0 < value < 1 for value in result["confidence"])
    assert list(result["confidence_catalogue"]) == [5, 6]
    assert list(result["confidence_catalogue_catalogue"]) == [7, 8]
    if not folder:
        assert result["confidence_catalogue"].unit == "mag"
        assert result["confidence_catalogue"].description == "by hand"


def test_a_file_of_a_folders_predictions_has_the_columns_of_a_tables(run, images, tmp_path):
    folder = tmp_path / "some"
    folder.mkdir()
    for image in images[:2]:
        shutil.copy(image, folder)
    catalogue = write_catalogue(tmp_path / "mine.csv", images[:2])
    written = []
    for source in (folder, catalogue):
        assert galaxymorph("predict", run, source, "-o", tmp_path / "x.parquet", *EXACT) == 0
        written.append(pd.read_parquet(tmp_path / "x.parquet"))
    of_folder, of_table = written
    assert set(of_table) - set(of_folder) <= {"distance", "distance_rank", "energy", "set"}
    assert set(of_folder) <= set(of_table)
    assert list(of_folder)[-3:] == ["model_id", "status", "error"]
    for name in ("model_id", "status"):
        assert of_folder[name].tolist() == of_table[name].tolist()
    assert of_folder["error"].isna().all()
    assert np.allclose(of_folder["entropy"], of_table["entropy"], atol=1e-6)
    Image.new("RGB", (64, 64)).save(folder / "z.png")
    assert galaxymorph("predict", run, folder, "-o", tmp_path / "x.parquet", *EXACT) == 0
    table = pd.read_parquet(tmp_path / "x.parquet")
    assert list(table) == list(of_folder)
    assert table["entropy"].isna().tolist() == [False, False, True]
    assert table["status"].tolist() == ["ok", "ok", "blank"]


def test_triage_takes_the_columns_of_ids_and_images(run, images, tmp_path, capsys):
    catalogue, out = named_columns(tmp_path, images, ".csv"), tmp_path / "out"
    command = ["triage", run, "-o", out, "--source", "single", *NAMED]
    assert galaxymorph(*command, catalogue) == 0
    assert sorted(pd.read_csv(out / "manifest.csv")["galaxy"]) == ["x7", "x8"]
    assert galaxymorph(*command, images[0]) == 2
    assert "--id-column NUMBER: no table is given; leave it out" in capsys.readouterr().err


def test_triage_leaves_out_bad_images_if_told_so(run, images, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(images[0].read_bytes()[:500])
    listed = [images[0], bad, "", tmp_path / "gone.jpg", *images[1:3]]
    pd.DataFrame({"id": list("abcdef"), "image": listed}).to_csv(tmp_path / "t.csv", index=False)
    out = tmp_path / "out"
    command = ["triage", run, tmp_path / "t.csv", "-o", out, "--source", "single"]
    assert galaxymorph(*command) == 2
    assert "c has no image; correct the table, or give --skip-bad" in capsys.readouterr().err
    assert galaxymorph("triage", run, bad, images[0], "-o", out, "--source", "single") == 2
    assert "bad.jpg" in capsys.readouterr().err
    assert not out.exists()
    assert galaxymorph(*command, "--skip-bad") == 0
    told = capsys.readouterr().err
    assert [name in told for name in ("bad.jpg: ", "c has no image", "gone.jpg: ")] == [True] * 3
    assert told.count("skipped: ") == 3
    assert "3 of 6 images unusable and excluded" in told
    assert sorted(pd.read_csv(out / "manifest.csv")["galaxy"]) == ["a", "e", "f"]
    only_bad = ["triage", run, bad, "-o", tmp_path / "none", "--skip-bad"]
    assert galaxymorph(*only_bad) == 2
    assert "none of the images can be used" in capsys.readouterr().err
