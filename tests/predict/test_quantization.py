"""A run's model in int8: written by a command, used by another."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from galaxymorph.learn.views import dihedral
from galaxymorph.predict import load_predictor
from galaxymorph.predict.predictors.array_predictor import _dihedral
from tests.conftest import galaxymorph, linked

INT8 = ("--format", "onnx-int8")


def test_int8_gives_the_classes_that_float32_gives(quantized, simple):
    images = [str(path) for path in sorted((simple / "images_training_rev1").iterdir())]
    exact = load_predictor(quantized, "fp32").predict(images)
    small = load_predictor(quantized, "int8").predict(images)
    same = exact["predicted"] == small["predicted"]
    assert same.mean() >= 0.9
    assert (exact["confidence"] - small["confidence"])[same].abs().max() < 0.2
    assert (quantized / "model.int8.onnx").stat().st_size < 0.3 * (
        (quantized / "model.safetensors").stat().st_size
    )


def test_int8_needs_neither_pytorch_nor_fastai(quantized, simple):
    images = [str(path) for path in sorted((simple / "images_training_rev1").iterdir())[:20]]
    here = load_predictor(quantized, "int8").predict(images)
    code = (
        "import sys; from galaxymorph.predict import load_predictor;"
        "table = load_predictor(sys.argv[1], 'int8').predict(sys.argv[2:]);"
        "assert not {'torch', 'fastai', 'timm'} & set(sys.modules);"
        "print(table.to_json(orient='split'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, quantized, *images], capture_output=True, text=True, check=True
    )
    alone = json.loads(done.stdout)
    assert alone["columns"] == list(here.columns)
    predicted = np.array([row[3:] for row in alone["data"]], float)
    assert np.abs(predicted - here.iloc[:, 3:].to_numpy(float)).max() < 1e-6


@pytest.mark.parametrize("view", range(8))
def test_views_are_numbered_as_in_training(view):
    batch = np.random.default_rng(0).random((2, 3, 5, 5), np.float32)
    assert np.array_equal(_dihedral(batch, view), dihedral(torch.from_numpy(batch), view).numpy())


def test_export_says_what_int8_costs(quantized):
    out = (quantized / "printed.txt").read_text()
    assert f"{quantized / 'model.int8.onnx'}: " in out
    metrics = json.loads((quantized / "metrics.json").read_text())
    assert f"{metrics['test']['macro_f1']['value']:.4f} before" in out
    assert "int8 changes an output by " in out


def test_former_names_write_the_same_file(run, tmp_path, capsys):
    pytest.importorskip("onnxruntime")
    copy = linked(run, tmp_path / "run")
    assert galaxymorph("export", *INT8, copy, "-o", tmp_path / "now.onnx") == 0
    assert galaxymorph("quantize", copy) == 0
    assert galaxymorph("export", copy, "--format", "onnx", "--int8", "-o", tmp_path / "a.onnx") == 0
    assert "quantize is now called export --format onnx-int8" in capsys.readouterr().err
    written = (tmp_path / "now.onnx").read_bytes()
    assert (copy / "model.int8.onnx").read_bytes() == written
    assert (tmp_path / "a.onnx").read_bytes() == written


def test_predict_takes_int8_and_says_how_to_make_it(quantized, run, simple, capsys):
    image = next((simple / "images_training_rev1").iterdir())
    assert galaxymorph("predict", quantized, image, "--precision", "int8", "--json") == 0
    assert json.loads(capsys.readouterr().out)[0]["galaxy"] == image.stem
    assert galaxymorph("predict", run, image, "--precision", "int8") == 2
    assert "has no model.int8.onnx; make it with: python cli.py export" in capsys.readouterr().err


def test_a_missing_library_is_named_with_its_extra(run, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert galaxymorph("export", *INT8, run) == 2
    assert "pip install 'galaxymorph[onnx]'" in capsys.readouterr().err
    assert not (run / "model.int8.onnx").exists()
