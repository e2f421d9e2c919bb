"""Embeddings of a catalogue, beside its predictions."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from PIL import Image
from pyarrow import parquet

import galaxymorph as gm
from galaxymorph.learn import embed, image_loader, images_of_batch, last_layer, load_network
from galaxymorph.learn.views import dihedral
from tests.conftest import galaxymorph

EXACT = ["--precision", "fp32"]


@pytest.fixture(scope="module")
def images(simple):
    return sorted((simple / "images_training_rev1").glob("*.jpg"))[:12]


@pytest.fixture(scope="module")
def listing(images, new_folder):
    path = new_folder("listing") / "mine.csv"
    pd.DataFrame({"image": [str(image) for image in images]}).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def out(run, listing, new_folder):
    """The predictions of twelve galaxies with the embeddings of eight views, in three files."""
    out = new_folder("embedded") / "out"
    gm.predict_catalogue(run, listing, out, embeddings=True, partition=5, views=8, precision="fp32")
    return out


def vectors_in(out: Path) -> np.ndarray:
    return np.stack(pd.read_parquet(out)["embedding"]).astype(float)


def test_embeddings_are_the_mean_over_the_views_and_change_no_prediction(
    run, listing, images, out, tmp_path
):
    column = parquet.read_schema(out / "part-000000.parquet").field("embedding")
    network = load_network(gm.open_run(run).members[0])
    features = last_layer(network).in_features
    assert column.type == pa.list_(pa.float16(), features)
    recipe = gm.open_run(run).recipe
    batches = list(map(images_of_batch, image_loader(list(map(str, images)), recipe)))
    views = [embed(network, [dihedral(batch, at) for batch in batches])[0] for at in range(8)]
    expected = np.mean(views, axis=0)
    assert np.abs(vectors_in(out) - expected).max() < 2e-3 * np.abs(expected).max()
    gm.predict_catalogue(run, listing, tmp_path / "bare", partition=5, views=8, precision="fp32")
    bare, table = pd.read_parquet(tmp_path / "bare"), pd.read_parquet(out)
    assert list(table) == [*bare, "embedding"]
    pd.testing.assert_frame_equal(table[list(bare)], bare)


def test_a_rotated_or_mirrored_image_has_the_same_embedding(run, images, out, tmp_path):
    rows = []
    for turn in Image.Transpose:
        rows.append(tmp_path / f"{turn.name}.png")
        Image.open(images[0]).transpose(turn).save(rows[-1])
    table = tmp_path / "turned.csv"
    pd.DataFrame({"image": rows}).to_csv(table, index=False)
    settings = {"embeddings": True, "views": 8, "precision": "fp32"}
    gm.predict_catalogue(run, table, tmp_path / "turned", **settings)
    turned, known = vectors_in(tmp_path / "turned"), vectors_in(out)
    among = np.abs(known[1:] - known[0]).max(axis=1).min()
    assert len(turned) == 7
    assert np.abs(turned - known[0]).max() < 0.1 * among


def test_an_exported_file_has_the_runs_embeddings(run, listing, out, tmp_path):
    file = gm.export(run, output=tmp_path / "model.safetensors").path
    settings = {"embeddings": True, "views": 8, "precision": "fp32"}
    gm.predict_catalogue(file, listing, tmp_path / "out", **settings)
    np.testing.assert_allclose(vectors_in(tmp_path / "out"), vectors_in(out), atol=1e-3)


def test_a_missing_image_has_no_embedding_until_it_is_there(run, images, tmp_path):
    for image in images[:2]:
        shutil.copy(image, tmp_path)
    names = [images[0].name, "gone.jpg", images[1].name]
    pd.DataFrame({"image": names}).to_csv(tmp_path / "mine.csv", index=False)
    out = tmp_path / "out"
    for _ in range(2):
        failures = gm.predict_catalogue(run, tmp_path / "mine.csv", out, embeddings=True)
        has_vector = np.isfinite(vectors_in(out)).all(axis=1)
        assert has_vector.sum() == 3 - failures.number
        assert has_vector[[0, 2]].all()
        shutil.copy(images[2], tmp_path / "gone.jpg")
    assert not failures.number


def test_the_packages_model_embeds_what_it_refuses_to_predict(images, tmp_path):
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 255, (64, 64, 3), "uint8"))
    noise.save(tmp_path / "noise.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "blank.png")
    shutil.copy(images[0], tmp_path / "galaxy.jpg")
    assert galaxymorph("predict", tmp_path, "-o", f"{tmp_path / 'out'}/", "--embeddings") == 0
    table = pd.read_parquet(tmp_path / "out").set_index("galaxy")
    assert table.loc["noise", "status"] == "unfamiliar"
    assert np.isfinite(table.loc["noise", "embedding"]).all()
    assert table.loc["blank", "status"] == "blank"
    assert np.isnan(table.loc["blank", "embedding"]).all()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["-o", "{tmp}/x.csv", "--embeddings"], "--embeddings: it needs -o FOLDER/"),
        (["--embeddings"], "--embeddings: it needs -o FOLDER/"),
        (["-o", "{out}/"], "another choice of embeddings (True, now None)"),
    ],
)
def test_what_has_no_embeddings_is_said_in_one_line(
    run, listing, out, tmp_path, capsys, options, words
):
    given = [word.format(tmp=tmp_path, out=out) for word in options]
    given += ["--partition", "5", "--views", "8", *EXACT] if given[-1].endswith("/") else []
    assert galaxymorph("predict", run, listing, *given) == 2
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "error" in line]
    assert words in line


def test_a_model_outside_of_pytorch_is_refused_before_anything_is_written(
    onnx_file, listing, tmp_path, capsys
):
    out = tmp_path / "out"
    assert galaxymorph("predict", onnx_file, listing, "-o", f"{out}/", "--embeddings") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert "model.onnx isn't predicted in PyTorch" in line
    assert not out.exists()
