"""A few images are predicted without PyTorch, to the numbers that it gives."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from torch import nn

import galaxymorph as gm
from galaxymorph.learn import PACKAGE_MODEL, NumpyResNet, resolve_precision
from galaxymorph.predict.predictors.array_predictor import ArrayPredictor
from galaxymorph.predict.predictors.torch_predictor import TorchPredictor
from tests.conftest import galaxymorph
from tests.makers import picture

# Runs commands and prints after each which slow imports were made.
WATCHED = """
import json
import sys
from galaxymorph.cli import main
for words in map(json.loads, sys.argv[1:]):
    try:
        main(words)
    except SystemExit as stop:
        status = stop.code
    slow = ["torch", "fastai", "sklearn", "scipy.stats"]
    print("imported:", status, [name for name in slow if name in sys.modules])
"""

SERVED = """
import sys
from pathlib import Path
from galaxymorph.report import load_model
from galaxymorph.report.server import answers
answers.PAUSE = 60
model = load_model(Path(sys.argv[1]))
# It starts the import.
model.answered.set = lambda: print("torch" in sys.modules, model.predictor is model.first)
model.predict(answers.Upload({"a.jpg": Path(sys.argv[2]).read_bytes()}))
del model.answered.set
model.explain(answers.Upload({"a.jpg": Path(sys.argv[2]).read_bytes()}))
print("torch" in sys.modules, model.predictor is model.first)
"""


@pytest.fixture(scope="module")
def run(resnet_run):
    """A run of resnet18, the network that NumPy computes."""
    return resnet_run


@pytest.fixture(scope="module")
def images(simple):
    return [str(path) for path in sorted((simple / "images_training_rev1").glob("*.jpg"))[:4]]


def imported(*commands: list) -> list[str]:
    """Run commands in a process of their own; return each one's status and slow imports."""
    lines = in_process(WATCHED, *(json.dumps(list(map(str, words))) for words in commands))
    return [line.partition(": ")[2] for line in lines if line.startswith("imported: ")]


def in_process(code, *arguments) -> list[str]:
    command = [sys.executable, "-W", "ignore", "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[2])
    return done.stdout.splitlines()


def test_one_image_takes_no_pytorch_with_the_package_model_or_a_run(run, images, tmp_path):
    exported = tmp_path / "model.safetensors"
    assert galaxymorph("export", run, "-o", exported) == 0
    exact = [images[0], "--precision", "fp32"]
    models = ([run], [exported], [run, exported])
    commands = [["predict", images[0]], *(["predict", *model, *exact] for model in models)]
    assert imported(*commands) == ["0 []"] * 4


def test_folders_that_are_no_runs_are_refused_without_pytorch(run, tmp_path):
    assert imported(["compare", run, tmp_path / "nothing"]) == ["2 []"]


def test_a_server_answers_its_first_image_before_pytorch_is_imported(images):
    assert in_process(SERVED, PACKAGE_MODEL, images[0]) == ["False True", "True False"]


@pytest.mark.parametrize("options", [{"precision": "bf16"}, {"adapt": True}])
def test_a_precision_or_adaptation_takes_pytorch(run, images, options, monkeypatch):
    monkeypatch.setattr(NumpyResNet, "__call__", None)
    options = {"precision": "fp32", **options}
    assert len(gm.predict(run, images * 4, **options)) == 4 * len(images)
    for device in ("auto", "cpu"):
        with pytest.raises(TypeError):
            gm.predict(run, images, precision="fp32", device=device)


@pytest.mark.parametrize("views", [1, 8])
def test_the_package_model_gives_what_pytorch_gives(images, views):
    few, exact = (
        gm.load_predictor(**options).changed(views=views)
        for options in ({"images": 1}, {"precision": "fp32"})
    )
    assert isinstance(few, ArrayPredictor) and isinstance(exact, TorchPredictor)
    few, exact = (predictor.predict([*images, picture()]) for predictor in (few, exact))
    assert_equal(few, exact)
    assert set(few["status"]) == {"ok", "unfamiliar"}


@pytest.mark.real
def test_real_galaxies_have_the_same_classes_and_refusals(real):
    files = [
        str(file)
        for name in ("galaxy-zoo-challenge-test", "efigi", "galaxy-zoo-surveys")
        for file in sorted((real / name).glob("images*/*.*"))[:3]
    ]
    few, exact = (
        gm.load_predictor(**options).changed(views=1).predict(files)
        for options in ({"images": 1}, {"precision": "fp32"})
    )
    assert_equal(few, exact)


def assert_equal(few, exact):
    assert list(few) == list(exact)
    for name in few:
        if few[name].dtype.kind == "f":
            assert np.allclose(few[name], exact[name], atol=1e-5, equal_nan=True)
        else:
            words = few[name].fillna("").replace(r"distance [\d.]+", "", regex=True)
            assert list(words) == list(
                exact[name].fillna("").replace(r"distance [\d.]+", "", regex=True)
            )


def test_runs_are_predicted_as_pytorch_does_calibrated_or_averaged(run, images, tmp_path):
    for options in ([], ["--raw"], ["--views", 4], ["--crops", "0.6,0.9"], ["--skip-bad"]):
        tables = []
        for number, device in enumerate(("auto", "cpu")):
            path = tmp_path / f"{number}.csv"
            exact = ["--precision", "fp32", "--device", device, "-o", path]
            assert galaxymorph("predict", run, *images, *options, *exact) == 0
            tables.append(pd.read_csv(path))
        assert_equal(*tables)


def test_damaged_weights_are_named(run, images, tmp_path, capsys):
    file = tmp_path / "model.safetensors"
    file.write_bytes(PACKAGE_MODEL.read_bytes()[:-1000])
    assert galaxymorph("predict", file, images[0]) == 2
    assert "not readable as safetensors" in capsys.readouterr().err


def test_in_python_it_is_known_by_the_number_of_images(run, images):
    assert isinstance(gm.load_predictor(run, "fp32", images=1), ArrayPredictor)
    for options in ({}, {"images": 10**6}, {"images": 1, "precision": "bf16"}):
        assert isinstance(gm.load_predictor(run, **options), TorchPredictor)
    # The number format of many images is that of few.
    is_exact = resolve_precision("auto", nn.Linear(1, 1)) == "fp32"
    assert isinstance(gm.load_predictor(run, images=1), ArrayPredictor) == is_exact
    table = gm.predict(run, images[0])
    assert json.loads(table.to_json(orient="records"))[0]["image"] == images[0]
