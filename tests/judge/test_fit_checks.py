"""Signs of a failed fit: what raises a warning, what doesn't, and where the warning is shown."""

import json
import shutil

import numpy as np
import pytest
from sklearn.metrics import f1_score

from galaxymorph.judge.fit_checks import class_warnings
from galaxymorph.judge.metrics.metric import confusion_of
from tests.conftest import galaxymorph

CLASSES = ["elliptical", "spiral", "irregular"]


def words(counts, classes=CLASSES):
    found = class_warnings(np.asarray(counts), classes[: len(counts)], seed=1)
    return " | ".join(f"{each['what']}: {each['remedy']}" for each in found)


def test_one_class_for_all_galaxies():
    # The 41 test galaxies of issue 23.
    said = words([[27, 0, 0], [9, 0, 0], [5, 0, 0]])
    assert "41 of 41 test galaxies are predicted as 'elliptical', but only 27 are" in said
    assert "macro-F1 0.265 on 41 test galaxies is not better than chance, 0.265" in said


def test_one_class_for_nearly_all_galaxies():
    assert "97 of 100" in words([[60, 0, 0], [19, 1, 0], [18, 0, 2]])


@pytest.mark.parametrize(
    "counts",
    [
        [[27, 0, 0], [1, 8, 0], [1, 0, 4]],
        # Nearly all galaxies are of one class, and predicted to be.
        [[970, 2, 3], [2, 8, 0], [3, 0, 12]],
        [[50, 8], [9, 40]],
    ],
)
def test_a_sound_fit_has_no_warning(counts):
    assert words(counts) == ""


def test_a_class_without_a_test_galaxy():
    said = words([[27, 0, 0], [1, 8, 0], [0, 0, 0]])
    assert "there is no test galaxy of class 'irregular'" in said
    assert "chance" not in said


def test_chance_is_that_of_shuffled_predictions():
    """The permutation test rejects guesses at its level, and has scikit-learn's mean macro-F1."""
    rng = np.random.default_rng(0)
    rejected = 0
    for seed in range(200):
        true, guessed = rng.choice(3, 60, p=[0.6, 0.3, 0.1]), rng.choice(3, 60)
        found = class_warnings(confusion_of(true, guessed, 3), CLASSES, seed)
        rejected += not any("chance" in each["what"] for each in found)
    # 5 % of 200, with 99.9 % binomial limits.
    assert 1 <= rejected <= 22
    shuffled = [f1_score(true, rng.permutation(guessed), average="macro") for _ in range(400)]
    said = next(each["what"] for each in found if "chance" in each["what"])
    assert float(said.split("chance, ")[1][:5]) == pytest.approx(np.mean(shuffled), abs=0.01)


def test_the_warning_is_said_once_wherever_predictions_are_acted_upon(run, tmp_path, capfd):
    """A failed run says so in predict, calibrate, the page and the card, not in interpret."""
    run = shutil.copytree(run, tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    metrics["warnings"] = class_warnings(np.array([[27, 0], [9, 0]]), CLASSES[:2], 1)
    (run / "metrics.json").write_text(json.dumps(metrics))
    line = f"warning: {run}: 36 of 36 test galaxies are predicted as 'elliptical'"
    image = next(iter((run / "split.csv").read_text().splitlines()[1:])).split(",")[1]
    capfd.readouterr()
    for command in (["predict", run, run, image], ["calibrate", run], ["report", run]):
        assert galaxymorph(*command) == 0
        assert capfd.readouterr().err.count(line) == 1, command
    # It draws the galaxies by which the labels are checked, as the warning suggests.
    assert galaxymorph("interpret", run, "--most", "2") == 0
    assert line not in capfd.readouterr().err
    assert "36 of 36 test galaxies" in (run / "report.html").read_text()
    assert "**Warning.** 36 of 36" in (run / "model-card.md").read_text()
