"""Every predictor fulfils one protocol: the same images give the same table from all of them."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from galaxymorph.base import BadInput, load_plugin
from galaxymorph.images import Fault
from galaxymorph.learn import Run
from galaxymorph.predict import (
    EXPORTERS,
    UNCERTAINTY_SOURCES,
    BasePredictor,
    PredictionOptions,
    average_predictors,
    export_run,
    load_predictor,
    predict_catalogue,
    predicted_table,
)
from galaxymorph.predict.predictors.loading import model_id
from tests.conftest import galaxymorph, without_drawing

CLASSES = ["p_elliptical", "p_spiral", "p_irregular"]


class External:
    """A user's own predictor: the protocol's members, and no class of the package's."""

    def __init__(self, inner: BasePredictor):
        self.recipe, self.classes, self.calibrators = inner.recipe, inner.classes, inner.calibrators
        self.inner = inner

    def predict(self, images, sets=None):
        return predicted_table(self, images, sets)

    def outputs(self, images, on_progress=None, faults=None):
        return self.inner.outputs(images, on_progress, faults)

    def outputs_of_each(self, images, on_progress=None, faults=None):
        return self.inner.outputs_of_each(images, on_progress, faults)


@dataclass(frozen=True, kw_only=True)
class Even(BasePredictor):
    """The least that a user writes: every class is as likely as the others."""

    def outputs_of_each(self, images, on_progress=None, faults=None):
        if on_progress:
            on_progress(len(images))
        return np.full((1, len(images), len(self.classes)), 1 / len(self.classes))


@pytest.fixture(scope="module")
def calibrated(run, new_folder) -> Path:
    """The run, with calibrated probabilities."""
    copy = new_folder("calibrated") / "run"
    shutil.copytree(run, copy)
    with without_drawing():
        assert galaxymorph("calibrate", copy, "--method", "temperature") == 0
    return copy


# int8 differs from the others by more than rounding, see `test_quantization.py`.
EXACT = [name for name in EXPORTERS if name != "onnx-int8"]


@pytest.fixture(scope="module")
def files(calibrated, new_folder) -> dict[str, Path]:
    pytest.importorskip("onnxruntime")
    folder = new_folder("files")
    paths = {name: folder / f"model{EXPORTERS[name].ending}" for name in EXACT}
    for name, path in paths.items():
        export_run(Run(calibrated), name, path)
    return paths


def load(name, files, raw):
    """Return the predictor of an exported file, in float32."""
    precision = "fp32" if "fp32" in EXPORTERS[name].precisions else None
    return load_predictor(files[name], precision, raw=raw)


def averaged(calibrated, files, raw):
    members = [load(name, files, raw) for name in ("onnx", "safetensors")]
    return average_predictors([*members, External(members[1])], ["a", "b", "c"])


PREDICTORS = {
    "run": lambda run, files, raw: load_predictor(run, "fp32", raw=raw),
    **{name: lambda run, files, raw, name=name: load(name, files, raw) for name in EXACT},
    "external": lambda run, files, raw: External(load_predictor(run, "fp32", raw=raw)),
    "averaged": averaged,
    "pickle": lambda run, files, raw: load_predictor(run / "model.pkl", trust_pickle=True),
}


@pytest.fixture(scope="module")
def images(simple) -> list[str]:
    return [str(path) for path in sorted((simple / "images_training_rev1").glob("*.jpg"))[:5]]


@pytest.fixture(scope="module", params=["calibrated", "raw"])
def raw(request) -> bool:
    return request.param == "raw"


@pytest.fixture(scope="module", params=PREDICTORS)
def predictor(request, calibrated, files, raw):
    if request.param == "pickle" and not raw:
        pytest.skip("a pickled learner knows of no calibration")
    return PREDICTORS[request.param](calibrated, files, raw)


@pytest.fixture(scope="module")
def expected(calibrated, raw, images) -> pd.DataFrame:
    return load_predictor(calibrated, "fp32", raw=raw).predict(images)


def require_same(table: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(table) == list(expected)
    words = ["galaxy", "image", "predicted"]
    assert table[words].equals(expected[words])
    assert np.abs(table[CLASSES] - expected[CLASSES]).to_numpy().max() < 2e-4


def test_the_same_images_give_the_same_table(predictor, images, expected):
    require_same(predictor.predict(images), expected)
    require_same(predicted_table(predictor, images), expected)
    backwards = predictor.predict(images[::-1])
    require_same(backwards[::-1].reset_index(drop=True), expected)


def test_outputs_are_the_calibrated_mean_of_each_models(predictor, images, expected):
    counts = []
    item = predictor.outputs_of_each(images, counts.append)
    assert sum(counts) == len(images)
    assert item.shape[1:] == (len(images), 3)
    counts.clear()
    outputs = predictor.outputs(images, counts.append)
    assert sum(counts) == len(images)
    assert np.abs(outputs - expected[CLASSES]).to_numpy().max() < 2e-4
    if predictor.calibrators is None:
        assert np.abs(outputs - item.mean(axis=0)).max() < 1e-6


def test_images_without_a_galaxy_are_rows_with_their_status(predictor, images, tmp_path):
    black = str(tmp_path / "black.png")
    Image.new("RGB", (60, 60)).save(black)
    table = predictor.predict([images[0], black, np.zeros((60, 60, 3), np.uint8), images[1]])
    assert table["status"].tolist() == ["ok", "blank", "blank", "ok"]
    assert table[CLASSES].isna().all(axis=1).tolist() == [False, True, True, False]
    assert "black.png: every pixel" in table["error"][1]
    assert "image 2: every pixel" in table["error"][2]
    assert table["error"].isna().tolist() == [True, False, False, True]


def test_faults_stand_at_their_places_or_are_raised(predictor, images, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(Path(images[0]).read_bytes()[:300])
    sources, faults = [images[0], str(broken), images[1], "nowhere.jpg"], {}
    outputs = predictor.outputs(sources, None, faults)
    assert len(outputs) == 4
    assert {at: fault.status for at, fault in faults.items()} == {1: "unreadable", 3: "missing"}
    assert all(isinstance(fault, Fault) for fault in faults.values())
    assert str(broken) in faults[1]
    for call in (predictor.outputs, predictor.predict):
        with pytest.raises(BadInput, match=r"broken\.jpg"):
            call(sources)


def test_no_images_are_told_in_one_line(predictor):
    for call in (predictor.predict, predictor.outputs, predictor.outputs_of_each):
        with pytest.raises(BadInput, match="no images are given"):
            call([])
    with pytest.raises(BadInput, match="no images are given"):
        predictor.predict(np.zeros((0, 60, 60, 3), np.uint8))


def test_a_predictor_is_shown_in_one_line(calibrated, files, images):
    classes = "3 outputs (elliptical, spiral, irregular)"
    shown = repr(load_predictor(calibrated, "fp32"))
    assert shown == f"<TorchPredictor, test_resnet, {classes}, 1 network>"
    assert repr(load("onnx", files, raw=False)) == f"<ArrayPredictor, test_resnet, {classes}>"
    members = [load_predictor(calibrated)] * 2
    assert "2 predictors" in repr(average_predictors(members, ["a", "b"]))
    package = repr(load_predictor(images=1))
    assert package.endswith("37 outputs (Class1.1, Class1.2, Class1.3 and 34 more), 1 network>")


def test_prediction_sets_are_of_the_uncalibrated_models(predictor, images):
    given = []

    def sets(each: np.ndarray) -> list[str]:
        given.append(each)
        return ["spiral|irregular"] * each.shape[1]

    table = predictor.predict(images, sets)
    assert table["set"].tolist() == ["spiral|irregular"] * len(images)
    assert np.allclose(given[0], predictor.outputs_of_each(images), atol=1e-6)


def test_a_predictor_of_ones_own_predicts_a_catalogue(run, images, tmp_path):
    inner = load_predictor(run, "fp32")
    own, table = External(inner), tmp_path / "list.csv"
    pd.DataFrame({"id": range(5), "image": images}).to_csv(table, index=False)
    failures = predict_catalogue(tmp_path / "out", own, table, size=2, name="mine")
    assert failures.number == 0
    result = pd.read_parquet(tmp_path / "out")
    assert result["model_id"].unique().tolist() == ["mine"]
    expected = inner.predict(images)
    assert np.abs(result[CLASSES] - expected[CLASSES]).to_numpy().max() < 1e-6
    with pytest.raises(BadInput, match="give it a name"):
        predict_catalogue(tmp_path / "other", own, table)
    with pytest.raises(BadInput, match="another model"):
        predict_catalogue(tmp_path / "out", own, table, size=2, name="theirs")
    with pytest.raises(BadInput, match="views: the predictor is loaded"):
        predict_catalogue(tmp_path / "o", own, table, PredictionOptions(views=4), name="mine")


def test_a_base_leaves_a_user_one_method_to_write(run, images):
    inner = load_predictor(run, "fp32")
    own = Even(recipe=inner.recipe, classes=inner.classes)
    assert (own.predict(images)[CLASSES] == 1 / 3).all(axis=None)
    mean = average_predictors([own, inner], ["even", "run"])
    expected = (inner.predict(images)[CLASSES] + 1 / 3) / 2
    assert np.abs(mean.predict(images)[CLASSES] - expected).to_numpy().max() < 1e-6


def test_the_settings_of_an_external_predictor_stay_its_own(run):
    own = External(load_predictor(run, "fp32"))
    with pytest.raises(BadInput, match="^views=4: mine is not one of the package's predictors"):
        average_predictors([own], ["mine"], views=4)


PLUGIN = '''
"""A format of one's own, and a source of uncertainty."""

import shutil

from galaxymorph.predict.exporters import EXPORTERS, Exporter
from galaxymorph.predict.uncertainty_sources import UNCERTAINTY_SOURCES, UncertaintySource


def write(run, path, data):
    path.write_text(str(run.path.absolute()))


def load(path, precision):
    from galaxymorph.predict import load_predictor

    return load_predictor(path.read_text(), precision)


EXPORTERS.register("{name}", Exporter(".{name}", "{name} points to the run.", write, load,
                                      precisions=("fp32",)))
UNCERTAINTY_SOURCES.register(
    "{name}", UncertaintySource("twice the same", lambda run, models: lambda batch: [
        models[0](batch), models[0](batch)]))
'''


@pytest.fixture
def plugin(tmp_path):
    """A plugin's file; its entries are gone afterwards."""
    path = tmp_path / "pointers.py"
    path.write_text(PLUGIN.replace("{name}", "pointer"))
    yield path
    for registry in (EXPORTERS, UNCERTAINTY_SOURCES):
        registry._entries.pop("pointer", None)


def test_a_plugins_format_and_source_work_on_the_command_line(
    run, images, plugin, tmp_path, capsys, monkeypatch
):
    import galaxymorph.cli.export as export
    import galaxymorph.cli.triage as triage

    load_plugin(plugin)
    # Commands are imported once a process, before this plugin here.
    for command, registry in ((export.export, EXPORTERS), (triage.triage, UNCERTAINTY_SOURCES)):
        name = "format" if command is export.export else "source"
        option = next(item for item in command.params if item.name == name)
        monkeypatch.setattr(option.type, "choices", tuple(registry))
    path = tmp_path / "run.pointer"
    assert galaxymorph("export", run, "--format", "pointer", "-o", path) == 0
    expected = load_predictor(run, "fp32").predict(images)
    require_same(load_predictor(path, "fp32").predict(images), expected)
    assert model_id(path) != model_id(run)
    with pytest.raises(BadInput, match="^precision='bf16': .* has a fixed number format"):
        load_predictor(path, "bf16")
    assert galaxymorph("predict", path, images[0], "--precision", "fp32", "--json") == 0
    assert expected["predicted"][0] in capsys.readouterr().out
    out = tmp_path / "few"
    command = ["triage", run, *images, "--source", "pointer", "--number", "2", "-o", out]
    assert galaxymorph(*command) == 0
    assert (pd.read_csv(out / "manifest.csv")["#mutual_information"] == 0).all()
