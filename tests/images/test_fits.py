"""FITS cutouts: bands, gaps, stretches, and files that are broken or too large."""

import contextlib
import gzip
import io

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from galaxymorph.base import BadInput
from galaxymorph.images import STRETCHES, Rendering, decode, decode_bytes
from tests.conftest import QUICK, RECIPE, galaxymorph
from tests.makers import IMAGES, galaxy_ids, labels_bytes
from tests.processes import run_command


def galaxy(side: int = 40, seed: int = 0, brightness: float = 100.0) -> np.ndarray:
    """A round galaxy above the middle, on noise about 0: half of the sky is negative."""
    down, across = np.mgrid[:side, :side] - np.array([0.7 * side, 0.5 * side])[:, None, None]
    noise = np.random.default_rng(seed).normal(0, 1, (side, side))
    return brightness * np.exp(-np.hypot(down, across) / 4) + noise


def file_of(*hdus) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def one_band(values: np.ndarray) -> bytes:
    return file_of(fits.PrimaryHDU(values.astype(np.float32)))


def cube(bands: str = "grz") -> bytes:
    """Red brightest."""
    values = np.stack([galaxy(brightness=100.0 * (n + 1)) for n in range(len(bands))])
    hdu = fits.PrimaryHDU(values.astype(np.float32))
    hdu.header["BANDS"] = bands
    return file_of(hdu)


def pixels(data: bytes, name: str = "1.fits", **how) -> np.ndarray:
    return np.array(decode_bytes(data, name, Rendering(**how))).astype(int)


@pytest.mark.parametrize("stretch", STRETCHES)
def test_a_galaxy_is_bright_on_dark_sky_where_it_is(stretch):
    shown = pixels(one_band(galaxy()), stretch=stretch)
    assert shown.shape == (40, 40, 3)
    assert (shown[..., 0] == shown[..., 2]).all()
    # FITS counts rows from the bottom, pictures from the top.
    assert shown[11, 20, 0] > 200
    assert np.median(shown[25:]) < 100


@pytest.mark.parametrize("stretch", STRETCHES)
def test_gaps_negative_pixels_and_flat_frames_are_sky(stretch):
    values = galaxy()
    values[:5] = np.nan
    values[5, 5] = np.inf
    values[6, 6] = -1e30
    shown = pixels(one_band(values), stretch=stretch)
    assert shown[11, 20, 0] > shown[36].max()
    assert pixels(one_band(np.zeros((8, 8))), stretch=stretch).shape == (8, 8, 3)


def test_bands_are_by_name_or_the_files_own_with_the_last_as_red():
    red, green, blue = pixels(cube())[12, 20]
    assert red > green > blue
    assert tuple(pixels(cube(), bands="g,r,z")[12, 20]) == (blue, green, red)
    single = pixels(cube(), bands="r")
    assert (single[..., 0] == single[..., 1]).all()
    extensions = [
        fits.ImageHDU(galaxy(brightness=100.0 * (n + 1)), name=name) for n, name in enumerate("grz")
    ]
    several = file_of(fits.PrimaryHDU(), *extensions)
    assert np.array_equal(pixels(several, bands="z,r,g"), pixels(several))


def test_gzip_is_unpacked():
    packed = gzip.compress(one_band(galaxy()))
    assert np.array_equal(pixels(packed, "1.fits.gz"), pixels(one_band(galaxy())))


def huge() -> bytes:
    header = fits.Header()
    for key, value in (("SIMPLE", True), ("BITPIX", 8), ("NAXIS", 2)):
        header[key] = value
    header["NAXIS1"] = header["NAXIS2"] = 100_000
    return header.tostring().encode()


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no FITS at all", "FITS"),
        (one_band(galaxy())[:-3000], "damaged"),
        (gzip.compress(one_band(galaxy()))[:-30], "damaged"),
        (one_band(np.full((8, 8), np.nan)), "no pixel"),
        (file_of(fits.PrimaryHDU()), "no image"),
        (cube("ugriz"), "three with bands"),
        (huge(), "over"),
        (gzip.compress(bytes(410_000_000), 1), "unpacked"),
    ],
    ids=["other", "cut", "cut gzip", "nan", "empty", "five bands", "huge", "bomb"],
)
def test_a_file_that_cant_be_used_gets_one_line(data, words):
    with pytest.raises(BadInput, match=words) as error:
        pixels(data, "galaxy.fits")
    assert "galaxy.fits" in str(error.value)
    assert "\n" not in str(error.value)


def test_a_band_that_isnt_there_is_named_with_those_that_are():
    with pytest.raises(BadInput, match="g, r, z"):
        pixels(cube(), bands="i,r,g")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_flipped_bytes_raise_bad_input_or_give_pixels(data):
    whole = bytearray(cube())
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, 2 * 2880))
        whole[min(at, len(whole) - 1)] = data.draw(st.integers(0, 255))
    with contextlib.suppress(BadInput):
        assert pixels(bytes(whole)).shape[2] == 3


@pytest.fixture(scope="module")
def catalogue(new_folder):
    folder = new_folder("fits")
    (folder / IMAGES).mkdir()
    (folder / "labels.csv").write_bytes(labels_bytes(40))
    for n, name in enumerate(galaxy_ids(40)):
        data = one_band(galaxy(seed=n))
        packed = n % 2
        path = folder / IMAGES / (f"{name}.fits.gz" if packed else f"{name}.fits")
        path.write_bytes(gzip.compress(data) if packed else data)
    return folder


def test_a_catalogue_of_fits_is_checked_fitted_and_predicted(catalogue, tmp_path, capsys):
    assert galaxymorph("data", "check", catalogue, "--labels-column", "kind") == 0
    arguments = ["--recipe", RECIPE, "--out", tmp_path, "--name", "run", *QUICK]
    arguments += ["--labels-column", "kind", "--stretch", "asinh"]
    assert galaxymorph("fit", "--data", catalogue, *arguments) == 0
    test = pd.read_parquet(tmp_path / "run" / "predictions_test.parquet")
    table = tmp_path / "table.csv"
    assert galaxymorph("predict", tmp_path / "run", catalogue / IMAGES, "-o", table) == 0
    predicted = pd.read_csv(table, dtype={"galaxy": str}).set_index("galaxy")
    assert len(predicted) == 40
    mine = predicted.loc[test["galaxy"], "p_smooth"].to_numpy(float)
    # The same pixels: another stretch would be seen.
    assert mine == pytest.approx(test["p_smooth"].to_numpy(float), abs=2e-2)


def test_settings_of_fits_are_refused_without_fits(simple, tmp_path, capsys):
    arguments = ["--recipe", RECIPE, "--out", tmp_path, "--name", "run", *QUICK]
    assert galaxymorph("fit", "--data", simple, "--bands", "r", *arguments) == 2
    assert "there are no FITS images" in capsys.readouterr().err


def test_real_cutouts_show_their_galaxy(real):
    folder = real / "fits"
    refused = {"decals_grz_truncated": "damaged", "decals_grz_bad_pixels": "no coverage"}
    for path in sorted(folder.glob("*.fits")):
        if words := refused.get(path.stem):
            with pytest.raises(BadInput, match=words):
                decode(str(path))
            continue
        shown = np.array(decode(str(path))).astype(float)
        middle = [slice(side // 2 - 4, side // 2 + 4) for side in shown.shape[:2]]
        assert shown[tuple(middle)].mean() > 100 + np.median(shown)
        coloured = not (shown[..., 0] == shown[..., 2]).all()
        assert coloured == ("grz" in path.stem)
        # Old galaxies are red.
        assert not coloured or shown[tuple(middle)].mean(axis=(0, 1)).argmax() == 0


def test_scattered_pixels_without_a_value_are_like_those_around_them():
    whole = galaxy()
    holes = whole.copy()
    holes[np.random.default_rng(0).random(whole.shape) < 0.3] = np.nan
    expected = pixels(file_of(fits.PrimaryHDU(whole)))
    filled = pixels(file_of(fits.PrimaryHDU(holes)))
    # Sky in their place would darken three pixels in ten of the galaxy to nothing.
    bright = expected[..., 0] > 128
    assert bright.sum() > 20
    assert np.abs(filled - expected)[bright].max() < 60
    assert np.abs(filled - expected)[bright].mean() < 10


@pytest.mark.parametrize("dtype", [np.uint16, np.int16, np.int32])
def test_a_fill_value_of_whole_numbers_is_no_light(dtype):
    whole = (1000 + 100 * galaxy()).clip(0, 30_000).astype(dtype)
    expected = pixels(file_of(fits.PrimaryHDU(whole)))
    edge = whole.copy()
    edge[:, : whole.shape[1] // 5] = np.iinfo(dtype).max
    filled = pixels(file_of(fits.PrimaryHDU(edge)))
    inside = slice(whole.shape[1] // 4, None)
    assert np.abs(filled - expected)[:, inside].max() < 12
    assert filled[:, : whole.shape[1] // 6].mean() < 40


def test_a_file_that_is_cut_short_is_told_in_one_line(tmp_path):
    path = tmp_path / "cut.fits"
    path.write_bytes(cube("grz")[:-3000])
    done = run_command("predict", path)
    assert done.returncode == 2
    assert [line for line in done.stderr.splitlines() if not line.startswith("model: ")] == [
        f"error: {path}: damaged FITS (TypeError: buffer is too small for requested array); "
        "download it again"
    ]
