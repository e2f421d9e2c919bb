"""What a user adds from outside the package: one entry each, in a plugin."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pandas as pd
import pytest

from galaxymorph.base import BadInput, load_plugin
from tests.conftest import QUICK, RECIPE, draw_nothing, measure_nothing, refresh_nothing
from tests.processes import run_command

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "docs" / "examples" / "my_survey.py"


def command(
    *words,
    plugin: Path | None = PLUGIN,
    status: int = 0,
    prepare: Callable[[], object] | None = None,
) -> CompletedProcess[str]:
    """Run the command line in another process, so that this one's registries stay as they are."""
    done = run_command(*words, *(["--plugin", plugin] if plugin else []), prepare=prepare)
    assert done.returncode == status, done.stderr
    return done


@pytest.fixture(scope="module")
def fitted(simple, new_folder) -> Path:
    """A run by the plugin's label scheme."""
    out = new_folder("plugin")
    network = json.loads(RECIPE.read_text())
    words = ["--data", simple, "--recipe", "tiny", "--scheme", "featured"]
    words += ["--arch", network["arch"], "--model-args", network["model_args"]]
    words += ["--callback", "end-on-nan"]
    done = command("fit", *words, "--out", out, "--name", "run")
    assert "smooth 40, featured 20" in done.stderr
    assert "error rate" in done.stdout
    other = ["--seed", "5", "--out", out, "--name", "other"]
    command("fit", *words, *other, prepare=draw_nothing)
    return out / "run"


@pytest.fixture(scope="module")
def two_questions(simple, new_folder) -> Path:
    """A run on counts of the plugin's campaign, by the plugin's loss."""
    folder = new_folder("votes")
    table = pd.read_csv(simple / "training_solutions_rev1.csv")
    smooth = (table["Class1.1"] * 40).round().astype(int)
    votes = pd.DataFrame(
        {"name": table["GalaxyID"], "smooth_yes": smooth, "smooth_no": 40 - smooth}
    )
    votes["bar_yes"] = votes["smooth_no"] // 3
    votes["bar_no"] = votes["smooth_no"] - votes["bar_yes"]
    votes.to_csv(folder / "votes.csv", index=False)
    (folder / "images").symlink_to(simple / "images_training_rev1")
    words = ["--recipe", RECIPE, *QUICK, "--target", "tree", "--schema", "two-questions"]
    words += ["--loss", "mae", "--out", folder, "--name", "run"]
    command("fit", "--data", folder, *words, prepare=draw_nothing)
    return folder / "run"


def test_a_scheme_is_among_the_choices_and_names_the_classes(fitted):
    assert "featured" in command("fit", "--help").stdout
    assert json.loads((fitted / "metrics.json").read_text())["classes"] == ["smooth", "featured"]
    assert "featured" in (fitted / "report.html").read_text()


def test_a_recipe_is_among_the_presets(fitted):
    help_text = command("fit", "--help").stdout
    assert "tiny" in help_text and "to try a plugin with" in help_text
    assert json.loads((fitted / "recipe.json").read_text())["recipe"]["size"] == 32


def test_a_metric_is_in_terminal_file_page_card_and_comparison(fitted, tmp_path):
    metrics = json.loads((fitted / "metrics.json").read_text())["test"]
    rate = metrics["error_rate"]
    assert rate["value"] == pytest.approx(1 - metrics["accuracy"]["value"], abs=1e-3)
    assert rate["low"] <= rate["value"] <= rate["high"]
    assert "error rate" in (fitted / "report.html").read_text()
    assert "error rate" in (fitted / "model-card.md").read_text()
    other = command("compare", fitted, fitted.parent / "other", "--all").stdout
    assert "error rate" in other


def test_a_calibrator_and_sets_are_fitted_by_their_names(fitted):
    command("calibrate", fitted, "--method", "half", "--sets", "gap", prepare=refresh_nothing)
    sets = json.loads((fitted / "calibration.json").read_text())["sets"]
    assert sets["method"] == "gap" and "gap, marginal" in sets["study"]["methods"]
    image = fitted.parent / "predicted.csv"
    data = json.loads((fitted / "recipe.json").read_text())["data"]["path"]
    command("predict", fitted, Path(data) / "images_training_rev1", "-o", image)
    assert pd.read_csv(image)["confidence"].between(0.25, 0.75 + 0.05).all()


def test_a_source_of_uncertainty_is_compared(fitted):
    assert "twice" in command("uncertainty", fitted, prepare=refresh_nothing).stdout


def test_an_attribution_method_and_checks_are_drawn_and_tested(fitted):
    words = ["--method", "input-gradient", "--limit", "4"]
    command("explain", fitted, *words, prepare=measure_nothing)
    page = (fitted / "report.html").read_text()
    assert all(
        name in page for name in ("Input x gradient", "red and blue exchanged", "contrast halved")
    )


def test_an_export_format_is_written_and_read(fitted, simple, tmp_path):
    path = tmp_path / "model.galaxyrun"
    command("export", fitted, "--format", "run", "-o", path)
    image = next((simple / "images_training_rev1").iterdir())
    tables = []
    for model in (fitted, path):
        command("predict", model, image, "-o", tmp_path / "table.csv")
        tables.append(pd.read_csv(tmp_path / "table.csv"))
    # The part of a split that an image is of and prediction sets are known to the run alone. A file
    # has an id of its own.
    pd.testing.assert_frame_equal(
        tables[0].drop(columns=["part", "model_id"]).drop(columns="set", errors="ignore"),
        tables[1].drop(columns="model_id"),
    )


def test_a_run_records_its_plugins(fitted):
    recorded = json.loads((fitted / "recipe.json").read_text())
    assert recorded["plugins"] == [str(PLUGIN)]
    stop = command("reproduce", fitted, plugin=None, status=2)
    assert "--plugin" in stop.stderr and "featured" in stop.stderr


def test_a_callback_is_used_and_recorded(fitted):
    assert json.loads((fitted / "recipe.json").read_text())["recipe"]["callback"] == ["end-on-nan"]
    stop = command("fit", "--recipe", "tiny", "--callback", "end-on-man", status=2)
    assert "did you mean end-on-nan?" in stop.stderr


def test_a_vote_schema_and_a_loss_train_a_model_that_loads(two_questions, simple):
    image = next((simple / "images_training_rev1").iterdir())
    out = two_questions / "predicted.csv"
    command("predict", two_questions, image, "-o", out)
    row = pd.read_csv(out).iloc[0]
    assert row["smooth_yes"] + row["smooth_no"] == pytest.approx(1, abs=1e-5)
    assert row["bar_yes"] + row["bar_no"] == pytest.approx(row["smooth_no"], abs=1e-5)
    stop = command("predict", two_questions, image, plugin=None, status=2)
    assert str(PLUGIN) in stop.stderr


def test_a_corruption_is_measured_in_a_suite(fitted):
    command("robustness", fitted, "--suite", "two", "--limit", "16")
    assert "inverted colours" in (fitted / "report.html").read_text()
    record = json.loads((fitted / "robustness.json").read_text())
    assert list(record["corruptions"]) == ["gaussian_noise", "inverted"]
    assert record["severities"] == [3]


def test_a_survey_observes_the_simulated_sky(tmp_path):
    command("survey", "simulate", tmp_path / "sky", "--n", "6", "--survey", "sdss-sharp")
    assert len(list((tmp_path / "sky" / "images_training_rev1").iterdir())) == 6


@pytest.mark.parametrize(
    ("source", "fault"),
    [
        ("missing.py", "no such file"),
        ("no_such_module", "no_such_module"),
        ("broken.py", "division by zero"),
        ("taken.py", "'hubble' is registered already"),
    ],
)
def test_a_plugin_that_cannot_be_loaded_is_named(source, fault, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("broken.py").write_text("1 / 0\n")
    Path("taken.py").write_text(
        "from galaxymorph.zoo.schemes import SCHEMES\nSCHEMES.register('hubble', None)\n"
    )
    with pytest.raises(BadInput, match=fault) as stop:
        load_plugin(source)
    assert source.removesuffix(".py") in str(stop.value)
    assert "GALAXYMORPH_PLUGINS" not in os.environ
