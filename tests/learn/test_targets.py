"""Soft targets through the command line: shares of classes, and every answer of the tree."""

import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

from galaxymorph.judge.galleries import disagreements
from galaxymorph.learn import TARGETS, Run, make_recipe
from galaxymorph.predict import load_predictor
from galaxymorph.zoo import GALAXY_ZOO_CHALLENGE, SCHEMES, soft_targets
from galaxymorph.zoo.tree import broken_sums
from tests.conftest import DRAWING, RECIPE, galaxymorph

pytestmark = pytest.mark.usefixtures("undrawn")

ROOT = Path(__file__).parents[2]
TREE = GALAXY_ZOO_CHALLENGE
QUICK = ["--recipe", RECIPE, "--size", "64", "--batch", "16", "--epochs", "2", "--seed", "3"]
SHARES = ["p_elliptical", "p_spiral", "p_irregular"]


def fit(data: Path, out: Path, name: str, *more: str) -> int:
    return galaxymorph("fit", "--data", data, "--out", out, "--name", name, *QUICK, *more)


def votes_of(data: Path) -> pd.DataFrame:
    table = pd.read_csv(data / "training_solutions_rev1.csv", dtype={"GalaxyID": str})
    return table.set_index("GalaxyID")


@pytest.fixture(scope="module")
def counted(simple, new_folder) -> Path:
    """The simple galaxies, with numbers of votes beside the fractions."""
    folder = new_folder("counted") / "data"
    shutil.copytree(simple, folder)
    table = pd.read_csv(folder / "training_solutions_rev1.csv")
    for column in TREE.columns:
        table[f"{column}_count"] = (table[column] * 40).round().astype(int)
    table.to_csv(folder / "training_solutions_rev1.csv", index=False)
    return folder


@pytest.fixture(scope="module")
def soft_runs(simple, counted, new_folder) -> Path:
    """A run of each soft target and loss, all in one folder."""
    out = new_folder("soft")
    assert fit(simple, out, "soft3", "--target", "soft3", "--views", "4") == 0
    assert fit(simple, out, "tree", "--target", "tree", "--views", "4") == 0
    settings = ["--target", "tree", "--loss", "dirichlet-multinomial", "--views", "4"]
    assert fit(counted, out, "dirichlet", *settings) == 0
    return out


@pytest.mark.parametrize("name", ["soft3", "tree", "dirichlet"])
def test_every_galaxy_is_used_and_predictions_stand_beside_what_volunteers_said(
    simple, soft_runs, name
):
    run = soft_runs / name
    split = pd.read_csv(run / "split.csv", dtype={"galaxy": str})
    assert len(split) == 60
    votes = votes_of(simple)
    expected = soft_targets(SCHEMES["layer1"], votes) if name == "soft3" else votes[TREE.columns]
    for part in ("valid", "test"):
        table = pd.read_parquet(run / f"predictions_{part}.parquet")
        assert table["galaxy"].tolist() == split.loc[split["split"] == part, "galaxy"].tolist()
        true = table[[f"target_{column}" for column in expected.columns]].to_numpy()
        assert np.allclose(true, expected.loc[table["galaxy"]].to_numpy(), atol=1e-6)
        largest = soft_targets(SCHEMES["layer1"], votes).idxmax(axis=1)
        assert table["label"].tolist() == largest.loc[table["galaxy"]].tolist()


@pytest.mark.parametrize("name", ["tree", "dirichlet"])
def test_predictions_obey_the_tree_and_hold_no_class(soft_runs, name):
    table = pd.read_parquet(soft_runs / name / "predictions_test.parquet")
    predicted = table[TREE.columns].to_numpy()
    assert not broken_sums(TREE, predicted).any()
    assert predicted.std(axis=0).max() > 0
    assert "predicted" not in table


def test_shares_sum_to_one_and_the_largest_is_the_class(soft_runs):
    table = pd.read_parquet(soft_runs / "soft3" / "predictions_test.parquet")
    assert np.allclose(table[SHARES].sum(axis=1), 1, atol=1e-5)
    best = table[SHARES].idxmax(axis=1).str.removeprefix("p_")
    assert best.tolist() == table["predicted"].tolist()


def test_metrics_are_those_of_the_target(soft_runs):
    metrics = {
        name: json.loads((soft_runs / name / "metrics.json").read_text())["test"]
        for name in ("soft3", "tree")
    }
    assert metrics["soft3"].keys() >= {"kl", "mse", "entropy_spearman", "macro_f1", "confusion"}
    table = pd.read_parquet(soft_runs / "tree" / "predictions_test.parquet")
    errors = table[TREE.columns].to_numpy() - table[[f"target_{c}" for c in TREE.columns]]
    rmse = np.sqrt((errors.to_numpy() ** 2).mean())
    assert metrics["tree"]["rmse"]["value"] == pytest.approx(rmse, abs=1e-5)
    assert metrics["tree"]["per_answer"].keys() == set(TREE.columns)


@pytest.mark.parametrize(("name", "column"), [("soft3", "valid_loss"), ("tree", "rmse")])
def test_the_weights_kept_are_of_the_epoch_with_the_smallest_score(
    simple, tmp_path, monkeypatch, name, column
):
    from galaxymorph.learn import callbacks

    written: list[str] = []
    save = callbacks.save_tensors

    def note(path, value):
        written.append(path.name)
        save(path, value)

    monkeypatch.setattr(callbacks, "save_tensors", note)
    # By chance every epoch of a fit may be better than the one before, which would prove nothing.
    # It is unlikely with large steps, which come first.
    for run, rate in enumerate(("0.1", "0.3", "0.03", "0.01")):
        written.clear()
        arguments = ["--target", name, "--epochs", "4", "--lr", rate]
        assert fit(simple, tmp_path, f"run{run}", *arguments) == 0
        scores = pd.read_csv(tmp_path / f"run{run}" / "history.csv")[column]
        best = scores.cummin().shift(fill_value=np.inf)
        epochs = "".join(written).split("last.pt")[:-1]
        assert [epoch == "kept.pt" for epoch in epochs] == (scores < best).tolist()
        if not scores.is_monotonic_decreasing:
            return
    raise AssertionError("no fit had an epoch worse than the one before")


def test_the_last_validation_rmse_is_that_of_the_predictions(simple, tmp_path):
    arguments = ["--target", "tree", "--keep", "last", "--precision", "fp32"]
    assert fit(simple, tmp_path, "run", *arguments) == 0
    table = pd.read_parquet(tmp_path / "run" / "predictions_valid.parquet")
    errors = table[TREE.columns].to_numpy() - table[[f"target_{c}" for c in TREE.columns]]
    history = pd.read_csv(tmp_path / "run" / "history.csv")
    assert history["rmse"].iloc[-1] == pytest.approx(
        np.sqrt((errors.to_numpy() ** 2).mean()), abs=1e-4
    )


def test_the_exported_learner_gives_what_predict_gives(simple, soft_runs):
    image, names = simple / "images_training_rev1" / "100003.jpg", ["soft3", "tree", "dirichlet"]
    script = (
        "import sys, warnings; warnings.simplefilter('ignore')\n"
        "from fastai.learner import load_learner\n"
        "import galaxymorph\n"
        "image, *models = sys.argv[1:]\n"
        "for model in models:\n"
        "    print(*load_learner(model).predict(image)[2].tolist())\n"
    )
    models = [soft_runs / name / "model.pkl" for name in names]
    command = [sys.executable, "-c", script, image, *models]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    # fastai's progress bar writes over its own line.
    lines = [line.rsplit("\r", 1)[-1] for line in done.stdout.splitlines() if line.strip()]
    for name, line in zip(names, lines, strict=True):
        table = load_predictor(soft_runs / name, "fp32").predict([str(image)])
        columns = SHARES if name == "soft3" else TREE.columns
        found = [float(value) for value in line.split()]
        assert np.allclose(found, table[columns].iloc[0].astype(float), atol=1e-4)


@pytest.mark.parametrize("name", ["soft3", "tree"])
def test_predict_agrees_with_the_runs_own_table_and_prints(soft_runs, name, capsys):
    own = pd.read_parquet(soft_runs / name / "predictions_test.parquet")
    columns = SHARES if name == "soft3" else TREE.columns
    assert galaxymorph("predict", soft_runs / name, *own["image"], "--json") == 0
    printed = pd.DataFrame(json.loads(capsys.readouterr().out))
    assert np.allclose(printed[columns], own[columns], atol=1e-5)
    assert galaxymorph("predict", soft_runs / name, own["image"][0]) == 0
    shown = capsys.readouterr().out
    assert ("Smooth, or with features or a disk?" in shown) is (name == "tree")


def test_a_submission_has_a_row_a_galaxy_and_goes_on_after_a_kill(
    simple, soft_runs, tmp_path, monkeypatch, capsys
):
    import galaxymorph.predict.submission as kaggle
    from galaxymorph.predict.predictors.torch_predictor import TorchPredictor

    monkeypatch.setattr(kaggle, "PART", 16)
    images = simple / "images_training_rev1"
    # The challenge's folder: its training images are no part of a submission.
    data = tmp_path / "data"
    (data / "images_training_rev1").mkdir(parents=True)
    shutil.copy(next(images.iterdir()), data / "images_training_rev1" / "7.jpg")
    with zipfile.ZipFile(data / "images_test_rev1.zip", "w") as archive:
        for image in sorted(images.iterdir()):
            archive.write(image, f"images_test_rev1/{image.name}")
    output, calls = tmp_path / "submission.csv", []
    outputs = TorchPredictor.outputs

    def stop_at_the_third(self, references, seen, faults=None):
        calls.append(len(references))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return outputs(self, references, seen, faults)

    monkeypatch.setattr(TorchPredictor, "outputs", stop_at_the_third)
    arguments = ["predict", soft_runs / "tree", data]
    arguments += ["--format", "kaggle", "-o", output]
    assert galaxymorph(*arguments) == 130
    assert not output.exists()
    assert galaxymorph(*arguments) == 0
    assert calls == [16, 16, 16, 16, 12]
    error = capsys.readouterr().err
    assert "2 of 4 parts exist" in error
    assert "images excluded because they are not in the test part: 1" in error
    assert {path.name for path in tmp_path.iterdir()} == {"data", output.name}
    table = pd.read_csv(output)
    assert list(table.columns) == ["GalaxyID", *TREE.columns]
    assert table["GalaxyID"].tolist() == list(range(100001, 100061))
    assert not broken_sums(TREE, table[TREE.columns].to_numpy()).any()
    whole = load_predictor(soft_runs / "tree").predict([str(p) for p in sorted(images.iterdir())])
    assert np.allclose(table[TREE.columns], whole[TREE.columns], atol=1e-5)


def test_interpret_draws_votes_and_a_walk(soft_runs, unrefreshed, capsys):
    for name in ("soft3", "tree"):
        assert galaxymorph("interpret", soft_runs / name, "--most", "2") == 0
        drawn = {Path(line).name for line in capsys.readouterr().out.splitlines()}
        assert drawn >= {
            "top_losses_test.png",
            "disagreement_test.png",
            "fractions_test.png",
            "entropies_test.png",
        }
        finished = Run(soft_runs / name)
        _, overconfident = disagreements(finished, finished.predictions("test"))
        assert ("overconfident_test.png" in drawn) == (len(overconfident) > 0)
    table = pd.read_parquet(soft_runs / "tree" / "predictions_test.parquet")
    galaxy = table["galaxy"][0]
    assert galaxymorph("interpret", soft_runs / "tree", "--galaxy", galaxy) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == soft_runs / "tree" / "figures" / "walks" / f"{galaxy}.png"
    assert path.read_bytes().startswith(b"\x89PNG")


def test_a_walk_is_refused_where_there_is_none(run, soft_runs, capsys):
    assert galaxymorph("interpret", run, "--galaxy", "100001") == 2
    assert "is trained on classes, not on votes; fit with --target tree" in capsys.readouterr().err
    assert galaxymorph("interpret", soft_runs / "tree", "--galaxy", "7") == 2
    assert "--galaxy 7: not in the validation or test part" in capsys.readouterr().err


def test_stored_features_keep_vectors_and_a_killed_fit_and_reproduce_give_the_same_bits(
    simple, soft_runs, tmp_path, monkeypatch, capsys
):
    import galaxymorph.learn.callbacks as callbacks

    weights = ["--weights", soft_runs / "tree" / "model.safetensors", "--frozen-epochs", "1"]
    settings = ["--target", "tree", *weights, "--unfreeze", "1", "--trunk-views", "2"]
    assert fit(simple, tmp_path, "whole", *settings) == 0
    save, calls = callbacks.save_checkpoint, []

    def stop_at_the_second(*arguments):
        calls.append(arguments)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return save(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(callbacks, "save_checkpoint", stop_at_the_second)
        assert fit(simple, tmp_path, "killed", *settings) == 130
    assert (tmp_path / "killed" / "checkpoints" / "features").exists()
    assert galaxymorph("fit", "--resume", tmp_path / "killed") == 0
    one, other = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "killed"))
    assert all(np.array_equal(one[name], other[name]) for name in one)
    capsys.readouterr()
    assert galaxymorph("reproduce", tmp_path / "whole") == 0
    assert capsys.readouterr().out.startswith("weights: identical\nmetrics: identical")


@pytest.mark.parametrize("name", ["soft3", "tree"])
def test_folds_are_scored_one_by_one(simple, tmp_path, name):
    assert fit(simple, tmp_path, "cv", "--target", name, "--folds", "2", "--epochs", "1") == 0
    scores = json.loads((tmp_path / "cv" / "metrics.json").read_text())["test"]
    assert scores["galaxies"] == 60
    folds = scores[{"soft3": "kl_of_folds", "tree": "rmse_of_folds"}[name]]
    assert len(folds) == 2
    assert min(folds) > 0


def test_a_dirichlet_multinomials_predictions_are_distributions(
    simple, soft_runs, tmp_path, capsys
):
    run, output = soft_runs / "dirichlet", tmp_path / "votes.parquet"
    images = simple / "images_training_rev1"
    assert galaxymorph("predict", run, images, "--coverage", "0.9", "-o", output) == 0
    table = pd.read_parquet(output).set_index("galaxy")
    test = pd.read_parquet(run / "predictions_test.parquet").set_index("galaxy")
    spreads, lows, highs = (
        [f"{kind}_{column}" for column in TREE.columns] for kind in ("sd", "low", "high")
    )
    again = table.loc[test.index]
    for columns in (TREE.columns, spreads):
        assert np.allclose(again[columns], test[columns], atol=5e-3)
    assert (table[spreads].to_numpy() > 0).all()
    assert (table[lows].to_numpy() <= table[highs].to_numpy()).all()
    # The half of 90 % of a fraction that is neither rare nor common is 1.645 deviations or so.
    wide = (table["high_Class1.1"] - table["low_Class1.1"]) / table["sd_Class1.1"]
    assert wide.between(2.4, 3.6).all()
    metrics = json.loads((run / "metrics.json").read_text())["test"]["intervals"]
    assert metrics.keys() == {"nominal", "votes", "width", "per_answer"}
    assert galaxymorph("predict", run, run, images, "-o", output) == 0
    assert np.allclose(pd.read_parquet(output)[spreads], table[spreads], atol=5e-3)
    assert galaxymorph("predict", run, soft_runs / "tree", images, "-o", output) == 0
    assert "sd_Class1.1" not in pd.read_parquet(output)
    capsys.readouterr()
    assert galaxymorph("predict", soft_runs / "tree", images, "--coverage", "0.9") == 2
    assert "--loss dirichlet-multinomial" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["soft3", "tree", "dirichlet"])
def test_int8_predicts_what_float32_does(simple, soft_runs, tmp_path, capsys, name):
    pytest.importorskip("onnxruntime")
    run = tmp_path / "run"
    shutil.copytree(soft_runs / name, run)
    assert galaxymorph("export", run, "--format", "onnx-int8") == 0
    score = "macro-F1" if name == "soft3" else "RMSE"
    number = len(pd.read_parquet(run / "predictions_test.parquet"))
    assert f"test {score} of {number} galaxies: " in capsys.readouterr().out
    images = [str(path) for path in sorted((simple / "images_training_rev1").iterdir())]
    exact, small = (load_predictor(run, kind).predict(images) for kind in ("fp32", "int8"))
    columns = SHARES if name == "soft3" else TREE.columns
    assert list(exact.columns) == list(small.columns)
    assert (exact[columns] - small[columns]).abs().to_numpy().mean() < 0.05
    if name != "soft3":
        assert not broken_sums(TREE, small[columns].to_numpy()).any()


def test_resume_refuses_other_votes_by_naming_a_galaxy(simple, soft_runs, tmp_path, capsys):
    moved = tmp_path / "moved"
    shutil.copytree(simple, moved)
    table = pd.read_csv(moved / "training_solutions_rev1.csv")
    table.loc[4, "Class8.1"] += 1e-4
    table.to_csv(moved / "training_solutions_rev1.csv", index=False)
    assert galaxymorph("fit", "--resume", soft_runs / "tree", "--data", moved) == 2
    assert "galaxy 100005 has other votes (1 such)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--target", "trees"], "--target is 'trees'; use one of classes, soft3, tree"),
        (["--target", "tree", "--loss", "kl"], "--loss is 'kl', and the target is tree"),
        (["--loss", "mse"], "--loss is 'mse', and the target is classes; use cross-entropy"),
        (
            ["--target", "tree", "--loss", "dirichlet-multinomial"],
            "there are no vote counts (column 'Class1.1_count' and the like, or votes",
        ),
        (["--target", "soft3", "--class-weights", "1"], "--class-weights 1.0: it is for"),
        (["--target", "tree", "--label-smoothing", "0.1"], "--label-smoothing 0.1: it is for"),
        (["--target", "tree", "--labels-column", "kind"], "--target tree needs vote fractions"),
    ],
)
def test_what_does_not_go_together_is_refused_in_one_line(
    simple, tmp_path, capsys, arguments, words
):
    assert fit(simple, tmp_path, "refused", *arguments) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_count_that_is_none_is_named(counted, tmp_path, capsys):
    folder = tmp_path / "data"
    shutil.copytree(counted, folder)
    table = pd.read_csv(folder / "training_solutions_rev1.csv").astype({"Class2.1_count": float})
    table.loc[3, "Class2.1_count"] = 1.5
    table.to_csv(folder / "training_solutions_rev1.csv", index=False)
    settings = ["--target", "tree", "--loss", "dirichlet-multinomial"]
    assert fit(folder, tmp_path, "refused", *settings) == 2
    assert "row 5: Class2.1_count is 1.5, not a number of votes" in capsys.readouterr().err


def test_a_submission_takes_a_run_of_the_tree_and_a_table(run, soft_runs, simple, capsys):
    images = simple / "images_training_rev1"
    arguments = ["predict", run, images, "--format", "kaggle", "-o", "submission.csv"]
    assert galaxymorph(*arguments) == 2
    assert "is classes; fit with --target tree" in capsys.readouterr().err
    assert galaxymorph("predict", soft_runs / "tree", images, "--format", "kaggle") == 2
    assert "give -o FILE.csv" in capsys.readouterr().err


def test_every_target_has_its_families_in_judge_and_report():
    from galaxymorph.judge import METRICS, galleries_of, headline_of

    used = {family for target in TARGETS.values() for family in target.metrics}
    assert {metric.family for metric in METRICS.values()} - {None} == used
    assert all(METRICS[headline_of(target)].value for target in TARGETS.values())
    assert sys.modules[galleries_of.__module__].FAMILIES.keys() == used
    # Some families have no figures of their own. Here `undrawn` has replaced the function.
    assert sys.modules[DRAWING["draw_run"].__module__].FAMILIES.keys() <= used


def test_a_soft_targets_recipe_file_turns_nothing_off_for_classes(soft_runs):
    recipe = make_recipe(str(soft_runs / "soft3" / "recipe.json"), {"target": "classes"})
    assert (recipe.target, recipe.loss, recipe.class_weights) == ("classes", "cross-entropy", 1.0)


def test_calibrating_distributions_makes_votes_likelier_and_predict_uses_it(
    simple, soft_runs, unrefreshed, tmp_path, capsys
):
    run, output = tmp_path / "run", tmp_path / "votes.parquet"
    shutil.copytree(soft_runs / "dirichlet", run)
    assert galaxymorph("calibrate", run, "--sets", "aps") == 2
    assert "--sets: " in capsys.readouterr().err
    assert galaxymorph("calibrate", run) == 0
    assert "intervals that contain the volunteers' votes" in capsys.readouterr().out
    for name in ("interval_coverage", "vote_ranks"):
        assert (run / "figures" / f"{name}.png").stat().st_size > 10_000
    record = json.loads((run / "calibration.json").read_text())
    factor = np.array(record["calibrators"][0]["parameters"]["factor"])
    assert len(factor) == len(TREE.columns)
    # One factor a question, and a network that saw 42 galaxies isn't right by itself.
    assert all(np.ptp(factor[own]) == 0 for own in TREE.membership.astype(bool))
    assert np.ptp(factor) > 0
    test = pd.read_parquet(run / "predictions_test.parquet").set_index("galaxy")
    images = simple / "images_training_rev1"
    names = [f"sd_{column}" for column in TREE.columns]
    for options, kind in (([], "calibrated_"), (["--raw"], "")):
        assert galaxymorph("predict", run, images, *options, "-o", output) == 0
        found = pd.read_parquet(output).set_index("galaxy").loc[test.index]
        assert np.allclose(found[TREE.columns], test[TREE.columns], atol=5e-3)
        assert np.allclose(found[names], test[[kind + name for name in names]], atol=5e-3)
    assert galaxymorph("report", run) == 0
