"""Models that travel: safetensors and ONNX say the same as the run, a pickle only if trusted."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file, save_file

import galaxymorph as package
from galaxymorph.base import BadInput
from galaxymorph.images import centre_frame
from galaxymorph.learn import Run
from tests.conftest import galaxymorph

ROOT = Path(__file__).parents[2]
CLASSES = ["p_elliptical", "p_spiral", "p_irregular"]
OLD = Path(__file__).parent / "model-format-1.json"


@pytest.fixture(scope="module")
def images(simple):
    return [str(path) for path in sorted((simple / "images_training_rev1").glob("*.jpg"))[:8]]


@pytest.fixture(scope="module")
def expected(run, images):
    return package.load_predictor(run, "fp32").predict(images)


@pytest.fixture(scope="module")
def expected_of_resnet(resnet_run, images):
    return package.load_predictor(resnet_run, "fp32").predict(images)


@pytest.fixture(scope="module")
def exports(run, onnx_file, new_folder):
    """The run in every form, by name."""
    folder = new_folder("exports")
    copy = folder / "copy"
    copy.mkdir()
    for name in ("model.safetensors", "model.json"):
        shutil.copy(run / name, copy)
    alone = folder / "alone.safetensors"
    assert galaxymorph("export", run, "--format", "safetensors", "-o", alone) == 0
    return {
        "folder": copy,
        "weights": copy / "model.safetensors",
        "words": copy / "model.json",
        "alone.safetensors": alone,
        "model.onnx": onnx_file,
    }


def read_metadata(path: Path) -> dict:
    (entry,) = pytest.importorskip("onnx").load(str(path)).metadata_props
    return json.loads(entry.value)


@pytest.mark.parametrize("form", ["folder", "weights", "words", "alone.safetensors", "model.onnx"])
def test_every_form_says_what_the_run_says(exports, images, expected, form):
    precision = None if form == "model.onnx" else "fp32"
    result = package.load_predictor(exports[form], precision).predict(images)
    assert result.iloc[:, :3].equals(expected.iloc[:, :3])
    assert np.abs(result[CLASSES] - expected[CLASSES]).to_numpy().max() < 1e-4


def test_int8_stays_within_its_stated_loss(quantized):
    table, small = Run(quantized).predictions("test"), quantized / "model.int8.onnx"
    result = package.load_predictor(small).predict(list(table["image"]))
    exact = package.load_predictor(quantized, "fp32").predict(list(table["image"]))
    change = np.abs(result[CLASSES] - exact[CLASSES]).to_numpy()
    stated = read_metadata(small)["int8_loss"]
    assert stated["galaxies"] == len(table)
    assert np.allclose(change.mean(), stated["mean_change"], atol=1e-4)
    assert np.allclose(change.max(), stated["largest_change"], atol=1e-4)


def test_onnx_takes_paths_arrays_and_batches_without_torch(exports, images, expected):
    code = f"""
import sys
for name in ("torch", "fastai", "timm", "torchvision", "safetensors", "sklearn", "onnx"):
    sys.modules[name] = None
import numpy as np
from PIL import Image
import galaxymorph
predictor = galaxymorph.load_predictor({str(exports["model.onnx"])!r})
paths = {images!r}
arrays = [np.array(Image.open(path)) for path in paths]
each = [paths, paths[0], arrays[0], np.stack(arrays), [paths[0], arrays[1]]]
for given in each:
    table = predictor.predict(given)
    print(table.drop(columns=["image"]).to_json(orient="split"))
from galaxymorph.cli import main
main(["predict", {str(exports["model.onnx"])!r}, paths[0]])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    *lines, printed = done.stdout.split("\n", 5)
    assert Path(images[0]).name in printed.replace("\n", "")
    tables = [json.loads(line)["data"] for line in lines]
    assert [len(rows) for rows in tables] == [8, 1, 1, 8, 2]
    assert [row[0] for row in tables[3]] == [str(at) for at in range(8)]
    for rows in tables:
        result = np.array([row[3:] for row in rows], float)
        assert np.abs(result - expected[CLASSES][: len(rows)]).to_numpy().max() < 1e-4


def test_a_predictor_of_torch_takes_arrays_too(run, images, expected):
    arrays = np.stack([np.array(Image.open(path)) for path in images])
    result = package.load_predictor(run, "fp32").predict(arrays)
    assert np.abs(result[CLASSES] - expected[CLASSES]).to_numpy().max() < 1e-6
    with pytest.raises(BadInput, match=r"an array of uint16 of shape \(9, 9, 3\)"):
        package.load_predictor(run, "fp32").predict(np.zeros((9, 9, 3), np.uint16))


def test_a_pickle_is_loaded_only_when_it_is_trusted(run, images, expected):
    with pytest.raises(
        BadInput, match=r"a pickle can run any code.*give the run's folder.*model\.safetensors"
    ):
        package.load_predictor(run / "model.pkl")
    result = package.load_predictor(run / "model.pkl", trust_pickle=True).predict(images)
    assert result["predicted"].tolist() == expected["predicted"].tolist()
    assert np.abs(result[CLASSES] - expected[CLASSES]).to_numpy().max() < 1e-4


def test_a_model_of_format_1_still_loads(resnet_run, images, expected_of_resnet, tmp_path):
    shutil.copy(resnet_run / "model.safetensors", tmp_path)
    shutil.copy(OLD, tmp_path / "model.json")
    result = package.load_predictor(tmp_path, "fp32").predict(images)
    assert np.abs(result[CLASSES] - expected_of_resnet[CLASSES]).to_numpy().max() < 1e-6


def test_pixels_are_normalised_as_a_models_file_says(
    resnet_run, images, expected_of_resnet, tmp_path
):
    shutil.copy(resnet_run / "model.safetensors", tmp_path)
    about = json.loads((resnet_run / "model.json").read_text())
    about |= {"mean": [0.5] * 3, "normalise": "imagenet"}
    (tmp_path / "model.json").write_text(json.dumps(about))
    other = package.load_predictor(tmp_path, "fp32")
    assert other.recipe.normalise == "0.5,0.5,0.5/0.229,0.224,0.225"
    change = np.abs(other.predict(images)[CLASSES] - expected_of_resnet[CLASSES])
    assert change.to_numpy().max() > 1e-3


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 99, "galaxymorph": "7.0"}, "model format 99.*pip install 'galaxymorph>=7.0'"),
        ({"format": 0}, "model format 0, and this version reads 1, 2, 3; use the galaxymorph"),
        ({"arch": "resnet34"}, "weights don't fit resnet34"),
        ({"arch": "resnet1"}, "arch='resnet1': unknown to torchvision and timm"),
        ({"classes": []}, "damaged \\(no classes\\)"),
        ({"target": "tarot"}, "target is 'tarot'"),
    ],
)
def test_a_model_that_does_not_load_says_exactly_why(resnet_run, tmp_path, change, words):
    shutil.copy(resnet_run / "model.safetensors", tmp_path)
    about = json.loads((resnet_run / "model.json").read_text()) | change
    (tmp_path / "model.json").write_text(json.dumps(about))
    with pytest.raises(BadInput, match=words):
        package.load_predictor(tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("x.onnx", b"no", "x.onnx: not readable as ONNX"),
        ("x.onnx", None, "x.onnx: no such file"),
        ("x.safetensors", b"no", "x.safetensors: not readable as safetensors"),
        ("model.json", b"{}", "model.safetensors: no such file"),
    ],
)
def test_files_that_are_no_models_are_named(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=words):
        package.load_predictor(tmp_path / name)


def test_weights_without_their_words_are_refused(exports, tmp_path):
    shutil.copy(exports["weights"], tmp_path)
    with pytest.raises(BadInput, match=r"no model\.json beside it"):
        package.load_predictor(tmp_path)


def test_onnx_of_others_is_refused(exports, tmp_path):
    onnx = pytest.importorskip("onnx")
    model = onnx.load(str(exports["model.onnx"]))
    del model.metadata_props[:]
    onnx.save(model, str(tmp_path / "plain.onnx"))
    with pytest.raises(BadInput, match="no description of its inputs and outputs"):
        package.load_predictor(tmp_path / "plain.onnx")


def test_predict_takes_an_export_in_place_of_a_run(exports, images, expected, tmp_path, capsys):
    assert galaxymorph("predict", exports["model.onnx"], *images, "--json") == 0
    printed = json.loads(capsys.readouterr().out)
    assert [row["predicted"] for row in printed] == expected["predicted"].tolist()
    folder = Path(images[0]).parent
    assert galaxymorph("predict", exports["model.onnx"], folder, "-o", f"{tmp_path}/out/") == 0
    assert galaxymorph("predict", exports["model.onnx"], images[0], "--precision", "bf16") == 2
    assert "has a fixed number format" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--format", "onnx", "-o", "x.safetensors"], "not a .onnx file"),
        (["-o", "x.bin"], "no format has the ending '.bin'; use .onnx or .safetensors"),
        ([], "no --format is given, of onnx, onnx-int8, safetensors"),
        (
            ["--format", "safetensors", "--int8", "-o", "x.safetensors"],
            "export format 'safetensors-int8' is unknown",
        ),
    ],
)
def test_an_export_that_cannot_be_is_refused(run, capsys, options, words):
    assert galaxymorph("export", run, *options) == 2
    assert words in capsys.readouterr().err


@settings(max_examples=100, deadline=None)
@given(
    st.integers(8, 90),
    st.integers(8, 90),
    st.integers(4, 70),
    st.integers(0, 99),
    st.sampled_from(["bicubic", "bilinear"]),
)
@example(73, 73, 4, 4, "bicubic")
def test_shrinking_without_torch_is_the_same_to_the_bit(width, height, size, seed, filter):
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    image = Image.fromarray(pixels)
    assert np.array_equal(
        centre_frame(image, 1.0, size, "exact", filter),
        centre_frame(image, 1.0, size, "torch", filter),
    )


def test_folds_and_views_travel_in_one_file(run, images, tmp_path):
    pytest.importorskip("onnxruntime")
    cv = tmp_path / "cv"
    cv.mkdir()
    shutil.copy(run / "predictions_test.parquet", cv)
    for fold in (cv / "folds" / "1", cv / "folds" / "2"):
        shutil.copytree(run, fold)
    record = json.loads((run / "recipe.json").read_text())
    record["recipe"] |= {"folds": 2, "views": 4}
    (cv / "recipe.json").write_text(json.dumps(record))
    second = cv / "folds" / "2" / "model.safetensors"
    state = load_file(second)
    save_file(
        {name: np.asarray(value * 1.01, value.dtype) for name, value in state.items()}, second
    )
    expected = package.load_predictor(cv, "fp32").predict(images[:2])
    for layout, precision in (("onnx", None), ("safetensors", "fp32")):
        path = tmp_path / f"cv.{layout}"
        assert galaxymorph("export", cv, "--format", layout, "-o", path) == 0
        result = package.load_predictor(path, precision).predict(images[:2])
        assert np.abs(result[CLASSES] - expected[CLASSES]).to_numpy().max() < 1e-4
