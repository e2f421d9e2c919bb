"""The fit through the command line: what it writes, and that nothing is lost when it is killed."""

import functools
import importlib
import json
import os
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from tests.conftest import QUICK, RECIPE, draw_nothing, fits_that, galaxymorph
from tests.processes import run_command

PROMISED = {
    "recipe.json",
    "environment.json",
    "split.csv",
    "history.csv",
    "checkpoints",
    "model.pkl",
    "model.safetensors",
    "model.json",
    "embeddings.npz",
    "predictions_valid.parquet",
    "predictions_calibration.parquet",
    "predictions_test.parquet",
    "metrics.json",
    "figures",
    "report.html",
    "model-card.md",
}


@pytest.fixture(scope="module", autouse=True)
def sketched():
    """Let fits write empty figures and pages: those of `run` are drawn."""

    def draw(run, _):
        run.figures.mkdir(exist_ok=True)

    def write(run):
        for name in ("report.html", "model-card.md"):
            (run.path / name).touch()

    with fits_that({"draw_run": draw, "write_report": write}):
        yield


def same_weights(one: Path, other: Path) -> bool:
    mine, theirs = (load_file(run / "model.safetensors") for run in (one, other))
    return mine.keys() == theirs.keys() and all(
        np.array_equal(mine[name], theirs[name]) for name in mine
    )


def fit_arguments(data: Path, out: Path, name: str, *more: str) -> list[str]:
    start = ["fit", "--data", data, "--recipe", RECIPE, "--out", out, "--name", name]
    return [str(word) for word in [*start, *QUICK, *more]]


def test_a_run_holds_all_that_is_promised_and_nothing_half_written(run):
    found = {path.name for path in run.iterdir() if path.name != ".lock"}
    assert found == PROMISED
    assert not list(run.rglob("*.tmp*"))
    assert {path.name for path in (run / "figures").iterdir()} >= {
        "learning_curves.png",
        "confusion_test.png",
        "confusion_valid.png",
        "scores_by_class.png",
    }


def test_the_split_stands_in_the_run_before_training_and_predictions_follow_it(run):
    split = pd.read_csv(run / "split.csv", dtype=str)
    assert split["split"].value_counts().to_dict() == {
        "train": 36,
        "valid": 9,
        "calibration": 6,
        "test": 9,
    }
    for part in ("valid", "calibration", "test"):
        predictions = pd.read_parquet(run / f"predictions_{part}.parquet")
        assert (
            predictions["galaxy"].tolist() == split.loc[split["split"] == part, "galaxy"].tolist()
        )
        probabilities = predictions[["p_elliptical", "p_spiral", "p_irregular"]]
        assert np.allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_the_history_has_a_row_an_epoch(run):
    history = pd.read_csv(run / "history.csv")
    assert history["epoch"].tolist() == [1, 2]
    assert {"stage", "train_loss", "valid_loss", "accuracy", "f1_score"} <= set(history)


def test_the_same_recipe_gives_the_same_bits_and_another_seed_does_not(simple, run, tmp_path):
    assert galaxymorph(*fit_arguments(simple, tmp_path, "again")) == 0
    assert same_weights(run, tmp_path / "again")
    metrics = [json.loads((r / "metrics.json").read_text()) for r in (run, tmp_path / "again")]
    assert metrics[0] == metrics[1]
    assert galaxymorph(*fit_arguments(simple, tmp_path, "other", "--seed", "4")) == 0
    assert not same_weights(run, tmp_path / "other")


def test_decoded_frames_change_no_bit_and_are_all_that_an_epoch_reads(
    simple, run, tmp_path, monkeypatch
):
    assert galaxymorph(*fit_arguments(simple, tmp_path, "uncached", "--no-cache")) == 0
    assert same_weights(run, tmp_path / "uncached")

    def refuse(reference, *_):
        raise AssertionError(f"{reference} is decoded")

    monkeypatch.setattr("galaxymorph.learn.views.open_galaxy", refuse)
    assert galaxymorph(*fit_arguments(simple, tmp_path, "cached")) == 0
    assert same_weights(run, tmp_path / "cached")


def test_two_stages_keep_a_frozen_trunk_as_it_was_and_then_move_only_the_last_stage(
    simple, run, tmp_path
):
    weights = run / "model.safetensors"
    stages = ["--weights", str(weights), "--frozen-epochs", "1", "--unfreeze", "1"]
    assert galaxymorph(*fit_arguments(simple, tmp_path, "tuned", *stages, "--keep", "last")) == 0
    before, after = load_file(weights), load_file(tmp_path / "tuned" / "model.safetensors")
    moved = {name for name in before if not np.array_equal(before[name], after[name])}
    parts = {re.match(r"0\.model\.\w+|1\.\w+", name)[0] for name in moved}
    assert parts == {"0.model.layer4", "1.2"}
    history = pd.read_csv(tmp_path / "tuned" / "history.csv")
    assert history["stage"].tolist() == ["frozen", "fine-tuned", "fine-tuned"]


def prepare(kill: str | None) -> None:
    """Leave out figures, and let `kill` end the process."""
    draw_nothing()
    if kill:
        kill_at(kill)


def kill_at(call: str) -> None:
    """End the process, as a power cut would, at the nth call of a function: before its effect."""
    module, name, last = call.split(":")
    module = importlib.import_module(f"galaxymorph.learn.{module}")
    original, calls = getattr(module, name), []

    def kill(*arguments, **named):
        calls.append(1)
        if len(calls) == int(last):
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(module, name, kill)


def in_a_process_of_its_own(*arguments: object, kill: str | None = None) -> int:
    """Run the command line; return its status, -9 if `kill` ended it."""
    return run_command(*arguments, prepare=functools.partial(prepare, kill)).returncode


@pytest.fixture(scope="module")
def two_stages(run) -> list[str]:
    """The recipe that users are told to take, in two stages, on a small network's features."""
    settings = ["--recipe", "small", "--arch", "test_resnet", "--trunk-views", "2"]
    settings += ["--weights", run / "model.safetensors"]
    settings += ["--frozen-epochs", "1", "--unfreeze", "2", "--keep", "best", "--views", "1"]
    return list(map(str, settings))


@pytest.fixture(scope="module")
def undisturbed(simple, two_stages, new_folder) -> Path:
    out = new_folder("undisturbed")
    arguments = fit_arguments(simple, out, "run", *two_stages)
    assert in_a_process_of_its_own(*arguments) == 0
    return out / "run"


@pytest.mark.parametrize(
    ("kill", "epochs"),
    [
        ("fit:make_learner:1", 0),
        ("fit:Progress:1", 0),
        ("callbacks:save_tensors:1", 0),
        ("callbacks:write_history:1", 0),
        ("callbacks:save_checkpoint:1", 1),
        ("callbacks:write_history:2", 1),
        ("callbacks:save_checkpoint:2", 2),
        ("callbacks:save_checkpoint:3", 3),
        ("fit:export_learner:1", 3),
        ("fit:write_weights:1", 3),
    ],
)
def test_a_fit_killed_before_any_of_its_writes_ends_with_the_same_weights(
    simple, tmp_path, two_stages, undisturbed, kill, epochs
):
    arguments = fit_arguments(simple, tmp_path, "killed", *two_stages)
    assert in_a_process_of_its_own(*arguments, kill=kill) == -signal.SIGKILL
    run = tmp_path / "killed"
    history = run / "history.csv"
    assert (len(history.read_text().splitlines()) - 1 if history.exists() else 0) == epochs
    assert not (run / "metrics.json").exists()
    assert galaxymorph("fit", "--resume", run) == 0
    assert same_weights(undisturbed, run)
    assert (undisturbed / "history.csv").read_text() == history.read_text()
    assert {path.name for path in run.iterdir()} >= PROMISED


def test_a_damaged_checkpoint_is_named_and_without_it_the_fit_begins_anew(
    simple, tmp_path, two_stages, undisturbed, capsys
):
    arguments = fit_arguments(simple, tmp_path, "killed", *two_stages)
    assert in_a_process_of_its_own(*arguments, kill="callbacks:save_checkpoint:3") < 0
    run = tmp_path / "killed"
    last = run / "checkpoints" / "last.pt"
    whole = last.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"no checkpoint"):
        last.write_bytes(damaged)
        assert galaxymorph("fit", "--resume", run) == 2
        assert f"error: {last}: damaged (" in capsys.readouterr().err
    last.unlink()
    assert galaxymorph("fit", "--resume", run) == 0
    assert same_weights(undisturbed, run)


def test_reproduce_in_a_process_of_its_own_gives_the_same_bits(undisturbed):
    assert in_a_process_of_its_own("reproduce", undisturbed) == 0


def test_folds_killed_within_the_second_end_with_the_same_weights(simple, two_stages, tmp_path):
    folds = [*two_stages, "--folds", "2"]
    whole = fit_arguments(simple, tmp_path, "whole", *folds)
    assert in_a_process_of_its_own(*whole) == 0
    killed = fit_arguments(simple, tmp_path, "killed", *folds)
    kill = "callbacks:save_checkpoint:5"
    assert in_a_process_of_its_own(*killed, kill=kill) == -signal.SIGKILL
    assert (tmp_path / "killed" / "folds" / "1" / "model.pkl").exists()
    assert not (tmp_path / "killed" / "folds" / "2" / "model.pkl").exists()
    assert in_a_process_of_its_own("fit", "--resume", tmp_path / "killed") == 0
    for fold in ("1", "2"):
        assert same_weights(*(tmp_path / run / "folds" / fold for run in ("whole", "killed")))


def test_resume_refuses_a_changed_catalogue_by_naming_a_galaxy(simple, run, tmp_path, capsys):

    moved = tmp_path / "moved"
    shutil.copytree(simple, moved)
    image = moved / "images_training_rev1" / "100005.jpg"
    other = moved / "images_training_rev1" / "100006.jpg"
    image.write_bytes(other.read_bytes())
    assert galaxymorph("fit", "--resume", run, "--data", moved) == 2
    assert "galaxy 100005 has another image" in capsys.readouterr().err
    table = moved / "training_solutions_rev1.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:-1]) + "\n")
    assert galaxymorph("reproduce", run, "--data", moved) == 2
    assert "galaxy 100060 is gone" in capsys.readouterr().err


def test_reproduce_says_that_weights_and_metrics_agree(run, capsys):
    assert galaxymorph("reproduce", run) == 0
    printed = capsys.readouterr().out
    assert "weights: identical" in printed
    assert "metrics: identical" in printed


def test_reproduce_trains_on_the_runs_own_split_and_takes_a_fold(simple, run, tmp_path, capsys):
    mine = tmp_path / "mine"
    shutil.copytree(run, mine)
    split = pd.read_csv(mine / "split.csv", dtype=str)
    first, last = split.index[split["label"] == "elliptical"][[0, -1]]
    split.loc[[first, last], "split"] = split.loc[[last, first], "split"].to_numpy()
    split.to_csv(mine / "split.csv", index=False)
    assert galaxymorph("reproduce", mine) == 1
    assert "weights: differ" in capsys.readouterr().out
    arguments = fit_arguments(simple, tmp_path, "cv", "--folds", "2", "--epochs", "1")
    assert galaxymorph(*arguments) == 0
    assert galaxymorph("reproduce", tmp_path / "cv" / "folds" / "2") == 0
    assert not list(tmp_path.rglob(".reproduce"))


def test_reproduce_notices_other_weights(run, tmp_path, capsys):

    from safetensors.numpy import save_file

    forged = tmp_path / "forged"
    shutil.copytree(run, forged)
    weights = load_file(forged / "model.safetensors")
    weights["1.2.weight"] = weights["1.2.weight"] + 1e-3
    save_file(weights, forged / "model.safetensors")
    assert galaxymorph("reproduce", forged) == 1
    assert "weights: differ by up to 0.001" in capsys.readouterr().out


def test_folds_test_every_galaxy_once_and_are_judged_again_on_resume(simple, tmp_path):
    arguments = fit_arguments(simple, tmp_path, "cv", "--folds", "3", "--epochs", "1")
    assert galaxymorph(*arguments) == 0
    run = tmp_path / "cv"
    tested = pd.read_parquet(run / "predictions_test.parquet")
    assert sorted(tested["galaxy"].astype(int)) == list(range(100001, 100061))
    assert sorted(tested["fold"].unique()) == [1, 2, 3]
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(metrics["test"]["macro_f1_of_folds"]) == 3
    before = (run / "metrics.json").read_text()
    for gone in ("predictions_test.parquet", "metrics.json", "folds/3/predictions_test.parquet"):
        (run / gone).unlink()
    assert galaxymorph("fit", "--resume", run) == 0
    assert (run / "metrics.json").read_text() == before


def test_two_processes_on_one_run_are_refused(run, capsys):
    from galaxymorph.learn import Run
    from galaxymorph.learn.runs import locked

    with locked(Run(run)):
        assert galaxymorph("fit", "--resume", run) == 2
    assert "another process is working on it" in capsys.readouterr().err


def test_class_names_that_look_like_numbers_stay_text(simple, tmp_path):
    votes = pd.read_csv(simple / "training_solutions_rev1.csv")
    kind = np.where(votes["Class1.1"] > 0.5, "0", "01")
    table = simple / "numbers.csv"
    pd.DataFrame({"GalaxyID": votes["GalaxyID"], "kind": kind}).to_csv(table, index=False)
    arguments = fit_arguments(table, tmp_path, "run", "--labels-column", "kind", "--epochs", "1")
    assert galaxymorph(*arguments) == 0
    predictions = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    assert set(predictions["label"]) == {"0", "01"}
    assert galaxymorph("interpret", tmp_path / "run", "--most", "2") == 0


def test_plain_labels_give_classes_of_their_own(simple, tmp_path):
    votes = pd.read_csv(simple / "training_solutions_rev1.csv")
    kind = np.where(votes["Class1.1"] > 0.5, "smooth", "rough")
    table = pd.DataFrame({"GalaxyID": votes["GalaxyID"], "kind": kind})
    table.to_csv(simple / "kinds.csv", index=False)
    arguments = ["--labels-column", "kind", "--epochs", "1"]
    status = galaxymorph(*fit_arguments(simple / "kinds.csv", tmp_path, "plain", *arguments))
    assert status == 0
    assert json.loads((tmp_path / "plain" / "model.json").read_text())["classes"] == [
        "rough",
        "smooth",
    ]


VIT = ["--arch", "vit_tiny_patch16_224", "--model-args", "{}"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--size", "7"], "--size is 7; it takes 32 to 1024"),
        (["--lr", "nan"], "--lr is nan; it takes over 0.0 to 1.0"),
        (["--views", "3"], "--views is 3; use one of 1, 4, 8"),
        (["--arch", "resnet81"], "--arch resnet81: unknown to torchvision and timm"),
        (["--weights", "nowhere.pth"], "--weights nowhere.pth: no such file"),
        (["--scheme", "hubbel"], "--scheme is 'hubbel'; use one of layer1, hubble, gz2-five"),
        (["--trunk-views", "2"], "--trunk-views 2: it has no effect, because no stage is frozen"),
        (["--unfreeze", "2"], "--unfreeze 2: with --weights none all layers are trained"),
        (["--labels-column", "kind", "--scheme", "hubble"], "the labels are in column 'kind'"),
        (["--precision", "fp16"], "--precision fp16 needs a GPU"),
        ([*VIT, "--size", "100"], "--size 100: vit_tiny_patch16_224"),
        (["--arch", "test_mambaout", "--model-args", "{}"], "have the channels last"),
        (["--scheme", "gz2-five"], "class 'smooth_round' has 0 galaxies, but a split"),
        (["--epochs", "0", "--frozen-epochs", "0"], "there are no epochs"),
        (["--folds", "30"], "has 10 galaxies, but 30-fold"),
    ],
)
def test_settings_that_cannot_be_are_refused_in_one_line(
    simple, tmp_path, capsys, arguments, words
):
    assert galaxymorph(*fit_arguments(simple, tmp_path, "refused", *arguments)) == 2
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error


def test_a_run_is_never_overwritten(simple, run, capsys):
    assert galaxymorph(*fit_arguments(simple, run.parent, "run")) == 2
    assert "exists already" in capsys.readouterr().err


def test_a_start_that_fails_leaves_no_run_behind(simple, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("galaxymorph.learn.fit.write_split", full)
    assert galaxymorph(*fit_arguments(simple, tmp_path / "out", "run")) == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_recipe_file_and_a_runs_own_recipe_work_in_place_of_a_preset(simple, run, tmp_path):
    arguments = ["fit", "--data", simple, "--out", tmp_path, "--name", "copy"]
    assert galaxymorph(*arguments, "--recipe", run / "recipe.json") == 0
    assert same_weights(run, tmp_path / "copy")
    (tmp_path / "wrong.json").write_text('{"sise": 64}')
    assert galaxymorph("fit", "--data", simple, "--recipe", tmp_path / "wrong.json") == 2


def test_a_broken_image_stops_the_fit_or_is_set_aside(simple, tmp_path, capsys):

    data = tmp_path / "data"
    shutil.copytree(simple, data)
    (data / "images_training_rev1" / "100009.jpg").write_bytes(b"no image")
    assert galaxymorph(*fit_arguments(data, tmp_path, "stopped")) == 2
    error = capsys.readouterr().err
    assert "row 10" in error
    assert "100009.jpg: not an image" in error
    assert (
        galaxymorph(*fit_arguments(data, tmp_path, "went-on", "--skip-bad", "--epochs", "1")) == 0
    )
    rejected = pd.read_csv(tmp_path / "went-on" / "rejected.csv", dtype=str)
    assert rejected["galaxy"].tolist() == ["100009"]


def test_resume_finds_the_images_where_the_data_have_moved(simple, run, tmp_path):
    copy, moved = tmp_path / "run", tmp_path / "moved"
    shutil.copytree(run, copy)
    shutil.copytree(simple, moved)
    (copy / "predictions_test.parquet").unlink()
    leftover = copy / "checkpoints" / ".kept.99999.tmp.pt"
    leftover.write_bytes(b"half a checkpoint")
    assert galaxymorph("fit", "--resume", copy, "--data", moved) == 0
    assert not leftover.exists()
    images = pd.read_parquet(copy / "predictions_test.parquet")["image"]
    assert images.str.startswith(str(moved)).all()


def test_the_plain_pipeline_and_loader_processes_give_a_run_too(simple, tmp_path):
    network = ["--arch", "test_resnet", "--weights", "none"]
    arguments = fit_arguments(simple, tmp_path, "plain", "--recipe", "plain", *network)
    assert galaxymorph(*arguments, "--epochs", "2", "--rotate", "30") == 0
    recipe = json.loads((tmp_path / "plain" / "recipe.json").read_text())["recipe"]
    assert (recipe["pipeline"], recipe["workers"]) == ("plain", 2)
    assert galaxymorph("reproduce", tmp_path / "plain") == 0
    one = ["--workers", "1", "--epochs", "1"]
    assert galaxymorph(*fit_arguments(simple, tmp_path, "fast", *one)) == 0
    assert galaxymorph("reproduce", tmp_path / "fast") == 0
