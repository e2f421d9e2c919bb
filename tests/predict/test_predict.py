import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import galaxymorph as gm
from galaxymorph.predict import load_predictor
from tests.conftest import galaxymorph

ROOT = Path(__file__).parents[2]
CLASSES = ["p_elliptical", "p_spiral", "p_irregular"]


@pytest.fixture
def images(simple):
    return sorted((simple / "images_training_rev1").glob("*.jpg"))[:3]


def test_the_exported_learner_works_in_a_script_of_its_own(run, images):
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "from fastai.learner import load_learner\n"
        "import galaxymorph\n"
        f"learn = load_learner({str(run / 'model.pkl')!r})\n"
        f"name, _, probabilities = learn.predict({str(images[0])!r})\n"
        "print(name, *probabilities.tolist())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True
    )
    name, *probabilities = done.stdout.split()
    expected = load_predictor(run, "fp32").predict([str(images[0])]).iloc[0]
    assert name == expected["predicted"]
    assert np.allclose(
        [float(p) for p in probabilities], expected[CLASSES].astype(float), atol=1e-4
    )


def test_the_export_holds_no_path_of_this_machine(run):
    content = (run / "model.pkl").read_bytes()
    assert str(run.parent).encode() not in content
    assert str(Path.home()).encode() not in content


def test_predict_agrees_with_the_runs_own_table(run, capsys):
    own = pd.read_parquet(run / "predictions_test.parquet")
    assert galaxymorph("predict", run, *own["image"], "--json") == 0
    printed = pd.DataFrame(json.loads(capsys.readouterr().out))
    assert printed["predicted"].tolist() == own["predicted"].tolist()
    assert np.allclose(printed[CLASSES], own[CLASSES], atol=1e-5)


def test_the_galaxy_is_the_images_name_wherever_it_lies(run, images, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "bare.zip", "w") as archive:
        archive.write(images[0], images[0].name)
    twin = tmp_path / "twin" / images[0].name
    twin.parent.mkdir()
    twin.write_bytes(images[1].read_bytes())
    assert galaxymorph("predict", run, tmp_path / "bare.zip", tmp_path, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["galaxy"] for row in printed] == [images[0].stem] * 2
    assert printed[0]["confidence"] != printed[1]["confidence"]


@pytest.mark.parametrize("output", ["missing/out.csv", ".", "out.txt"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    run, images, tmp_path, capsys, output
):
    assert galaxymorph("predict", run, images[0], "-o", tmp_path / output) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: -o {tmp_path / output}")
    assert "predicting" not in error


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_predict_writes_tables(run, simple, tmp_path, ending):
    output = tmp_path / f"out.{ending}"
    assert galaxymorph("predict", run, simple / "images_training_rev1", "-o", output) == 0
    table = pd.read_csv(output) if ending == "csv" else pd.read_parquet(output)
    assert len(table) == 60
    always = {"entropy", "model_id", "status", "error"}
    assert set(table) == {"galaxy", "image", "part", "predicted", "confidence", *CLASSES, *always}
    assert (table["status"] == "ok").all() and table["error"].isna().all()
    assert table["galaxy"].astype(str).tolist() == [str(n) for n in range(100001, 100061)]


def test_predict_prints_a_table(run, images, capsys):
    assert galaxymorph("predict", run, *images) == 0
    printed = capsys.readouterr().out
    assert all(image.name in printed.replace("\n", "") for image in images)


def test_predict_reads_straight_out_of_a_zip(run, images, tmp_path, capsys):
    with zipfile.ZipFile(tmp_path / "some.zip", "w") as archive:
        for image in images:
            archive.write(image, f"inside/{image.name}")
    assert galaxymorph("predict", run, tmp_path / "some.zip", "--json") == 0
    zipped = pd.DataFrame(json.loads(capsys.readouterr().out))
    assert galaxymorph("predict", run, *images, "--json") == 0
    plain = pd.DataFrame(json.loads(capsys.readouterr().out))
    assert zipped[CLASSES].equals(plain[CLASSES])


def test_a_bad_image_is_named_or_skipped(run, images, tmp_path, capsys):
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(images[0].read_bytes()[:500])
    assert galaxymorph("predict", run, images[0], bad) == 2
    error = capsys.readouterr().err
    assert "bad.jpg" in error
    assert "or leave such images out with --skip-bad" in error
    assert galaxymorph("predict", run, bad) == 2
    assert "--skip-bad" not in capsys.readouterr().err
    assert galaxymorph("predict", run, images[0], bad, "--skip-bad", "--json") == 0
    captured = capsys.readouterr()
    assert len(json.loads(captured.out)) == 1
    assert "bad.jpg" in captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere.jpg"], "nowhere.jpg: no such file"),
        (["-o", "out.xlsx", "{image}"], "-o out.xlsx"),
    ],
)
def test_bad_arguments_get_one_line(run, images, capsys, arguments, words):
    arguments = [word.format(image=images[0]) for word in arguments]
    assert galaxymorph("predict", run, *arguments) == 2
    assert words in capsys.readouterr().err


def test_what_is_no_run_is_said_to_be_none(tmp_path, images, capsys):
    assert galaxymorph("predict", tmp_path, images[0]) == 2
    assert "not a run" in capsys.readouterr().err


def test_adapting_changes_predictions_and_needs_images_enough(run, simple, tmp_path, capsys):
    folder = simple / "images_training_rev1"
    images = sorted(folder.glob("*.jpg"))
    assert galaxymorph("predict", run, folder, "-o", tmp_path / "plain.csv") == 0
    assert galaxymorph("predict", run, folder, "--adapt", "-o", tmp_path / "adapted.csv") == 0
    plain, adapted = (pd.read_csv(tmp_path / f"{name}.csv") for name in ("plain", "adapted"))
    assert plain["image"].tolist() == adapted["image"].tolist()
    change = np.abs(plain[CLASSES] - adapted[CLASSES]).to_numpy()
    assert change.mean() > 1e-3
    assert np.allclose(adapted[CLASSES].sum(axis=1), 1, atol=1e-5)
    assert galaxymorph("predict", run, *images[:5], "--adapt") == 2
    assert "5 images are too few" in capsys.readouterr().err
    assert galaxymorph("predict", run, folder, "--adapt", "--precision", "int8") == 2
    assert "the statistics of int8 are fixed" in capsys.readouterr().err


def test_outliers_are_told_by_columns_and_another_kind_of_image_by_a_warning(
    run, simple, tmp_path, monkeypatch, capsys
):
    from galaxymorph.predict import outliers

    # The run has nine validation galaxies.
    monkeypatch.setattr(outliers, "LEAST", 9)
    noise = tmp_path / "noise"
    noise.mkdir()
    rng = np.random.default_rng(0)
    for k in range(40):
        pixels = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(noise / f"{k}.png")
    folder = simple / "images_training_rev1"
    tables = {}
    for path in (folder, noise):
        table = tmp_path / f"{path.name}.csv"
        assert galaxymorph("predict", run, path, "--outliers", "-o", table) == 0
        tables[path.name] = (
            pd.read_csv(table),
            "differ from the training images" in capsys.readouterr().err,
        )
    (usual, silent), (strange, warned) = tables.values()
    assert not silent
    assert warned
    assert strange["distance"].median() > usual["distance"].quantile(0.9)
    assert strange["distance_rank"].between(0, 1).all()
    assert {"energy", "distance"} <= set(usual)
    assert galaxymorph("predict", run, noise, "--no-drift", "-o", tmp_path / "x.csv") == 0
    assert "differ from the training images" not in capsys.readouterr().err


def test_drift_that_is_not_checked_is_told_once(run, simple, tmp_path, capsys):
    """The run has nine validation galaxies."""
    folder, table = simple / "images_training_rev1", tmp_path / "table.csv"
    words = f"drift is not checked: {run} has 9 validation galaxies, and 40 are needed"
    assert galaxymorph("predict", run, folder, "-o", table) == 0
    assert capsys.readouterr().err.count(words) == 1
    shutil.copytree(run, tmp_path / "old")
    (tmp_path / "old" / "embeddings.npz").unlink()
    assert galaxymorph("predict", tmp_path / "old", folder, "-o", table) == 0
    assert "drift is not checked: " in capsys.readouterr().err
    for fewer in ([folder, "--no-drift"], sorted(folder.glob("*.jpg"))[:39]):
        assert galaxymorph("predict", run, *fewer, "-o", table) == 0
        assert "drift is not" not in capsys.readouterr().err


def test_outliers_of_a_run_without_embeddings_are_refused(run, images, tmp_path, capsys):
    shutil.copytree(run, tmp_path / "old")
    (tmp_path / "old" / "embeddings.npz").unlink()
    assert galaxymorph("predict", tmp_path / "old", *images, "--outliers") == 2
    assert "older versions stored no embeddings" in capsys.readouterr().err


@pytest.mark.parametrize("output", ["t.csv", "out/"])
@pytest.mark.usefixtures("plain")
def test_sets_of_a_run_that_was_never_calibrated_say_so(run, simple, tmp_path, capsys, output):
    images, message = (
        simple / "images_training_rev1",
        f"{run} is not calibrated: sets are those of the",
    )
    words = ["predict", run, images, "--coverage", "0.8", "--no-drift"]
    assert galaxymorph(*words, "-o", f"{tmp_path}/{output}") == 0
    assert message in capsys.readouterr().err
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--coverage", "0.999") == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "Prediction sets of this run at 99.9 %" in text
    words[1] = own
    assert galaxymorph(*words, "-o", f"{tmp_path}/again-{output}") == 0
    assert "is not calibrated" not in capsys.readouterr().err


@pytest.mark.usefixtures("plain")
def test_every_output_of_a_calibrated_run_has_its_sets(run, images, tmp_path, capsys):
    own = tmp_path / "run"
    shutil.copytree(run, own)
    assert galaxymorph("calibrate", own, "--method", "temperature", "--coverage", "0.8") == 0
    expected = gm.predict(own, images, coverage=0.8)["set"].tolist()
    assert gm.predict(own, images)["set"].tolist() == expected
    pixels = [Image.open(image) for image in images]
    assert gm.predict(own, pixels)["set"].tolist() == expected
    assert gm.open_run(own).predict(images, raw=True)["set"].tolist() == expected
    capsys.readouterr()
    assert galaxymorph("predict", own, *images, "--json") == 0
    assert [row["set"] for row in json.loads(capsys.readouterr().out)] == expected
    assert galaxymorph("predict", own, *images, "-o", tmp_path / "t.csv") == 0
    assert pd.read_csv(tmp_path / "t.csv")["set"].tolist() == expected
    assert galaxymorph("predict", own, images[0]) == 0
    (heading,) = [line for line in capsys.readouterr().out.splitlines() if "predicted" in line]
    assert heading.split()[-1] == "set"
    # The mean of several models or crops isn't calibrated.
    assert "set" not in gm.predict([own, own], images)
    assert "set" not in gm.predict(own, images, crops="0.6,0.8")
    assert "set" not in gm.predict(run, images)


@pytest.mark.parametrize("format", [None, "kaggle"])
def test_a_file_that_is_replaced_is_told(images, tmp_path, capsys, format):
    output = tmp_path / "t.csv"
    command = ["predict", images[0], "-o", output, "--device", "cpu", "--outliers"]
    command += ["--format", format] if format else []
    command.remove("--outliers") if format else None
    for is_there in (False, True):
        assert galaxymorph(*command) == 0
        printed, log = capsys.readouterr()
        assert printed == f"{output}\n"
        assert (f"replaced: {output}" in log.splitlines()) == is_there


def test_a_table_of_a_table_is_replaced_and_told(run, images, tmp_path, capsys):
    output, table = tmp_path / "t.csv", tmp_path / "mine.csv"
    for number in (1, 2):
        pd.DataFrame({"image": images[:number]}).to_csv(table, index=False)
        assert galaxymorph("predict", run, table, "-o", output) == 0
        assert (f"replaced: {output}" in capsys.readouterr().err) == (number == 2)
        assert len(pd.read_csv(output)) == number
