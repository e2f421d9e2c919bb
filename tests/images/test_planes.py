"""Which planes of a file are science, by the conventions of the archives that write them."""

import bz2
import gzip
import io

import numpy as np
import pytest
from astropy.io import fits

from galaxymorph.base import BadInput
from galaxymorph.images import Rendering, decode_bytes

SIDE = 40
NOISE = np.random.default_rng(0).normal(0, 1, (SIDE, SIDE))
DOWN, ACROSS = np.mgrid[:SIDE, :SIDE] - np.array([28, 20])[:, None, None]
# Fluxes of the science planes, each another galaxy, redder as the letters go on.
FLUX = {
    name: (brightness * np.exp(-np.hypot(DOWN, ACROSS - n) / 4) + NOISE).astype(np.float32)
    for n, (name, brightness) in enumerate(zip("ugrizy", (20, 50, 100, 150, 200, 250), strict=True))
}
SCI = FLUX["r"]
ERR = np.sqrt(np.abs(SCI) + 1).astype(np.float32)
DQ = (SCI > 50).astype(np.int32) * 4 + (NOISE > 2)
RGB8 = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def primary(values=None, **header):
    return with_header(fits.PrimaryHDU(values), header)


def image(values, name=None, **header):
    return with_header(fits.ImageHDU(values, name=name), header)


def packed(values, name=None, **header):
    return with_header(
        fits.CompImageHDU(values, name=name, compression_type="GZIP_1", quantize_level=0), header
    )


def with_header(hdu, header):
    for key, value in header.items():
        hdu.header[key.replace("__", " ").replace("_", "-")] = value
    return hdu


def file_of(*hdus) -> bytes:
    stream = io.BytesIO()
    fits.HDUList(list(hdus)).writeto(stream)
    return stream.getvalue()


def shown(data: bytes, name: str = "1.fits", **rendering) -> np.ndarray:
    return np.array(decode_bytes(data, name, Rendering(**rendering)))


def grey(values) -> np.ndarray:
    return shown(file_of(fits.PrimaryHDU(values)))


def colours(names: str) -> np.ndarray:
    """The picture of bands, the red first."""
    cube = np.stack([FLUX[name] for name in names])
    return shown(file_of(fits.PrimaryHDU(cube)), bands="1,2,3")


def mosaic(values):
    return np.pad(values, 30)


ONE_BAND = {
    "alone": [primary(SCI)],
    "HST: SCI, ERR, DQ": [primary(), image(SCI, "SCI"), image(ERR, "ERR"), image(DQ, "DQ")],
    "four planes": [
        primary(),
        image(SCI, "SCI"),
        image(ERR, "ERR"),
        image(DQ, "DQ"),
        image(ERR, "WHT"),
    ],
    "drizzled: SCI, WHT, CTX": [
        primary(FILTER1="CLEAR1L", FILTER2="F814W"),
        image(SCI, "SCI"),
        image(1 / ERR, "WHT"),
        image(DQ, "CTX"),
    ],
    "JWST": [
        primary(FILTER="F200W", TELESCOP="JWST"),
        image(SCI, "SCI"),
        image(ERR, "ERR"),
        image(ERR, "VAR_POISSON"),
        image(ERR, "VAR_RNOISE"),
        image(DQ, "CON"),
        image(ERR, "WHT"),
        image(ERR, "AREA"),
    ],
    "HSC, LSST": [primary(), image(SCI, "IMAGE"), image(DQ, "MASK"), image(ERR**2, "VARIANCE")],
    "EXTTYPE": [
        primary(),
        image(SCI, EXTTYPE="IMAGE"),
        image(DQ, EXTTYPE="MASK"),
        image(ERR**2, EXTTYPE="VARIANCE"),
    ],
    "HSC with PSF": [primary(), image(SCI, "IMAGE"), image(DQ, "MASK"), image(NOISE, "PSF")],
    "SCI, WHT": [primary(), image(SCI, "SCI"), image(1 / ERR, "WHT")],
    "weight first": [primary(), image(1 / ERR, "WHT"), image(DQ, "MASK"), image(SCI, "SCI")],
    "weight in the primary": [primary(1 / ERR), image(SCI, "SCI")],
    "DES": [primary(), packed(SCI, "SCI"), packed(DQ, "MSK"), packed(1 / ERR, "WGT")],
    "DES, one filter": [
        primary(),
        packed(SCI, "SCI", FILTER="r DECam SDSS c0002 6415.0 1480.0"),
        packed(DQ, "MSK", FILTER="r DECam SDSS c0002 6415.0 1480.0"),
        packed(1 / ERR, "WGT", FILTER="r DECam SDSS c0002 6415.0 1480.0"),
    ],
    "SDSS frame": [
        primary(SCI, FILTER="r"),
        image(NOISE[0].astype(np.float32)),
        fits.BinTableHDU.from_columns([fits.Column("ALLSKY", "E", array=np.ones(3))]),
    ],
    "SDSS frame of one size": [primary(SCI, FILTER="r"), image(ERR, "SKY")],
    "Legacy Survey's bricks": [primary(), packed(SCI, IMTYPE="image", FILTER="r")],
    "image and invvar, headers copied": [
        primary(SCI, FILTER="r", BUNIT="nanomaggy"),
        image(ERR, FILTER="r", BUNIT="1/nanomaggy^2"),
    ],
    "headers copied, without units": [primary(SCI, FILTER="r"), image(ERR, FILTER="r")],
    "Pan-STARRS": [primary(), packed(SCI, **{"HIERARCH FPA.FILTERID": "r.00000"})],
    "Euclid": [primary(), image(SCI, "CCD1.SCI"), image(ERR, "CCD1.RMS"), image(DQ, "CCD1.FLG")],
    "Euclid's background": [primary(), image(SCI, "VIS"), image(ERR, "BKG"), image(ERR, "RMS")],
    "ESO": [
        primary(),
        image(SCI, "CHIP1.INT1", HDUCLAS2="DATA"),
        image(ERR, "CHIP1.INT2", HDUCLAS2="ERROR"),
        image(DQ, "CHIP1.INT3", HDUCLAS2="QUALITY"),
    ],
    "CCDData": [primary(SCI, BUNIT="adu"), image(DQ.astype("u1"), "MASK"), image(ERR, "UNCERT")],
    "segmentation without names": [primary(SCI), image(DQ), image(DQ.astype(np.int16))],
    "GALFIT": [
        primary(),
        image(SCI, OBJECT="NGC 1[1:40]"),
        image(ERR, OBJECT="model"),
        image(NOISE, OBJECT="residual map"),
    ],
    "model, residual": [primary(SCI), image(ERR, "MODEL"), image(NOISE, "RESIDUAL")],
    "maps": [
        primary(),
        image(SCI, "DATA"),
        image(ERR, "ERRMAP"),
        image(ERR, "NOISE_MAP"),
        image(ERR, "EXPTIME"),
        image(ERR, "COVERAGE"),
        image(ERR, "SCIERR"),
        image(ERR, "NEXP"),
    ],
    "variance by unit": [primary(SCI, BUNIT="adu"), image(ERR, BUNIT="adu**2")],
    "exposures by unit": [primary(), image(SCI, BUNIT="electron/s"), image(ERR, BUNIT="s")],
    "preview in the primary": [primary(SCI[::4, ::4]), image(SCI)],
    "preview with the same header": [primary(SCI[::4, ::4], FILTER="r"), image(SCI, FILTER="r")],
    "PRIMARY": [primary(SCI, EXTNAME="PRIMARY"), image(ERR, "FOO")],
    "PRIMARY beside SCI": [primary(ERR, EXTNAME="PRIMARY"), image(SCI, "SCI")],
    "HLA": [primary(FILTER="CLEAR1L;F814W"), image(SCI, "SCI"), image(ERR, "WHT")],
    "preview beside a name": [primary(mosaic(NOISE)), image(SCI, "SCI"), image(ERR, "ERR")],
    "PSF of another size": [primary(SCI), image(NOISE[:21, :21], "PSF")],
    "HDUNAME": [primary(), image(ERR, HDUNAME="variance"), image(SCI, HDUNAME="science")],
    "lower case": [primary(), image(SCI, EXTNAME="sci"), image(ERR, EXTNAME="ivar")],
    "whole numbers": [primary((SCI * 100).astype(np.int16))],
    "a frequency and a polarisation": [primary(SCI[None, None], CTYPE3="FREQ", CTYPE4="STOKES")],
    "polarisations": [primary(np.stack([SCI, ERR, NOISE]), CTYPE3="STOKES")],
    "planes named in a cube": [primary(np.stack([SCI, ERR, DQ]), BANDS="sci,err,dq")],
    "sky subtracted": [primary(), image(SCI, "SKY_SUBTRACTED"), image(ERR, "SKY")],
    "cubes of one band": [primary(SCI[None], BANDS="r"), image(ERR[None], "INVVAR", BANDS="r")],
}


@pytest.mark.parametrize("layout", ONE_BAND)
def test_the_science_plane_is_taken(layout):
    expected = grey((SCI * 100).astype(np.int16)) if layout == "whole numbers" else grey(SCI)
    assert np.array_equal(shown(file_of(*ONE_BAND[layout])), expected)


def bands(names, key="FILTER"):
    return [image(FLUX[name[-1].lower()], **{key: name}) for name in names]


SEVERAL = {
    "BANDS=grz": ([primary(np.stack([FLUX[n] for n in "grz"]), BANDS="grz")], "zrg"),
    "BANDS=zrg": ([primary(np.stack([FLUX[n] for n in "zrg"]), BANDS="zrg")], "zrg"),
    "BANDS=irg": ([primary(np.stack([FLUX[n] for n in "irg"]), BANDS="irg")], "irg"),
    "I, R, G": ([primary(np.stack([FLUX[n] for n in "irg"]), BANDS="I, R, G")], "irg"),
    "r, z, g": ([primary(np.stack([FLUX[n] for n in "rzg"]), BANDS="r z g")], "zrg"),
    "BAND0": (
        [primary(np.stack([FLUX[n] for n in "igr"]), BAND0="i", BAND1="g", BAND2="r")],
        "irg",
    ),
    "a cube and its invvar": (
        [
            primary(np.stack([FLUX[n] for n in "grz"]), BANDS="grz", IMAGETYP="image"),
            image(np.stack([ERR] * 3), BANDS="grz", IMAGETYP="invvar"),
        ],
        "zrg",
    ),
    "two cubes of bands": (
        [
            primary(np.stack([FLUX[n] for n in "grz"]), BANDS="grz"),
            image(np.stack([ERR] * 3), BANDS="grz"),
        ],
        "zrg",
    ),
    "extensions I, R, G": ([primary(), *(image(FLUX[n], n.upper()) for n in "irg")], "irg"),
    "extensions by FILTER": ([primary(), *bands(["HSC-G", "HSC-R", "HSC-I"])], "irg"),
    "extensions by BAND": ([primary(), *bands("zgr", "BAND")], "zrg"),
    "bands and their masks": (
        [
            primary(),
            *(
                each
                for n in "grz"
                for each in (
                    image(FLUX[n], f"SCI_{n}", FILTER=n),
                    image(DQ, f"MASK_{n}", FILTER=n),
                    image(ERR, f"IVAR_{n}", FILTER=n),
                )
            ),
        ],
        "zrg",
    ),
    "by number": (
        [
            primary(),
            image(FLUX["g"], FILTER="F475W"),
            image(FLUX["z"], FILTER="F160W"),
            image(FLUX["r"], FILTER="CLEAR1L;F814W"),
        ],
        "zrg",
    ),
    "JWST by number": (
        [
            primary(TELESCOP="JWST"),
            image(FLUX["z"], FILTER="F444W"),
            image(FLUX["g"], FILTER="F115W"),
            image(FLUX["r"], FILTER="F277W"),
        ],
        "zrg",
    ),
    "VIS and NISP": (
        [primary(), image(FLUX["z"], "NIR_H"), image(FLUX["r"], "NIR_Y"), image(FLUX["g"], "VIS")],
        "zrg",
    ),
    "the band in the primary's own header": (
        [
            primary(FLUX["g"], FILTER="g"),
            image(FLUX["z"], FILTER="z"),
            image(FLUX["r"], FILTER="r"),
        ],
        "zrg",
    ),
    "names that nobody knows": (
        [
            primary(),
            image(FLUX["g"], FILTER="N101"),
            image(FLUX["r"], FILTER="N102"),
            image(FLUX["z"], FILTER="N103"),
        ],
        "zrg",
    ),
    "numbers": ([primary(np.stack([FLUX[n] for n in "grz"]))], "zrg"),
    "the last axis counts": ([primary(np.stack([FLUX[n] for n in "zrg"], axis=-1))], "zrg"),
    "the last axis, named": (
        [primary(np.stack([FLUX[n] for n in "grz"], axis=-1), BANDS="grz")],
        "zrg",
    ),
}


@pytest.mark.parametrize("layout", SEVERAL)
def test_the_longest_wavelength_is_red(layout):
    hdus, expected = SEVERAL[layout]
    assert np.array_equal(shown(file_of(*hdus)), colours(expected))


def test_two_bands_have_their_mean_as_green():
    result = shown(file_of(primary(np.stack([FLUX["z"], FLUX["g"]]), BANDS="zg")))
    cube = np.stack([FLUX["z"], (FLUX["z"] + FLUX["g"]) / 2, FLUX["g"]])
    far = result.astype(int) - shown(file_of(primary(cube)), bands="1,2,3").astype(int)
    assert np.abs(far).max() <= 1


@pytest.mark.parametrize(
    ("values", "header", "expected"),
    [
        (RGB8, {}, RGB8),
        (RGB8.transpose(2, 0, 1), {}, RGB8[::-1]),
        (RGB8.transpose(2, 0, 1), {"ROWORDER": "TOP-DOWN"}, RGB8),
        (np.dstack([RGB8, RGB8[..., :1]]), {}, RGB8),
        (RGB8[..., 0], {}, RGB8[::-1, :, :1].repeat(3, axis=2)),
    ],
    ids=["colour last", "colour first", "top down", "with alpha", "grey"],
)
def test_a_picture_of_8_bits_is_shown_as_it_is(values, header, expected):
    assert np.array_equal(shown(file_of(primary(values, **header))), expected)


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress])
def test_a_packed_file_is_fits_whatever_its_name(pack):
    data = pack(file_of(primary(SCI)))
    for name in ("1.fits.gz", "1.fts", "1.jpg", "1"):
        assert np.array_equal(shown(data, name), grey(SCI))


GRIZ = [primary(np.stack([FLUX[n] for n in "griz"]), BANDS="griz")]


@pytest.mark.parametrize(
    ("wanted", "hdus", "expected"),
    [
        ("z,r,g", GRIZ, "zrg"),
        ("i,r,g", GRIZ, "irg"),
        ("4,2,1", GRIZ, "zrg"),
        (
            "z,r,g",
            [
                primary(),
                image(FLUX["g"], FILTER="HSC-G"),
                image(FLUX["r"], FILTER="HSC-R2"),
                image(FLUX["i"], FILTER="HSC-I2"),
                image(FLUX["z"], FILTER="HSC-Z"),
            ],
            "zrg",
        ),
        ("F160W,F814W,F475W", SEVERAL["by number"][0], "zrg"),
        ("red,green,blue", SEVERAL["the last axis counts"][0], "zrg"),
    ],
)
def test_bands_are_chosen_by_name_and_number(wanted, hdus, expected):
    assert np.array_equal(shown(file_of(*hdus), bands=wanted), colours(expected))


@pytest.mark.parametrize("name", ["SCI", "sci", "1", "ERR", "2"])
def test_a_plane_can_be_chosen_whatever_it_is(name):
    data = file_of(*ONE_BAND["HST: SCI, ERR, DQ"])
    expected = SCI if name in ("SCI", "sci", "1") else ERR
    assert np.array_equal(shown(data, bands=name), grey(expected))


CUBE = np.zeros((400, 20, 20), np.float32)
REFUSED = {
    "a spectrograph's cube": (
        [
            primary(),
            image(CUBE, "FLUX", CTYPE3="WAVE"),
            image(CUBE, "IVAR"),
            image(CUBE, "MASK"),
            *(image(NOISE[:20, :20], name) for name in ("GIMG", "RIMG", "IIMG", "ZIMG")),
        ],
        "a data cube of 400 planes, as of a spectrograph; give an image",
    ),
    "MUSE": ([primary(), image(CUBE, "DATA", CTYPE3="AWAV"), image(CUBE, "STAT")], "a data cube"),
    "a short cube of velocities": (
        [primary(np.stack([SCI] * 10), CTYPE3="VRAD")],
        "a data cube of 10 planes",
    ),
    "two chips": (
        [
            primary(FILTER="F606W"),
            image(SCI, "SCI", EXTVER=1),
            image(DQ, "DQ", EXTVER=1),
            image(SCI, "SCI", EXTVER=2),
            image(DQ, "DQ", EXTVER=2),
        ],
        "2 science planes, SCI, SCI2 beside DQ (a mask), DQ2 (a mask), which is ambiguous; "
        "choose one with bands",
    ),
    "planes without names": (
        [primary(), image(SCI), image(ERR), image(NOISE)],
        "3 science planes, 1, 2, 3, which is ambiguous; choose one with bands",
    ),
    "names that aren't bands": (
        [primary(), image(SCI, "FOO"), image(ERR, "BAR")],
        "2 science planes, FOO, BAR, which",
    ),
    "four bands": (GRIZ, "4 bands, g, r, i, z; choose three with bands, the red first"),
    "only a mask": ([primary(), image(DQ, "MASK")], "no science plane, only MASK (a mask)"),
    "only weights": (
        [primary(), image(ERR, "WHT"), image(ERR, "IVAR")],
        "no science plane, only WHT (a weight), IVAR (a weight); give the science image",
    ),
    "a mask without a name": (
        [primary((SCI > 20).astype("u1"))],
        "a mask (it has only the values 0",
    ),
    "three rows": ([primary(SCI[:3])], "40x3 pixels, too few"),
    "three rows of three bands": ([primary(np.ones((3, 3, 424)))], "a data cube of 3x3x424"),
    "bands of two sizes": (
        [primary(), image(SCI, FILTER="r"), image(mosaic(SCI), FILTER="z")],
        "bands of different sizes, z of 100x100, r of 40x40",
    ),
    "two bands of three without data": (
        [primary(np.stack([0 * SCI, np.nan * SCI, SCI]), BANDS="grz")],
        "no pixel has a value of its own in bands r, g: no coverage there; make another cutout",
    ),
    "many planes": (
        [primary(), *(image(SCI, f"X{n}") for n in range(60))],
        "60 science planes, X0, X1, X2, X3, X4, X5, X6, X7 and 52 more, which is",
    ),
}


@pytest.mark.parametrize("layout", REFUSED)
def test_what_leaves_a_choice_open_is_refused_in_one_short_line(layout):
    hdus, words = REFUSED[layout]
    with pytest.raises(BadInput) as error:
        shown(file_of(*hdus), "galaxy.fits")
    assert str(error.value).startswith(f"galaxy.fits: {words}")
    assert len(str(error.value)) < 320


@pytest.mark.parametrize(
    "name",
    [
        "rings.v3.skycell.1234.056.stk.r.unconv.mask.fits",
        "rings.v3.stk.r.unconv.num.fits",
        "hst_drz_wht.fits",
        "x.zip::a/unwise-w1-invvar-m.fits",
        "galaxy.weight.fits.gz",
    ],
)
def test_a_file_whose_name_says_that_it_holds_no_science_is_refused(name):
    with pytest.raises(BadInput, match="no science plane, only"):
        shown(file_of(primary(SCI, FILTER="r")), name)
    assert shown(file_of(primary(), image(SCI, "SCI")), name).shape == (SIDE, SIDE, 3)


@pytest.mark.parametrize("name", ["psf_matched_1.fits", "model7.fits", "masked.fits", "timer.fits"])
def test_names_that_say_something_else_are_no_hindrance(name):
    assert np.array_equal(shown(file_of(primary(SCI)), name), grey(SCI))
