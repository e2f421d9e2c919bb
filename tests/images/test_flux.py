"""Bands of flux: the transform and its inverse, calibration, masks, frames and the cache."""

import gzip

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from galaxymorph.base import BadInput
from galaxymorph.images import (
    FLUX_UNITS,
    Cut,
    FluxInput,
    NoContent,
    Rendering,
    cached_frames,
    centre_frame,
    compressed,
    decode,
    expanded,
    galaxy_frame,
    open_galaxy,
)
from galaxymorph.images.flux import FluxImage, flux_square
from galaxymorph.images.zero_points import nanomaggies_per_unit, pixel_area
from tests.flux import cube_file, fits_bytes, flux_catalogue, flux_cube

GRIZ = FluxInput(("g", "r", "i", "z"))
RENDERING = Rendering(flux=GRIZ)


def opened(source, flux: FluxInput = GRIZ) -> FluxImage:
    image = open_galaxy(source, 1.0, Rendering(flux=flux))
    assert isinstance(image, FluxImage)
    return image


# Below the smallest normal number, a tenth of a value may be 0.
FLUXES = st.floats(-60_000, 60_000, width=32).filter(lambda flux: flux == 0 or abs(flux) > 1e-36)


@settings(max_examples=100, deadline=None)
@given(arrays(np.float32, 20, elements=FLUXES))
def test_the_transform_has_an_inverse_and_keeps_order_and_sign(flux):
    values = compressed(flux)
    assert np.allclose(expanded(values), flux, rtol=2e-5, atol=1e-5)
    assert (np.sign(values) == np.sign(flux)).all()
    order = np.argsort(flux, kind="stable")
    assert (np.diff(values[order]) >= 0).all()


def test_the_transform_is_linear_below_the_softening_and_logarithmic_above():
    assert compressed(np.float32(0.01)) == pytest.approx(0.001, rel=1e-4)
    # Lupton et al. 1999: arcsinh x = ln 2x where x is large.
    assert compressed(np.float32(11_013.2)) == pytest.approx(1.0, abs=1e-5)
    assert compressed(np.float32(2e4)) - compressed(np.float32(1e4)) == pytest.approx(
        np.log(2) / 10, abs=1e-6
    )


# nanomaggies of one unit, by hand: 10^(0.4 (22.5 - zero point)), and 3.631 uJy each.
HEADERS = {
    "nanomaggies": ({"BUNIT": "nanomaggies"}, 1.0),
    "a pixel's": ({"BUNIT": "nanomaggy/pix"}, 1.0),
    "nJy, of Rubin": ({"BUNIT": "nJy"}, 1 / 3631),
    "uJy": ({"BUNIT": "uJy"}, 1 / 3.631),
    "Jy": ({"BUNIT": "Jy"}, 1e9 / 3631),
    "MJy/sr, of JWST": ({"BUNIT": "MJy/sr", "PIXAR_A2": 0.0009}, 0.0009 / 4.2545e10 * 1e15 / 3631),
    "zero point 25": ({"MAGZERO": 25.0}, 0.1),
    "zero point 0, of KiDS": ({"MAGZP": 0}, 1e9),
    "zero point as text": ({"PHOTZP": "30.0"}, 1e-3),
    "adu by a zero point": ({"BUNIT": "adu", "ZP": 22.5}, 1.0),
    "of a band": ({"MAGZERO": 30.0, "MAGZERO_R": 25.0}, 0.1),
    "of a plane": ({"MAGZERO": 30.0, "MAGZERO2": 25.0}, 0.1),
    "a second, of VISTA": ({"MAGZPT": 22.5, "EXPTIME": 10.0}, 0.1),
    "flux of zero, of HSC": ({"FLUXMAG0": 10**10.8}, 10 ** (0.4 * (22.5 - 27.0))),
    # 25.956 for F160W of WFC3: -2.5 log10 PHOTFLAM - 5 log10 PHOTPLAM - 2.408.
    "HST a second": (
        {"BUNIT": "ELECTRONS/S", "PHOTFLAM": 1.9106045e-20, "PHOTPLAM": 15369.172, "EXPTIME": 9.0},
        10 ** (0.4 * (22.5 - 25.956)),
    ),
    "HST in electrons": (
        {"BUNIT": "ELECTRONS", "PHOTFLAM": 1.9106045e-20, "PHOTPLAM": 15369.172, "EXPTIME": 100.0},
        10 ** (0.4 * (22.5 - 25.956)) / 100,
    ),
    "Legacy Surveys": ({"SURVEY": "LegacySurvey"}, 1.0),
    "nothing": ({}, None),
    "STMAG alone": ({"PHOTZPT": -21.1}, None),
    "counts alone": ({"BUNIT": "counts", "EXPTIME": 100.0}, None),
    "a unit of no flux": ({"BUNIT": "Kelvin"}, None),
    "surface brightness without pixels": ({"BUNIT": "MJy/sr"}, None),
    "not a number": ({"MAGZERO": "unknown"}, None),
    "no exposure time": ({"MAGZPT": 22.5}, None),
}


@pytest.mark.parametrize(("header", "factor"), HEADERS.values(), ids=HEADERS)
def test_headers_calibrate(header, factor):
    found = nanomaggies_per_unit((header,), "r", 2)
    assert found == (None if factor is None else pytest.approx(factor, rel=2e-3))


def test_bands_are_read_by_name_from_cubes_extensions_and_files_alike(tmp_path):
    cube = flux_cube(1, 4)
    by_form = {
        "cube": flux_catalogue(tmp_path / "cube", 2) / "G001.fits",
        "extensions": flux_catalogue(tmp_path / "ext", 2, form="extensions") / "G001.fits",
        "files": flux_catalogue(tmp_path / "files", 2, form="files") / "G001-r.fits",
    }
    for path in by_form.values():
        image = opened(str(path))
        # FITS counts rows from the bottom.
        assert np.allclose(image.values, cube[:, ::-1], rtol=1e-5, atol=1e-6)
        assert (image.missing, image.bad) == ((), 0.0)
    turned = opened(str(by_form["cube"]), FluxInput(("z", "g")))
    assert np.allclose(turned.values, cube[[3, 0], ::-1])
    assert np.array_equal(opened(gzip.compress(by_form["cube"].read_bytes())).values, cube[:, ::-1])


def test_files_of_bands_in_capitals_by_underscore_or_in_folders(tmp_path):
    for name in ("A_G.fits", "A_R.fits", "g/B.fits", "r/B.fits", "C.g.x.fits", "C.r.x.fits"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        level = 1.0 if "g" in name.lower().replace("fits", "") else 2.0
        hdu = fits.PrimaryHDU(level * flux_cube(0, 1)[0])
        hdu.header["BUNIT"] = "nanomaggy"
        path.write_bytes(fits_bytes(hdu))
    for name in ("A_R.fits", "g/B.fits", "C.r.x.fits"):
        values = opened(str(tmp_path / name), FluxInput(("g", "r"))).values
        assert np.allclose(values[1], 2 * values[0])


def test_values_as_stored_need_no_calibration():
    data = cube_file(flux_cube(1, 4), "griz", BUNIT=None)
    with pytest.raises(BadInput, match="band g has no calibration in its header"):
        opened(data)
    stored = opened(data, FluxInput(GRIZ.bands, unit="stored"))
    assert np.array_equal(stored.values, flux_cube(1, 4)[:, ::-1])


TANGENT = {"CTYPE1": "RA---TAN", "CTYPE2": "DEC--TAN"}
SCALES = {
    "CD": ({"CD1_1": -3e-4, "CD1_2": 4e-4, "CD2_1": 4e-4, "CD2_2": 3e-4}, (5e-4 * 3600) ** 2),
    "CDELT": (TANGENT | {"CDELT1": -1e-4, "CDELT2": 2e-4}, 2e-8 * 3600**2),
    "CDELT of 1 and PC": (
        TANGENT | {"CDELT1": 1.0, "CDELT2": 1.0, "PC1_1": -1e-4, "PC2_2": 1e-4},
        1e-8 * 3600**2,
    ),
    "rotated by PC": (
        TANGENT
        | {"CDELT1": -1e-4, "CDELT2": 1e-4}
        | {"PC1_1": 0.6, "PC1_2": -0.8, "PC2_1": 0.8, "PC2_2": 0.6},
        1e-8 * 3600**2,
    ),
    "JWST": ({"PIXAR_A2": 0.0009}, 0.0009),
    "Legacy Surveys at another scale": (
        {"SURVEY": "DECaLS", "CD1_1": 1e-4, "CD2_2": 1e-4},
        0.262**2,
    ),
    "steps of no sky": ({"CDELT1": 1.0, "CDELT2": 1.0}, None),
    "nothing": ({}, None),
}


@pytest.mark.parametrize(("header", "area"), SCALES.values(), ids=SCALES)
def test_the_area_of_a_pixel(header, area):
    assert pixel_area((header,)) == (None if area is None else pytest.approx(area, rel=1e-9))


def test_surface_brightness_does_not_depend_on_the_size_of_pixels():
    flux, coarse = FluxInput(GRIZ.bands, unit="surface-brightness"), flux_cube(1, 4)
    # The same sky in pixels of half the side, each with a quarter of the flux.
    fine = coarse.repeat(2, axis=1).repeat(2, axis=2) / 4
    frames = []
    for cube, scale in ((coarse, 2e-4), (fine, 1e-4)):
        image = opened(cube_file(cube, "griz", CD1_1=-scale, CD2_2=scale), flux)
        frames.append(flux_square(image, 1.0, 20))
    assert opened(cube_file(coarse, "griz", CD1_1=2e-4, CD2_2=2e-4), flux).values[0].sum() == (
        pytest.approx(coarse[0].sum() / 0.72**2, rel=1e-5)
    )
    assert np.corrcoef(frames[0].ravel(), frames[1].ravel())[0, 1] > 0.99
    assert frames[0].max() == pytest.approx(frames[1].max(), rel=0.05)
    with pytest.raises(BadInput, match="band g has no pixel scale in its header"):
        opened(cube_file(coarse, "griz"), flux)


def masked(plane, extension, **header) -> bytes:
    science = fits.ImageHDU(plane, name="SCI")
    science.header["BUNIT"] = "nanomaggy"
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    return fits_bytes(primary, science, extension)


def test_masks_weights_and_nan_are_bad_pixels_filled_from_their_neighbours():
    plane = flux_cube(0, 1)[0]
    spoilt = plane.copy()
    spoilt[20, 20] = 1e6
    bad = np.zeros(plane.shape, np.int32)
    bad[20, 20] = 4
    nan = spoilt.copy()
    nan[20, 20] = np.nan
    flux = FluxInput(("r",))
    files = {
        "mask": masked(spoilt, fits.ImageHDU(bad, name="DQ")),
        "weight": masked(spoilt, fits.ImageHDU((bad == 0).astype(np.float32), name="WHT")),
        "NaN": masked(nan, fits.ImageHDU(plane, name="ERR")),
    }
    for data in files.values():
        image = opened(data, flux)
        assert image.bad == pytest.approx(1 / plane.size)
        assert abs(image.values[0, ::-1][20, 20] - plane[20, 20]) < 0.3
    # Bit 2 of JWST says that a pixel was hit; only bit 0 that it can't be used.
    ignored = opened(masked(spoilt, fits.ImageHDU(bad, name="DQ"), TELESCOP="JWST"), flux)
    assert ignored.bad == 0 and ignored.values.max() == 1e6


def test_too_many_bad_pixels_and_constant_bands_have_no_content():
    cube = flux_cube(1, 4)
    cube[1, 10:30, 10:30] = np.nan
    with pytest.raises(NoContent, match="half of the middle has no value in band r"):
        opened(cube_file(cube, "griz"))
    with pytest.raises(NoContent, match="every pixel has the same value"):
        opened(cube_file(np.zeros((4, 40, 40), np.float32), "griz"))


def test_missing_bands_are_refused_unless_the_model_allows_them():
    data = cube_file(flux_cube(1, 3), "gri")
    with pytest.raises(BadInput, match="image: no band z, only g, r, i, and the model takes flux"):
        opened(data)
    image = opened(data, FluxInput(GRIZ.bands, missing=1))
    assert image.missing == ("z",)
    assert not image.values[3].any() and image.values[:3].any()
    with pytest.raises(BadInput, match="no bands i, z, only g, r"):
        opened(cube_file(flux_cube(1, 2), "gr"), FluxInput(GRIZ.bands, missing=1))
    in_memory = dict(zip("gri", flux_cube(1, 3), strict=True))
    other = opened(in_memory, FluxInput(GRIZ.bands, missing=1))
    # Files have their first row at the bottom.
    assert other.missing == ("z",) and np.array_equal(other.values[:, ::-1], image.values)


def test_zeros_in_half_of_the_middle_are_no_coverage():
    cube = flux_cube(1, 2)
    cube[:, :, :25] = 0
    with pytest.raises(NoContent, match="half of the middle has no value in bands g, r"):
        opened(cube_file(cube, "gr"), FluxInput(("g", "r")))


def test_a_band_that_the_header_names_is_no_other_by_the_files_name(tmp_path):
    hdu = fits.PrimaryHDU(flux_cube(0, 1)[0])
    hdu.header["FILTER"], hdu.header["BUNIT"] = "i", "nanomaggy"
    path = tmp_path / "A-g.fits"
    path.write_bytes(fits_bytes(hdu))
    with pytest.raises(BadInput, match="no band g, only i"):
        opened(str(path), FluxInput(("g",)))


def test_arrays_mappings_and_tensors_are_flux_in_the_models_unit():
    torch = pytest.importorskip("torch")
    cube = flux_cube(1, 4)
    for source in (cube, torch.from_numpy(cube), dict(zip("zirg", cube[::-1], strict=True))):
        assert np.array_equal(opened(source).values, cube)
    for source, words in {
        "three bands": (cube[:3], "of shape \\(3, 40, 40\\)"),
        "a picture": (np.zeros((40, 40, 3), np.uint8), "an array of uint8"),
        "a mapping without one": (dict(zip("gri", cube[:3], strict=True)), "no band z"),
        "bands of two sizes": (
            dict(zip("griz", [*cube[:3], cube[3, 1:]], strict=True)),
            "bands of different sizes, .*z of 40x39",
        ),
        "a mapping of integers": (
            dict(zip("griz", cube.astype(int), strict=True)),
            "an array of int64",
        ),
    }.values():
        with pytest.raises(BadInput, match=words):
            opened(source)


def test_a_picture_is_no_flux(tmp_path):
    from PIL import Image

    path = tmp_path / "1.jpg"
    Image.new("RGB", (40, 40)).save(path)
    for source in (str(path), Image.new("RGB", (40, 40)), path.read_bytes()):
        with pytest.raises(BadInput, match="the model takes flux in g,r,i,z"):
            opened(source)


@settings(max_examples=20, deadline=None)
@given(st.integers(20, 60), st.integers(8, 40), st.floats(0.3, 1.0))
def test_frames_keep_the_mean_flux_of_a_pixel_and_the_centre(side, size, crop):
    flat = FluxImage(np.full((2, side, side), 3.0, np.float32))
    assert np.allclose(flux_square(flat, crop, size), 3.0, atol=1e-4)
    peaked = np.zeros((1, side, side), np.float32)
    peaked[0] = np.exp(-np.hypot(*(np.mgrid[:side, :side] - (side - 1) / 2)) / 3)
    square = flux_square(FluxImage(peaked), crop, size)[0]
    assert np.allclose(square, square[::-1], atol=1e-5)
    assert np.allclose(square, square.T, atol=1e-5)


def test_frames_are_those_of_pictures():
    rng = np.random.default_rng(0)
    from PIL import Image

    pixels = rng.integers(60, 200, (50, 50, 3), np.uint8)
    image = FluxImage(pixels.transpose(2, 0, 1).astype(np.float32))
    for crop, size in ((1.0, 20), (0.5, 25), (0.8, 64)):
        shown = centre_frame(Image.fromarray(pixels), crop, size).astype(float)
        difference = np.abs(flux_square(image, crop, size).transpose(1, 2, 0) - shown)
        # A crop's edge is interpolated from the pixels beyond it, which a picture's isn't.
        inner = slice(5, -5) if crop < 1 else slice(None)
        assert difference[inner, inner].max() < 1.5


def test_the_cache_has_half_precision_and_the_gaps_of_each_image(tmp_path, monkeypatch):
    monkeypatch.setenv("GALAXYMORPH_CACHE", str(tmp_path / "cache"))
    folder = flux_catalogue(tmp_path / "files", 3, form="files")
    (folder / "G002-z.fits").unlink()
    rendering = Rendering(flux=FluxInput(GRIZ.bands, "calibrated", (0.06, 0.06, 0.06, 0.06), 1))
    references = [str(folder / f"G00{n}-g.fits") for n in range(3)]
    for _ in range(2):
        frames, inspections = cached_frames(references, 0.8, 24, rendering)
        assert (frames.pixels.dtype, frames.pixels.shape) == (np.float16, (24, 24, 4))
        assert [each.missing for each in inspections] == [(), (), ("z",)]
        for reference, inspection in zip(references, inspections, strict=True):
            (row,) = frames.pixels.read([frames.rows[inspection.digest]])
            assert np.array_equal(row, galaxy_frame(reference, Cut(0.8, 24), rendering))
    # Another file of the same galaxy, so that the digest changes.
    (folder / "G001-r.fits").write_bytes((folder / "G000-r.fits").read_bytes())
    changed = cached_frames(references, 0.8, 24, rendering)[1]
    assert [a.digest == b.digest for a, b in zip(inspections, changed, strict=True)] == [
        True,
        False,
        True,
    ]


def test_previews_show_long_wavelengths_red(tmp_path):
    path = tmp_path / "1.fits"
    path.write_bytes(cube_file(flux_cube(0, 4), "griz"))
    for bands in (("g", "r", "i", "z"), ("z", "i", "r", "g")):
        picture = np.asarray(decode(str(path), Rendering(flux=FluxInput(bands)))).astype(int)
        red, _, blue = picture[19, 19]
        assert picture.shape == (40, 40, 3) and red > blue
    grey = np.asarray(decode(str(path), Rendering(flux=FluxInput(("r",)))))
    assert (grey[..., 0] == grey[..., 2]).all()


@pytest.mark.parametrize("unit", FLUX_UNITS)
def test_real_files(real, unit):
    folder = real / "fits"
    noise = {}
    for name, bands in {
        "decals_grz_1": "g,r,z",
        "legacy_grz_astroclip": "g,r,z",
        "kids_r_1": "r",
        "candels_10673_h": "j,h",
    }.items():
        flux = FluxInput(tuple(bands.split(",")), unit)
        values = opened(str(folder / f"{name}.fits"), flux).values
        edge = np.concatenate([values[:, 0], values[:, -1]], axis=1)
        noise[name] = 1.4826 * np.median(np.abs(edge - np.median(edge)))
    if unit == "calibrated":
        # Nanomaggies a pixel: those of depths from 23 to 27 magnitudes.
        assert all(1e-4 < value < 0.05 for value in noise.values()), noise
    elif unit == "surface-brightness":
        # A square arcsecond has 14.57 pixels of the Legacy Surveys, 25 of KiDS, 278 of CANDELS. The
        # file of DECaLS is interpolated to 0.1 arcsec.
        expected = {"decals_grz_1": 0.1455, "legacy_grz_astroclip": 0.0470}
        expected |= {"kids_r_1": 0.0586, "candels_10673_h": 0.1360}
        assert noise == pytest.approx(expected, rel=0.01)
    else:
        assert noise["kids_r_1"] < 1e-10 < 1e-3 < noise["candels_10673_h"]
    for name, words in {
        "sdss_r_1": "no calibration",
        "decals_grz_truncated": "damaged",
        "decals_grz_bad_pixels": "half of the middle",
    }.items():
        bands = ("r",) if name == "sdss_r_1" else ("g", "r", "z")
        if unit != "stored" or name != "sdss_r_1":
            with pytest.raises(BadInput, match=words):
                opened(str(folder / f"{name}.fits"), FluxInput(bands, unit))
