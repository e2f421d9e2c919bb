"""Every way to predict gives one answer for one image, whatever the image comes as."""

import io
import threading
import urllib.request
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from astropy.io import fits
from fastai.learner import load_learner
from fastai.vision.core import PILImage
from PIL import Image

import galaxymorph as package
from galaxymorph.base import BadInput
from galaxymorph.images import Rendering, as_image, decode
from galaxymorph.learn import Run
from galaxymorph.predict import PredictionOptions, predict_catalogue
from galaxymorph.report import ModelServer, load_model
from galaxymorph.report.server.answers import Upload
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.makers import IMAGES, galaxy_ids, image_bytes, labels_bytes
from tests.simple import KINDS, render

pytestmark = pytest.mark.usefixtures("undrawn")

BANDS = "zrg"
# bfloat16 apart, which commands predict in where the processor has it.
EXACT = 2e-5


def flux(seed: int) -> dict[str, np.ndarray]:
    """A galaxy's bands, z, r and g, and the i between two of them."""
    rng = np.random.default_rng(seed)
    pixels = render(KINDS[seed % 3], rng)[112:312, 112:312][::2, ::2][::-1]
    z, r, g = (np.sinh(pixels[..., at] / 60).astype(np.float32) for at in range(3))
    return {"z": z, "r": 0.5 * r, "g": 0.1 * g, "i": (z + r) / 2}


def written(*hdus) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def cube(bands: dict[str, np.ndarray], names: str = "grz") -> bytes:
    hdu = fits.PrimaryHDU(np.stack([bands[name] for name in names]))
    hdu.header["BANDS"] = names
    return written(hdu)


@pytest.fixture(scope="module")
def told(new_folder) -> Path:
    """A run on FITS with a stretch and bands of its own: what forgets either shows."""
    folder = new_folder("told")
    (folder / IMAGES).mkdir()
    (folder / "labels.csv").write_bytes(labels_bytes(36))
    for n, name in enumerate(galaxy_ids(36)):
        (folder / IMAGES / f"{name}.fits").write_bytes(cube(flux(n)))
    arguments = ["--recipe", RECIPE, "--out", folder, "--name", "run", *QUICK]
    arguments += ["--labels-column", "kind", "--stretch", "linear", "--bands", "g,r,z"]
    assert galaxymorph("fit", "--data", folder, *arguments) == 0
    return folder / "run"


def battery() -> dict[str, bytes]:
    """One galaxy in every format and layout, by file name."""
    picture = Image.fromarray(render("spiral", np.random.default_rng(5))[100:324, 100:324])
    grey, bands = picture.convert("L"), flux(4)
    r, error = bands["r"], np.sqrt(np.abs(bands["r"]) + 1)
    mask = (r > 1).astype(np.int32)
    image = fits.ImageHDU
    hdus = [image(bands[name], name=name) for name in BANDS]
    return {
        "colour.jpg": image_bytes(picture),
        "colour.png": image_bytes(picture, "PNG"),
        "grey.jpg": image_bytes(grey),
        "grey.png": image_bytes(grey, "PNG"),
        "opaque.png": image_bytes(picture.convert("RGBA"), "PNG"),
        "palette.png": image_bytes(picture.convert("P"), "PNG"),
        "colour.tif": image_bytes(picture, "TIFF"),
        "colour.bmp": image_bytes(picture, "BMP"),
        "wrongly-named.png": image_bytes(picture),
        "cube.fits": cube(bands),
        "red-first.fits": cube(bands, "zrg"),
        "extensions.fits": written(fits.PrimaryHDU(), *hdus),
        "colour-last.fits": written(fits.PrimaryHDU(np.array(picture))),
        "wrongly-named.jpg": cube(bands),
        "one-band.fits": written(
            fits.PrimaryHDU(),
            image(r, name="SCI"),
            image(error, name="ERR"),
            image(mask, name="DQ"),
        ),
        "weight-first.fits": written(
            fits.PrimaryHDU(), image(1 / error, name="WHT"), image(r, name="SCI")
        ),
    }


@pytest.fixture(scope="module")
def files(new_folder) -> list[str]:
    folder = new_folder("battery")
    for name, data in battery().items():
        (folder / name).write_bytes(data)
    return [str(folder / name) for name in battery()]


@pytest.fixture(scope="module", params=["jpeg", "fits"])
def model(request) -> Path:
    """A run on JPEGs, and one on FITS that was told how to render."""
    return request.getfixturevalue({"jpeg": "run", "fits": "told"}[request.param])


def usable(model: Path, files: list[str]) -> list[str]:
    """Return the files of the battery that have the bands that the model is told."""
    return [
        name
        for name in files
        if Run(model).recipe.bands is None
        or not name.endswith(("one-band.fits", "weight-first.fits", "colour-last.fits"))
    ]


def columns(model: Path) -> list[str]:
    return [f"p_{name}" for name in Run(model).classes]


@pytest.fixture(scope="module")
def expected(model, files) -> pd.DataFrame:
    table = package.load_predictor(model, "fp32").predict(usable(model, files))
    return table.set_index("image")[columns(model)]


def by_learner_predict(model, images, folder):
    learn = load_learner(model / "model.pkl")
    with learn.no_bar():
        return np.stack([learn.predict(image)[2].numpy() for image in images])


def by_get_preds(model, images, folder):
    learn = load_learner(model / "model.pkl")
    with learn.no_bar():
        return learn.get_preds(dl=learn.dls.test_dl(images, num_workers=0))[0].numpy()


def by_tta(model, images, folder):
    learn = load_learner(model / "model.pkl")
    with learn.no_bar():
        result = learn.tta(dl=learn.dls.test_dl(images, num_workers=0), n=2, beta=1.0)
    return result[0].numpy()


def predicted(predictor, model, images):
    return predictor.predict(images)[columns(model)].to_numpy()


def by_safetensors(model, images, folder):
    return predicted(package.load_predictor(model / "model.safetensors", "fp32"), model, images)


def by_exported_safetensors(model, images, folder):
    path = folder / "exported.safetensors"
    assert galaxymorph("export", model, "--format", "safetensors", "-o", path) == 0
    return predicted(package.load_predictor(path, "fp32"), model, images)


def by_onnx(model, images, folder):
    pytest.importorskip("onnxruntime")
    path = folder / "exported.onnx"
    assert galaxymorph("export", model, "--format", "onnx", "-o", path) == 0
    return predicted(package.load_predictor(path), model, images)


def by_pickle(model, images, folder):
    predictor = package.load_predictor(model / "model.pkl", trust_pickle=True)
    return predicted(predictor, model, images)


def by_command(model, images, folder):
    path = folder / "table.csv"
    command = ["predict", model, *images, "--precision", "fp32", "--no-drift", "-o", path]
    assert galaxymorph(*command) == 0
    return pd.read_csv(path)[columns(model)].to_numpy()


def by_catalogue(model, images, folder):
    table = folder / "catalogue.csv"
    pd.DataFrame({"id": range(len(images)), "image": images}).to_csv(table, index=False)
    predict_catalogue(folder / "out", model, table, PredictionOptions(precision="fp32"), size=5)
    result = pd.read_parquet(folder / "out")
    assert result["error"].isna().all()
    return result.set_index("galaxy").loc[[str(n) for n in range(len(images))], columns(model)]


def by_serve(model, images, folder):
    server = ModelServer("a run", lambda: load_model(model), "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        answers = []
        for name in images:
            request = urllib.request.Request(f"{server.address}predict", Path(name).read_bytes())
            with urllib.request.urlopen(request) as answer:
                answers.append(pd.read_json(io.BytesIO(answer.read()), typ="series")["classes"])
    finally:
        server.stop()
        thread.join()
    return pd.DataFrame(answers)[Run(model).classes].to_numpy()


WAYS = {
    by_learner_predict: EXACT,
    by_get_preds: EXACT,
    by_safetensors: EXACT,
    by_exported_safetensors: EXACT,
    by_onnx: 1e-4,
    by_pickle: EXACT,
    by_command: EXACT,
    by_catalogue: EXACT,
    # In the run's own precision, which may be bfloat16.
    by_serve: 2e-2,
}


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
def test_every_way_to_predict_gives_the_same_answer(way, model, expected, tmp_path):
    result = np.asarray(way(model, list(expected.index), tmp_path), float)
    far = pd.Series(np.abs(result - expected.to_numpy()).max(axis=1), expected.index)
    assert far.max() < WAYS[way], far.sort_values().tail(3)


def test_what_a_model_is_told_is_seen_in_its_answers(told, files):
    """Or the test above would show nothing."""
    cubes = [name for name in files if name.endswith(("cube.fits", "red-first.fits"))]
    mine = predicted(package.load_predictor(told, "fp32"), told, cubes)
    for other in ({"stretch": "lupton"}, {"bands": "z,r,g"}):
        theirs = predicted(package.load_predictor(told, "fp32", **other), told, cubes)
        assert np.abs(theirs - mine).max() > 100 * EXACT


def test_time_augmentation_starts_from_the_same_pixels(model, expected, tmp_path):
    result = by_tta(model, list(expected.index), tmp_path)
    # All weight is on the plain view.
    assert np.abs(result - expected.to_numpy()).max() < EXACT


SOURCES = {
    "path": Path,
    "text": str,
    "bytes": lambda name: Path(name).read_bytes(),
    "PILImage": PILImage.create,
    "PIL": Image.open,
    "PIL grey": lambda name: Image.open(name).convert("L"),
    "PIL RGBA": lambda name: Image.open(name).convert("RGBA"),
    "array": lambda name: np.array(Image.open(name)),
    "grey array": lambda name: np.array(Image.open(name).convert("L")),
    "tensor": lambda name: torch.from_numpy(np.array(Image.open(name))).permute(2, 0, 1),
    "float tensor": lambda name: (
        torch.from_numpy(np.array(Image.open(name))).permute(2, 0, 1) / 255
    ),
}


@pytest.mark.parametrize("kind", SOURCES)
@pytest.mark.parametrize("loaded", ["model.pkl", "run"])
def test_an_image_may_be_given_by_whatever_holds_its_pixels(kind, loaded, run, files):
    name = next(item for item in files if item.endswith("colour.png"))
    if "grey" in kind:
        name = next(item for item in files if item.endswith("grey.png"))
    source = SOURCES[kind](name)
    if loaded == "run":
        predictor = package.load_predictor(run, "fp32")
        result = predicted(predictor, run, source)
        wanted = predicted(predictor, run, name)
        # Sums of a batch of two may be rounded otherwise than those of one image.
        both = predicted(predictor, run, [name, source])
        assert np.array_equal(both[0], both[1])
        assert np.abs(both[1:] - wanted).max() < EXACT
    else:
        learn = load_learner(run / "model.pkl")
        with learn.no_bar():
            answer, number, result = learn.predict(source)
            assert answer == learn.dls.vocab[number]
            wanted = learn.predict(name)[2]
            both = learn.get_preds(dl=learn.dls.test_dl([source, name], num_workers=0))[0]
        assert np.abs((both[0] - both[1]).numpy()).max() < EXACT
    assert np.abs(np.asarray(result) - np.asarray(wanted)).max() < EXACT


def test_a_picture_that_was_given_stays_of_its_own_kind(run, files):
    picture = Image.fromarray(np.array(Image.open(files[0])))
    learn = load_learner(run / "model.pkl")
    with learn.no_bar():
        learn.predict(picture)
    assert type(picture) is Image.Image


@pytest.mark.parametrize("recipe", ["plain"])
def test_a_learner_of_fastais_own_pipeline_takes_them_too(recipe, simple, files, tmp_path):
    arguments = ["--recipe", RECIPE, "--out", tmp_path, "--name", "run", *QUICK, "--epochs", "1"]
    assert galaxymorph("fit", "--data", simple, *arguments, "--pipeline", recipe) == 0
    expected = predicted(package.load_predictor(tmp_path / "run", "fp32"), tmp_path / "run", files)
    result = by_learner_predict(tmp_path / "run", files, tmp_path)
    assert np.abs(result - expected).max() < EXACT
    learn = load_learner(tmp_path / "run" / "model.pkl")
    with learn.no_bar():
        result = learn.predict(PILImage.create(files[0]))[2]
    assert np.abs(result.numpy() - expected[0]).max() < EXACT


def test_16_bits_are_refused_in_one_line_by_all(run, tmp_path, capsys):
    path = tmp_path / "deep.png"
    Image.fromarray(np.full((40, 40), 40_000, np.uint16)).save(path)
    words = "the image is 16-bit, and its white level is unknown"
    for way in (by_learner_predict, by_get_preds, by_safetensors, by_pickle):
        with pytest.raises(BadInput, match=words):
            way(run, [str(path)], tmp_path)
    assert galaxymorph("predict", run, path) == 2
    assert words in capsys.readouterr().err


GRIZ = cube(flux(4), "griz")


@pytest.fixture(scope="module")
def griz(new_folder) -> Path:
    folder = new_folder("griz")
    (folder / IMAGES).mkdir()
    (folder / "labels.csv").write_bytes(labels_bytes(12))
    for name in galaxy_ids(12):
        (folder / IMAGES / f"{name}.fits").write_bytes(GRIZ)
    return folder


def test_the_advice_about_bands_can_be_followed(run, griz, tmp_path, capsys):
    images, chosen = griz / IMAGES, ["--bands", "z,r,g", "--stretch", "asinh"]
    triage = ["triage", run, images, "--number", "2", "--source", "single", "-o", tmp_path / "few"]
    check = ["data", "check", griz, "--labels-column", "kind"]
    predict = ["predict", run, images, "-o", tmp_path / "table.csv"]
    folder = ["predict", run, images, "-o", f"{tmp_path}/out/"]
    for command in (check, predict, triage):
        assert galaxymorph(*command) == 2
        told = capsys.readouterr()
        assert (
            "4 bands, g, r, i, z; choose three with --bands, the red first" in told.out + told.err
        )
        assert galaxymorph(*command, *chosen) == 0
        told = capsys.readouterr()
        changed = "--stretch asinh and --bands z,r,g instead of the model's own settings"
        assert (changed in told.err) == (command is not check)
    table = pd.read_csv(tmp_path / "table.csv")
    predictor = package.load_predictor(run, stretch="asinh", bands="z,r,g")
    assert np.abs(table[columns(run)] - predicted(predictor, run, GRIZ)).to_numpy().max() < EXACT
    assert galaxymorph(*folder, *chosen) == 0
    result = pd.read_parquet(tmp_path / "out")[columns(run)]
    assert np.abs(result - predicted(predictor, run, GRIZ)).to_numpy().max() < EXACT
    # Another choice doesn't go into the same folder.
    assert galaxymorph(*folder, "--bands", "i,r,g") == 2
    answer = load_model(run, "asinh", "z,r,g").predict(Upload({"griz.fits": GRIZ}))["classes"]
    assert list(answer.values()) == pytest.approx(table.loc[0, columns(run)].tolist(), abs=1e-5)


def test_the_options_of_fits_are_refused_where_no_image_is_fits(run, simple, capsys):
    for command in (["predict", run, simple / IMAGES], ["data", "check", simple]):
        assert galaxymorph(*command, "--bands", "z,r,g") == 2
        assert "--bands z,r,g: there are no FITS images; leave it out" in capsys.readouterr().err
    with pytest.raises(BadInput, match="stretch 'sqrt' is unknown; use one of lupton, asinh"):
        package.load_predictor(run, stretch="sqrt")


def test_a_learner_exported_without_its_rendering_refuses_fits(run, files):
    learn = load_learner(run / "model.pkl")
    opener = learn.dls.valid_ds.tls[0].tfms.fs[-1]
    del opener.rendering
    with learn.no_bar():
        assert learn.predict(files[0])[0] in learn.dls.vocab
        with pytest.raises(BadInput, match="exported without settings for FITS images"):
            learn.predict(next(name for name in files if name.endswith("cube.fits")))


def test_files_and_pixels_render_alike(files):
    """What `as_image` makes of bytes is what `decode` makes of the file."""
    how = Rendering("asinh")
    for name in files:
        pixels = np.array(decode(name, how))
        assert np.array_equal(np.array(as_image(Path(name).read_bytes(), how)), pixels)
