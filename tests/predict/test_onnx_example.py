"""The example in one file that predicts from an exported model without GalaxyMorph."""

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from galaxymorph import load_predictor

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "predict_onnx.py"
# The example runs where none of these is installed.
BLOCKED = ("galaxymorph", "torch", "torchvision", "fastai", "pandas", "scipy", "sklearn", "onnx")
CURVE = [[0.0, 0.2, 0.9], [0.05, 0.3, 0.8]]
CALIBRATIONS = {
    "none": {},
    "temperature": {"temperature": [1.7]},
    "vector": {"scale": [1.2, 0.7, 1.0], "shift": [0.1, -0.4, 0.0]},
    "isotonic": {"from": [CURVE[0]] * 3, "to": [CURVE[1]] * 3},
}


@pytest.fixture(scope="module")
def images(simple, new_folder) -> list[str]:
    """Three galaxies, and a grey image whose central square starts within a pixel."""
    odd = new_folder("odd") / "odd.png"
    paths = sorted((simple / "images_training_rev1").glob("*.jpg"))[:3]
    Image.open(paths[0]).convert("L").resize((97, 84)).save(odd)
    return [str(path) for path in (*paths, odd)]


def changed(path: Path, to: Path, **settings: object) -> Path:
    """Write a copy of an exported model with other settings in its description."""
    model = onnx.load(str(path))
    (entry,) = model.metadata_props
    entry.value = json.dumps(json.loads(entry.value) | settings)
    onnx.save(model, str(to))
    return to


def run_example(path: Path, images: list[str]) -> subprocess.CompletedProcess[str]:
    code = (
        f"import runpy, sys; sys.modules.update(dict.fromkeys({BLOCKED}))\n"
        f"sys.argv = ['predict_onnx.py', {str(path)!r}, *{images!r}]\n"
        f"runpy.run_path({str(EXAMPLE)!r}, run_name='__main__')"
    )
    return subprocess.run([sys.executable, "-I", "-c", code], capture_output=True, text=True)


@pytest.mark.parametrize("method", [None, *CALIBRATIONS])
def test_the_example_predicts_what_galaxymorph_does(onnx_file, images, tmp_path, method):
    calibrator = {"method": method, "parameters": CALIBRATIONS.get(method), "galaxies": 50}
    settings = {"views": 1} if method is None else {"views": 8, "calibrators": [calibrator]}
    path = changed(onnx_file, tmp_path / "model.onnx", **settings)
    done = run_example(path, images)
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["image"] for row in rows] == images
    expected = load_predictor(path).predict(images)
    for name in ("elliptical", "spiral", "irregular"):
        values = [float(row[name]) for row in rows]
        assert np.allclose(values, expected[f"p_{name}"], rtol=0, atol=1e-4)


def test_the_example_resizes_as_the_model_was_trained(onnx_file, images, tmp_path):
    path = changed(onnx_file, tmp_path / "model.onnx", views=1, interpolation="bilinear")
    rows = list(csv.DictReader(io.StringIO(run_example(path, images).stdout)))
    expected = load_predictor(path).predict(images)
    values = [float(row["spiral"]) for row in rows]
    assert np.allclose(values, expected["p_spiral"], rtol=0, atol=1e-5)
    assert not np.allclose(values, load_predictor(onnx_file).predict(images)["p_spiral"], atol=1e-5)


def test_the_example_refuses_the_decision_tree(onnx_file, images, tmp_path):
    done = run_example(changed(onnx_file, tmp_path / "tree.onnx", target="tree"), images)
    assert done.returncode == 1
    assert done.stderr.endswith("a model of the decision tree; predict with galaxymorph\n")
