"""Simulated bands of flux as FITS, beside the pictures of the same galaxies."""

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage

from galaxymorph.base import BadInput
from galaxymorph.images import FluxInput, Rendering, decode, open_galaxy
from galaxymorph.survey import Simulation, simulate
from galaxymorph.zoo import read_catalogue


@pytest.fixture(scope="module")
def sky(tmp_path_factory):
    folder = tmp_path_factory.mktemp("skies") / "sky"
    return simulate(folder, Simulation(3, ("sdss",), 5, None, False, True), workers=1)


def test_the_bands_are_calibrated_and_as_noisy_as_the_truth_says(sky):
    truth = pd.read_parquet(sky / "truth.parquet").set_index("GalaxyID")
    for galaxy, row in truth.iterrows():
        (hdu,) = fits.open(sky / "flux" / f"{galaxy}.fits")
        header = hdu.header
        assert (header["BANDS"], header["BUNIT"], header["MAGZERO"]) == ("gri", "nanomaggy", 22.5)
        assert header["NOISE_R"] == pytest.approx(row["noise"])
        assert header["FWHM_R"] == pytest.approx(row["seeing"])
        scale = np.sqrt(abs(np.linalg.det(WCS(header).celestial.pixel_scale_matrix))) * 3600
        assert scale == pytest.approx(row["native_pixel"], rel=1e-4)
        assert scale * hdu.shape[-1] == pytest.approx(row["frame"], rel=1e-4)
        edge = np.concatenate([hdu.data[1, 0], hdu.data[1, -1]])
        sigma = 1.4826 * np.median(np.abs(edge - np.median(edge)))
        assert sigma == pytest.approx(row["noise"], rel=0.5)
        # The flux of the galaxy's magnitude in r, and of what else is in the frame.
        assert hdu.data[1].sum() > 0.5 * 10 ** (0.4 * (22.5 - row["mag_r"]))


def test_flux_and_picture_show_one_galaxy_turned_as_the_header_says(sky):
    flux = FluxInput(("g", "r", "i"))
    for path in sorted((sky / "flux").glob("*.fits")):
        image = open_galaxy(str(path), 1.0, Rendering(flux=flux))
        header = fits.getheader(path)
        turn = np.degrees(np.arctan2(header["CD1_2"], header["CD2_2"]))
        preview = np.asarray(decode(str(path), Rendering(flux=flux)).resize((424, 424)), float)
        picture = np.asarray(decode(str(sky / "images_training_rev1" / f"{path.stem}.jpg")), float)
        turned = ndimage.rotate(preview.mean(axis=2), turn, reshape=False, order=1, mode="reflect")
        inner = slice(100, 324)
        alike = np.corrcoef(
            turned[inner, inner].ravel(), picture.mean(axis=2)[inner, inner].ravel()
        )
        assert alike[0, 1] > 0.8
        assert image.values.shape[0] == 3


def test_its_folder_is_a_catalogue_and_the_skys_own_is_unchanged(sky, tmp_path):
    flux, pictures = read_catalogue(sky / "flux"), read_catalogue(sky)
    assert list(flux.table["galaxy"]) == list(pictures.table["galaxy"])
    assert all(name.endswith(".fits") for name in flux.table["image"])
    assert all(name.endswith(".jpg") for name in pictures.table["image"])
    plain = simulate(tmp_path / "plain", Simulation(1, ("sdss",), 5), workers=1)
    name = "images_training_rev1/100001.jpg"
    assert (plain / name).read_bytes() == (sky / name).read_bytes()
    with pytest.raises(BadInput, match="simulated with fits True, not False"):
        simulate(sky, Simulation(3, ("sdss",), 5), workers=1)


def test_a_survey_in_one_band_has_one(tmp_path):
    sky = simulate(tmp_path / "sky", Simulation(1, ("euclid",), 5, None, False, True), workers=1)
    with fits.open(sky / "flux" / "100001.fits") as (hdu,):
        assert hdu.header["BANDS"] == "r" and hdu.shape[0] == 1
