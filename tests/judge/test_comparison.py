import json
import shutil

import numpy as np
import pandas as pd
import pytest

import galaxymorph as gm
from galaxymorph.judge.metrics.comparison import (
    best_rows,
    compare_runs,
    paired_differences,
    scores_in,
)
from galaxymorph.judge.metrics.metric import metric_of
from galaxymorph.learn import Run
from tests.conftest import galaxymorph, linked


@pytest.fixture(scope="module")
def worse(run, new_folder):
    """A copy of the run that calls everything elliptical."""
    path = new_folder("compared") / "worse"
    shutil.copytree(run, path)
    table = pd.read_parquet(path / "predictions_test.parquet").assign(predicted="elliptical")
    table.to_parquet(path / "predictions_test.parquet", index=False)
    metrics = json.loads((path / "metrics.json").read_text())
    metrics["test"]["macro_f1"]["value"] = -1.0
    (path / "metrics.json").write_text(json.dumps(metrics))
    return path


def test_runs_stand_side_by_side_and_every_score_is_written(run, worse, tmp_path, capsys):
    assert galaxymorph("compare", run, worse, "-o", tmp_path / "all.csv") == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("  macro-F1 "))
    assert line.index("*") < line.index("-1.000")
    assert "validation" not in printed
    assert "galaxies in common" in printed
    table = pd.read_csv(tmp_path / "all.csv")
    metrics = json.loads((run / "metrics.json").read_text())
    row = table[(table["score"] == "valid.accuracy") & (table["run"] == str(run))].iloc[0]
    assert row[["value", "low", "high"]].tolist() == list(metrics["valid"]["accuracy"].values())
    assert table.groupby("run").size().nunique() == 1


@pytest.fixture(scope="module", params=["galaxies", "classes"])
def foreign(run, new_folder, request):
    """A copy of the run, of other galaxies or of other classes."""
    path = new_folder("foreign") / "other"
    shutil.copytree(run, path)
    tested = path / "predictions_test.parquet"
    table = pd.read_parquet(tested)
    if request.param == "galaxies":
        table["galaxy"] = "other-" + table["galaxy"].astype(str)
    else:
        record = (path / "recipe.json").read_text()
        (path / "recipe.json").write_text(record.replace('"spiral"', '"disc"'))
        table = table.replace("spiral", "disc").rename(columns={"p_spiral": "p_disc"})
    table.to_parquet(tested, index=False)
    return path


def test_runs_without_anything_in_common_are_not_ranked(run, worse, foreign, tmp_path, capsys):
    words = "be compared with those of"
    assert galaxymorph("compare", run, foreign) == 0
    printed = capsys.readouterr().out
    assert "*" not in printed
    assert printed.index(words) < printed.index("macro-F1")
    page = tmp_path / "page.html"
    assert galaxymorph("compare", run, foreign, "-o", page) == 0
    text = page.read_text()
    assert 'class="n best"' not in text and "is bold" not in text
    assert text.index(words) < text.index("Test metrics")
    capsys.readouterr()
    assert galaxymorph("compare", run, worse, foreign) == 0
    printed = capsys.readouterr().out
    line = next(line for line in printed.splitlines() if line.startswith("  macro-F1 "))
    assert line.count("*") == 1 and line.index("*") < line.index("-1.000")
    assert printed.count(words) == 1
    assert galaxymorph("compare", run, worse, foreign, "-o", page) == 0
    assert 'class="n best"' in page.read_text() and words in page.read_text()


def test_scores_of_other_test_galaxies_are_not_ranked_and_the_common_ones_compared(
    run, worse, tmp_path, capsys
):
    other = shutil.copytree(worse, tmp_path / "other")
    table = pd.read_parquet(other / "predictions_test.parquet")
    table[2:].to_parquet(other / "predictions_test.parquet", index=False)
    assert galaxymorph("compare", run, other) == 0
    printed = capsys.readouterr().out
    number = len(table)
    assert (
        f"it tested {number - 2} galaxies, of which {number - 2} are among the {number}" in printed
    )
    assert "*" not in printed
    (difference,) = paired_differences([Run(run), Run(other)])
    assert difference.galaxies == number - 2


def test_a_score_that_one_run_has_is_shown_with_a_gap(run, worse, capsys):
    (worse / "robustness.json").write_text(json.dumps({"mean_drop": 0.25, "views": 8}))
    assert galaxymorph("compare", run, worse) == 0
    assert "mean drop" not in capsys.readouterr().out
    assert galaxymorph("compare", run, worse, "--all") == 0
    line = next(
        line for line in capsys.readouterr().out.splitlines() if "robustness: mean drop" in line
    )
    assert line.split()[-2:] == ["–", "0.250"]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        (("none", "none"), "Brier score (uncalibrated)"),
        (("vector", "vector"), "Brier score (after calibration)"),
        (("none", "vector"), "Brier score (after calibration; first: uncalibrated)"),
        (("vector", "none"), "Brier score (after calibration; second: uncalibrated)"),
    ],
)
def test_unchanged_probabilities_are_not_called_calibrated(run, tmp_path, capsys, methods, words):
    runs = [linked(run, tmp_path / name) for name in ("first", "second")]
    for each, method in zip(runs, methods, strict=True):
        brier = {"value": 0.2, "low": 0.1, "high": 0.3}
        record = {"method": method, "before": {"brier": brier}, "after": {"brier": brier}}
        (each / "calibration.json").unlink(missing_ok=True)
        (each / "calibration.json").write_text(json.dumps(record))
    page = tmp_path / "page.html"
    assert galaxymorph("compare", *runs) == galaxymorph("compare", *runs, "-o", page) == 0
    assert f"calibration: {words}" in capsys.readouterr().out
    assert f">{words}<" in page.read_text()


@pytest.mark.parametrize(
    ("score", "better"),
    [
        ("test.macro_f1", "greater"),
        ("before.ece_equal_mass", "less"),
        ("after.nll", "less"),
        ("held_out_nll.temperature", "less"),
        ("selective.aurc", "less"),
        ("test.kl", "less"),
        ("selective.kept_at_accuracy.0.99", "greater"),
        ("after.reliability", "less"),
        ("sources.single.scores.aurc_total", "less"),
        ("sets.test.size", "less"),
        ("sets.test.coverage_1", "nominal"),
        ("before.uncertainty", ""),
        ("consistency.agree", "greater"),
        ("after.truth", "nominal"),
        ("anything.else", ""),
        ("intervals.per_answer.Class1.1.votes", "nominal"),
        ("test.intervals.width", "less"),
        ("corruptions.jpeg.mean.drop", "less"),
        ("consistency.rotation.spread", "less"),
        ("test.per_class.spiral.recall", "greater"),
        ("clean.set_coverage", "nominal"),
    ],
)
def test_what_is_better_is_told_by_the_entry_of_a_scores_metric(score, better):
    metric = metric_of(score)
    assert (metric.better if metric else None) == (better or None)


@pytest.mark.parametrize(
    ("record", "name", "values", "best"),
    [
        ({"nominal": 0.9, "votes": 0}, "votes", [0.97, 0.91, 0.86], 1),
        ({"nominal": 0.9, "truth": 0}, "truth", [0.89, 0.97, 0.99], 0),
        (
            {"thresholds": [1], "coverage": 0.8, "test": {"coverage": 0}},
            "test.coverage",
            [0.9, 0.99, 0.78],
            2,
        ),
        ({"set_coverage": 0}, "set_coverage", [0.9, 0.99, 0.78], None),
        ({"width": 0}, "width", [0.3, 0.2, 0.5], 1),
        ({"accuracy": 0}, "accuracy", [0.3, 0.2, 0.5], 2),
    ],
)
def test_the_best_coverage_is_the_nearest_to_nominal(run, tmp_path, record, name, values, best):
    """97 % of a nominal 90 % ranked first."""
    runs = []
    for at, value in enumerate(values):
        path = tmp_path / str(at)
        shutil.copytree(run, path)
        held = json.loads(json.dumps(record))
        inner = held
        *above, last = name.split(".")
        for part in above:
            inner = inner[part]
        inner[last] = value
        (path / "made.json").write_text(json.dumps({"after": held}))
        runs.append(Run(path))
    table = compare_runs(runs)
    found = table[(table["file"] == "made") & (table["score"] == f"after.{name}")]
    assert found["value"].tolist() == values
    chosen = np.flatnonzero(best_rows(found)).tolist()
    assert chosen == ([] if best is None else [best])


@pytest.mark.usefixtures("plain")
def test_every_score_of_a_run_has_a_direction_or_is_known_to_have_none(run, tmp_path):
    """A metric without an entry in `METRICS` is told here."""
    path = tmp_path / "run"
    shutil.copytree(run, path)
    for command, *more in (["calibrate"], ["uncertainty"], ["robustness", "--suite", "published"]):
        assert galaxymorph(command, path, *more) == 0
    scores = compare_runs([Run(path)])["score"]
    assert [score for score in scores if metric_of(score) is None] == []


def test_scores_are_found_at_any_depth_and_settings_are_not():
    score = {"value": 0.5, "low": 0.4, "high": 0.6}
    found = dict(scores_in({"a": {"b": score, "galaxies": 7}, "views": 1, "c": 2}))
    assert found["a.b"] == (0.5, 0.4, 0.6)
    assert found["c"][0] == 2.0
    assert set(found) == {"a.b", "c"}


@pytest.mark.parametrize("given", [1, 2])
def test_fewer_than_two_runs_are_refused(run, given, capsys):
    assert galaxymorph("compare", *[run] * given) == 2
    assert "two different runs or more" in capsys.readouterr().err


def test_runs_may_be_a_list(run, worse):
    assert gm.compare([run, worse]).names == gm.compare(run, worse).names
    with pytest.raises(gm.BadInput, match="two different runs or more"):
        gm.compare([])


def test_the_same_predictions_have_no_difference_to_estimate(run, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    (found,) = paired_differences([Run(run), Run(other)])
    assert (found.run, found.galaxies) == (str(other), len(Run(run).predictions("test")))
    assert (found.value, found.low, found.high, found.same) == (0.0, 0.0, 0.0, True)
    assert galaxymorph("compare", run, other) == 0
    assert "the same predictions" in capsys.readouterr().out
