"""Simulated bands of flux as FITS, beside the pictures of the same galaxies."""

import dataclasses
import io

import numpy as np
import pandas as pd
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from scipy import ndimage

from galaxymorph.base import BadInput
from galaxymorph.images import FluxInput, Rendering, decode, open_galaxy
from galaxymorph.survey import SURVEYS, Band, Simulation, simulate
from galaxymorph.survey.flux_files import flux_file
from galaxymorph.survey.galaxies import draw_galaxy
from galaxymorph.survey.observing import Observation, observe
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
        assert (header["BANDS"], header["BUNIT"], header["MAGZERO"]) == ("ugriz", "nanomaggy", 22.5)
        red = hdu.data[2]
        assert header["NOISE_R"] == pytest.approx(row["noise"])
        assert header["FWHM_R"] == pytest.approx(row["seeing"])
        scale = np.sqrt(abs(np.linalg.det(WCS(header).celestial.pixel_scale_matrix))) * 3600
        assert scale == pytest.approx(row["native_pixel"], rel=1e-4)
        assert scale * hdu.shape[-1] == pytest.approx(row["frame"], rel=1e-4)
        edge = np.concatenate([red[0], red[-1]])
        sigma = 1.4826 * np.median(np.abs(edge - np.median(edge)))
        assert sigma == pytest.approx(row["noise"], rel=0.5)
        # The flux of the galaxy's magnitude in r, and of what else is in the frame.
        assert red.sum() > 0.5 * 10 ** (0.4 * (22.5 - row["mag_r"]))


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
        # Bands are chosen by name.
        every = open_galaxy(str(path), 1.0, Rendering(flux=FluxInput(tuple("ugriz"))))
        assert (image.values == every.values[1:4]).all()


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


def watched(galaxy, survey: str, redshift=None, further: bool = True) -> Observation:
    field, exposure, others = map(np.random.default_rng, np.random.SeedSequence(5).spawn(3))
    return observe(galaxy, SURVEYS[survey], field, exposure, redshift, others if further else None)


@pytest.mark.parametrize(
    ("survey", "bands"),
    [("sdss", "ugriz"), ("decals", "gri"), ("hsc", "griz"), ("euclid", "r"), ("hst", "griz")],
)
def test_further_bands_change_nothing_in_the_others(survey, bands):
    galaxy = draw_galaxy(np.random.default_rng(3), "merger")
    plain, both = (watched(galaxy, survey, 0.1, further) for further in (False, True))
    (hdu,) = fits.open(io.BytesIO(flux_file(both, survey)))
    assert (hdu.header["BANDS"], len(hdu.data)) == (bands, len(bands))
    assert (both.image == plain.image).all()
    assert (both.noise, both.seeing, both.turn) == (plain.noise, plain.seeing, plain.turn)
    for at, band in enumerate(plain.flux.bands):
        assert (hdu.data[bands.index(band)] == plain.flux.values[at, ::-1]).all()
        assert hdu.header[f"NOISE_{band}"] == pytest.approx(plain.flux.noise[at], rel=1e-12)
    for name, light in plain.light.features.items():
        assert (both.light.features[name] == light).all()


# The colours of Coleman, Wu & Weedman's E and Im through SDSS's filters; at a redshift of 0.2, E
# has u - g = 1.84 and i - z = 0.32.
E = {"bulge_gr": 0.825, "bulge_ri": 0.355}
IM = {
    f"{part}_{colour}": mag
    for part in ("bulge", "disk", "arm")
    for colour, mag in (("gr", 0.184), ("ri", 0.217))
}


@pytest.mark.parametrize(
    ("kind", "colours", "redshift", "ug", "iz"),
    [
        ("elliptical", E, None, 1.78, 0.31),
        ("elliptical", E, 0.2, 1.84, 0.32),
        ("irregular", IM | {"knot_fraction": 0.0}, None, 0.63, 0.22),
    ],
)
def test_u_and_z_have_the_colours_of_galaxies(kind, colours, redshift, ug, iz):
    galaxy = draw_galaxy(np.random.default_rng(3), kind)
    galaxy = dataclasses.replace(galaxy, mag_r=8.0, dust_depth=0.0, redshift=0.01, **colours)
    flux = watched(galaxy, "sdss", redshift).flux
    assert flux.bands == tuple("ugriz")
    side = flux.values.shape[-1]
    inner = flux.values[:, side // 3 : -(side // 3), side // 3 : -(side // 3)].sum(axis=(1, 2))
    steps = 2.5 * np.log10(inner[1:] / inner[:-1])
    assert steps[[0, 3]] == pytest.approx([ug, iz], abs=0.07)


def test_the_noise_of_u_and_z_is_what_the_header_says_and_their_own():
    galaxy = draw_galaxy(np.random.default_rng(3), "elliptical")
    observation = watched(dataclasses.replace(galaxy, mag_r=30.0, petro_r90=15.0), "sdss")
    (hdu,) = fits.open(io.BytesIO(flux_file(observation, "sdss")))
    sky = dict(zip(hdu.header["BANDS"], hdu.data, strict=True))
    for band, light in sky.items():
        sigma = 1.4826 * np.median(np.abs(light - np.median(light)))
        assert sigma == pytest.approx(hdu.header[f"NOISE_{band}"], rel=0.04)
    empty = np.all([light < 4 * hdu.header[f"NOISE_{band}"] for band, light in sky.items()], axis=0)
    alike = np.corrcoef([light[empty] for light in sky.values()]) - np.eye(len(sky))
    assert np.abs(alike).max() < 0.05


def test_a_further_band_is_u_or_z():
    with pytest.raises(BadInput, match="'y' is no further band; name u or z"):
        dataclasses.replace(SURVEYS["sdss"], further={"y": Band(1.0, 18.0, 20.0)})
