"""A run's files, cut, garbled or lost since: every command that reads one names it in a line."""

import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from galaxymorph import load_predictor
from galaxymorph.base import BadInput, read_json
from galaxymorph.learn import Run
from tests.cli.test_faults import files
from tests.conftest import galaxymorph, linked

DAMAGES = {
    "lost": None,
    "empty": lambda whole: b"",
    "half": lambda whole: whole[: len(whole) // 2],
    "garbled": lambda whole: bytes(255 - byte for byte in whole[:4000]) + whole[4000:],
    "other": lambda whole: b'["a list"]',
}
# A command that reads each, the run's path in place of RUN.
READERS = {
    "recipe.json": ["report", "RUN"],
    "split.csv": ["interpret", "RUN"],
    "predictions_test.parquet": ["report", "RUN"],
    "metrics.json": ["compare", "RUN", "OTHER"],
    "environment.json": ["report", "RUN"],
    "history.csv": ["report", "RUN"],
    "embeddings.npz": ["predict", "RUN", "IMAGES", "--outliers"],
    "calibration.json": ["predict", "RUN", "IMAGES"],
    "model.safetensors": ["predict", "RUN", "IMAGES"],
    "model.json": ["predict", "RUN/model.safetensors", "IMAGES"],
}
# Those that a command does without.
SPARED = {"calibration.json", "history.csv", "metrics.json", "environment.json"}


@pytest.fixture(scope="module")
def calibrated(run, new_folder) -> Path:
    copy = new_folder("calibrated") / "run"
    shutil.copytree(run, copy)
    assert galaxymorph("calibrate", copy) == 0
    return copy


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", READERS)
def test_a_damaged_file_of_a_run_is_named_in_a_line_and_nothing_changes(
    name, damage, calibrated, run, simple, tmp_path, capsys
):
    copy = linked(calibrated, tmp_path / "run")
    path = copy / name
    whole = path.read_bytes()
    path.unlink()
    if damage != "lost":
        path.write_bytes(DAMAGES[damage](whole))
    before = files(copy)
    places = {"RUN": copy, "OTHER": run, "IMAGES": simple / "images_training_rev1"}
    words = READERS[name]
    for place, real in places.items():
        words = [word.replace(place, str(real)) for word in words]
    status = galaxymorph(*words)
    if damage == "lost" and name in SPARED:
        assert status == 0
        return
    assert status == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if each.startswith("error: ")]
    # Predictions are what a fit writes last.
    unfinished = damage == "lost" and name.startswith("predictions")
    assert ("isn't finished" if unfinished else name) in line and "; " in line
    assert files(copy) == before


def test_a_file_that_may_not_be_read_is_not_called_damaged(tmp_path):
    path = tmp_path / "metrics.json"
    path.mkdir()
    with pytest.raises(BadInput, match=r"metrics.json: can't be read \(Is a directory\)"):
        read_json(path)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)


def changed(record: dict, data: st.DataObject) -> dict:
    """The record with another value, of any kind, somewhere."""
    holder = record
    while True:
        key = data.draw(st.sampled_from(sorted(holder)))
        if not isinstance(holder[key], dict) or not holder[key] or data.draw(st.booleans()):
            holder[key] = data.draw(VALUES)
            return record
        holder = holder[key]


@settings(
    deadline=None, max_examples=80, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_in_a_recipe_is_read_or_refused(data, calibrated, tmp_path):
    record = json.loads((calibrated / "recipe.json").read_text())
    (tmp_path / "recipe.json").write_text(json.dumps(changed(record, data)))
    run = Run(tmp_path)
    try:
        assert len(run.outputs) == len(set(run.outputs)) and run.data["path"]
        assert 0 < run.recipe.size < 10_000
    except BadInput as error:
        assert "recipe.json" in str(error) and len(str(error).splitlines()) == 1


@settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_any_value_in_a_model_s_words_is_read_or_refused(data, calibrated, simple, tmp_path):
    record = json.loads((calibrated / "model.json").read_text())
    weights = tmp_path / "model.safetensors"
    if not weights.exists():
        shutil.copy(calibrated / weights.name, weights)
    (tmp_path / "model.json").write_text(json.dumps(changed(record, data)))
    image = next((simple / "images_training_rev1").iterdir())
    try:
        (row,) = load_predictor(weights).predict([str(image)]).to_dict("records")
        assert row["predicted"] in record["classes"]
    except BadInput as error:
        assert len(str(error).splitlines()) == 1
