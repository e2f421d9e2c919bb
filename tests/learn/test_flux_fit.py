"""A fit on bands of flux: its transform, its predictors and exports, and what they refuse."""

import io
import json

import numpy as np
import pandas as pd
import pytest
import torch

import galaxymorph as gm
from galaxymorph.api.fitting import start_fit
from galaxymorph.api.options import FitOptions
from galaxymorph.base import BadInput
from galaxymorph.images import ARCSINH_OF_WHITE, FLUX_CORRUPTIONS, compressed
from galaxymorph.judge import explained_model
from galaxymorph.judge.explain.physics import PHYSICS_CHECKS
from galaxymorph.learn import Recipe, Run, network_values
from galaxymorph.learn.backbones.initial_weights import for_bands
from galaxymorph.learn.recipe import recipe_from_dict
from galaxymorph.learn.views import RandomView, light_of_values
from galaxymorph.predict import export_run
from galaxymorph.report import open_server
from galaxymorph.report.server.answers import Upload, load_model
from tests.conftest import RECIPE, galaxymorph
from tests.flux import KINDS, NOISE, cube_file, flux_catalogue, flux_cube
from tests.report.test_server import send

pytestmark = pytest.mark.usefixtures("undrawn")

FIT = ["--labels-column", "kind", "--recipe", RECIPE, "--size", "32", "--crop", "0.5"]
FIT += ["--epochs", "1", "--precision", "fp32"]
FLUX = ["--pixels", "flux", "--bands", "g,r,i,z", "--missing-bands", "1"]


@pytest.fixture(scope="module")
def galaxies(tmp_path_factory):
    return flux_catalogue(tmp_path_factory.mktemp("flux") / "galaxies", 60)


@pytest.fixture(scope="module")
def run(galaxies, tmp_path_factory) -> Run:
    out = tmp_path_factory.mktemp("flux-runs")
    noise = ["--noise", "0.3", "--blur", "1", "--colour", "0.1"]
    assert (
        galaxymorph("fit", "--data", galaxies, *FIT, *FLUX, *noise, "--out", out, "--name", "a")
        == 0
    )
    return Run(out / "a")


def test_the_transform_is_learnt_from_the_sky_and_stored(run):
    recipe = run.recipe
    assert recipe.flux == "calibrated"
    softening = [float(value) for value in recipe.softening.split(",")]
    # 3 sigma of the frame, which interpolation makes a little less noisy.
    assert all(1.5 * NOISE < value < 3.5 * NOISE for value in softening), softening
    about = json.loads((run.path / "model.json").read_text())
    assert about["format"] == 3
    assert (about["pixels"], about["bands"], about["softening"]) == (
        "flux",
        "g,r,i,z",
        recipe.softening,
    )
    assert len(about["mean"]) == len(about["std"]) == 4


def test_the_default_unit_is_the_first_that_all_headers_give(tmp_path):
    def unit_of(*headers: dict) -> str | None:
        folder = flux_catalogue(tmp_path / str(len(list(tmp_path.iterdir()))), 0)
        names = [f"G{n:02d}" for n in range(24)]
        for n, name in enumerate(names):
            cube = cube_file(flux_cube(n, 2), "gr", **headers[n % len(headers)])
            (folder / f"{name}.fits").write_bytes(cube)
        kinds = [KINDS[n % 3] for n in range(24)]
        pd.DataFrame({"GalaxyID": names, "kind": kinds}).to_csv(folder / "labels.csv", index=False)
        changes = {"labels_column": "kind", "pixels": "flux", "bands": "g,r", "size": 32}
        run, _ = start_fit(FitOptions(data=folder, recipe="small", out=folder / "runs"), changes)
        return run.recipe.flux

    scale = {"CD1_1": -1e-4, "CD2_2": 1e-4}
    assert unit_of(scale) == "surface-brightness"
    assert unit_of({"BUNIT": None}) == "stored"
    with pytest.raises(BadInput, match="6 of 13 images have no flux as surface-brightness.*no p"):
        unit_of(scale, {})


def test_every_predictor_and_export_predicts_as_the_run(run, galaxies, tmp_path):
    images = sorted(map(str, galaxies.glob("*.fits")))[:12]
    expected = gm.load_predictor(run.path).outputs(images)
    exported = {
        format: export_run(run, format, tmp_path / f"model{ending}").path
        for format, ending in {"onnx": ".onnx", "safetensors": ".safetensors"}.items()
    }
    for model in (*exported.values(), run.path / "model.json"):
        assert np.allclose(gm.load_predictor(model).outputs(images), expected, atol=1e-5)
    pickled = gm.load_predictor(run.path / "model.pkl", trust_pickle=True)
    assert np.allclose(pickled.outputs(images), expected, atol=1e-5)
    arrays = [flux_cube(n, 4)[:, ::-1] for n in range(12)]
    assert np.allclose(gm.load_predictor(run.path).outputs(arrays), expected, atol=1e-5)


def test_files_of_bands_are_one_galaxy_in_predictions_and_catalogues(run, galaxies, tmp_path):
    files = flux_catalogue(tmp_path / "files", 5, form="files")
    (files / "G003-z.fits").unlink()
    cubes = gm.predict([run.path], [galaxies / f"G00{n}.fits" for n in range(5)])
    table = gm.predict([run.path], [files])
    assert list(table["galaxy"]) == [f"G00{n}" for n in range(5)]
    columns = [name for name in table if name.startswith("p_")]
    same = [0, 1, 2, 4]
    assert np.allclose(table[columns].iloc[same], cubes[columns].iloc[same], atol=1e-4)
    assert not np.allclose(table[columns].iloc[3], cubes[columns].iloc[3], atol=1e-4)
    assert galaxymorph("predict", run.path, files, "-o", f"{tmp_path}/out/") == 0
    parts = pd.concat(map(pd.read_parquet, sorted((tmp_path / "out").glob("part-*.parquet"))))
    assert list(parts["galaxy"]) == list(table["galaxy"])
    assert np.allclose(parts[columns], table[columns], atol=1e-5)


def test_a_catalogue_of_files_of_bands_is_fitted_and_gaps_are_told(tmp_path, capsys):
    files = flux_catalogue(tmp_path / "files", 60, bands="gr", form="files")
    (files / "G004-r.fits").unlink()
    settings = ["--pixels", "flux", "--bands", "g,r", "--missing-bands", "1", "--out", tmp_path]
    assert galaxymorph("fit", "--data", files, *FIT, *settings, "--name", "b") == 0
    said = capsys.readouterr().err
    assert "1 image without a band, which is 0: r 1" in said
    assert "flux in 2 bands, nanomaggies a pixel, by the headers; softening g 0.0" in said
    assert set(Run(tmp_path / "b").split["galaxy"]) == {f"G{n:03d}" for n in range(60)}


def test_one_band_is_fitted_exported_and_predicted(tmp_path):
    files = flux_catalogue(tmp_path / "files", 60, bands="r", form="files")
    # From ImageNet's weights.
    settings = ["--recipe", "small", "--pixels", "flux", "--bands", "r"]
    settings += ["--frozen-epochs", "1", "--trunk-views", "1", "--views", "1"]
    settings += ["--out", tmp_path, "--name", "one"]
    assert galaxymorph("fit", "--data", files, *FIT, *settings) == 0
    run = Run(tmp_path / "one")
    assert len(run.recipe.normalise.split(",")) == 1
    images = sorted(map(str, files.glob("*.fits")))[:4]
    expected = gm.load_predictor(run.path).outputs(images)
    assert np.allclose(gm.load_predictor(run.path / "model.json").outputs(images), expected)


REFUSED = {
    "no bands": (["--pixels", "flux"], "--pixels: flux needs the names of the bands"),
    "a band twice": (["--pixels", "flux", "--bands", "g,G"], "name each band once"),
    "softening of one band": (
        ["--pixels", "flux", "--bands", "g,r", "--softening", "0.1"],
        "give 2 numbers over 0",
    ),
    "plain": (["--pixels", "flux", "--bands", "g,r", "--pipeline", "plain"], "fast pipeline"),
    "channels": (["--pixels", "flux", "--bands", "g,r", "--channels", "1"], "a channel for each"),
    "stretch": (["--pixels", "flux", "--bands", "g,r", "--stretch", "asinh"], "isn't stretched"),
    "flux of RGB": (["--flux", "stored"], "and the pixels are rgb"),
    "all missing": (["--pixels", "flux", "--bands", "g", "--missing-bands", "1"], "as many as"),
    "another band": (["--pixels", "flux", "--bands", "g,y"], "no band y, only g, r, i, z"),
}


@pytest.mark.parametrize(("settings", "words"), REFUSED.values(), ids=REFUSED)
def test_a_fit_refuses(galaxies, tmp_path, capsys, settings, words):
    assert galaxymorph("fit", "--data", galaxies, *FIT, *settings, "--out", tmp_path) == 2
    assert words in capsys.readouterr().err


def test_a_predictor_refuses_pictures_other_bands_and_another_order(run, galaxies, simple):
    image = str(galaxies / "G000.fits")
    for settings in ({"bands": "r,g,i,z"}, {"bands": "g,r,i"}, {"stretch": "asinh"}):
        with pytest.raises(BadInput, match="the model takes flux in the bands g,r,i,z"):
            gm.load_predictor(run.path, **settings)
    predictor = gm.load_predictor(run.path, bands="g,r,i,z")
    with pytest.raises(BadInput, match="no bands i, z, only g, r"):
        predictor.predict(cube_file(flux_cube(0, 2), "gr"))
    with pytest.raises(BadInput, match="an array of uint8"):
        predictor.predict(np.zeros((40, 40, 3), np.uint8))
    rgb = gm.load_predictor()
    with pytest.raises(BadInput, match="an array of float"):
        rgb.predict(flux_cube(0, 3))
    with pytest.raises(BadInput, match="4 bands, g, r, i, z; choose three"):
        rgb.predict(image)


def test_a_predictor_of_pictures_and_one_of_flux_average_on_files(run, galaxies):
    image = str(galaxies / "G000.fits")
    one = gm.load_predictor(run.path)
    mean = gm.predict([run.path, run.path], [image])
    assert np.allclose(mean.filter(like="p_"), one.outputs([image]), atol=1e-6)


def test_explanations_and_robustness_take_flux(run, capsys):
    model = explained_model(run)
    rows = np.arange(len(model.table))
    picture = model.picture(0)
    assert (picture.shape, picture.dtype) == ((32, 32, 3), np.uint8)
    for check in PHYSICS_CHECKS.values():
        changed = check.apply(model, rows)
        assert changed.shape == model.pixels(rows).shape == (len(rows), 4, 32, 32)
    # A dimmed galaxy has that share of its flux over the sky.
    light = light_of_values(model.pixels(rows), run.recipe).sum(dim=(2, 3))
    dimmed = light_of_values(PHYSICS_CHECKS["dimmed to 0.5"].apply(model, rows), run.recipe)
    assert torch.allclose(dimmed.sum(dim=(2, 3)), 0.5 * light, rtol=0.2, atol=0.3 * light.max())
    assert galaxymorph("robustness", run.path, "--limit", "16", "--severities", "3") == 0
    record = json.loads((run.path / "robustness.json").read_text())
    assert list(record["corruptions"]) == list(FLUX_CORRUPTIONS)
    capsys.readouterr()
    assert galaxymorph("robustness", run.path, "--suite", "published") == 2
    assert "gaussian_noise is a corruption of pictures" in capsys.readouterr().err


def test_a_server_answers_fits_of_flux_and_refuses_pictures(run, galaxies):
    served = load_model(run.path)
    image = (galaxies / "G000.fits").read_bytes()
    answer = served.predict(Upload({"G000.fits": image}))
    expected = gm.load_predictor(run.path).outputs([image])[0]
    assert list(answer["classes"].values()) == pytest.approx(expected.tolist(), abs=1e-5)
    assert served.explain(Upload({"G000.fits": image}))["image"].startswith("data:image/")
    with pytest.raises(BadInput, match="not FITS, and the model takes flux in g,r,i,z"):
        served.predict(Upload({"a.jpg": b"\xff\xd8\xff"}))


@pytest.fixture(scope="module")
def url(run):
    server = open_server(run.path, "127.0.0.1", 0, None, None, "auto")
    server.start()
    yield server.address.rstrip("/")
    server.stop()


@pytest.fixture(scope="module")
def in_files(tmp_path_factory):
    """Two galaxies with a file for each band, and the files of both in turn."""
    folder = flux_catalogue(tmp_path_factory.mktemp("bands") / "galaxies", 2, form="files")
    return folder, [folder / f"G00{n}-{band}.fits" for band in "griz" for n in (0, 1)]


def test_a_server_takes_the_files_of_a_galaxys_bands_for_one_image(run, url, in_files, tmp_path):
    folder, paths = in_files
    files = [(path.name, path.read_bytes()) for path in paths]
    assert galaxymorph("predict", run.path, folder, "-o", tmp_path / "table.csv") == 0
    expected = pd.read_csv(tmp_path / "table.csv", index_col="galaxy").filter(like="p_")
    status, body = send(f"{url}/predict", *files)
    answers = json.loads(body)["images"]
    assert status == 200 and [answer["galaxy"] for answer in answers] == ["G000", "G001"]
    for answer in answers:
        found = {f"p_{name}": share for name, share in answer["classes"].items()}
        assert found == pytest.approx(dict(expected.loc[answer["galaxy"]]), abs=1e-5)
    _, body = send(f"{url}/predict", *files, Accept="text/csv")
    table = pd.read_csv(io.BytesIO(body), index_col="galaxy").filter(like="p_")
    assert np.allclose(table, expected, atol=1e-5) and list(table.index) == ["G000", "G001"]
    # The other galaxy's files are in between.
    status, body = send(f"{url}/explain", *files[::2])
    assert status == 200 and json.loads(body)["image"].startswith("data:image/")
    # One band may be missing, and two may not.
    assert send(f"{url}/predict", *files[2::2])[0] == 200
    status, body = send(f"{url}/predict", *files[4::2])
    assert status == 422 and "no bands g, r, only i, z" in json.loads(body)["error"]
    status, body = send(f"{url}/predict", files[0], files[0])
    assert status == 422 and "two files have this name" in json.loads(body)["error"]


def test_its_page_takes_them_together_too(url, in_files, browser):
    page = browser.new_page()
    page.goto(url)
    assert "in the bands g, r, i, z" in page.text_content("header")
    page.set_input_files("#file", in_files[1])
    page.wait_for_selector("#download:enabled")
    names = page.locator("#table button.name").all_text_contents()
    assert names == ["G000-g.fits", "G001-g.fits"]
    assert page.locator("#table .wrong").count() == 0
    with page.expect_download() as download:
        page.click("#download")
    assert list(pd.read_csv(download.value.path())["galaxy"]) == ["G000", "G001"]
    page.close()


def test_random_views_scale_flux_and_keep_its_zero():
    recipe = recipe_from_dict(
        {"pixels": "flux", "bands": "g,r", "size": 32, "brightness": 0.2, "colour": 0.1}, "here"
    )
    torch.manual_seed(0)
    flux = torch.zeros(8, 2, 40, 40)
    assert not RandomView(recipe).encodes(flux_image(flux)).any()
    flux[:] = 500.0
    views = RandomView(recipe).encodes(flux_image(flux))
    ratios = views.mean(dim=(2, 3)) / 500
    # A factor an image and band: nothing is clipped to a white of 1.
    assert ((ratios > 0.8 * 0.9 - 0.01) & (ratios < 1.2 * 1.1 + 0.01)).all()
    assert ratios.std() > 0.05
    assert torch.allclose(views, views.mean(dim=(2, 3), keepdim=True).expand_as(views), rtol=1e-4)


def test_random_noise_is_of_the_sky_and_missing_bands_are_zero():
    settings = {"pixels": "flux", "bands": "g,r,i", "size": 32, "brightness": 0.0}
    torch.manual_seed(0)
    flux = torch.full((64, 3, 40, 40), 100.0)
    noisy = recipe_from_dict(settings | {"noise": 0.6}, "here")
    spread = RandomView(noisy).encodes(flux_image(flux)).std(dim=(1, 2, 3))
    assert spread.min() > 0.0 and 0.4 < spread.max() < 0.65
    gappy = recipe_from_dict(settings | {"missing_bands": 2}, "here")
    views = RandomView(gappy).encodes(flux_image(flux))
    absent = (views == 0).all(dim=3).all(dim=2).sum(dim=1)
    assert set(absent.tolist()) == {0, 1, 2}
    assert 0.05 < (absent > 0).float().mean() < 0.4


def flux_image(flux: torch.Tensor):
    from fastai.torch_core import TensorImage

    return TensorImage(flux.clone())


def test_values_of_networks_are_compressed_flux_and_back():
    recipe = Recipe(pixels="flux", bands="g")
    flux = torch.tensor([-3.0, 0.0, 0.5, 9e3])
    values = network_values(flux, recipe)
    assert np.allclose(values.numpy(), compressed(flux.numpy()), atol=1e-6)
    assert torch.allclose(light_of_values(values, recipe), flux, rtol=1e-4)
    assert float(values.abs().max()) < ARCSINH_OF_WHITE / 10


@pytest.mark.parametrize("bands", ["r", "g,r", "g,r,i", "z,i,r,g", "u,g,r,i,z"])
@pytest.mark.parametrize("way", ["repeat", "average", "zero"])
def test_a_first_layer_of_colours_answers_to_grey_as_before(bands, way):
    torch.manual_seed(0)
    weights = torch.randn(4, 3, 3, 3)
    recipe = Recipe(pixels="flux", bands=bands, first_layer=way)
    adapted = for_bands(weights, recipe)
    number = len(recipe.flux_bands)
    assert adapted.shape == (4, number, 3, 3)
    # What a grey image of any number of channels gives, where every colour has a band as often.
    if way == "average" or number in (1, 3) or way == "zero" and number > 2:
        assert torch.allclose(adapted.sum(dim=1), weights.sum(dim=1), atol=1e-5)
    if number == 3 and way != "average":
        # Red light goes to the weights of red.
        assert torch.equal(adapted, weights[:, [2, 1, 0]])
